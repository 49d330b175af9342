/**
 * Extended attributes of anything that a descriptor and a path name; final symlinks are not followed.
 *
 * Linux 6.13 has calls that take a directory descriptor. They are four times as fast as the older ones by way of
 * /proc/self/fd, which remain for older kernels and for the empty path (an O_PATH descriptor's own object).
 */
import { Errno, FsError } from "../errno.ts";
import {
  type Address,
  addressOf,
  check,
  declare,
  lastErrno,
  pathAddress,
  putWord64,
  Syscall,
  scratch,
  secondPathAddress,
  syscall,
} from "./libc.ts";
import { descriptorPath, workingDirectory } from "./open.ts";

type Get = (path: Address, name: Address, into: Address, size: number) => number;
type Set_ = (path: Address, name: Address, value: Buffer, size: number, flags: number) => number;
type List = (path: Address, into: Address, size: number) => number;
type Remove = (path: Address, name: Address) => number;
const getxattr = declare<Get>("long getxattr(intptr_t, intptr_t, intptr_t, size_t)");
const lgetxattr = declare<Get>("long lgetxattr(intptr_t, intptr_t, intptr_t, size_t)");
const setxattr = declare<Set_>("int setxattr(intptr_t, intptr_t, void*, size_t, int)");
const lsetxattr = declare<Set_>("int lsetxattr(intptr_t, intptr_t, void*, size_t, int)");
const listxattr = declare<List>("long listxattr(intptr_t, intptr_t, size_t)");
const llistxattr = declare<List>("long llistxattr(intptr_t, intptr_t, size_t)");
const removexattr = declare<Remove>("int removexattr(intptr_t, intptr_t)");
const lremovexattr = declare<Remove>("int lremovexattr(intptr_t, intptr_t)");

const fsetxattr = declare<(fd: number, name: Address, value: Buffer, size: number, flags: number) => number>(
  "int fsetxattr(int, intptr_t, void*, size_t, int)",
);

const AT_SYMLINK_NOFOLLOW = 0x100;

/**
 * Values and lists up to this size are read in one call. Small on purpose: the kernel clears as much memory as it
 * is offered before each read.
 */
const firstSize = 512;
let buffer = Buffer.from(new ArrayBuffer(firstSize));
let address = addressOf(buffer);
const small = { buffer, address };
/** struct xattr_args: value u64, size u32, flags u32 */
const args = Buffer.from(new ArrayBuffer(16));
const argsAddress = addressOf(args);
putArgs();

/** Whether the calls of 6.13 can be had; undefined before the first use. */
let atCalls: boolean | undefined;

/** Tries one of the newer calls. Any answer but an xattr's absence means no: seccomp filters refuse them with various errnos. */
function probe(): boolean {
  const result = getAt(workingDirectory, "/", "user.veneer.probe");
  return result >= 0 || [Errno.ENODATA, Errno.EOPNOTSUPP].some((code) => code === lastErrno());
}

function usesAtCalls(path: string): boolean {
  atCalls ??= probe();
  return atCalls && path !== "";
}

/** Says in `args` where a value is to be read to. */
function putArgs(): void {
  args.writeBigUInt64LE(BigInt(address), 0);
  args.writeUInt32LE(buffer.length, 8);
}

/** Offers 64 KiB, the most that a value or a list may have, for the next call only. */
function growBuffer(): void {
  buffer = Buffer.from(new ArrayBuffer(64 * 1024));
  address = addressOf(buffer);
  putArgs();
}

function shrinkBuffer(): void {
  if (buffer === small.buffer) {
    return;
  }
  buffer = small.buffer;
  address = small.address;
  putArgs();
}

/** The path that names the object to the older calls: the followed magic link for an empty path. */
function procPath(fd: number, path: string): Address {
  return pathAddress(path === "" ? descriptorPath(fd) : `${descriptorPath(fd)}/${path}`);
}

function getAt(fd: number, path: string, name: string): number {
  const file = pathAddress(path);
  return syscall(Syscall.getxattrat, fd, file, AT_SYMLINK_NOFOLLOW, secondPathAddress(name), argsAddress, args.length);
}

function getOnce(fd: number, path: string, name: string): number {
  if (usesAtCalls(path)) {
    return getAt(fd, path, name);
  }
  const call = path === "" ? getxattr : lgetxattr;
  return call(procPath(fd, path), secondPathAddress(name), address, buffer.length);
}

