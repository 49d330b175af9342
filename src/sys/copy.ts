/** Copies all data of one open file to another: by reflink, else within the kernel, else through memory. */
import { Errno, isErrno } from "../errno.ts";
import { copyRange, readFully, reflink, Seek, seekIn, startWriting, truncateTo, writeFully } from "./file-data.ts";

/** At most this much in one call, so that a signal or an abort needn't wait for a whole file. */
const largestCall = 64 * 1024 * 1024;
const bufferSize = 128 * 1024;

/** Up to this size a copy within the kernel, which has to set up a pipe, takes longer than one through memory. */
const smallSize = 16 * 1024;
const smallBuffer = Buffer.allocUnsafeSlow(smallSize);

/** Of a copy that is to be on the disk in the end so much is copied before it is begun to be written. */
const writtenAtOnce = 8 * 1024 * 1024;

/** What is known of the files of one directory tree that are copied to another. */
export interface Sharing {
  /** Whether their file system may let a copy share its data with the original (FICLONE). */
  isPossible: boolean;
}

interface Copier {
  readonly from: number;
  readonly to: number;
  /** Whether copy_file_range is still worth a try between these two. */
  inKernel: boolean;
  /** For copies through memory; made when first needed. */
  buffer: Buffer | undefined;
}

/** Where data begin at or after `offset`; `size` where only a hole follows. */
function nextData(fd: number, offset: number, size: number): number {
  try {
    return seekIn(fd, offset, Seek.data);
  } catch (error) {
    if (isErrno(error, Errno.ENXIO)) {
      return size;
    }
    /* A file system that knows no holes: all is data. */
    if (isErrno(error, Errno.EINVAL, Errno.EOPNOTSUPP)) {
      return offset;
    }
    throw error;
  }
}

/** Where the data that begin at `offset` end. */
function nextHole(fd: number, offset: number, size: number): number {
  try {
    return Math.min(seekIn(fd, offset, Seek.hole), size);
  } catch (error) {
    if (isErrno(error, Errno.ENXIO, Errno.EINVAL, Errno.EOPNOTSUPP)) {
      return size;
    }
    throw error;
  }
}

/** Copies some of [offset, end): how many bytes; 0 where the source ends early. */
function copySome(copier: Copier, offset: number, end: number): number {
  const length = Math.min(end - offset, largestCall);
  if (copier.inKernel) {
    try {
      const copied = copyRange(copier.from, offset, copier.to, offset, length);
      if (copied > 0) {
        return copied;
      }
      /* 0 may also mean that this kernel can't copy from such a file system; reading tells. */
      copier.inKernel = false;
    } catch (error) {
      if (!isErrno(error, Errno.EXDEV, Errno.EINVAL, Errno.EOPNOTSUPP, Errno.ENOSYS)) {
        throw error;
      }
      copier.inKernel = false;
    }
  }
  copier.buffer ??= Buffer.allocUnsafeSlow(bufferSize);
  const buffer = copier.buffer;
  const chunk = buffer.subarray(0, Math.min(length, buffer.length));
  const count = readFully(copier.from, chunk, offset);
  let written = 0;
  while (written < count) {
    written += writeFully(copier.to, chunk.subarray(written, count), offset + written, 0);
  }
  return count;
}

/** Copies [offset, end): false where the source ends before. */
function copyExtent(copier: Copier, begin: number, end: number): boolean {
  let offset = begin;
  while (offset < end) {
    const copied = copySome(copier, offset, end);
    if (copied === 0) {
      return false;
    }
    offset += copied;
  }
  return true;
}

/**
 * As `copyFile`, for a source without holes: one call of copy_file_range, which makes a reflink where it can, mostly does it. A small file
 * that can't be shared goes through memory.
 */
export function copyDense(from: number, to: number, size: number, sharing: Sharing): void {
  const isSmall = size <= smallSize;
  if (isSmall && sharing.isPossible) {
    const code = share(from, to, size);
    if (code === 0) {
      return;
    }
    sharing.isPossible = code !== Errno.EOPNOTSUPP && code !== Errno.EXDEV;
  }
  const copier: Copier = { from, to, inKernel: !isSmall, buffer: isSmall ? smallBuffer : undefined };
  if (!copyExtent(copier, 0, size)) {
    truncateTo(to, size);
  }
}

/**
 * Makes the empty file `to` share the first `size` bytes of `from`: false, and nothing has changed, where that can't be had.
 * @throws FsError; `to` then holds some of the data
 */
export function shareData(from: number, to: number, size: number): boolean {
  return share(from, to, size) === 0;
}

/** As `shareData`: 0, or the errno that says why it can't be had. */
function share(from: number, to: number, size: number): number {
  const code = reflink(from, to);
  if (code === 0) {
    // A reflink takes all of the source.
    truncateTo(to, size);
  }
  return code;
}

/**
 * Makes the empty file `to` (open for writing) hold the first `size` bytes of `from`, holes kept as far as the file
 * system tells them. A source that turns out shorter leaves a hole at the end: the size is always `size`.
 * @throws FsError; `to` then holds some of the data
 */
export function copyFile(from: number, to: number, size: number): void {
  if (size === 0 || !shareData(from, to, size)) {
    copyRest(from, to, size, 0, false);
  }
}

/**
 * As `copyFile`, where the bytes before `offset` are there already.
 * @param toDisk they are to be synced next: data are begun to be written while others are copied
 */
export function copyRest(from: number, to: number, size: number, offset: number, toDisk: boolean): void {
  if (toDisk && offset > 0) {
    startWriting(to, 0, offset);
  }
  for (let at = offset; at < size; ) {
    const end = copyPart(from, to, size, at, toDisk ? writtenAtOnce : size);
    if (toDisk) {
      startWriting(to, at, end - at);
    }
    at = end;
  }
  // A hole at the end was left out.
  truncateTo(to, size);
}

/**
 * Copies the next data at or behind `offset`, holes left out.
 * @param length of the part at most
 * @returns where it ends; `size` where nothing is left
 */
export function copyPart(from: number, to: number, size: number, offset: number, length: number): number {
  const begin = nextData(from, offset, size);
  if (begin >= size) {
    return size;
  }
  const end = Math.min(nextHole(from, begin, size), begin + length);
  const copier: Copier = { from, to, inKernel: true, buffer: undefined };
  return copyExtent(copier, begin, end) ? end : size;
}
