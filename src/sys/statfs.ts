/** fstatfs(2). Layout of struct statfs as x86_64 and aarch64 share it: 64-bit words but for the fsid. */
import { type Address, check, declare, scratch, word64 } from "./libc.ts";

const fstatfs = declare<(fd: number, into: Address) => number>("int fstatfs(int, intptr_t)");

/** Sizes in blocks of `frsize` bytes. */
export interface FileSystemFigures {
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly bsize: number;
  readonly frsize: number;
  readonly nameMax: number;
}

/** What the file system of `fd` (which may be O_PATH) tells of itself. */
export function statFileSystem(fd: number): FileSystemFigures {
  check(fstatfs(fd, scratch.address), "statfs");
  const bsize = word64(2);
  return {
    blocks: word64(4),
    blocksFree: word64(6),
    blocksAvailable: word64(8),
    files: word64(10),
    filesFree: word64(12),
    bsize,
    frsize: word64(18) || bsize,
    nameMax: word64(16),
  };
}
