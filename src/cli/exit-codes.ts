/**
 * Exit codes of the command. Failures to mount have the bit 32, which mount(8) uses for "mount failure";
 * 1 and 2 mean what they mean there.
 */
import type { MountErrorKind } from "../mount/mount-error.ts";

export const exitCodes: Readonly<Record<MountErrorKind | "done", number>> = {
  done: 0,
  usage: 1,
  internal: 2,
  layer: 33,
  "in-use": 34,
  mountpoint: 35,
  permission: 36,
  device: 37,
  refused: 38,
  unmount: 39,
};

/** The table of --help and of the manual page. */
export const exitCodeHelp: readonly (readonly [number, string])[] = [
  [0, "done: the mount is usable, or gone"],
  [1, "the command line or an option is malformed"],
  [2, "something unforeseen; please report it"],
  [33, "a layer is missing, is no directory, or does not go with the others"],
  [34, "the upper or work directory is in use by another mount"],
  [35, "the mountpoint is missing or is no directory"],
  [36, "mounting is not permitted"],
  [37, "/dev/fuse is missing or can't be opened"],
  [38, "the kernel refused the mount, or it could not be served"],
  [39, "umount: not a veneer mount, or busy"],
];
