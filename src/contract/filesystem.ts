/**
 * What a transport asks of a file system: one method for each thing the kernel may ask.
 * Types and prose only.
 *
 * Every method may throw FsError (the caller sees its code) or Parked (the request is to be served again,
 * from its beginning, when the gate opens). Those that return `Deferred` have a slow system call to run
 * off the core; the reply is what its `finish` returns. Nothing is awaited: a method runs to its end
 * before the next request is looked at.
 */
import type { BackingId } from "./backing.ts";
import type { FileRange } from "./file-range.ts";
import type { Caller, HandleId, Name, NodeId } from "./ids.ts";
import type { Deferred } from "./slow.ts";

/** Seconds since the epoch (negative before 1970) and nanoseconds 0..999999999. */
export interface Time {
  readonly sec: number;
  readonly nsec: number;
}

/** What stat(2) tells; in a reply `ino` and `nlink` are the overlay's. Sizes in bytes, blocks of 512 bytes. */
export interface Attributes {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly size: number;
  readonly blocks: number;
  readonly blksize: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  /** Absent where the layer's file system keeps no birth time. */
  readonly btime: Time | undefined;
  /** stx_attributes and their mask as statx(2) of the layer gave them. */
  readonly attributes: number;
  readonly attributesMask: number;
  /** In a reply: some of this may change at any time without a call, so that the kernel is not to remember it. */
  readonly unsteady?: boolean;
}

/** A name that was found, or made: the kernel now holds one more lookup of `node`. */
export interface Entry {
  readonly node: NodeId;
  readonly attributes: Attributes;
}

/** "now" is the time at which the layer stores it. */
export type TimeChange = Time | "now";

/** Only what is present changes. */
export interface AttributeChanges {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly size?: number | undefined;
  readonly atime?: TimeChange | undefined;
  readonly mtime?: TimeChange | undefined;
  /** The caller lacks CAP_FSETID: setuid, and setgid of a group-executable file, are to go. */
  readonly killSetIds?: boolean | undefined;
}

/** What a new object is to be. `mode` is as the caller gave it: the umask is the file system's to apply. */
export interface Creation {
  /** Permission and special bits; for mknod also the type. */
  readonly mode: number;
  readonly umask: number;
}

/** O_ACCMODE and the other flags of open(2), as numbers of the kernel's generic ABI. */
export interface OpenRequest {
  readonly flags: number;
  /** With O_TRUNC: setuid and setgid are to go, as with `killSetIds`. */
  readonly killSetIds: boolean;
}

export interface Opened {
  readonly handle: HandleId;
  /**
   * "keep": the kernel may keep the pages it has cached; "drop": they may be outdated. "bypass": nothing goes through them,
   * nor can be mapped as shared.
   */
  readonly cache: "keep" | "drop" | "bypass";
  /**
   * The kernel reads, writes and maps the file registered as this, instead of asking; with "bypass" it only maps it. All
   * handles of a node that are open at a time have the same one, or none has one; "keep" goes not with it.
   */
  readonly backing?: BackingId | undefined;
}

export interface WriteRequest {
  readonly offset: number;
  /** Valid during the call only; a Deferred of `write` may keep the transport's buffer, see `Payload`. */
  readonly data: Buffer;
  /** The flags of the open file (O_APPEND, O_SYNC, O_DSYNC are the ones that matter here). */
  readonly flags: number;
  readonly killSetIds: boolean;
}

/** As fallocate(2) has it; offset and length in bytes. */
export interface AllocatedRange {
  readonly mode: number;
  readonly offset: number;
  readonly length: number;
}

/** Rename flags of renameat2(2). */
export const RenameFlag = { noReplace: 1, exchange: 2, whiteout: 4 } as const;

/** statfs(2) of the layer that takes the writes; sizes in blocks of `frsize` bytes. */
export interface FileSystemStatistics {
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly bsize: number;
  readonly frsize: number;
  readonly nameMax: number;
}

/** Where readdir puts what it finds: the reply of the transport, filled in place. */
export interface DirectorySink {
  /** Whether an entry of this name still fits; false ends the call. */
  hasRoom(name: Name): boolean;
  /**
   * @param type the S_IFMT bits
   * @param next the offset at which a later call goes on behind this entry; positive
   */
  add(name: Name, ino: number, type: number, next: number): void;
  /** As `add`, with the entry found by a lookup; `undefined` where there was none to make ("." and ".."). */
  addWithEntry(name: Name, ino: number, type: number, next: number, entry: Entry | undefined): void;
}

