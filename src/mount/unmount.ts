/** Unmounting by the user's order: what is at the mountpoint must be ours. */
import { Errno, errnoName, FsError } from "../errno.ts";
import { UnmountFlag } from "../sys/mount.ts";
import { newestProcessNamed, processLives } from "../sys/proc.ts";
import { isDead } from "./dead-mount.ts";
import { MountError } from "./mount-error.ts";
import { readMounts, topMountAt } from "./mountinfo.ts";
import { canonicalPath, findOwnMount } from "./own-mount.ts";
import { unmountByRight } from "./privilege.ts";

/** The name under which ps and `veneer umount` find the daemon of a FUSE connection. */
export function daemonName(connection: number): string {
  return `veneer-${connection}`;
}

/**
 * Unmounts the mount of ours at `mountpoint`, and waits for its daemon to have written everything and ended.
 * @param patience milliseconds to wait for the daemon
 * @throws MountError where there is none, where it is busy, or where the daemon goes on
 */
export async function unmountAndWait(mountpoint: string, patience: number): Promise<void> {
  const { path, entry } = findOwnMount(mountpoint, { kind: "unmount", verb: "unmounted" });
  // An earlier daemon of that name may still be about, having served a mount that had the number before.
  const daemon = newestProcessNamed(daemonName(entry.minor));
  try {
    unmountByRight(path, UnmountFlag.noFollow);
  } catch (error) {
    throw error instanceof FsError ? refusal(mountpoint, error) : error;
  }
  const deadline = Date.now() + patience;
  while (daemon !== undefined && processLives(daemon)) {
    if (Date.now() > deadline) {
      throw new MountError(
        "unmount",
        `${mountpoint} is unmounted, but its daemon (process ${daemon}) is not done yet: another namespace may hold the mount`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/**
 * Takes away what a daemon that was killed while it started may have left: the mount, which nobody serves.
 * Touches nothing else.
 */
export function clearDeadMount(mountpoint: string): void {
  const path = canonicalPath(mountpoint);
  if (path === undefined) {
    return;
  }
  const entry = topMountAt(readMounts(), path);
  if (entry?.type.startsWith("fuse.") && isDead(path)) {
    unmountByRight(path, UnmountFlag.noFollow | UnmountFlag.detach);
  }
}

function refusal(mountpoint: string, cause: FsError): MountError {
  switch (cause.code) {
    case Errno.EBUSY:
      return new MountError(
        "unmount",
        `${mountpoint} is busy: end the processes that use it (fuser -vm shows them), or detach it with umount -l`,
        { cause },
      );
    case Errno.EPERM:
      return new MountError("permission", `unmounting ${mountpoint} is not permitted: do it as root`, { cause });
    default:
      return new MountError("unmount", `${mountpoint} can't be unmounted (${errnoName(cause.code)})`, { cause });
  }
}
