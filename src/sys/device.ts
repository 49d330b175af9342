/**
 * /dev/fuse, pipes and poll, for loops that must neither copy, nor throw, nor allocate: what fails answers a
 * negative errno.
 */
import { Errno, isErrno } from "../errno.ts";
import { type Address, check, declare, lastErrno, scratch } from "./libc.ts";
import { OpenFlag, openAt, workingDirectory } from "./open.ts";
import { statAt } from "./stat.ts";

const readCall = declare<(fd: number, into: Buffer, size: number) => number>("long read(int, void*, size_t)");
const writeCall = declare<(fd: number, from: Buffer, size: number) => number>("long write(int, void*, size_t)");
const pollCall = declare<(fds: Address, count: number, timeout: number) => number>(
  "int poll(intptr_t, unsigned long, int)",
);
const fcntl = declare<(fd: number, command: number, flags: number) => number>("int fcntl(int, int, int)");
const pipe2 = declare<(fds: Address, flags: number) => number>("int pipe2(intptr_t, int)");

const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_SETFL = 4;
const F_SETPIPE_SZ = 1031;
const POLLIN = 1;

/** A new connection to FUSE. @throws FsError ENOENT (no such device: the module is missing), ENODEV, EACCES, EPERM */
export function openFuseDevice(): number {
  return openAt(workingDirectory, "/dev/fuse", OpenFlag.readWrite);
}

/** The number of /dev/fuse (Documentation/admin-guide/devices.txt of Linux). */
const fuseNumber = { major: 10, minor: 229 } as const;
const typeMask = 0o170000;
const characterDevice = 0o020000;

/** Whether a descriptor, if there is one of that number, is open on a /dev/fuse, wherever that lies. */
export function isFuseDevice(fd: number): boolean {
  try {
    const { mode, rdevMajor, rdevMinor } = statAt(fd, "");
    return (mode & typeMask) === characterDevice && rdevMajor === fuseNumber.major && rdevMinor === fuseNumber.minor;
  } catch (error) {
    if (isErrno(error, Errno.EBADF)) {
      return false;
    }
    throw error;
  }
}

/**
 * Waits for one request of the kernel: its size in bytes, or a negative errno. EINTR, EAGAIN and ENOENT mean: read
 * again; ENODEV means that the mount is gone.
 */
export function readRequest(fd: number, buffer: Buffer): number {
  const result = readCall(fd, buffer, buffer.length);
  return result < 0 ? -lastErrno() : result;
}

/** Whether reads of the device answer EAGAIN instead of waiting; it has no other status flags that could get lost. */
export function setNonBlocking(fd: number, on: boolean): void {
  check(fcntl(fd, F_SETFL, on ? O_NONBLOCK : 0), "fcntl of /dev/fuse");
}

/** Writes a reply, the first `length` bytes of `buffer`, or a negative errno (ENOENT: the request was given up). */
export function writeReply(fd: number, buffer: Buffer, length: number): number {
  const result = writeCall(fd, buffer, length);
  return result < 0 ? -lastErrno() : result;
}

/** read(2) of a pipe: bytes, 0 when the other end is closed, or a negative errno. */
export function readPipe(fd: number, buffer: Buffer): number {
  return readRequest(fd, buffer);
}

/** write(2) to a pipe. Up to 4096 bytes go in one piece, also with several writers. */
export function writePipe(fd: number, buffer: Buffer, length: number): number {
  return writeReply(fd, buffer, length);
}

export const Ready = { first: 1, second: 2 } as const;

/**
 * Waits until one of two descriptors has something to read, or an error or end to tell.
 * @param timeoutMs -1 waits for ever
 * @returns Ready bits, 0 after the timeout, or a negative errno (EINTR)
 */
export function pollTwo(first: number, second: number, timeoutMs: number): number {
  /* struct pollfd: fd i32, events i16, revents i16; the halves of a word are little-endian */
  const words = scratch.words;
  words[0] = first;
  words[1] = POLLIN;
  words[2] = second;
  words[3] = POLLIN;
  const result = pollCall(scratch.address, 2, timeoutMs);
  if (result <= 0) {
    return result < 0 ? -lastErrno() : 0;
  }
  return (words[1] >>> 16 !== 0 ? Ready.first : 0) | (words[3] >>> 16 !== 0 ? Ready.second : 0);
}

/** pipe2(O_CLOEXEC): the end to read from and the end to write to. */
export function makePipe(): { readonly readFd: number; readonly writeFd: number } {
  check(pipe2(scratch.address, O_CLOEXEC), "pipe");
  return { readFd: scratch.signedWords[0] as number, writeFd: scratch.signedWords[1] as number };
}

/** Makes room for so many bytes of whole pages in a pipe. @throws FsError EPERM for more than this user may have */
export function setPipeSize(fd: number, size: number): void {
  check(fcntl(fd, F_SETPIPE_SZ, size), "fcntl of a pipe");
}
