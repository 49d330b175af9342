/** The sets of mount options that both overlays have, with how often each is tried. */
import type { MarkFormat } from "./sequence.ts";

export interface OptionSet {
  readonly name: string;
  /** Added to what mountOverlay says of the defaults; for both. */
  readonly options: readonly string[];
  /** Added for Veneer: how its upper has what the kernel's has otherwise. So uppers are not compared, nor mounted by the other. */
  readonly ownOptions: readonly string[];
  readonly format: MarkFormat;
  /** The file system that all layers lie on. */
  readonly on: "disk" | "tmpfs";
  /** Out of the sum of all. */
  readonly weight: number;
}

const plain: OptionSet = { name: "", options: [], ownOptions: [], format: "native", on: "tmpfs", weight: 1 };

const sets: readonly OptionSet[] = [
  { ...plain, name: "defaults", weight: 4 },
  { ...plain, name: "defaults on disk", on: "disk", weight: 3 },
  { ...plain, name: "xattr whiteouts", format: "xattr", weight: 2 },
  { ...plain, name: "whiteout files", format: "files", weight: 2 },
  { ...plain, name: "userxattr", options: ["userxattr"], weight: 2 },
  { ...plain, name: "redirect_dir", options: ["redirect_dir=on"], weight: 4 },
  { ...plain, name: "redirect_dir, xattr whiteouts", options: ["redirect_dir=on"], format: "xattr", weight: 1 },
  { ...plain, name: "redirect_dir=follow", options: ["redirect_dir=follow"], on: "disk", weight: 1 },
  { ...plain, name: "index", options: ["index=on"], weight: 3 },
  { ...plain, name: "metacopy", options: ["redirect_dir=on", "metacopy=on"], on: "disk", weight: 2 },
  { ...plain, name: "all features", options: ["redirect_dir=on", "index=on", "metacopy=on", "xino=on"], weight: 3 },
  { ...plain, name: "permissions in xattrs", ownOptions: ["xattr_permissions=2"], on: "disk", weight: 2 },
  { ...plain, name: "volatile", options: ["volatile"], on: "disk", weight: 2 },
];

/** How many sets there are. */
export const setCount = sets.length;

/** The set that the batch of this number has: first each once, in all each as often as its weight says. */
export function optionSet(batch: number): OptionSet {
  const order = sets.flatMap((set) =>
    Array.from({ length: set.weight }, (_, time) => ({ set, at: time / set.weight })),
  );
  order.sort((a, b) => a.at - b.at);
  return (order[batch % order.length] as { set: OptionSet }).set;
}

/** The set of this name. */
export function optionSetNamed(name: string): OptionSet {
  const set = sets.find((candidate) => candidate.name === name);
  if (set === undefined) {
    throw new Error(`no set of options is called ${name}`);
  }
  return set;
}
