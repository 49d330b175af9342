/**
 * The table of operations: one row an opcode, with its name in the log, how its body is read, which method of the
 * file system serves it, and how the answer is written. A row that only refuses says why.
 */
import type { FileRange } from "../contract/file-range.ts";
import type { Filesystem } from "../contract/filesystem.ts";
import type { Deferred } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import type { OwnXattrs } from "./own-xattrs.ts";
import { encodeAttributes, encodeEntry, encodeLookup, encodeStatx } from "./protocol/attributes.ts";
import { DirentWriter } from "./protocol/dirents.ts";
import * as data from "./protocol/file-data.ts";
import type { Connection } from "./protocol/init.ts";
import * as metadata from "./protocol/metadata.ts";
import * as names from "./protocol/namespace.ts";
import { Opcode, type OpcodeNumber } from "./protocol/opcodes.ts";
import type { ReplyWriter } from "./protocol/reply-writer.ts";
import type { RequestReader } from "./protocol/request-reader.ts";

/** What a handler may need besides the decoded body. */
export interface OperationContext {
  /** For the node and the caller. */
  readonly header: RequestReader;
  /** For handlers that fill the reply in place. */
  readonly reply: ReplyWriter;
  readonly connection: Connection;
  readonly ownXattrs: OwnXattrs;
  /** The caller of the request with this key got a signal. */
  interrupt(key: number): void;
}

export interface Operation<Request, Reply> {
  readonly name: string;
  decode(request: RequestReader, connection: Connection): Request;
  handle(filesystem: Filesystem, request: Request, context: OperationContext): Reply | Deferred<Reply> | FileRange;
  encode(reply: Reply, writer: ReplyWriter, connection: Connection): void;
  /** The errno that answers a reply of `undefined`, where that means: there is nothing. Without it `encode` gets it. */
  readonly absent?: number;
  /** The kernel waits for no answer, not even an error. */
  readonly noReply?: true | undefined;
  /** For a Deferred that writes: where the data are. */
  payload?(request: Request): Buffer;
  /** For what reads: how many bytes are wanted. */
  replySize?(request: Request): number;
}

export type AnyOperation = Operation<unknown, unknown>;

function operation<Request, Reply>(row: Operation<Request, Reply>): AnyOperation {
  return row;
}

/** An operation whose reply has no body. */
function plain<Request>(
  row: Pick<Operation<Request, void>, "name" | "decode" | "handle"> & { readonly noReply?: true },
): AnyOperation {
  return { ...row, encode: metadata.encodeNothing } as AnyOperation;
}

function refused(name: string, code: number, why: string): AnyOperation {
  return plain({
    name,
    decode: metadata.decodeNothing,
    handle: () => {
      throw new FsError(code, why);
    },
  });
}

function forgetting(name: string, decode: (request: RequestReader) => names.Forgotten[]): AnyOperation {
  return plain({
    name,
    noReply: true,
    decode,
    handle: (fs, forgotten) => {
      for (const { node, count } of forgotten) {
        fs.forget(node, count);
      }
    },
  });
}

function listing(name: string, withEntries: boolean): AnyOperation {
  return operation({
    name,
    decode: data.decodeRead,
    handle: (fs, { offset, size }, { header, reply, connection }) => {
      const sink = new DirentWriter(reply, size, withEntries, connection);
      try {
        fs.readDirectory(header.node, offset, withEntries, sink);
      } catch (error) {
        /* The entries already in the reply have been looked up: the kernel must get them, or it never forgets them.
           The failure comes again when it asks for the rest. */
        if (!(error instanceof FsError && sink.used > 0)) {
          throw error;
        }
      }
      return sink.used;
    },
    encode: data.encodeRead,
  });
}

const rename = (fs: Filesystem, r: names.RenameRequest, { header }: OperationContext) =>
  fs.rename(header.node, r.name, r.newParent, r.newName, r.flags);

const copyRange = (fs: Filesystem, r: data.CopyRangeRequest, { header }: OperationContext) =>
  fs.copyRange(
    { node: header.node, handle: r.handleIn, offset: r.offsetIn },
    { node: r.nodeOut, handle: r.handleOut, offset: r.offsetOut },
    r.length,
    header.caller,
  );

const kernelLocks = "POSIX_LOCKS and FLOCK_LOCKS are not negotiated: locks are the kernel's own";

