/**
 * A reply in the buffer it is written from: struct fuse_out_header (16 bytes), then the body.
 * One writer serves all requests in turn. Offsets count from the start of the body.
 */
import { Errno, FsError } from "../../errno.ts";
import { writeLatin1 } from "../../latin1.ts";
import type { RequestReader } from "./request-reader.ts";

export const outHeaderSize = 16;

const two32 = 4294967296;

export class ReplyWriter {
  readonly bytes: Buffer;
  readonly #view: DataView;
  /** The same bytes as words: everything in a reply but names and modes is a multiple of four bytes, and lies at one. */
  readonly #words: Uint32Array;
  /** Of the whole message, header included. */
  length = outHeaderSize;

  /** @param bytes that begin at a multiple of four in their memory */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  }

  /** Starts a reply without a body. */
  begin(): void {
    this.length = outHeaderSize;
  }

  get room(): number {
    return this.bytes.length - outHeaderSize;
  }

  /** Says how long the body is; EOVERFLOW where the buffer can't hold it. */
  setBodyLength(length: number): void {
    if (length > this.room) {
      throw new FsError(Errno.EOVERFLOW, `a reply of ${length} bytes`);
    }
    this.length = outHeaderSize + length;
  }

  /** The first `length` bytes of the body, to be filled; EINVAL where the buffer has not that many. */
  area(length: number): Buffer {
    if (length > this.room) {
      throw new FsError(Errno.EINVAL, `a reply of ${length} bytes was asked for`);
    }
    return this.bytes.subarray(outHeaderSize, outHeaderSize + length);
  }

  u16(at: number, value: number): void {
    this.#view.setUint16(outHeaderSize + at, value, true);
  }

  /** @param at a multiple of four */
  u32(at: number, value: number): void {
    this.#words[(outHeaderSize + at) >>> 2] = value;
  }

  /** Any integer between -2^53 and 2^53: negative ones in two's complement. @param at a multiple of four */
  u64(at: number, value: number): void {
    const words = this.#words;
    const index = (outHeaderSize + at) >>> 2;
    words[index] = value;
    words[index + 1] = value >= 0 && value < two32 ? 0 : Math.floor(value / two32);
  }

  zero(at: number, length: number): void {
    this.bytes.fill(0, outHeaderSize + at, outHeaderSize + at + length);
  }

  /** The characters of a latin1 string, one byte each. */
  latin1(at: number, text: string): void {
    writeLatin1(this.bytes, text, outHeaderSize + at);
  }

  copy(at: number, data: Buffer): void {
    data.copy(this.bytes, outHeaderSize + at);
  }

  /** Fills in the header. @param errno 0, or a positive error number: then the body is dropped */
  finish(errno: number, uniqueLow: number, uniqueHigh: number): void {
    if (errno !== 0) {
      this.length = outHeaderSize;
    }
    const words = this.#words;
    words[0] = this.length;
    words[1] = -errno;
    words[2] = uniqueLow;
    words[3] = uniqueHigh;
  }

  /** Fills in the header of a message that answers nothing. @param code of enum fuse_notify_code */
  finishNotification(code: number): void {
    this.finish(0, 0, 0);
    this.#words[1] = code;
  }

  /** Makes a finished reply one that says `errno` to the same request. */
  turnToError(errno: number): void {
    this.length = outHeaderSize;
    this.#words[0] = outHeaderSize;
    this.#words[1] = -errno;
  }
}

/** The two halves that let a reply find its request, when the request's buffer is long reused. */
export type ReplyAddress = Pick<RequestReader, "uniqueLow" | "uniqueHigh">;
