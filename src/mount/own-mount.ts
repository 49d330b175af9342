/** The mount of ours that a user names by its mountpoint, to do something with it. */
import { Errno, isErrno } from "../errno.ts";
import { readLink } from "../sys/names.ts";
import { closeDescriptor, descriptorPath, OpenFlag, openAt, workingDirectory } from "../sys/open.ts";
import { MountError } from "./mount-error.ts";
import { type MountEntry, readMounts, topMountAt } from "./mountinfo.ts";

/** What is to be done: the kind of a refusal, and the word for it in a sentence. */
export interface Purpose {
  readonly kind: "unmount" | "mountpoint";
  readonly verb: "unmounted" | "remounted";
}

/** @throws MountError where nothing is mounted there, or nothing of ours */
export function findOwnMount(mountpoint: string, { kind, verb }: Purpose): { path: string; entry: MountEntry } {
  const path = canonicalPath(mountpoint);
  if (path === undefined) {
    throw new MountError(kind, `${mountpoint} does not exist: nothing is to be ${verb}`);
  }
  const entry = topMountAt(readMounts(), path);
  if (entry === undefined) {
    throw new MountError(kind, `${mountpoint} is not a mountpoint: nothing is to be ${verb}`);
  }
  if (entry.type !== "fuse.veneer") {
    const other = verb === "unmounted" ? "umount" : "mount -i -o remount";
    throw new MountError(kind, `${mountpoint} is not a veneer mount but one of type ${entry.type}: use ${other}`);
  }
  return { path, entry };
}

/**
 * Without symlinks; undefined where there is nothing. Looks no further than the mountpoint itself, so that a mount whose
 * daemon is dead or stuck has one too.
 */
export function canonicalPath(mountpoint: string): string | undefined {
  let fd: number;
  try {
    fd = openAt(workingDirectory, mountpoint, OpenFlag.path);
  } catch (error) {
    if (isErrno(error, Errno.ENOENT, Errno.ENOTDIR)) {
      return undefined;
    }
    throw error;
  }
  try {
    return readLink(workingDirectory, descriptorPath(fd)).toString("latin1");
  } finally {
    closeDescriptor(fd);
  }
}
