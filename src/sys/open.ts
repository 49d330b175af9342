/** Opening and closing descriptors. Every descriptor is close-on-exec. */
import { constants } from "node:fs";
import { type Address, check, declare, pathAddress, putWord64, Syscall, scratch, syscall } from "./libc.ts";

/** Flags of open(2) in the ABI of this architecture. */
export const OpenFlag = {
  readOnly: constants.O_RDONLY,
  writeOnly: constants.O_WRONLY,
  readWrite: constants.O_RDWR,
  create: constants.O_CREAT,
  exclusive: constants.O_EXCL,
  noFollow: constants.O_NOFOLLOW,
  nonBlock: constants.O_NONBLOCK,
  append: constants.O_APPEND,
  directory: constants.O_DIRECTORY,
  direct: constants.O_DIRECT,
  noAtime: constants.O_NOATIME,
  path: 0o10000000,
  unnamed: 0o20000000 | constants.O_DIRECTORY,
} as const;

/** Flags of openat2(2). */
export const ResolveFlag = { noXdev: 1, noMagicLinks: 2, noSymlinks: 4, beneath: 8 } as const;

/** "Relative to the working directory"; of no meaning for absolute paths. */
export const workingDirectory = -100;

const O_CLOEXEC = 0o2000000;
const F_DUPFD_CLOEXEC = 1030;

const openat = declare<(dirfd: number, path: Address, flags: number, mode: number) => number>(
  "int openat(int, intptr_t, int, unsigned int)",
);
const closeCall = declare<(fd: number) => number>("int close(int)");
const dup3 = declare<(fd: number, target: number, flags: number) => number>("int dup3(int, int, int)");
const fcntl = declare<(fd: number, command: number, value: number) => number>("int fcntl(int, int, int)");

/** openat(2), O_CLOEXEC added. @param mode of a file that is created */
export function openAt(dirfd: number, path: string, flags: number, mode = 0): number {
  return check(openat(dirfd, pathAddress(path), flags | O_CLOEXEC, mode), "open");
}

/** openat2(2), O_CLOEXEC added. @param resolve ResolveFlag bits */
export function openBelow(dirfd: number, path: string, flags: number, resolve: number): number {
  putWord64(0, flags | O_CLOEXEC);
  putWord64(2, 0);
  putWord64(4, resolve);
  return check(syscall(Syscall.openat2, dirfd, pathAddress(path), scratch.address, 24, 0, 0), "openat2");
}

/** Another descriptor of the same open file. */
export function duplicate(fd: number): number {
  return check(fcntl(fd, F_DUPFD_CLOEXEC, 3), "duplicate a descriptor");
}

/** dup3(2): closes `fd` and makes it another descriptor of the file that is open as `by`. */
export function replaceDescriptor(fd: number, by: number, closeOnExec = false): void {
  check(dup3(by, fd, closeOnExec ? O_CLOEXEC : 0), "replace a descriptor");
}

/** close(2). The descriptor is gone even where this throws (a failed write-back tells itself so on NFS and the like). */
export function closeDescriptor(fd: number): void {
  check(closeCall(fd), "close");
}

/** The name by which any descriptor, O_PATH and unlinked ones too, can be given to a call that takes a path. */
export function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
