/** What a mount is to be, and what can be said against it before the disk is looked at. */
import type { Features } from "../contract/features.ts";
import { resolveFeatures } from "./feature-options.ts";
import { MountFlag } from "./kernel-flags.ts";
import { OptionError } from "./option-error.ts";
import type { MountOptions } from "./options.ts";

/** Who speaks with the kernel: Veneer itself, or libfuse 2 by way of the package fuse-native. */
export const transports = ["direct", "fuse-native"] as const;
export type Transport = (typeof transports)[number];

export interface MountPlan {
  readonly transport: Transport;
  /** As given: perhaps relative, perhaps `/dev/fd/N`, which may be a mount that is there. */
  readonly mountpoint: string;
  /** Without those that are of no use. */
  readonly options: MountOptions;
  readonly features: Features;
  /** What the user should know of options that do nothing, a sentence each. */
  readonly remarks: readonly string[];
}

/** @throws OptionError where the options don't go together */
export function makePlan(mountpoint: string, given: MountOptions, transport: Transport): MountPlan {
  const { lowers, upper, work } = given;
  // Over fuse-native only root's objects have the owner that they should have: others have to be let in.
  const options = transport === "direct" ? given : { ...given, allowOther: given.allowOther ?? false };
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
  const remarks = [...remarksOn(options), ...(transport === "fuse-native" ? fuseNativeRemarks(options) : [])];
  return upper === undefined
    ? { transport, mountpoint, options: { ...options, work: undefined, fsync: "auto" }, features, remarks }
    : { transport, mountpoint, options, features, remarks };
}

/**
 * The plan where trusted.* xattrs are out of reach, as they are for all but root of the initial user namespace: marks are kept in
 * user.overlay.*, with what that implies. Linux overlayfs falls back in the same way, but for the marks, which it does without then.
 */
export function withoutTrustedXattrs(plan: MountPlan): MountPlan {
  const { options, features } = plan;
  if (options.userXattr) {
    return plan;
  }
  const given = options.features;
  const lost = [
    ...(given.redirect === "on" || given.redirect === "follow" ? [`redirect_dir=${given.redirect}`] : []),
    ...(features.metacopy ? ["metacopy=on"] : []),
  ];
  return {
    ...plan,
    options: { ...options, userXattr: true },
    features: { ...features, redirect: "nofollow", metacopy: false },
    remarks: [
      ...plan.remarks,
      ...lost.map(
        (option) => `ignoring ${option}, which does not go with userxattr, as it is implied for all but root`,
      ),
    ],
  };
}

/**
 * The plan for a mount that only reads, over an upper that another mount writes to: it is read as the topmost lower. So
 * containerd looks at what a container has changed while it runs.
 * @returns undefined where the mount is to write
 */
export function planBesideWriter({ mountpoint, options, transport }: MountPlan): MountPlan | undefined {
  const { upper, lowers } = options;
  return upper === undefined || !isReader(options)
    ? undefined
    : makePlan(mountpoint, { ...options, lowers: [upper, ...lowers], upper: undefined, work: undefined }, transport);
}

/** Whether it was asked for as a mount that only reads. */
export function isReader({ flags }: MountOptions): boolean {
  return (flags & MountFlag.readOnly) !== 0;
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

/** What is lost over fuse-native without an error at the time. */
function fuseNativeRemarks({ allowOther, upper }: MountOptions): string[] {
  const writable = [
    "fuse-native sets times in whole milliseconds, and makes no change of atime or mtime alone: see docs/fuse-native.md",
    ...(allowOther ? ["fuse-native does not tell who makes a file: what other users make will belong to root"] : []),
  ];
  return [
    ...(upper === undefined ? [] : writable),
    ...(allowOther
      ? ["over fuse-native ACLs are kept, but not obeyed: other users have what mode and owner give them"]
      : []),
  ];
}
