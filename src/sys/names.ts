/** Calls that make, move and remove names, and that change what stat(2) tells. Final symlinks are not followed. */
import {
  type Address,
  check,
  declare,
  pathAddress,
  putWord64,
  Syscall,
  scratch,
  secondPathAddress,
  syscall,
} from "./libc.ts";
import { descriptorPath, workingDirectory } from "./open.ts";

type TwoPaths = (fd: number, path: Address, toFd: number, toPath: Address, flags: number) => number;
const mkdirat = declare<(dirfd: number, path: Address, mode: number) => number>(
  "int mkdirat(int, intptr_t, unsigned int)",
);
const symlinkat = declare<(target: Address, dirfd: number, path: Address) => number>(
  "int symlinkat(intptr_t, int, intptr_t)",
);
const linkat = declare<TwoPaths>("int linkat(int, intptr_t, int, intptr_t, int)");
const renameat2 = declare<TwoPaths>("int renameat2(int, intptr_t, int, intptr_t, unsigned int)");
const unlinkat = declare<(dirfd: number, path: Address, flags: number) => number>("int unlinkat(int, intptr_t, int)");
const fchmodat = declare<(dirfd: number, path: Address, mode: number, flags: number) => number>(
  "int fchmodat(int, intptr_t, unsigned int, int)",
);
const fchownat = declare<(dirfd: number, path: Address, uid: number, gid: number, flags: number) => number>(
  "int fchownat(int, intptr_t, unsigned int, unsigned int, int)",
);
const utimensat = declare<(dirfd: number, path: Address, times: Address, flags: number) => number>(
  "int utimensat(int, intptr_t, intptr_t, int)",
);
const fchmod = declare<(fd: number, mode: number) => number>("int fchmod(int, unsigned int)");
const fchown = declare<(fd: number, uid: number, gid: number) => number>("int fchown(int, unsigned int, unsigned int)");
const futimens = declare<(fd: number, times: Address) => number>("int futimens(int, intptr_t)");
const readlinkat = declare<(dirfd: number, path: Address, into: Address, size: number) => number>(
  "long readlinkat(int, intptr_t, intptr_t, size_t)",
);

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
const unchangedId = 0xffff_ffff;

/** A time to set: an instant, the present as the kernel has it, or (undefined) none. */
export type TimeSetting = { readonly sec: number; readonly nsec: number } | "now" | undefined;

/** mkdir(2); the umask of the process applies. */
export function makeDirectory(dirfd: number, path: string, mode: number): void {
  check(mkdirat(dirfd, pathAddress(path), mode), "mkdir");
}

/** mknod(2). @param mode with the type. Device numbers up to 12 bits (major) and 20 bits (minor), as the kernel has them. */
export function makeNode(dirfd: number, path: string, mode: number, major: number, minor: number): void {
  const device = ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xf_ff00) << 12)) >>> 0;
  check(syscall(Syscall.mknodat, dirfd, pathAddress(path), mode, device, 0, 0), "mknod");
}

/** symlink(2); `target` is latin1 bytes. */
export function makeSymlink(target: string, dirfd: number, path: string): void {
  check(symlinkat(secondPathAddress(target), dirfd, pathAddress(path)), "symlink");
}

/** link(2). An empty `path` links what `fd` stands for, also an O_TMPFILE file; no capability is needed for it. */
export function link(fd: number, path: string, toFd: number, toPath: string): void {
  const result =
    path === ""
      ? linkat(workingDirectory, pathAddress(descriptorPath(fd)), toFd, secondPathAddress(toPath), AT_SYMLINK_FOLLOW)
      : linkat(fd, pathAddress(path), toFd, secondPathAddress(toPath), 0);
  check(result, "link");
}

/** unlink(2): a directory is EISDIR. */
export function unlink(dirfd: number, path: string): void {
  check(unlinkat(dirfd, pathAddress(path), 0), "unlink");
}

/** rmdir(2). */
export function removeDirectory(dirfd: number, path: string): void {
  check(unlinkat(dirfd, pathAddress(path), AT_REMOVEDIR), "rmdir");
}

/** renameat2(2). @param flags RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4 */
export function rename(fd: number, path: string, toFd: number, toPath: string, flags: number): void {
  check(renameat2(fd, pathAddress(path), toFd, secondPathAddress(toPath), flags), "rename");
}

/** chmod(2). Follows a final symlink: not for symlinks. An empty path means `dirfd` itself, which may be O_PATH. */
export function changeMode(dirfd: number, path: string, mode: number): void {
  const result =
    path === ""
      ? fchmodat(workingDirectory, pathAddress(descriptorPath(dirfd)), mode, 0)
      : fchmodat(dirfd, pathAddress(path), mode, 0);
  check(result, "chmod");
}

/** lchown(2); undefined leaves one as it is. An empty path means `dirfd` itself, which may be O_PATH. */
export function changeOwner(dirfd: number, path: string, uid: number | undefined, gid: number | undefined): void {
  const flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  check(fchownat(dirfd, pathAddress(path), uid ?? unchangedId, gid ?? unchangedId, flags), "chown");
}

/** fchmod(2), of a file that is open. */
export function changeModeOf(fd: number, mode: number): void {
  check(fchmod(fd, mode), "fchmod");
}

/** fchown(2), of a file that is open. */
export function changeOwnerOf(fd: number, uid: number, gid: number): void {
  check(fchown(fd, uid, gid), "fchown");
}

function putTime(index: number, time: TimeSetting): void {
  putWord64(index, typeof time === "object" ? time.sec : 0);
  putWord64(index + 2, typeof time === "object" ? time.nsec : time === "now" ? UTIME_NOW : UTIME_OMIT);
}

/** utimensat(2), also for symlinks. An empty path means `dirfd` itself, which may be O_PATH. */
export function setTimes(dirfd: number, path: string, atime: TimeSetting, mtime: TimeSetting): void {
  putTime(0, atime);
  putTime(4, mtime);
  /* A magic link leads to the object itself, be it a symlink: following goes no further. */
  const result =
    path === ""
      ? utimensat(workingDirectory, pathAddress(descriptorPath(dirfd)), scratch.address, 0)
      : utimensat(dirfd, pathAddress(path), scratch.address, AT_SYMLINK_NOFOLLOW);
  check(result, "utimensat");
}

/** futimens(2), of a file that is open. */
export function setTimesOf(fd: number, atime: TimeSetting, mtime: TimeSetting): void {
  putTime(0, atime);
  putTime(4, mtime);
  check(futimens(fd, scratch.address), "futimens");
}

/** The target of a symlink; with an empty path, of the one that `dirfd` (O_PATH) stands for. */
export function readLink(dirfd: number, path: string): Buffer {
  const size = scratch.bytes.length;
  const length = check(readlinkat(dirfd, pathAddress(path), scratch.address, size), "readlink");
  return Buffer.from(scratch.bytes.subarray(0, length));
}
