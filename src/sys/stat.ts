/** statx(2): what an object is. Layout of struct statx from linux/stat.h, one for all architectures. */
import { Errno, FsError } from "../errno.ts";
import { type Address, check, declare, lastErrno, pathAddress, scratch, signedWord64, word64 } from "./libc.ts";

export interface FileTime {
  readonly sec: number;
  readonly nsec: number;
}

/** What statx(2) tells. Sizes in bytes, blocks of 512 bytes. */
export interface FileStat {
  /** major * 2^20 + minor of the device that holds it. */
  readonly dev: number;
  /** Folded to 53 bits, see `foldInode`. */
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly size: number;
  readonly blocks: number;
  readonly blksize: number;
  readonly atime: FileTime;
  readonly mtime: FileTime;
  readonly ctime: FileTime;
  /** Absent where the file system keeps none. */
  readonly btime: FileTime | undefined;
  /** stx_attributes and the mask of those that the file system knows. */
  readonly attributes: number;
  readonly attributesMask: number;
}

const statx = declare<(dirfd: number, path: Address, flags: number, mask: number, buffer: Address) => number>(
  "int statx(int, intptr_t, int, unsigned int, intptr_t)",
);

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
const STATX_BTIME = 0x800;
/** STATX_BASIC_STATS | STATX_BTIME */
const wanted = 0xfff;

/** Indexes of 32-bit words in struct statx. */
const Word = {
  mask: 0,
  blksize: 1,
  attributes: 2,
  nlink: 4,
  uid: 5,
  gid: 6,
  mode: 7,
  ino: 8,
  size: 10,
  blocks: 12,
  attributesMask: 14,
  atime: 16,
  btime: 20,
  ctime: 24,
  mtime: 28,
  rdevMajor: 32,
  rdevMinor: 33,
  devMajor: 34,
  devMinor: 35,
} as const;

/**
 * A 64-bit inode number as one of 53 bits, which a JavaScript number holds exactly: numbers below 2^53 stay as they
 * are; the top 11 bits of larger ones are folded into bits 42..52. The result is the same each time, but two huge
 * numbers of one file system may meet in it: it identifies an object for users, not for decisions.
 */
export function foldInode(low: number, high: number): number {
  // Most have no upper half, and stay small integers (see word64).
  return high === 0 ? low : low + (((high & 0x1f_ffff) ^ ((high >>> 21) << 10)) >>> 0) * 0x1_0000_0000;
}

function timeAt(index: number): FileTime {
  return { sec: signedWord64(index), nsec: scratch.words[index + 2] as number };
}

function decode(): FileStat {
  const words = scratch.words;
  return {
    dev: (words[Word.devMajor] as number) * 0x10_0000 + (words[Word.devMinor] as number),
    ino: foldInode(words[Word.ino] as number, words[Word.ino + 1] as number),
    mode: (words[Word.mode] as number) & 0xffff,
    nlink: words[Word.nlink] as number,
    uid: words[Word.uid] as number,
    gid: words[Word.gid] as number,
    rdevMajor: words[Word.rdevMajor] as number,
    rdevMinor: words[Word.rdevMinor] as number,
    size: word64(Word.size),
    blocks: word64(Word.blocks),
    blksize: words[Word.blksize] as number,
    atime: timeAt(Word.atime),
    mtime: timeAt(Word.mtime),
    ctime: timeAt(Word.ctime),
    btime: ((words[Word.mask] as number) & STATX_BTIME) !== 0 ? timeAt(Word.btime) : undefined,
    attributes: word64(Word.attributes),
    attributesMask: word64(Word.attributesMask),
  };
}

/** The object `path` below `dirfd`, or `dirfd` itself where path is "". A final symlink is not followed. */
export function statAt(dirfd: number, path: string): FileStat {
  check(statx(dirfd, pathAddress(path), flags, wanted, scratch.address), "statx");
  return decode();
}

/** The size of an open file, in bytes. */
export function sizeOf(fd: number): number {
  check(statx(fd, pathAddress(""), flags, wanted, scratch.address), "statx");
  return word64(Word.size);
}

/** As `statAt`; undefined where the name is absent (ENOENT). */
export function findStat(dirfd: number, path: string): FileStat | undefined {
  if (statx(dirfd, pathAddress(path), flags, wanted, scratch.address) === 0) {
    return decode();
  }
  const code = lastErrno();
  if (code === Errno.ENOENT) {
    return undefined;
  }
  throw new FsError(code, "statx");
}
