/** By which way this process mounts and unmounts: it asks the kernel where it has CAP_SYS_ADMIN; a plain user has fusermount3. */
import { unmount } from "../sys/mount.ts";
import { Capability, hasCapability, ownIds } from "../sys/process.ts";
import { unmountByFusermount } from "./fusermount.ts";
import { MountError } from "./mount-error.ts";
import type { Transport } from "./plan.ts";

/** Whether this process may call mount(2), here or where it is root of a user namespace. */
export function mayMount(): boolean {
  return hasCapability(Capability.sysAdmin);
}

/** @throws MountError for root without the capability, whom fusermount3 does not help; and over fuse-native, which mounts by itself */
export function checkPrivilege(transport: Transport): void {
  if (!mayMount() && (ownIds().uid === 0 || transport === "fuse-native")) {
    const what = transport === "direct" ? "mounting" : `mounting by ${transport}`;
    throw new MountError(
      "permission",
      `${what} needs the capability CAP_SYS_ADMIN: run veneer as root (in a container, give it --cap-add SYS_ADMIN)`,
    );
  }
}

/**
 * umount2(2), by whichever way this user has.
 * @throws FsError EBUSY, EINVAL (no mountpoint), EPERM
 */
export function unmountByRight(path: string, flags: number): void {
  if (mayMount()) {
    unmount(path, flags);
  } else {
    unmountByFusermount(path, flags);
  }
}
