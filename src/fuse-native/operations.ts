/**
 * The table of operations: what libfuse asks by paths and handles, answered by the file system. A row gets what the addon gives,
 * and answers a number for libfuse, or throws FsError or Parked as the file system does. What is not here libfuse answers with
 * ENOSYS, and the kernel makes do without: CREATE becomes MKNOD and OPEN, which tell the flags of open(2), as CREATE does not.
 */

import { FileRange } from "../contract/file-range.ts";
import type { Attributes, DirectorySink, Filesystem, TimeChange } from "../contract/filesystem.ts";
import { type Caller, FileType, type HandleId, type Name, type NodeId, rootNodeId } from "../contract/ids.ts";
import { Deferred } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import type { OwnXattrs } from "../fuse/own-xattrs.ts";
import type { Logger } from "../log.ts";
import { HiddenFiles, requireOrdinary } from "./hidden-files.ts";
import * as native from "./native-call.ts";
import { Paths, type Place } from "./paths.ts";

/** An answer that a job has to come before. */
export interface Later {
  readonly deferred: Deferred<unknown>;
  answer(reply: unknown): number;
  /** To be called when all is done. */
  readonly end?: () => void;
  /** The data that the job writes. */
  readonly payload?: Buffer;
  /** Where the data go that the job reads. */
  readonly into?: Buffer;
}

export type Answer = number | Later;

/** @param call the addon's record of the call */
type Row = (call: Buffer, ...args: never[]) => Answer;

interface OpenFile {
  readonly node: NodeId;
  readonly handle: HandleId;
  readonly flags: number;
}

const two32 = 4294967296;
/** uid_t and gid_t of chown(2): leave it as it is. */
const unchanged = 0xffffffff;
const setIds = 0o6000;
/** Operations that can't see whether a name is still there; `rename` looks for itself. */
const blindToNames: ReadonlySet<string> = new Set(["rename", "release", "read", "write", "fsync"]);

function after<Reply>(
  reply: Reply | Deferred<Reply>,
  answer: (reply: Reply) => number,
  buffers: Pick<Later, "payload" | "into"> = {},
): Answer {
  return reply instanceof Deferred
    ? { deferred: reply, answer: (later) => answer(later as Reply), ...buffers }
    : answer(reply);
}

const nothing = () => 0;

/** The operations of one mount, by their names in libfuse, without their state. */
export class Operations {
  readonly #fs: Filesystem;
  readonly #paths: Paths;
  readonly #hidden: HiddenFiles;
  readonly #files = new Map<number, OpenFile>();
  readonly #caller: Caller;
  readonly #forOthers: boolean;
  readonly #ownXattrs: OwnXattrs;
  #lastFile = 0;

  /** @param forOthers users besides root have the mount: what they make is root's, so it must not run as root */
  constructor(filesystem: Filesystem, ownXattrs: OwnXattrs, log: Logger, forOthers: boolean) {
    this.#fs = filesystem;
    this.#paths = new Paths(filesystem);
    this.#hidden = new HiddenFiles(filesystem, log);
    this.#caller = { uid: 0, gid: 0, pid: process.pid };
    this.#forOthers = forOthers;
    this.#ownXattrs = ownXattrs;
  }