function listOnce(fd: number, path: string): number {
  if (usesAtCalls(path)) {
    const file = pathAddress(path);
    return syscall(Syscall.listxattrat, fd, file, AT_SYMLINK_NOFOLLOW, address, buffer.length, 0);
  }
  const call = path === "" ? listxattr : llistxattr;
  return call(procPath(fd, path), address, buffer.length);
}

interface Reading<T> {
  /** The call; made again with more room where it says ERANGE. */
  readonly read: () => number;
  readonly what: string;
  readonly take: (bytes: Buffer) => T;
  /** The errno that means: there is nothing, and what is returned then. */
  readonly absentCode: number;
  readonly absent: T;
}

function readGrowing<T>({ read, what, take, absentCode, absent }: Reading<T>): T {
  try {
    let length = read();
    if (length < 0 && lastErrno() === Errno.ERANGE) {
      growBuffer();
      length = read();
    }
    if (length >= 0) {
      return take(buffer.subarray(0, length));
    }
    const code = lastErrno();
    if (code === absentCode) {
      return absent;
    }
    throw new FsError(code, what);
  } finally {
    shrinkBuffer();
  }
}

/** The value; undefined where there is none of that name. @throws FsError EOPNOTSUPP where there can't be one */
export function getXattr(fd: number, path: string, name: string): Buffer | undefined {
  // What is asked most, and mostly there is none: that costs the call alone.
  const length = getOnce(fd, path, name);
  if (length >= 0) {
    return Buffer.from(buffer.subarray(0, length));
  }
  if (lastErrno() === Errno.ENODATA) {
    return undefined;
  }
  return readGrowing({
    read: () => getOnce(fd, path, name),
    what: "getxattr",
    take: (bytes): Buffer | undefined => Buffer.from(bytes),
    absentCode: Errno.ENODATA,
    absent: undefined,
  });
}

/** Each with a NUL behind it. */
function namesIn(list: Buffer): string[] {
  return list.toString("latin1").split("\0").slice(0, -1);
}

/** All names (latin1); none where the file system has no xattrs. */
export function listXattrs(fd: number, path: string): string[] {
  // As above: mostly there are none.
  const length = listOnce(fd, path);
  if (length >= 0) {
    return length === 0 ? [] : namesIn(buffer.subarray(0, length));
  }
  return readGrowing({
    read: () => listOnce(fd, path),
    what: "listxattr",
    take: namesIn,
    absentCode: Errno.EOPNOTSUPP,
    absent: [],
  });
}

/** @param flags XATTR_CREATE 1, XATTR_REPLACE 2 */
export function setXattr(fd: number, path: string, name: string, value: Buffer, flags: number): void {
  check(setOnce(fd, path, name, value, flags), "setxattr");
}

function setOnce(fd: number, path: string, name: string, value: Buffer, flags: number): number {
  if (usesAtCalls(path)) {
    putWord64(0, addressOf(value));
    scratch.words[2] = value.length;
    scratch.words[3] = flags;
    const file = pathAddress(path);
    return syscall(Syscall.setxattrat, fd, file, AT_SYMLINK_NOFOLLOW, secondPathAddress(name), scratch.address, 16);
  }
  const call = path === "" ? setxattr : lsetxattr;
  return call(procPath(fd, path), secondPathAddress(name), value, value.length, flags);
}

/** As `setXattr`, of a file that is open. */
export function setXattrOf(fd: number, name: string, value: Buffer, flags: number): void {
  check(fsetxattr(fd, secondPathAddress(name), value, value.length, flags), "fsetxattr");
}

/** @throws FsError ENODATA where there is none of that name */
export function removeXattr(fd: number, path: string, name: string): void {
  check(removeOnce(fd, path, name), "removexattr");
}

function removeOnce(fd: number, path: string, name: string): number {
  if (usesAtCalls(path)) {
    const file = pathAddress(path);
    return syscall(Syscall.removexattrat, fd, file, AT_SYMLINK_NOFOLLOW, secondPathAddress(name), 0, 0);
  }
  const call = path === "" ? removexattr : lremovexattr;
  return call(procPath(fd, path), secondPathAddress(name));
}
