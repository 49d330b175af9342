/** What a READ may be answered from without its data being copied into a buffer. */
import type { Deferred } from "./slow.ts";

/** Data of an open file, all of them in memory, that the transport may have the kernel take from there (splice(2)). */
export class FileRange {
  readonly fd: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes, 1 at least. */
  readonly length: number;
  /** Reads them into the buffer that came with the request, where they can't be taken so. */
  readonly read: () => number | Deferred<number>;

  constructor(fd: number, offset: number, length: number, read: () => number | Deferred<number>) {
    this.fd = fd;
    this.offset = offset;
    this.length = length;
    this.read = read;
  }
}
