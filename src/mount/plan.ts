/** What a mount is to be, and what can be said against it before the disk is looked at. */
import type { Features } from "../contract/features.ts";
import { resolveFeatures } from "./feature-options.ts";
import { OptionError } from "./option-error.ts";
import type { MountOptions } from "./options.ts";

export interface MountPlan {
  /** As given: perhaps relative, perhaps `/dev/fd/N`. */
  readonly mountpoint: string;
  /** Without those that are of no use. */
  readonly options: MountOptions;
  readonly features: Features;
  /** What the user should know of options that do nothing, a sentence each. */
  readonly remarks: readonly string[];
}

/** @throws OptionError where the options don't go together */
export function makePlan(mountpoint: string, options: MountOptions): MountPlan {
  const { lowers, upper, work } = options;
  if (lowers.length === 0) {
    throw new OptionError("there is no lower layer: give -o lowerdir=DIR[:DIR...] or --lower DIR");
  }
  if (upper !== undefined && work === undefined) {
    throw new OptionError(
      `upperdir=${upper} needs a workdir: add workdir=DIR, a directory beside it on the same file system`,
    );
  }
  const features = resolveFeatures(options.features, {
    userXattr: options.userXattr,
    hasUpper: upper !== undefined,
  });
  const remarks = remarksOn(options);
  return upper === undefined
    ? { mountpoint, options: { ...options, work: undefined, fsync: "auto" }, features, remarks }
    : { mountpoint, options, features, remarks };
}

function remarksOn({ unknown, upper, work, fsync, features }: MountOptions): string[] {
  const remarks: string[] = [];
  if (unknown.length > 0) {
    remarks.push(`ignoring unknown ${unknown.length === 1 ? "option" : "options"} ${unknown.join(", ")}`);
  }
  if (upper === undefined) {
    const useless = [
      ...(work === undefined ? [] : [`workdir=${work}`]),
      ...(fsync === "volatile" ? ["volatile"] : []),
      ...(features.index === true ? ["index=on"] : []),
      ...(features.uuid === "on" ? ["uuid=on"] : []),
    ];
    remarks.push(...useless.map((option) => `ignoring ${option}, which is of no use without an upperdir`));
  }
  return remarks;
}
