/** Mounting, unmounting, and private clones of mounts. */
import { Errno, FsError } from "../errno.ts";
import { check, declare, declareAside, pathAddress, putWord64, Syscall, scratch, syscall } from "./libc.ts";
import { readProcFile } from "./proc.ts";

const mountCall = declare<(source: Buffer, target: Buffer, type: Buffer, flags: number, data: Buffer) => number>(
  "int mount(void*, void*, void*, unsigned long, void*)",
);
const umount2 = declare<(target: Buffer, flags: number) => number>("int umount2(void*, int)");

const umountAside = declareAside<[target: Buffer, flags: number]>("int umount2(void*, int)");

/** Flags of umount2(2). */
export const UnmountFlag = { force: 1, detach: 2, noFollow: 8 } as const;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOUNT_ATTR_RDONLY = 1;
const MOUNT_ATTR_NOATIME = 0x10;
const MOUNT_ATTR__ATIME = 0x70;
const MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000;
const MS_PRIVATE = 1 << 18;

function cString(text: string): Buffer {
  if (text.includes("\0")) {
    throw new FsError(Errno.EINVAL, "a string with a NUL");
  }
  return Buffer.from(`${text}\0`, "latin1");
}

/** mount(2). Strings are latin1 bytes; `data` has no more than 4095. @param flags MS_ bits */
export function mount(source: string, target: string, type: string, flags: number, data: string): void {
  check(mountCall(cString(source), cString(target), cString(type), flags, cString(data)), "mount");
}

/** umount2(2). @param flags UnmountFlag bits; a forced one cuts a FUSE connection: its daemon reads ENODEV. @throws FsError EBUSY, EINVAL (no mountpoint) */
export function unmount(target: string, flags: number): void {
  check(umount2(cString(target), flags), "umount");
}

/**
 * umount2(2) on another thread, for a mount that this one serves: what is dirty is written through it before it goes.
 * @returns whether the call went well
 */
export function unmountAside(target: string, flags: number): Promise<boolean> {
  return new Promise((resolve) => {
    umountAside(cString(target), flags, (result) => resolve(result === 0));
  });
}

/**
 * A clone of the mount that holds `path`, from there downwards and without its submounts, attached nowhere
 * (open_tree(2), Linux 5.2): an O_PATH descriptor of its root. The clone lasts as long as a descriptor below it.
 * @param path latin1 bytes, followed to its end as given
 * @throws FsError EPERM, EINVAL or ENOSYS where clones can't be had (no CAP_SYS_ADMIN, locked mounts, old kernel)
 */
export function cloneMount(path: string): number {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC;
  return check(syscall(Syscall.openTree, AT_FDCWD, pathAddress(path), flags, 0, 0, 0), "open_tree");
}

/**
 * Makes a clone private, so that no later mount spreads into it, and if `readOnly` also read-only and noatime
 * (mount_setattr(2), Linux 5.12).
 * @throws FsError ENOSYS on older kernels, EPERM
 */
export function secludeClone(fd: number, readOnly: boolean): void {
  setMountAttributes(
    fd,
    readOnly ? MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME : 0,
    readOnly ? MOUNT_ATTR__ATIME : 0,
    MS_PRIVATE,
  );
}

/**
 * From now on no path through the clone follows a symlink: ELOOP (MOUNT_ATTR_NOSYMFOLLOW of mount_setattr(2), Linux 5.14).
 * Symlinks themselves can be read, made and changed as before, and magic links of /proc to objects in it are followed.
 * @throws FsError ENOSYS, EINVAL on older kernels, EPERM
 */
export function forbidSymlinks(fd: number): void {
  setMountAttributes(fd, MOUNT_ATTR_NOSYMFOLLOW, 0, 0);
}

function setMountAttributes(fd: number, set: number, clear: number, propagation: number): void {
  /* struct mount_attr: set, clear, propagation, user namespace, u64 each */
  putWord64(0, set);
  putWord64(2, clear);
  putWord64(4, propagation);
  putWord64(6, 0);
  check(syscall(Syscall.mountSetattr, fd, pathAddress(""), AT_EMPTY_PATH, scratch.address, 32, 0), "mount_setattr");
}

/** The id of the mount that a descriptor, O_PATH or not, belongs to, as in /proc/self/mountinfo. */
export function mountIdOf(fd: number): number {
  const match = /^mnt_id:\s*(\d+)$/m.exec(readProcFile(`self/fdinfo/${fd}`));
  if (match === null) {
    throw new FsError(Errno.EIO, "no mnt_id in /proc/self/fdinfo");
  }
  return Number(match[1]);
}