export interface Filesystem {
  /** The kernel drops `count` lookups of a node it knew. Unknown ids are ignored. */
  forget(node: NodeId, count: number): void;

  /** Undefined: the name is absent, and the kernel may remember that. */
  lookup(parent: NodeId, name: Name): Entry | undefined;
  getAttributes(node: NodeId, handle: HandleId | undefined): Attributes;
  setAttributes(
    node: NodeId,
    handle: HandleId | undefined,
    changes: AttributeChanges,
    caller: Caller,
  ): Attributes | Deferred<Attributes>;
  readLink(node: NodeId): Buffer;

  makeSymlink(parent: NodeId, name: Name, target: Buffer, caller: Caller): Entry;
  /** @param creation mode carries the type: regular, FIFO, socket, character or block device */
  makeNode(
    parent: NodeId,
    name: Name,
    creation: Creation,
    device: { readonly major: number; readonly minor: number },
    caller: Caller,
  ): Entry;
  makeDirectory(parent: NodeId, name: Name, creation: Creation, caller: Caller): Entry;
  link(node: NodeId, newParent: NodeId, newName: Name): Entry;
  removeFile(parent: NodeId, name: Name): void;
  removeDirectory(parent: NodeId, name: Name): void;
  rename(parent: NodeId, name: Name, newParent: NodeId, newName: Name, flags: number): void;

  open(node: NodeId, request: OpenRequest): Opened;
  create(parent: NodeId, name: Name, creation: Creation, request: OpenRequest, caller: Caller): Entry & Opened;
  /** O_TMPFILE: a file without a name, that `link` may give one. */
  createUnnamed(parent: NodeId, creation: Creation, request: OpenRequest, caller: Caller): Entry & Opened;
  /** Fills `into` from its start and answers how many bytes, short only at the end of the file; or says where they are. */
  read(node: NodeId, handle: HandleId, offset: number, into: Buffer): number | Deferred<number> | FileRange;
  /** Answers how many bytes were taken. */
  write(node: NodeId, handle: HandleId, request: WriteRequest): number | Deferred<number>;
  release(node: NodeId, handle: HandleId): void;
  sync(node: NodeId, handle: HandleId, dataOnly: boolean): undefined | Deferred<undefined>;
  allocate(node: NodeId, handle: HandleId, range: AllocatedRange, caller: Caller): undefined | Deferred<undefined>;
  /** @param whence SEEK_DATA (3) or SEEK_HOLE (4); the others never leave the kernel but are answered */
  seek(node: NodeId, handle: HandleId, offset: number, whence: number): number;
  copyRange(
    from: { readonly node: NodeId; readonly handle: HandleId; readonly offset: number },
    to: { readonly node: NodeId; readonly handle: HandleId; readonly offset: number },
    length: number,
    caller: Caller,
  ): number | Deferred<number>;

  /**
   * Puts entries in `sink` from `offset` on (0 at first, then what `add` was told as next) until it has no
   * room or the directory ends. An entry that is there all the while is told exactly once, whatever else
   * comes and goes; offsets hold without an open handle.
   * @param withEntries READDIRPLUS: each entry but "." and ".." is looked up
   */
  readDirectory(node: NodeId, offset: number, withEntries: boolean, sink: DirectorySink): void;
  syncDirectory(node: NodeId): undefined | Deferred<undefined>;

  statistics(node: NodeId): FileSystemStatistics;
  /** syncfs(2) of the upper. */
  syncAll(): undefined | Deferred<undefined>;

  /** Undefined: there is none of that name. That is what is asked most, so it is no error here. */
  getXattr(node: NodeId, name: Name): Buffer | undefined;
  /** @param flags of setxattr(2): 1 to create only, 2 to replace only */
  setXattr(node: NodeId, name: Name, value: Buffer, flags: number, killSetGid: boolean): void;
  /** The names that the caller may see, without those of the overlay itself. */
  listXattrs(node: NodeId, caller: Caller): readonly Name[];
  removeXattr(node: NodeId, name: Name): void;

  /**
   * The ioctls of file flags (FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR, FSSETXATTR); ENOTTY for all others.
   * @returns what the caller's buffer is to hold afterwards
   */
  ioctl(node: NodeId, command: number, input: Buffer, outputSize: number): Buffer;

  /** The mount is gone: let go of every descriptor and of the workdir. */
  destroy(): void;
}
