/** getdents64(2). Layout of struct linux_dirent64: ino u64, offset u64, length u16, type u8, name with NUL. */
import { Errno, FsError } from "../errno.ts";
import { readLatin1 } from "../latin1.ts";
import { type Address, addressOf, declare, lastErrno } from "./libc.ts";
import { foldInode } from "./stat.ts";

const getdents64 = declare<(fd: number, into: Address, size: number) => number>(
  "long getdents64(int, intptr_t, size_t)",
);

/** Large enough that all but huge directories take two calls. */
const buffer = Buffer.from(new ArrayBuffer(64 * 1024));
/** The same bytes: each entry begins at a multiple of eight. */
const words = new Uint32Array(buffer.buffer);
const address = addressOf(buffer);

export interface DirectoryEntry {
  readonly name: string;
  /** The S_IFMT bits; 0 where the file system doesn't tell. */
  readonly type: number;
  readonly ino: number;
}

function decode(end: number, entries: DirectoryEntry[]): void {
  for (let at = 0; at < end; ) {
    const length = (words[(at >>> 2) + 4] as number) & 0xffff;
    let nameEnd = at + 20;
    while (buffer[nameEnd] !== 0) {
      nameEnd += 1;
    }
    const name = readLatin1(buffer, at + 19, nameEnd);
    if (name !== "." && name !== "..") {
      const ino = foldInode(words[at >>> 2] as number, words[(at >>> 2) + 1] as number);
      entries.push({ name, type: (buffer[at + 18] as number) << 12, ino });
    }
    at += length;
  }
}

/**
 * All entries but "." and "..", in the order of the file system; none for a directory that was removed.
 * @param fd a directory opened for reading and standing at its start
 */
export function listDirectory(fd: number): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const end = getdents64(fd, address, buffer.length);
    if (end > 0) {
      decode(end, entries);
      continue;
    }
    const code = end === 0 ? 0 : lastErrno();
    if (code === 0 || code === Errno.ENOENT) {
      return entries;
    }
    throw new FsError(code, "getdents");
  }
}
