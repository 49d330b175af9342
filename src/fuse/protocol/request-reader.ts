/**
 * A request in the buffer it was read into: struct fuse_in_header (40 bytes), then the body of its operation.
 * Values are read in place; nothing is copied but names. The byte order is that of x86-64 and arm64, little-endian.
 *
 * Offsets given to the methods count from the start of the body. A decoder says first how long the body must be
 * (`need`), as what lies behind the message in the buffer belongs to an older one.
 */
import type { Caller, Name } from "../../contract/ids.ts";
import { Errno, FsError } from "../../errno.ts";
import { readLatin1 } from "../../latin1.ts";

export const inHeaderSize = 40;

const two32 = 4294967296;
const nul = 0;
const slash = 0x2f;
const dot = 0x2e;

export class RequestReader {
  readonly bytes: Buffer;
  /** Headers and bodies consist of words, but for names and data. */
  readonly #words: Uint32Array;
  #bodyEnd = inHeaderSize;

  opcode = 0;
  /** The two halves of `unique`: only ever echoed, and as a key of a map (see `key`). */
  uniqueLow = 0;
  uniqueHigh = 0;
  node = 0;

  /** @param bytes that begin at a multiple of four in their memory */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  }

  /**
   * Takes a message of `length` bytes that now lies at the start of the buffer.
   * @returns whether its header is whole and agrees with `length`; only then may more be asked than its opcode and unique
   */
  begin(length: number): boolean {
    // Of a broken header too, as far as it goes: an error can then be told to the right request.
    this.opcode = this.#word(1);
    this.uniqueLow = this.#word(2);
    this.uniqueHigh = this.#word(3);
    if (length < inHeaderSize || length > this.bytes.length) {
      return false;
    }
    this.node = this.#word64(4);
    // Extensions (security context, supplementary groups) stand behind the body; none is negotiated.
    this.#bodyEnd = length - (this.#word(9) & 0xffff) * 8;
    return this.#word(0) === length && this.#bodyEnd >= inHeaderSize;
  }

  /** Identifies the request among those under way. */
  get key(): number {
    return this.uniqueHigh * two32 + this.uniqueLow;
  }

  get caller(): Caller {
    return { uid: this.#word(6), gid: this.#word(7), pid: this.#word(8) };
  }

  get bodyLength(): number {
    return this.#bodyEnd - inHeaderSize;
  }

  /** A copy of this request that outlives the buffer. */
  keep(): RequestReader {
    const length = this.#word(0);
    const copy = new RequestReader(Buffer.from(this.bytes.subarray(0, length)));
    copy.begin(length);
    return copy;
  }

  /** Throws EINVAL unless the body has at least `length` bytes. */
  need(length: number): void {
    if (this.bodyLength < length) {
      throw malformed(`a body of ${this.bodyLength} bytes where ${length} are needed`);
    }
  }

  /** @param at a multiple of four */
  u32(at: number): number {
    return this.#word((inHeaderSize + at) >>> 2);
  }

  /** An id or a count; above 2^53 it is rounded, and then stands for nothing that was ever given out. @param at a multiple of four */
  u64(at: number): number {
    return this.#word64((inHeaderSize + at) >>> 2);
  }

  /** Seconds since the epoch. @param at a multiple of four */
  i64(at: number): number {
    const index = (inHeaderSize + at) >>> 2;
    return (this.#word(index + 1) | 0) * two32 + this.#word(index);
  }

  #word(index: number): number {
    return this.#words[index] as number;
  }

  #word64(index: number): number {
    const high = this.#word(index + 1);
    return high === 0 ? this.#word(index) : high * two32 + this.#word(index);
  }

  /** An offset or size in a file; EFBIG where a number can't hold it exactly (8 PiB and more). */
  fileOffset(at: number): number {
    const value = this.u64(at);
    if (value > Number.MAX_SAFE_INTEGER) {
      throw new FsError(Errno.EFBIG, "offset or size above 2^53");
    }
    return value;
  }

  /** Where the string that begins at `at` has its NUL; EINVAL where it has none. */
  endOfString(at: number): number {
    const bytes = this.bytes;
    let end = inHeaderSize + at;
    while (end < this.#bodyEnd && bytes[end] !== nul) {
      end++;
    }
    if (end >= this.#bodyEnd) {
      throw malformed("a string without its end");
    }
    return end - inHeaderSize;
  }

  /** The name of one directory entry, NUL-terminated at `at`. EINVAL for what can't be one: empty, ".", "..", with "/". */
  name(at: number): Name {
    const start = inHeaderSize + at;
    const end = inHeaderSize + this.endOfString(at);
    const bytes = this.bytes;
    const length = end - start;
    if (
      length === 0 ||
      (bytes[start] === dot && (length === 1 || (length === 2 && bytes[start + 1] === dot))) ||
      hasSlash(bytes, start, end)
    ) {
      throw malformed("not a file name");
    }
    return readLatin1(bytes, start, end);
  }

  /** Any NUL-terminated string that is not empty, such as the name of an xattr. */
  string(at: number): string {
    const end = this.endOfString(at);
    if (end === at) {
      throw malformed("an empty string");
    }
    return readLatin1(this.bytes, inHeaderSize + at, inHeaderSize + end);
  }

  /** `length` bytes in place; EINVAL where the body ends before. */
  data(at: number, length: number): Buffer {
    this.need(at + length);
    return this.bytes.subarray(inHeaderSize + at, inHeaderSize + at + length);
  }
}

function hasSlash(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (bytes[i] === slash) {
      return true;
    }
  }
  return false;
}

function malformed(what: string): FsError {
  return new FsError(Errno.EINVAL, `malformed request: ${what}`);
}
