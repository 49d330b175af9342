/** Other flags for a mount that is there, as `mount -o remount` asks for them. */
import { Errno, errnoName, FsError, isErrno } from "../errno.ts";
import { mount } from "../sys/mount.ts";
import { workingDirectory } from "../sys/open.ts";
import { removeXattr } from "../sys/xattr.ts";
import { MountFlag } from "./kernel-flags.ts";
import { MountError } from "./mount-error.ts";
import { findOwnMount } from "./own-mount.ts";

/**
 * Gives the mount of ours at `mountpoint` the flags, and takes all others away.
 * @param flags MS_* bits
 * @throws MountError where there is none, where files are open for writing that is to end, or where it has no upper to write to
 */
export function remount(mountpoint: string, flags: number): void {
  const { path } = findOwnMount(mountpoint, { kind: "mountpoint", verb: "remounted" });
  const setFlags = (wanted: number): void => mount("none", path, "none", wanted | MountFlag.remount, "");
  try {
    setFlags(flags);
  } catch (error) {
    throw error instanceof FsError ? refusal(mountpoint, error) : error;
  }
  if ((flags & MountFlag.readOnly) === 0 && !hasUpper(path)) {
    setFlags(flags | MountFlag.readOnly);
    throw new MountError("refused", `${mountpoint} has no upperdir, so that it stays read-only: mount it with one`);
  }
}

/** Asks for a change that changes nothing: the kernel forbids none any more, and a mount without an upper does. */
function hasUpper(path: string): boolean {
  try {
    removeXattr(workingDirectory, path, "user.veneer.absent");
    return true;
  } catch (error) {
    return !isErrno(error, Errno.EROFS);
  }
}

function refusal(mountpoint: string, cause: FsError): MountError {
  switch (cause.code) {
    case Errno.EBUSY:
      return new MountError(
        "refused",
        `${mountpoint} can't become read-only, as files in it are open for writing: end the processes that use it (fuser -vm shows them)`,
        { cause },
      );
    case Errno.EPERM:
    case Errno.EACCES:
      return new MountError("permission", `remounting ${mountpoint} is not permitted: do it as root`, { cause });
    default:
      return new MountError("refused", `the kernel refused the remount of ${mountpoint} (${errnoName(cause.code)})`, {
        cause,
      });
  }
}
