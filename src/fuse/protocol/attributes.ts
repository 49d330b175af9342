/** Attributes, entries and times as replies carry them. */
import type { Attributes, Entry, Time } from "../../contract/filesystem.ts";
import type { Connection, WireTimeout } from "./init.ts";
import type { ReplyWriter } from "./reply-writer.ts";

export const attrSize = 88;
export const attrOutSize = 16 + attrSize;
export const entryOutSize = 40 + attrSize;
export const statxOutSize = 288;

const statxBasicStats = 0x7ff;
const statxBirthTime = 0x800;

/** The 32-bit form of a device number that the kernel calls new_encode_dev: 12 bits major, 20 bits minor. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

/** The reverse of `encodeDevice`. */
export function decodeDevice(device: number): { major: number; minor: number } {
  return { major: (device >>> 8) & 0xfff, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}

/** struct fuse_attr at `at`. */
export function putAttributes(reply: ReplyWriter, at: number, attributes: Attributes): void {
  reply.u64(at, attributes.ino);
  reply.u64(at + 8, attributes.size);
  reply.u64(at + 16, attributes.blocks);
  reply.u64(at + 24, attributes.atime.sec);
  reply.u64(at + 32, attributes.mtime.sec);
  reply.u64(at + 40, attributes.ctime.sec);
  reply.u32(at + 48, attributes.atime.nsec);
  reply.u32(at + 52, attributes.mtime.nsec);
  reply.u32(at + 56, attributes.ctime.nsec);
  reply.u32(at + 60, attributes.mode);
  reply.u32(at + 64, attributes.nlink);
  reply.u32(at + 68, attributes.uid);
  reply.u32(at + 72, attributes.gid);
  reply.u32(at + 76, encodeDevice(attributes.rdevMajor, attributes.rdevMinor));
  reply.u32(at + 80, attributes.blksize);
  reply.u32(at + 84, 0); // flags: neither a submount nor DAX
}

const never: WireTimeout = { sec: 0, nsec: 0 };

function attributesTimeout(attributes: Attributes, connection: Connection): WireTimeout {
  return attributes.unsteady === true ? never : connection.attrTimeout;
}

/** struct fuse_entry_out at `at`: a name that was found. */
export function putEntry(reply: ReplyWriter, at: number, entry: Entry, connection: Connection): void {
  putEntryHead(reply, at, entry.node, connection.entryTimeout, attributesTimeout(entry.attributes, connection));
  reply.u64(at + 8, connection.generation);
  putAttributes(reply, at + 40, entry.attributes);
}

/** The same for a name that is absent, which the kernel remembers for `timeout`. */
export function putNoEntry(reply: ReplyWriter, at: number, timeout: WireTimeout): void {
  putEntryHead(reply, at, 0, timeout, never);
  reply.zero(at + 40, attrSize);
}

function putEntryHead(reply: ReplyWriter, at: number, node: number, entry: WireTimeout, attr: WireTimeout): void {
  reply.u64(at, node);
  reply.u64(at + 8, 0);
  reply.u64(at + 16, entry.sec);
  reply.u64(at + 24, attr.sec);
  reply.u32(at + 32, entry.nsec);
  reply.u32(at + 36, attr.nsec);
}

/** The reply of everything that makes or finds a name. */
export function encodeEntry(entry: Entry, reply: ReplyWriter, connection: Connection): void {
  putEntry(reply, 0, entry, connection);
  reply.setBodyLength(entryOutSize);
}

/** The reply of LOOKUP: undefined means absent. */
export function encodeLookup(entry: Entry | undefined, reply: ReplyWriter, connection: Connection): void {
  if (entry === undefined) {
    putNoEntry(reply, 0, connection.negativeTimeout);
  } else {
    putEntry(reply, 0, entry, connection);
  }
  reply.setBodyLength(entryOutSize);
}

/** struct fuse_attr_out: GETATTR and SETATTR. */
export function encodeAttributes(attributes: Attributes, reply: ReplyWriter, connection: Connection): void {
  const timeout = attributesTimeout(attributes, connection);
  reply.u64(0, timeout.sec);
  reply.u32(8, timeout.nsec);
  reply.u32(12, 0);
  putAttributes(reply, 16, attributes);
  reply.setBodyLength(attrOutSize);
}

/** struct fuse_statx_out: a head of 32 bytes, then struct fuse_statx, laid out as statx(2) has it. */
export function encodeStatx(attributes: Attributes, reply: ReplyWriter, connection: Connection): void {
  const timeout = attributesTimeout(attributes, connection);
  reply.zero(0, statxOutSize);
  reply.u64(0, timeout.sec);
  reply.u32(8, timeout.nsec);
  const at = 32;
  reply.u32(at, attributes.btime === undefined ? statxBasicStats : statxBasicStats | statxBirthTime);
  reply.u32(at + 4, attributes.blksize);
  reply.u64(at + 8, attributes.attributes);
  reply.u32(at + 16, attributes.nlink);
  reply.u32(at + 20, attributes.uid);
  reply.u32(at + 24, attributes.gid);
  reply.u16(at + 28, attributes.mode);
  reply.u64(at + 32, attributes.ino);
  reply.u64(at + 40, attributes.size);
  reply.u64(at + 48, attributes.blocks);
  reply.u64(at + 56, attributes.attributesMask);
  putStatxTime(reply, at + 64, attributes.atime);
  if (attributes.btime !== undefined) {
    putStatxTime(reply, at + 80, attributes.btime);
  }
  putStatxTime(reply, at + 96, attributes.ctime);
  putStatxTime(reply, at + 112, attributes.mtime);
  reply.u32(at + 128, attributes.rdevMajor);
  reply.u32(at + 132, attributes.rdevMinor);
  reply.setBodyLength(statxOutSize);
}

function putStatxTime(reply: ReplyWriter, at: number, time: Time): void {
  reply.u64(at, time.sec);
  reply.u32(at + 8, time.nsec);
}
