/** Mounting by mount(2), as root does it, and taking a mount away again, whichever way it came. */
import { Errno, errnoName, FsError, isErrno } from "../errno.ts";
import { openFuseDevice } from "../sys/device.ts";
import { connectionLives, cutFuseConnection } from "../sys/fuse-control.ts";
import { mount, UnmountFlag, unmountAside } from "../sys/mount.ts";
import { readProcFile } from "../sys/proc.ts";
import { ownIds } from "../sys/process.ts";
import { isDead } from "./dead-mount.ts";
import type { FoundDirectory } from "./directories.ts";
import { MountFlag } from "./kernel-flags.ts";
import { MountError } from "./mount-error.ts";
import { type MountEntry, readMounts, topMountAt } from "./mountinfo.ts";
import type { MountOptions } from "./options.ts";
import { unmountByRight } from "./privilege.ts";

/** @throws MountError where there is no /dev/fuse to be had */
export function openDevice(): number {
  try {
    return openFuseDevice();
  } catch (error) {
    if (isErrno(error, Errno.ENOENT, Errno.ENODEV, Errno.ENXIO)) {
      throw new MountError(
        "device",
        "there is no /dev/fuse: load the module (modprobe fuse); in a container, start it with --device /dev/fuse",
        { cause: error },
      );
    }
    if (isErrno(error, Errno.EACCES, Errno.EPERM)) {
      throw new MountError(
        "device",
        "/dev/fuse may not be opened: its mode or the container's device rules forbid it (start the container with --device /dev/fuse)",
        { cause: error },
      );
    }
    throw error;
  }
}

/** The mount as it is, for as long as it is. */
export interface LiveMount {
  /** The open /dev/fuse. */
  readonly device: number;
  /** Where it was mounted, absolute. */
  readonly path: string;
  /** As in /proc/self/mountinfo. */
  readonly id: number;
  /** The minor number of its device, which is also the number of its FUSE connection. */
  readonly connection: number;
  /** Whether this very thread serves it, and so must not wait for it. */
  readonly isServedHere: boolean;
}

/**
 * Puts the connection behind `device` at the mountpoint.
 * @throws MountError where the kernel refuses; nothing is mounted then
 */
export function mountDirect(device: number, at: FoundDirectory, options: MountOptions, readOnly: boolean): LiveMount {
  const flags = readOnly ? options.flags | MountFlag.readOnly : options.flags;
  try {
    mount(options.source, at.given, `fuse.${options.subtype}`, flags, mountData(device, options));
  } catch (error) {
    throw error instanceof FsError ? refusal(at, error) : error;
  }
  return adoptMount(device, at, options, false);
}

/** What has just been mounted at the mountpoint, given its propagation. @throws MountError where it is gone; no mount is left */
export function adoptMount(
  device: number,
  at: FoundDirectory,
  options: MountOptions,
  isServedHere: boolean,
): LiveMount {
  const type = `fuse.${options.subtype}`;
  const path = at.path ?? at.given;
  try {
    if (options.propagation !== 0) {
      mount("none", path, "none", options.propagation, "");
    }
    const entry = topMountAt(readMounts(), path);
    if (entry === undefined || entry.type !== type) {
      throw new MountError("refused", `the mount at ${path} is gone at once: something unmounts it`);
    }
    return { device, path, id: entry.id, connection: entry.minor, isServedHere };
  } catch (error) {
    unmountByRight(path, UnmountFlag.detach | UnmountFlag.noFollow);
    throw error;
  }
}

/** The data of mount(2), as linux/fs/fuse/inode.c reads them. */
function mountData(device: number, options: MountOptions): string {
  const { uid, gid } = ownIds();
  const data = [`fd=${device}`, "rootmode=40000", `user_id=${uid}`, `group_id=${gid}`, "default_permissions"];
  if (options.allowOther !== false) {
    data.push("allow_other");
  }
  if (options.maxRead !== undefined) {
    data.push(`max_read=${options.maxRead}`);
  }
  return [...data, ...labelsFor(options)].join(",");
}

