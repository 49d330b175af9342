/**
 * What the addon knows of a call of libfuse: its struct fuse_thread_locals_t (fuse-native.c of 2.2.6, x86_64), which it hands
 * over as a Buffer. It holds more than the arguments: the second time of utimens, which they lack, and where results go,
 * so that times keep their nanoseconds, inode numbers all their bits, and names all their bytes. Structures are those of glibc and libfuse 2.9.
 */
import type { Attributes, FileSystemStatistics, Time } from "../contract/filesystem.ts";
import { FileType, type Name } from "../contract/ids.ts";
import { callFiller, copyTo, stringAt } from "../sys/foreign.ts";

export const localsSize = 360;
const at = {
  path: 24,
  secondPath: 32,
  linkName: 40,
  info: 48,
  buffer: 56,
  linkSize: 72,
  mtime: 112,
  xattrName: 128,
  stat: 168,
  statvfs: 176,
  filler: 184,
} as const;

const statSize = 144;
const statvfsSize = 112;
/** struct fuse_file_info: 64 bits of flags and bits, the handle behind them. */
const infoBits = 20;
const infoHandle = 24;
const directIo = 1;

function pointer(call: Buffer, offset: number): number {
  return Number(call.readBigUInt64LE(offset));
}

/** What the addon puts in the place of bytes that are no UTF-8. */
const unreadable = "\ufffd";

/**
 * The arguments of an operation with texts as everyone else here has them, as latin1 bytes. Where the addon has lost some of
 * them, they are read where libfuse has them.
 */
export function withBytes(operation: string, call: Buffer, args: readonly unknown[]): readonly unknown[] {
  return args.map((arg, index) => {
    if (typeof arg !== "string") {
      return arg;
    }
    if (!arg.includes(unreadable)) {
      return Buffer.from(arg, "utf8").toString("latin1");
    }
    const second = operation.endsWith("xattr") ? at.xattrName : at.secondPath;
    return stringAt(pointer(call, index === 0 ? at.path : second));
  });
}

/** The time in the second place of utimens. */
export function mtimeOf(call: Buffer): Time {
  return timeOf(call.readBigInt64LE(at.mtime));
}

/** @param ms milliseconds since the epoch, as the addon counts */
export function timeOf(ms: bigint): Time {
  const sec = Number(ms / 1000n) - (ms % 1000n < 0n ? 1 : 0);
  return { sec, nsec: (Number(ms) - sec * 1000) * 1_000_000 };
}

/** The result of getattr. */
export function putAttributes(call: Buffer, attributes: Attributes): void {
  const stat = Buffer.alloc(statSize);
  putIdentity(stat, attributes.ino, attributes.mode);
  stat.writeBigUInt64LE(BigInt(attributes.nlink), 16);
  stat.writeUInt32LE(attributes.uid, 28);
  stat.writeUInt32LE(attributes.gid, 32);
  stat.writeBigUInt64LE(deviceNumber(attributes.rdevMajor, attributes.rdevMinor), 40);
  stat.writeBigInt64LE(BigInt(attributes.size), 48);
  stat.writeBigInt64LE(BigInt(attributes.blksize), 56);
  stat.writeBigInt64LE(BigInt(attributes.blocks), 64);
  for (const [offset, time] of [
    [72, attributes.atime],
    [88, attributes.mtime],
    [104, attributes.ctime],
  ] as const) {
    stat.writeBigInt64LE(BigInt(time.sec), offset);
    stat.writeBigInt64LE(BigInt(time.nsec), offset + 8);
  }
  copyTo(pointer(call, at.stat), stat);
}

function putIdentity(stat: Buffer, ino: number, mode: number): void {
  stat.writeBigUInt64LE(BigInt(ino), 8);
  stat.writeUInt32LE(mode, 24);
}

/** As makedev(3) has it. */
function deviceNumber(major: number, minor: number): bigint {
  const [M, m] = [BigInt(major), BigInt(minor)];
  return ((M & 0xfffn) << 8n) | (m & 0xffn) | ((m & ~0xffn) << 12n) | ((M & ~0xfffn) << 32n);
}

/** The numbers in a device number of mknod, of which there are 32 bits. */
export function deviceOf(number: number): { major: number; minor: number } {
  return { major: (number >>> 8) & 0xfff, minor: (number & 0xff) | ((number >>> 12) & 0xfff00) };
}

/** The result of statfs. */
export function putStatistics(call: Buffer, statistics: FileSystemStatistics): void {
  const statvfs = Buffer.alloc(statvfsSize);
  const { bsize, frsize, blocks, blocksFree, blocksAvailable, files, filesFree } = statistics;
  const numbers = [bsize, frsize, blocks, blocksFree, blocksAvailable, files, filesFree, filesFree];
  for (const [index, number] of numbers.entries()) {
    statvfs.writeBigUInt64LE(BigInt(number), index * 8);
  }
  statvfs.writeBigUInt64LE(BigInt(statistics.nameMax), 80);
  copyTo(pointer(call, at.statvfs), statvfs);
}

/** The result of readlink; libfuse has room for PATH_MAX. */
export function putLinkTarget(call: Buffer, target: Buffer): void {
  const room = pointer(call, at.linkSize);
  copyTo(pointer(call, at.linkName), Buffer.concat([target.subarray(0, room - 1), Buffer.alloc(1)]));
}

/** The result of open. @param bypass nothing is to go through the kernel's cache */
export function putHandle(call: Buffer, handle: number, bypass: boolean): void {
  const info = pointer(call, at.info);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(handle));
  copyTo(info + infoHandle, bytes);
  if (bypass) {
    copyTo(info + infoBits, Buffer.from([directIo]));
  }
}

export interface ListedName {
  readonly name: Name;
  readonly ino: number;
  readonly type: number;
}

/** The result of readdir. */
export function putListing(call: Buffer, listed: readonly ListedName[]): void {
  const stat = Buffer.alloc(statSize);
  const filler = pointer(call, at.filler);
  const into = pointer(call, at.buffer);
  for (const { name, ino, type } of listed) {
    putIdentity(stat, ino, type & FileType.mask);
    callFiller(filler, into, Buffer.from(`${name}\0`, "latin1"), stat, 0);
  }
}
