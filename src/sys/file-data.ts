/** Calls on the data of an open file. Offsets and sizes are bytes, exact up to 2^53. */
import { Errno, FsError } from "../errno.ts";
import {
  type Address,
  addressOf,
  check,
  declare,
  lastErrno,
  putWord64,
  Syscall,
  scratch,
  syscall,
  word64,
} from "./libc.ts";
import { descriptorPath } from "./open.ts";
import { sizeOf } from "./stat.ts";

const pread = declare<(fd: number, into: Buffer, size: number, offset: number) => number>(
  "long pread(int, void*, size_t, int64_t)",
);
const pwrite = declare<(fd: number, from: Buffer, size: number, offset: number) => number>(
  "long pwrite(int, void*, size_t, int64_t)",
);
const preadv2 = declare<(fd: number, vector: Address, count: number, offset: number, flags: number) => number>(
  "long preadv2(int, intptr_t, int, int64_t, int)",
);
const pwritev2 = declare<(fd: number, vector: Address, count: number, offset: number, flags: number) => number>(
  "long pwritev2(int, intptr_t, int, int64_t, int)",
);
const lseek = declare<(fd: number, offset: number, whence: number) => number | bigint>(
  "int64_t lseek(int, int64_t, int)",
);
const truncateCall = declare<(path: string, size: number) => number>("int truncate(const char *, int64_t)");
const ftruncate = declare<(fd: number, size: number) => number>("int ftruncate(int, int64_t)");
const fallocateCall = declare<(fd: number, mode: number, offset: number, length: number) => number>(
  "int fallocate(int, int, int64_t, int64_t)",
);
const syncFileRange = declare<(fd: number, offset: number, length: number, flags: number) => number>(
  "int sync_file_range(int, int64_t, int64_t, unsigned int)",
);
const fsync = declare<(fd: number) => number>("int fsync(int)");
const fdatasync = declare<(fd: number) => number>("int fdatasync(int)");
const syncfs = declare<(fd: number) => number>("int syncfs(int)");
const copyFileRange = declare<
  (from: number, fromOffset: Address, to: number, toOffset: Address, length: number, flags: number) => number
>("long copy_file_range(int, intptr_t, int, intptr_t, size_t, unsigned int)");
const ioctlCall = declare<(fd: number, command: number, buffer: Buffer) => number>(
  "int ioctl(int, unsigned long, void*)",
);
const ioctlNumber = declare<(fd: number, command: number, value: number) => number>(
  "int ioctl(int, unsigned long, long)",
);
const flockCall = declare<(fd: number, operation: number) => number>("int flock(int, int)");

/** Whences of lseek(2) for sparse files. */
export const Seek = { data: 3, hole: 4 } as const;

const RWF_DSYNC = 2;
const RWF_SYNC = 4;
const RWF_NOWAIT = 8;
/** Where pages are larger there are fewer of them, and ranges are taken for not cached. */
const pageSize = 4096;
const O_SYNC = 0o4010000;
/** _IOW(0x94, 9, int) of linux/fs.h */
const FICLONE = 0x40049409;

function putVector(buffer: Buffer): Address {
  putWord64(0, addressOf(buffer));
  putWord64(2, buffer.length);
  return scratch.address;
}

/** Fills `into` from `offset` on; fewer bytes only at the end of the file. */
export function readFully(fd: number, into: Buffer, offset: number): number {
  let done = check(pread(fd, into, into.length, offset), "pread");
  while (done > 0 && done < into.length) {
    const rest = into.subarray(done);
    const more = check(pread(fd, rest, rest.length, offset + done), "pread");
    if (more === 0) {
      break;
    }
    done += more;
  }
  return done;
}

/** As `readFully`, of data that are in memory; undefined where the call would wait for a disk, or where that can't be told. */
export function readCached(fd: number, into: Buffer, offset: number): number | undefined {
  const done = preadv2(fd, putVector(into), 1, offset, RWF_NOWAIT);
  if (done === into.length || done === 0) {
    return done;
  }
  if (done > 0) {
    /* Short: the end of the file, or the end of what is in memory. Only a second look tells which. */
    const rest = preadv2(fd, putVector(into.subarray(done)), 1, offset + done, RWF_NOWAIT);
    return rest === 0 ? done : undefined;
  }
  const code = lastErrno();
  if (code === Errno.EOPNOTSUPP) {
    /* tmpfs, for one, knows no RWF_NOWAIT. */
    return lengthIfCached(fd, offset, into.length) === undefined ? undefined : readFully(fd, into, offset);
  }
  if (code === Errno.EAGAIN) {
    return undefined;
  }
  throw new FsError(code, "pread");
}

const oneByte = Buffer.alloc(1);

/**
 * Whether reading would wait for somebody else: xfs lets nobody read what is being written, and who writes may have to wait for the
 * disk. Of a file system that can't tell: no.
 */
export function isBusy(fd: number, offset: number): boolean {
  return preadv2(fd, putVector(oneByte), 1, offset, RWF_NOWAIT) < 0 && lastErrno() === Errno.EAGAIN;
}

