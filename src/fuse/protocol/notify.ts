/** Messages to the kernel that answer no request: their unique is 0, and the error field says what they are. */
import type { NodeId } from "../../contract/ids.ts";
import { outHeaderSize, type ReplyWriter } from "./reply-writer.ts";

/** FUSE_NOTIFY_INVAL_INODE of enum fuse_notify_code, linux/fuse.h. */
const invalidateInode = 2;
/** struct fuse_notify_inval_inode_out: ino, off, len. */
const invalidateInodeSize = 24;
/** FUSE_NOTIFY_STORE. */
const store = 4;
/** struct fuse_notify_store_out: nodeid, offset, size, padding; the data follow. */
const storeHeadSize = 24;

/** How long the longest of these messages is: one that stores so many bytes. */
export function storeSize(length: number): number {
  return outHeaderSize + storeHeadSize + length;
}

/** Has the kernel drop the attributes of a node, but none of its pages: the offset is negative. */
export function encodeInvalidateAttributes(node: NodeId, writer: ReplyWriter): void {
  encodeInvalidateInode(node, -1, writer);
}

/** Has the kernel drop the pages of a node as well: those of a directory hold its listing. */
export function encodeInvalidatePages(node: NodeId, writer: ReplyWriter): void {
  encodeInvalidateInode(node, 0, writer);
}

function encodeInvalidateInode(node: NodeId, offset: number, writer: ReplyWriter): void {
  writer.begin();
  writer.setBodyLength(invalidateInodeSize);
  writer.u64(0, node);
  writer.u64(8, offset);
  writer.u64(16, 0);
  writer.finishNotification(invalidateInode);
}

/** Has the kernel put data in the pages of a file, from its beginning on. */
export function encodeStore(node: NodeId, data: Buffer, writer: ReplyWriter): void {
  writer.begin();
  writer.setBodyLength(storeHeadSize + data.length);
  writer.u64(0, node);
  writer.u64(8, 0);
  writer.u32(16, data.length);
  writer.u32(20, 0);
  writer.copy(storeHeadSize, data);
  writer.finishNotification(store);
}
