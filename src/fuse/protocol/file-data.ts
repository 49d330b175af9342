/** Bodies of the operations on open files: OPEN, READ, WRITE, RELEASE, FSYNC, FALLOCATE, LSEEK, COPY_FILE_RANGE; and READDIR. */
import type { Opened, OpenRequest, WriteRequest } from "../../contract/filesystem.ts";
import type { HandleId, NodeId } from "../../contract/ids.ts";
import { Errno, FsError } from "../../errno.ts";
import { fsyncDataOnly, OpenReplyFlag, openKillSetIds, writeKillSetIds } from "./flags.ts";
import type { ReplyWriter } from "./reply-writer.ts";
import type { RequestReader } from "./request-reader.ts";

/** struct fuse_open_in (8 bytes). */
export function decodeOpen(request: RequestReader): OpenRequest {
  request.need(8);
  return { flags: request.u32(0), killSetIds: (request.u32(4) & openKillSetIds) !== 0 };
}

const cacheFlags: Readonly<Record<Opened["cache"], number>> = {
  keep: OpenReplyFlag.keepCache,
  drop: 0,
  bypass: OpenReplyFlag.directIo,
};

/** struct fuse_open_out at `at`; returns its size. */
export function putOpened(reply: ReplyWriter, at: number, opened: Opened): number {
  reply.u64(at, opened.handle);
  reply.u32(at + 8, cacheFlags[opened.cache] | (opened.backing === undefined ? 0 : OpenReplyFlag.passthrough));
  reply.u32(at + 12, opened.backing ?? 0);
  return 16;
}

/** OPEN. */
export function encodeOpened(opened: Opened, reply: ReplyWriter): void {
  reply.setBodyLength(putOpened(reply, 0, opened));
}

export interface ReadRequest {
  readonly handle: HandleId;
  readonly offset: number;
  readonly size: number;
}

/** struct fuse_read_in (40 bytes): READ, READDIR, READDIRPLUS. */
export function decodeRead(request: RequestReader): ReadRequest {
  request.need(40);
  return { handle: request.u64(0), offset: request.fileOffset(8), size: request.u32(16) };
}

/** The body is the data themselves, which lie there already. */
export function encodeRead(length: number, reply: ReplyWriter): void {
  reply.setBodyLength(length);
}

export interface HandleWriteRequest extends WriteRequest {
  readonly handle: HandleId;
}

const writeInSize = 40;

/** struct fuse_write_in (40 bytes), data. */
export function decodeWrite(request: RequestReader): HandleWriteRequest {
  request.need(writeInSize);
  return {
    handle: request.u64(0),
    offset: request.fileOffset(8),
    data: request.data(writeInSize, request.u32(16)),
    flags: request.u32(32),
    killSetIds: (request.u32(20) & writeKillSetIds) !== 0,
  };
}

/** struct fuse_write_out (8 bytes): WRITE and COPY_FILE_RANGE. */
export function encodeWritten(count: number, reply: ReplyWriter): void {
  reply.u32(0, count);
  reply.u32(4, 0);
  reply.setBodyLength(8);
}

/** struct fuse_release_in (24 bytes): only the handle matters, as locks are the kernel's. */
export function decodeRelease(request: RequestReader): HandleId {
  request.need(24);
  return request.u64(0);
}

export interface SyncRequest {
  readonly handle: HandleId;
  readonly dataOnly: boolean;
}

/** struct fuse_fsync_in (16 bytes): FSYNC and FSYNCDIR. */
export function decodeFsync(request: RequestReader): SyncRequest {
  request.need(16);
  return { handle: request.u64(0), dataOnly: (request.u32(8) & fsyncDataOnly) !== 0 };
}

export interface AllocateRequest {
  readonly handle: HandleId;
  readonly offset: number;
  readonly length: number;
  readonly mode: number;
}

/** struct fuse_fallocate_in (32 bytes). */
export function decodeFallocate(request: RequestReader): AllocateRequest {
  request.need(32);
  return {
    handle: request.u64(0),
    offset: request.fileOffset(8),
    length: request.fileOffset(16),
    mode: request.u32(24),
  };
}

export interface SeekRequest {
  readonly handle: HandleId;
  readonly offset: number;
  readonly whence: number;
}

/** struct fuse_lseek_in (24 bytes). No file has anything above 2^53: ENXIO, as behind the end of any file. */
export function decodeLseek(request: RequestReader): SeekRequest {
  request.need(24);
  const offset = request.u64(8);
  if (offset > Number.MAX_SAFE_INTEGER) {
    throw new FsError(Errno.ENXIO, "seek above 2^53");
  }
  return { handle: request.u64(0), offset, whence: request.u32(16) };
}

/** A 64-bit number and nothing else: LSEEK's offset, COPY_FILE_RANGE_64's count. */
export function encodeNumber64(value: number, reply: ReplyWriter): void {
  reply.u64(0, value);
  reply.setBodyLength(8);
}

export interface CopyRangeRequest {
  readonly handleIn: HandleId;
  readonly offsetIn: number;
  readonly nodeOut: NodeId;
  readonly handleOut: HandleId;
  readonly offsetOut: number;
  readonly length: number;
  readonly flags: number;
}

/** The older COPY_FILE_RANGE answers in 32 bits; the kernel itself keeps to them, this makes sure. */
const maxCopy32 = 0x7ffff000;

/** struct fuse_copy_file_range_in (56 bytes); the header's node is the source. */
export function decodeCopyFileRange64(request: RequestReader): CopyRangeRequest {
  request.need(56);
  return {
    handleIn: request.u64(0),
    offsetIn: request.fileOffset(8),
    nodeOut: request.u64(16),
    handleOut: request.u64(24),
    offsetOut: request.fileOffset(32),
    length: Math.min(request.u64(40), Number.MAX_SAFE_INTEGER),
    flags: request.u32(48),
  };
}

/** As `decodeCopyFileRange64`, for the opcode whose answer has 32 bits. */
export function decodeCopyFileRange(request: RequestReader): CopyRangeRequest {
  const decoded = decodeCopyFileRange64(request);
  return { ...decoded, length: Math.min(decoded.length, maxCopy32) };
}