/** How many of so many bytes from `offset` there are, if all of these are in memory; undefined where not, or where there are none. */
export function lengthIfCached(fd: number, offset: number, length: number): number | undefined {
  const there = Math.min(length, sizeOf(fd) - offset);
  return there > 0 && isCached(fd, offset, there) ? there : undefined;
}

/** Whether all of a range is in memory; false where the kernel does not tell: before Linux 6.5, or of files of others. */
function isCached(fd: number, offset: number, length: number): boolean {
  /* struct cachestat_range: off u64, len u64; struct cachestat: nr_cache u64 and four more */
  putWord64(0, offset);
  putWord64(2, length);
  const found = 4;
  if (syscall(Syscall.cachestat, fd, scratch.address, scratch.address + found * 4, 0, 0, 0) !== 0) {
    return false;
  }
  const pages = Math.floor((offset + length - 1) / pageSize) - Math.floor(offset / pageSize) + 1;
  return word64(found) >= pages;
}

/**
 * Writes `data` at `offset`; answers how many bytes the file system took.
 * @param openFlags O_SYNC or O_DSYNC make this write reach the disk first; others don't matter
 */
function writeAt(fd: number, data: Buffer, offset: number, openFlags: number): number {
  if ((openFlags & O_SYNC) === 0) {
    return check(pwrite(fd, data, data.length, offset), "pwrite");
  }
  const flags = (openFlags & O_SYNC) === O_SYNC ? RWF_SYNC : RWF_DSYNC;
  return check(pwritev2(fd, putVector(data), 1, offset, flags), "pwritev2");
}

/** As `writeAt`, going on until everything is written or the file system takes no more. Throws only if nothing was. */
export function writeFully(fd: number, data: Buffer, offset: number, openFlags: number): number {
  let done = writeAt(fd, data, offset, openFlags);
  while (done > 0 && done < data.length) {
    try {
      done += writeAt(fd, data.subarray(done), offset + done, openFlags);
    } catch (error) {
      /* What was taken is told now; the failure comes back with the caller's next write. */
      if (error instanceof FsError) {
        return done;
      }
      throw error;
    }
  }
  return done;
}

/** lseek(2). @throws FsError ENXIO where nothing of the kind follows; EOVERFLOW for what is above 2^53 */
export function seekIn(fd: number, offset: number, whence: number): number {
  const at = lseek(fd, offset, whence);
  if (typeof at === "bigint") {
    throw new FsError(Errno.EOVERFLOW, "lseek");
  }
  return check(at, "lseek");
}

/** ftruncate(2). @param size in bytes */
export function truncateTo(fd: number, size: number): void {
  check(ftruncate(fd, size), "ftruncate");
}

/** truncate(2), which unlike ftruncate(2) leaves it to the file system whether an equal size moves the times. */
export function truncateObject(fd: number, size: number): void {
  check(truncateCall(descriptorPath(fd), size), "truncate");
}

/** fallocate(2). */
export function allocate(fd: number, mode: number, offset: number, length: number): void {
  check(fallocateCall(fd, mode, offset, length), "fallocate");
}

/** fsync(2). */
export function sync(fd: number): void {
  check(fsync(fd), "fsync");
}

/** fdatasync(2). */
export function syncData(fd: number): void {
  check(fdatasync(fd), "fdatasync");
}

/** syncfs(2) of the file system that holds `fd`, which may not be O_PATH. */
export function syncFileSystem(fd: number): void {
  check(syncfs(fd), "syncfs");
}

/** copy_file_range(2): bytes copied, 0 at the end of `from`. */
export function copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
  putWord64(0, fromOffset);
  putWord64(2, toOffset);
  const result = copyFileRange(from, scratch.address, to, scratch.address + 8, length, 0);
  return check(result, "copy_file_range");
}

/** Makes `to` share all blocks of `from` (FICLONE): 0, or the errno that says why that can't be had. */
export function reflink(from: number, to: number): number {
  return ioctlNumber(to, FICLONE, from) === 0 ? 0 : lastErrno();
}

/** Begins to write data to the disk (sync_file_range(2)); what goes wrong with that, fsync(2) tells. */
export function startWriting(fd: number, offset: number, length: number): void {
  const SYNC_FILE_RANGE_WRITE = 2;
  syncFileRange(fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

/** ioctl(2) with a buffer that is read and written in place. */
export function ioctl(fd: number, command: number, buffer: Buffer): number {
  return check(ioctlCall(fd, command, buffer), "ioctl");
}

/** An exclusive flock(2) that lasts as long as the open file; false where another holds one. `fd` may not be O_PATH. */
export function tryLock(fd: number): boolean {
  const LOCK_EX = 2;
  const LOCK_NB = 4;
  if (flockCall(fd, LOCK_EX | LOCK_NB) === 0) {
    return true;
  }
  const code = lastErrno();
  if (code === Errno.EAGAIN) {
    return false;
  }
  throw new FsError(code, "flock");
}
