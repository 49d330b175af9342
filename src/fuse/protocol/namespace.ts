/** Bodies of the operations on names: LOOKUP, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, CREATE, TMPFILE, FORGET. */
import type { Creation, Entry, Opened, OpenRequest } from "../../contract/filesystem.ts";
import type { Name, NodeId } from "../../contract/ids.ts";
import { decodeDevice, entryOutSize, putEntry } from "./attributes.ts";
import { putOpened } from "./file-data.ts";
import { openKillSetIds } from "./flags.ts";
import type { Connection } from "./init.ts";
import type { ReplyWriter } from "./reply-writer.ts";
import type { RequestReader } from "./request-reader.ts";

const permissionBits = 0o7777;

/** LOOKUP, UNLINK, RMDIR: the name and nothing else. */
export function decodeName(request: RequestReader): Name {
  return request.name(0);
}

export interface SymlinkRequest {
  readonly name: Name;
  readonly target: Buffer;
}

/** Two strings: the new name, then what it points to. */
export function decodeSymlink(request: RequestReader): SymlinkRequest {
  const name = request.name(0);
  const start = name.length + 1;
  return { name, target: Buffer.from(request.data(start, request.endOfString(start) - start)) };
}

export interface MknodRequest {
  readonly name: Name;
  readonly creation: Creation;
  readonly device: { readonly major: number; readonly minor: number };
}

/** struct fuse_mknod_in (16 bytes), name. */
export function decodeMknod(request: RequestReader): MknodRequest {
  request.need(16);
  return {
    name: request.name(16),
    creation: { mode: request.u32(0), umask: request.u32(8) },
    device: decodeDevice(request.u32(4)),
  };
}

export interface MkdirRequest {
  readonly name: Name;
  readonly creation: Creation;
}

/** struct fuse_mkdir_in (8 bytes), name. */
export function decodeMkdir(request: RequestReader): MkdirRequest {
  request.need(8);
  return { name: request.name(8), creation: { mode: request.u32(0) & permissionBits, umask: request.u32(4) } };
}

export interface RenameRequest {
  readonly name: Name;
  readonly newParent: NodeId;
  readonly newName: Name;
  readonly flags: number;
}

/** struct fuse_rename_in (8 bytes), old name, new name. */
export function decodeRename(request: RequestReader): RenameRequest {
  request.need(8);
  return decodeTwoNames(request, 8, 0);
}

/** struct fuse_rename2_in (16 bytes), old name, new name. */
export function decodeRename2(request: RequestReader): RenameRequest {
  request.need(16);
  return decodeTwoNames(request, 16, request.u32(8));
}

function decodeTwoNames(request: RequestReader, at: number, flags: number): RenameRequest {
  const name = request.name(at);
  return { name, newParent: request.u64(0), newName: request.name(at + name.length + 1), flags };
}

export interface LinkRequest {
  readonly node: NodeId;
  readonly newName: Name;
}

/** struct fuse_link_in (8 bytes), new name. */
export function decodeLink(request: RequestReader): LinkRequest {
  request.need(8);
  return { node: request.u64(0), newName: request.name(8) };
}

export interface CreateRequest {
  readonly name: Name;
  readonly creation: Creation;
  readonly open: OpenRequest;
}

/** struct fuse_create_in (16 bytes), name. */
export function decodeCreate(request: RequestReader): CreateRequest {
  const { creation, open } = decodeTmpfile(request);
  return { name: request.name(16), creation, open };
}

export type TmpfileRequest = Omit<CreateRequest, "name">;

/** As CREATE, but the name that follows is a placeholder ("/"). */
export function decodeTmpfile(request: RequestReader): TmpfileRequest {
  request.need(16);
  request.endOfString(16);
  return {
    creation: { mode: request.u32(4) & permissionBits, umask: request.u32(8) },
    open: { flags: request.u32(0), killSetIds: (request.u32(12) & openKillSetIds) !== 0 },
  };
}

/** CREATE and TMPFILE: struct fuse_entry_out, struct fuse_open_out. */
export function encodeCreated(created: Entry & Opened, reply: ReplyWriter, connection: Connection): void {
  putEntry(reply, 0, created, connection);
  reply.setBodyLength(entryOutSize + putOpened(reply, entryOutSize, created));
}

export interface Forgotten {
  readonly node: NodeId;
  readonly count: number;
}

/** struct fuse_forget_in: how many lookups of the header's node are dropped. */
export function decodeForget(request: RequestReader): Forgotten[] {
  request.need(8);
  return [{ node: request.node, count: request.u64(0) }];
}

/** struct fuse_batch_forget_in (8 bytes), then a struct fuse_forget_one (16 bytes) for each node. */
export function decodeBatchForget(request: RequestReader): Forgotten[] {
  request.need(8);
  const count = request.u32(0);
  request.need(8 + count * 16);
  const forgotten: Forgotten[] = [];
  for (let i = 0, at = 8; i < count; i++, at += 16) {
    forgotten.push({ node: request.u64(at), count: request.u64(at + 8) });
  }
  return forgotten;
}