const rows: Record<OpcodeNumber, AnyOperation> = {
  [Opcode.Lookup]: operation({
    name: "LOOKUP",
    decode: names.decodeName,
    handle: (fs, name, { header }) => fs.lookup(header.node, name),
    encode: encodeLookup,
  }),
  [Opcode.Forget]: forgetting("FORGET", names.decodeForget),
  [Opcode.BatchForget]: forgetting("BATCH_FORGET", names.decodeBatchForget),
  [Opcode.Getattr]: operation({
    name: "GETATTR",
    decode: metadata.decodeGetattr,
    handle: (fs, handle, { header }) => fs.getAttributes(header.node, handle),
    encode: encodeAttributes,
  }),
  [Opcode.Statx]: operation({
    name: "STATX",
    decode: metadata.decodeStatx,
    handle: (fs, handle, { header }) => fs.getAttributes(header.node, handle),
    encode: encodeStatx,
  }),
  [Opcode.Setattr]: operation({
    name: "SETATTR",
    decode: metadata.decodeSetattr,
    handle: (fs, { handle, changes }, { header }) => fs.setAttributes(header.node, handle, changes, header.caller),
    encode: encodeAttributes,
  }),
  [Opcode.Readlink]: operation({
    name: "READLINK",
    decode: metadata.decodeNothing,
    handle: (fs, _, { header }) => fs.readLink(header.node),
    encode: metadata.encodeBytes,
  }),
  [Opcode.Symlink]: operation({
    name: "SYMLINK",
    decode: names.decodeSymlink,
    handle: (fs, { name, target }, { header }) => fs.makeSymlink(header.node, name, target, header.caller),
    encode: encodeEntry,
  }),
  [Opcode.Mknod]: operation({
    name: "MKNOD",
    decode: names.decodeMknod,
    handle: (fs, r, { header }) => fs.makeNode(header.node, r.name, r.creation, r.device, header.caller),
    encode: encodeEntry,
  }),
  [Opcode.Mkdir]: operation({
    name: "MKDIR",
    decode: names.decodeMkdir,
    handle: (fs, { name, creation }, { header }) => fs.makeDirectory(header.node, name, creation, header.caller),
    encode: encodeEntry,
  }),
  [Opcode.Unlink]: plain({
    name: "UNLINK",
    decode: names.decodeName,
    handle: (fs, name, { header }) => fs.removeFile(header.node, name),
  }),
  [Opcode.Rmdir]: plain({
    name: "RMDIR",
    decode: names.decodeName,
    handle: (fs, name, { header }) => fs.removeDirectory(header.node, name),
  }),
  [Opcode.Rename]: plain({ name: "RENAME", decode: names.decodeRename, handle: rename }),
  [Opcode.Rename2]: plain({ name: "RENAME2", decode: names.decodeRename2, handle: rename }),
  [Opcode.Link]: operation({
    name: "LINK",
    decode: names.decodeLink,
    handle: (fs, { node, newName }, { header }) => fs.link(node, header.node, newName),
    encode: encodeEntry,
  }),
  [Opcode.Open]: operation({
    name: "OPEN",
    decode: data.decodeOpen,
    handle: (fs, request, { header }) => fs.open(header.node, request),
    encode: data.encodeOpened,
  }),
  [Opcode.Create]: operation({
    name: "CREATE",
    decode: names.decodeCreate,
    handle: (fs, r, { header }) => fs.create(header.node, r.name, r.creation, r.open, header.caller),
    encode: names.encodeCreated,
  }),
  [Opcode.Tmpfile]: operation({
    name: "TMPFILE",
    decode: names.decodeTmpfile,
    handle: (fs, r, { header }) => fs.createUnnamed(header.node, r.creation, r.open, header.caller),
    encode: names.encodeCreated,
  }),
  [Opcode.Read]: operation({
    name: "READ",
    decode: data.decodeRead,
    handle: (fs, r, { header, reply }) => fs.read(header.node, r.handle, r.offset, reply.area(r.size)),
    encode: data.encodeRead,
    replySize: (r) => r.size,
  }),
  [Opcode.Write]: operation({
    name: "WRITE",
    decode: data.decodeWrite,
    handle: (fs, r, { header }) => fs.write(header.node, r.handle, r),
    encode: data.encodeWritten,
    payload: (r) => r.data,
  }),
  [Opcode.Flush]: refused("FLUSH", Errno.ENOSYS, "nothing is left to do at close: the kernel stops asking"),
  [Opcode.Release]: plain({
    name: "RELEASE",
    decode: data.decodeRelease,
    handle: (fs, handle, { header }) => fs.release(header.node, handle),
  }),
  [Opcode.Fsync]: plain({
    name: "FSYNC",
    decode: data.decodeFsync,
    handle: (fs, { handle, dataOnly }, { header }) => fs.sync(header.node, handle, dataOnly),
  }),
  [Opcode.Fsyncdir]: plain({
    name: "FSYNCDIR",
    decode: data.decodeFsync,
    handle: (fs, _, { header }) => fs.syncDirectory(header.node),
  }),
  [Opcode.Syncfs]: plain({
    name: "SYNCFS",
    decode: metadata.decodeNothing,
    handle: (fs) => fs.syncAll(),
  }),
  [Opcode.Opendir]: refused("OPENDIR", Errno.ENOSYS, "directories have no handles: the kernel stops asking"),
  [Opcode.Readdir]: listing("READDIR", false),
  [Opcode.Readdirplus]: listing("READDIRPLUS", true),
  [Opcode.Releasedir]: plain({
    name: "RELEASEDIR",
    decode: metadata.decodeNothing,
    handle: () => undefined, // there is no handle to release
  }),
  [Opcode.Statfs]: operation({
    name: "STATFS",
    decode: metadata.decodeNothing,
    handle: (fs, _, { header }) => fs.statistics(header.node),
    encode: metadata.encodeStatistics,
  }),
  [Opcode.Access]: refused("ACCESS", Errno.ENOSYS, "the kernel checks permissions itself (default_permissions)"),
  [Opcode.Getxattr]: operation({
    name: "GETXATTR",
    decode: metadata.decodeGetxattr,
    handle: (fs, { name, size }, { header, ownXattrs }) => {
      const value = ownXattrs.get(header.node, name) ?? fs.getXattr(header.node, name);
      return value && metadata.fitBytes(value, size);
    },
    encode: metadata.encodeSizedBytes,
    absent: Errno.ENODATA,
  }),
  [Opcode.Listxattr]: operation({
    name: "LISTXATTR",
    decode: metadata.decodeListxattr,
    handle: (fs, size, { header }) =>
      metadata.fitBytes(metadata.joinNames(fs.listXattrs(header.node, header.caller)), size),
    encode: metadata.encodeSizedBytes,
  }),
  [Opcode.Setxattr]: plain({
    name: "SETXATTR",
    decode: metadata.decodeSetxattr,
    handle: (fs, r, { header }) => fs.setXattr(header.node, r.name, r.value, r.flags, r.killSetGid),
  }),
  [Opcode.Removexattr]: plain({
    name: "REMOVEXATTR",
    decode: metadata.decodeXattrName,
    handle: (fs, name, { header }) => fs.removeXattr(header.node, name),
  }),
  [Opcode.Fallocate]: plain({
    name: "FALLOCATE",
    decode: data.decodeFallocate,
    handle: (fs, { handle, mode, offset, length }, { header }) =>
      fs.allocate(header.node, handle, { mode, offset, length }, header.caller),
  }),
  [Opcode.Lseek]: operation({
    name: "LSEEK",
    decode: data.decodeLseek,
    handle: (fs, r, { header }) => fs.seek(header.node, r.handle, r.offset, r.whence),
    encode: data.encodeNumber64,
  }),
  [Opcode.CopyFileRange]: operation({
    name: "COPY_FILE_RANGE",
    decode: data.decodeCopyFileRange,
    handle: copyRange,
    encode: data.encodeWritten,
  }),
  [Opcode.CopyFileRange64]: operation({
    name: "COPY_FILE_RANGE_64",
    decode: data.decodeCopyFileRange64,
    handle: copyRange,
    encode: data.encodeNumber64,
  }),
  [Opcode.Ioctl]: operation({
    name: "IOCTL",
    decode: metadata.decodeIoctl,
    handle: (fs, r, { header }) => fs.ioctl(header.node, r.command, r.input, r.outputSize),
    encode: metadata.encodeIoctl,
  }),
  [Opcode.Interrupt]: plain({
    name: "INTERRUPT",
    noReply: true,
    decode: metadata.decodeInterrupt,
    handle: (_, key, context) => context.interrupt(key),
  }),
  [Opcode.Init]: refused("INIT", Errno.EIO, "INIT comes once, before all else"),
  // The end of the mount shows as ENODEV from the device, in every case; DESTROY comes for block devices only.
  [Opcode.Destroy]: plain({ name: "DESTROY", decode: metadata.decodeNothing, handle: () => undefined }),
  [Opcode.Getlk]: refused("GETLK", Errno.ENOSYS, kernelLocks),
  [Opcode.Setlk]: refused("SETLK", Errno.ENOSYS, kernelLocks),
  [Opcode.Setlkw]: refused("SETLKW", Errno.ENOSYS, kernelLocks),
  [Opcode.Bmap]: refused("BMAP", Errno.ENOSYS, "there is no block device beneath"),
  [Opcode.Poll]: refused("POLL", Errno.ENOSYS, "files are always ready: the kernel stops asking"),
  [Opcode.NotifyReply]: {
    ...refused("NOTIFY_REPLY", Errno.ENOSYS, "no NOTIFY_RETRIEVE was sent"),
    noReply: true,
  },
  [Opcode.SetupMapping]: refused("SETUPMAPPING", Errno.ENOSYS, "DAX is not negotiated"),
  [Opcode.RemoveMapping]: refused("REMOVEMAPPING", Errno.ENOSYS, "DAX is not negotiated"),
  [Opcode.CuseInit]: refused("CUSE_INIT", Errno.ENOSYS, "this is no character device"),
};

/** Every operation that Linux has, by opcode. */
export const operations: ReadonlyMap<number, AnyOperation> = new Map(
  Object.entries(rows).map(([opcode, row]) => [Number(opcode), row]),
);