/** The labels that a mount is to get. Without SELinux they mean nothing, and the kernel would refuse them. */
export function labelsFor({ labels }: MountOptions): readonly string[] {
  return labels.length > 0 && readProcFile("filesystems").includes("selinuxfs") ? labels : [];
}

function refusal(at: FoundDirectory, cause: FsError): MountError {
  switch (cause.code) {
    case Errno.EPERM:
    case Errno.EACCES:
      return new MountError(
        "permission",
        `mounting at ${at.given} is not permitted: run veneer as root (a container may need --cap-add SYS_ADMIN, and its security profile must allow mount)`,
        { cause },
      );
    case Errno.ENODEV:
      return new MountError("device", "the kernel knows no FUSE: load its module (modprobe fuse)", { cause });
    case Errno.EINVAL:
      return new MountError(
        "refused",
        `the kernel refused the mount at ${at.given} (EINVAL): take away generic mount options until it is accepted`,
        { cause },
      );
    default:
      return new MountError("refused", `the kernel refused the mount at ${at.given} (${errnoName(cause.code)})`, {
        cause,
      });
  }
}

/** The mount's present entry, wherever it has been moved; undefined when it is gone. Holds while its connection lives. */
export function findLiveMount(live: LiveMount): MountEntry | undefined {
  return entryOf(live, readMounts());
}

function entryOf(live: LiveMount, mounts: readonly MountEntry[]): MountEntry | undefined {
  return mounts.find(
    (entry) => entry.id === live.id && entry.minor === live.connection && entry.type.startsWith("fuse."),
  );
}

/**
 * Unmounts what lies uppermost at the mount's place, if that is the mount.
 * @param lazily also where it is busy: it vanishes now, and ends when its last user does
 * @returns `busy` where someone uses it, or another mount covers it, or it is not this user's to unmount
 */
export async function unmountLive(live: LiveMount, lazily: boolean): Promise<"gone" | "busy"> {
  if (!connectionLives(live.device)) {
    return "gone";
  }
  const mounts = readMounts();
  const entry = entryOf(live, mounts);
  if (entry === undefined) {
    return "gone";
  }
  if (topMountAt(mounts, entry.mountpoint)?.id !== live.id) {
    return "busy";
  }
  const flags = UnmountFlag.noFollow | (lazily ? UnmountFlag.detach : 0);
  if (live.isServedHere) {
    return (await unmountAside(entry.mountpoint, flags)) || findLiveMount(live) === undefined ? "gone" : "busy";
  }
  try {
    unmountByRight(entry.mountpoint, flags);
  } catch (error) {
    if (isErrno(error, Errno.EBUSY, Errno.EPERM)) {
      return "busy";
    }
    // EINVAL: someone else was quicker.
    if (isErrno(error, Errno.EINVAL)) {
      return "gone";
    }
    throw error;
  }
  return "gone";
}

/** Takes the mount away if an abort has left it in the tree: what has its ids now may be another mount, which lives. */
export function unmountDead(live: LiveMount): void {
  const mounts = readMounts();
  const entry = entryOf(live, mounts);
  if (entry !== undefined && topMountAt(mounts, entry.mountpoint)?.id === live.id && isDead(entry.mountpoint)) {
    unmountByRight(entry.mountpoint, UnmountFlag.noFollow | UnmountFlag.detach);
  }
}

/** Cuts the connection, so that no one waits for it any more. False where that is not permitted, or it is gone. */
export function cutConnection(live: LiveMount): boolean {
  if (!connectionLives(live.device)) {
    return false;
  }
  try {
    cutFuseConnection(live.connection);
    return true;
  } catch (error) {
    if (isErrno(error, Errno.EPERM, Errno.EACCES, Errno.ENOENT, Errno.ENOSYS, Errno.ENODEV)) {
      return false;
    }
    throw error;
  }
}