  /** The operations that are served, by their names in libfuse. */
  get names(): readonly string[] {
    return Object.keys(this.#rows);
  }

  /** What an operation comes to. */
  answer(name: string, call: Buffer, args: readonly unknown[]): Answer {
    const end = this.#paths.begin();
    let answer: Answer = 0;
    try {
      if (!blindToNames.has(name)) {
        this.#hidden.removeAll();
      }
      answer = (this.#rows[name] as (call: Buffer, ...args: readonly unknown[]) => Answer)(
        call,
        ...native.withBytes(name, call, args),
      );
    } finally {
      if (typeof answer === "number") {
        end();
      }
    }
    return typeof answer === "number" ? answer : { ...answer, end };
  }

  /** What is still to be removed is. */
  finish(): void {
    this.#hidden.removeAll();
  }

  readonly #rows: Readonly<Record<string, Row>> = {
    init: nothing,
    getattr: (call, path: string) => {
      native.putAttributes(call, this.#attributesOf(path));
      return 0;
    },
    fgetattr: (call, path: string, file: number) => {
      const { node, handle } = this.#file(file);
      native.putAttributes(call, this.#shown(path, this.#fs.getAttributes(node, handle)));
      return 0;
    },
    statfs: (call, path: string) => {
      native.putStatistics(call, this.#fs.statistics(this.#node(path)));
      return 0;
    },
    readlink: (call, path: string) => {
      native.putLinkTarget(call, this.#fs.readLink(this.#node(path)));
      return 0;
    },
    readdir: (call, path: string) => {
      native.putListing(call, this.#list(this.#node(path)));
      return 0;
    },
    mknod: (_, path: string, mode: number, device: number) =>
      this.#make(path, ({ parent, name }) => {
        const isFile = (mode & FileType.mask) === FileType.regular;
        const creation = { mode: isFile && this.#forOthers ? mode & ~setIds : mode, umask: 0 };
        return this.#fs.makeNode(parent, name, creation, native.deviceOf(device), this.#caller);
      }),
    mkdir: (_, path: string, mode: number) =>
      this.#make(path, ({ parent, name }) => this.#fs.makeDirectory(parent, name, { mode, umask: 0 }, this.#caller)),
    symlink: (_, target: string, path: string) =>
      this.#make(path, ({ parent, name }) =>
        this.#fs.makeSymlink(parent, name, Buffer.from(target, "latin1"), this.#caller),
      ),
    link: (_, path: string, newPath: string) => {
      const node = this.#node(path);
      return this.#make(newPath, ({ parent, name }) => this.#fs.link(node, parent, name));
    },
    unlink: (_, path: string) => {
      const { parent, name } = this.#paths.placeOf(path);
      if (this.#hidden.find(name) === undefined) {
        this.#fs.removeFile(parent, name);
      }
      return 0;
    },
    rmdir: (_, path: string) => {
      const { parent, name } = this.#paths.placeOf(path);
      this.#fs.removeDirectory(parent, name);
      return 0;
    },
    rename: (_, path: string, newPath: string) => this.#rename(path, newPath),
    chmod: (_, path: string, mode: number) => this.#change(path, { mode: mode & 0o7777 }),
    chown: (_, path: string, uid: number, gid: number) =>
      this.#change(path, { ...(uid !== unchanged && { uid }), ...(gid !== unchanged && { gid }) }),
    truncate: (_, path: string, low: number, high: number) => this.#change(path, { size: low + high * two32 }),
    ftruncate: (_, _path: string, file: number, low: number, high: number) => {
      const { node, handle } = this.#file(file);
      return after(this.#fs.setAttributes(node, handle, { size: low + high * two32 }, this.#caller), nothing);
    },
    utimens: (call, path: string, low: number, high: number) =>
      this.#change(path, {
        atime: native.timeOf(BigInt.asIntN(64, BigInt(low) + BigInt(high) * BigInt(two32))),
        mtime: native.mtimeOf(call),
      }),
    open: (call, path: string, flags: number) => {
      const node = this.#node(path);
      const { handle, cache } = this.#fs.open(node, { flags, killSetIds: false });
      this.#files.set(++this.#lastFile, { node, handle, flags });
      native.putHandle(call, this.#lastFile, cache === "bypass");
      return 0;
    },
    read: (_, _path: string, file: number, into: Buffer, _size: number, low: number, high: number) => {
      const { node, handle } = this.#file(file);
      const found = this.#fs.read(node, handle, low + high * two32, into);
      return after(found instanceof FileRange ? found.read() : found, (count) => count, { into });
    },
    write: (_, _path: string, file: number, data: Buffer, _size: number, low: number, high: number) => {
      const { node, handle, flags } = this.#file(file);
      const request = { offset: low + high * two32, data, flags, killSetIds: false };
      return after(this.#fs.write(node, handle, request), (count) => count, { payload: data });
    },
    release: (_, _path: string, file: number) => {
      const { node, handle } = this.#file(file);
      this.#files.delete(file);
      this.#fs.release(node, handle);
      if (!this.#isOpen(node)) {
        this.#hidden.close(node);
      }
      return 0;
    },
    fsync: (_, _path: string, dataOnly: number, file: number) => {
      const { node, handle } = this.#file(file);
      return after(this.#fs.sync(node, handle, dataOnly !== 0), nothing);
    },
    fsyncdir: (_, path: string) => after(this.#fs.syncDirectory(this.#node(path)), nothing),
    getxattr: (_, path: string, name: string, into: Buffer) => {
      const node = this.#node(path);
      const value = this.#ownXattrs.get(node, name) ?? this.#fs.getXattr(node, name);
      if (value === undefined) {
        throw new FsError(Errno.ENODATA, name);
      }
      return fitInto(value, into);
    },
    setxattr: (_, path: string, name: string, value: Buffer, _position: number, flags: number) => {
      this.#fs.setXattr(this.#node(path), name, value, flags, false);
      return 0;
    },
    listxattr: (_, path: string, into: Buffer) => {
      const names = this.#fs.listXattrs(this.#node(path), this.#caller);
      return fitInto(Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1"), into);
    },
    removexattr: (_, path: string, name: string) => {
      this.#fs.removeXattr(this.#node(path), name);
      return 0;
    },
  };

  #node(path: string): NodeId {
    if (path === "/") {
      return rootNodeId;
    }
    const { parent, name } = this.#paths.placeOf(path);
    return this.#hidden.find(name) ?? this.#paths.find(parent, name).node;
  }

  #attributesOf(path: string): Attributes {
    return this.#shown(path, this.#fs.getAttributes(this.#node(path), undefined));
  }

  /** libfuse counts a hidden name as a link, and takes it off. */
  #shown(path: string, attributes: Attributes): Attributes {
    const name = path.slice(path.lastIndexOf("/") + 1);
    return this.#hidden.find(name) === undefined ? attributes : { ...attributes, nlink: attributes.nlink + 1 };
  }

  #file(file: number): OpenFile {
    const found = this.#files.get(file);
    if (found === undefined) {
      throw new FsError(Errno.EBADF, `open file ${file}`);
    }
    return found;
  }

  #isOpen(node: NodeId): boolean {
    return [...this.#files.values()].some((file) => file.node === node);
  }

  #make(path: string, make: (place: Place) => Parameters<Paths["hold"]>[0]): number {
    const place = this.#paths.placeOf(path);
    requireOrdinary(place.name);
    this.#paths.hold(make(place));
    return 0;
  }

  #change(
    path: string,
    changes: { mode?: number; uid?: number; gid?: number; size?: number; atime?: TimeChange; mtime?: TimeChange },
  ): Answer {
    return after(this.#fs.setAttributes(this.#node(path), undefined, changes, this.#caller), nothing);
  }

  #rename(path: string, newPath: string): number {
    const from = this.#paths.placeOf(path);
    const to = this.#paths.placeOf(newPath);
    this.#hidden.removeAll(to);
    if (this.#hidden.isHiding(from, to)) {
      this.#hide(from, to.name);
      return 0;
    }
    this.#hidden.replace(to, () => this.#fs.rename(from.parent, from.name, to.parent, to.name, 0));
    return 0;
  }

  #hide(place: Place, hiddenName: Name): void {
    const entry = this.#fs.lookup(place.parent, place.name);
    if (entry === undefined) {
      throw new FsError(Errno.ENOENT, place.name);
    }
    if (!this.#isOpen(entry.node)) {
      this.#paths.hold(entry);
      requireOrdinary(hiddenName);
    }
    this.#hidden.hide(place, entry.node, hiddenName);
  }

  #list(directory: NodeId): native.ListedName[] {
    const listed: native.ListedName[] = [];
    const sink: DirectorySink = {
      hasRoom: () => true,
      add: (name, ino, type) => {
        listed.push({ name, ino, type });
      },
      addWithEntry: () => undefined,
    };
    this.#fs.readDirectory(directory, 0, false, sink);
    return listed;
  }
}

/** The length of a value, which is put in the caller's buffer unless that is empty. @throws FsError ERANGE */
function fitInto(value: Buffer, into: Buffer): number {
  if (into.length > 0 && value.length > into.length) {
    throw new FsError(Errno.ERANGE, "an xattr that is larger than its buffer");
  }
  value.copy(into);
  return value.length;
}
