/** Bodies of the operations on attributes: GETATTR, STATX, SETATTR, READLINK, the xattrs, STATFS, IOCTL, INTERRUPT. */
import type { AttributeChanges, FileSystemStatistics, TimeChange } from "../../contract/filesystem.ts";
import type { HandleId, Name } from "../../contract/ids.ts";
import { Errno, FsError } from "../../errno.ts";
import { getattrHandle, ioctlUnrestricted, SetattrValid, setxattrKillSetGid } from "./flags.ts";
import type { Connection } from "./init.ts";
import type { ReplyWriter } from "./reply-writer.ts";
import type { RequestReader } from "./request-reader.ts";

/** struct fuse_getattr_in (16 bytes): the handle by which the file is known, if the caller has it open. */
export function decodeGetattr(request: RequestReader): HandleId | undefined {
  request.need(16);
  return (request.u32(0) & getattrHandle) === 0 ? undefined : request.u64(8);
}

/** struct fuse_statx_in (24 bytes); the wanted fields are not looked at, all are answered. */
export function decodeStatx(request: RequestReader): HandleId | undefined {
  request.need(24);
  return decodeGetattr(request);
}

export interface SetattrRequest {
  readonly handle: HandleId | undefined;
  readonly changes: AttributeChanges;
}

/** struct fuse_setattr_in (88 bytes). ctime is never set: it is the layer's to keep. */
export function decodeSetattr(request: RequestReader): SetattrRequest {
  request.need(88);
  const valid = request.u32(0);
  const has = (bit: number) => (valid & bit) !== 0;
  // Objects of one shape, whatever is in them, are quick to read.
  const changes: AttributeChanges = {
    mode: has(SetattrValid.mode) ? request.u32(68) & 0o7777 : undefined,
    uid: has(SetattrValid.uid) ? request.u32(76) : undefined,
    gid: has(SetattrValid.gid) ? request.u32(80) : undefined,
    size: has(SetattrValid.size) ? request.fileOffset(16) : undefined,
    atime: has(SetattrValid.atime) ? (has(SetattrValid.atimeNow) ? "now" : decodeTime(request, 32, 56)) : undefined,
    mtime: has(SetattrValid.mtime) ? (has(SetattrValid.mtimeNow) ? "now" : decodeTime(request, 40, 60)) : undefined,
    killSetIds: has(SetattrValid.killSetIds) || undefined,
  };
  return { handle: has(SetattrValid.handle) ? request.u64(8) : undefined, changes };
}

function decodeTime(request: RequestReader, secAt: number, nsecAt: number): TimeChange {
  return { sec: request.i64(secAt), nsec: request.u32(nsecAt) };
}

/** READLINK: the target without a NUL. */
export function encodeBytes(bytes: Buffer, reply: ReplyWriter): void {
  reply.setBodyLength(bytes.length);
  reply.copy(0, bytes);
}

export interface GetxattrRequest {
  readonly size: number;
  readonly name: Name;
}

/** struct fuse_getxattr_in (8 bytes), name. A size of 0 asks how large the value is. */
export function decodeGetxattr(request: RequestReader): GetxattrRequest {
  request.need(8);
  return { size: request.u32(0), name: request.string(8) };
}

/** struct fuse_getxattr_in alone: room for the list. */
export function decodeListxattr(request: RequestReader): number {
  request.need(8);
  return request.u32(0);
}

/** What GETXATTR and LISTXATTR answer: the bytes, or only how many there are. */
export type SizedBytes = { readonly bytes: Buffer } | { readonly sizeOnly: number };

/** Answers `bytes` within `size` as getxattr(2) does; throws ERANGE where they don't fit. */
export function fitBytes(bytes: Buffer, size: number): SizedBytes {
  if (size === 0) {
    return { sizeOnly: bytes.length };
  }
  if (bytes.length > size) {
    throw new FsError(Errno.ERANGE, `${bytes.length} bytes of xattr in ${size}`);
  }
  return { bytes };
}

/** The bytes, or struct fuse_getxattr_out (8 bytes) where only their number was asked for. */
export function encodeSizedBytes(value: SizedBytes, reply: ReplyWriter): void {
  if ("bytes" in value) {
    encodeBytes(value.bytes, reply);
    return;
  }
  reply.u32(0, value.sizeOnly);
  reply.u32(4, 0);
  reply.setBodyLength(8);
}

/** Names as listxattr(2) has them: each with a NUL behind it. */
export function joinNames(names: readonly Name[]): Buffer {
  return Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1");
}

export interface SetxattrRequest {
  readonly name: Name;
  readonly value: Buffer;
  readonly flags: number;
  readonly killSetGid: boolean;
}

/** struct fuse_setxattr_in (16 bytes, 8 before 7.33), name, value. */
export function decodeSetxattr(request: RequestReader, connection: Connection): SetxattrRequest {
  const head = connection.setxattrExtended ? 16 : 8;
  request.need(head);
  const name = request.string(head);
  return {
    name,
    value: request.data(head + name.length + 1, request.u32(0)),
    flags: request.u32(4),
    killSetGid: connection.setxattrExtended && (request.u32(8) & setxattrKillSetGid) !== 0,
  };
}

/** REMOVEXATTR: the name alone. */
export function decodeXattrName(request: RequestReader): Name {
  return request.string(0);
}

/** struct fuse_kstatfs (80 bytes). */
export function encodeStatistics(statistics: FileSystemStatistics, reply: ReplyWriter): void {
  reply.zero(0, 80);
  reply.u64(0, statistics.blocks);
  reply.u64(8, statistics.blocksFree);
  reply.u64(16, statistics.blocksAvailable);
  reply.u64(24, statistics.files);
  reply.u64(32, statistics.filesFree);
  reply.u32(40, statistics.bsize);
  reply.u32(44, statistics.nameMax);
  reply.u32(48, statistics.frsize);
  reply.setBodyLength(80);
}

export interface IoctlRequest {
  readonly command: number;
  readonly input: Buffer;
  readonly outputSize: number;
}

/**
 * struct fuse_ioctl_in (32 bytes), input. The kernel has sized both ways by the command's own encoding; other ("unrestricted")
 * ioctls are for character devices in user space: ENOTTY.
 */
export function decodeIoctl(request: RequestReader): IoctlRequest {
  request.need(32);
  if (request.u32(8) & ioctlUnrestricted) {
    throw new FsError(Errno.ENOTTY, "unrestricted ioctl");
  }
  return { command: request.u32(12), input: request.data(32, request.u32(24)), outputSize: request.u32(28) };
}

/** struct fuse_ioctl_out (16 bytes), output. */
export function encodeIoctl(output: Buffer, reply: ReplyWriter): void {
  reply.setBodyLength(16 + output.length);
  reply.zero(0, 16);
  reply.copy(16, output);
}

/** struct fuse_interrupt_in: the `unique` of the request whose caller got a signal, as `RequestReader.key`. */
export function decodeInterrupt(request: RequestReader): number {
  request.need(8);
  return request.u64(0);
}

/** A body that holds nothing of interest. */
export function decodeNothing(): undefined {
  return undefined;
}

/** A reply without a body. */
export function encodeNothing(): void {
  // ReplyWriter.begin has set the length of a bare header.
}
