/** A small file system in memory, to try the transport without an overlay. It keeps no permissions: the kernel does. */
import type {
  AllocatedRange,
  AttributeChanges,
  Attributes,
  Creation,
  DirectorySink,
  Entry,
  FileSystemStatistics,
  Filesystem,
  Opened,
  OpenRequest,
  Time,
  WriteRequest,
} from "../../src/contract/filesystem.ts";
import { type Caller, FileType, type Name, rootNodeId } from "../../src/contract/ids.ts";
import type { Deferred } from "../../src/contract/slow.ts";
import { Errno, FsError } from "../../src/errno.ts";

const { O_TRUNC } = { O_TRUNC: 0o1000 };
const noDevice = { major: 0, minor: 0 };

export interface MemoryNode {
  readonly id: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  device: { readonly major: number; readonly minor: number };
  data: Buffer;
  atime: Time;
  mtime: Time;
  ctime: Time;
  readonly btime: Time;
  readonly children: Map<Name, MemoryNode>;
  readonly xattrs: Map<Name, Buffer>;
  /** How many lookups the kernel holds. */
  lookups: number;
}

function now(): Time {
  const ms = Date.now();
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 };
}

export class MemoryFilesystem implements Filesystem {
  readonly nodes = new Map<number, MemoryNode>();
  readonly openHandles = new Set<number>();
  destroyed = false;
  #lastNode = 0;
  #lastHandle = 0;

  constructor() {
    this.addNode(FileType.directory | 0o755, 0, 0);
  }

  addNode(mode: number, uid: number, gid: number): MemoryNode {
    const time = now();
    const node: MemoryNode = {
      id: ++this.#lastNode,
      mode,
      nlink: (mode & FileType.mask) === FileType.directory ? 2 : 1,
      uid,
      gid,
      device: noDevice,
      data: Buffer.alloc(0),
      atime: time,
      mtime: time,
      ctime: time,
      btime: time,
      children: new Map(),
      xattrs: new Map(),
      lookups: 0,
    };
    this.nodes.set(node.id, node);
    return node;
  }

  node(id: number): MemoryNode {
    const node = this.nodes.get(id);
    if (node === undefined) {
      throw new FsError(Errno.ESTALE, `node ${id}`);
    }
    return node;
  }

  child(parent: number, name: Name): MemoryNode {
    const node = this.node(parent).children.get(name);
    if (node === undefined) {
      throw new FsError(Errno.ENOENT, name);
    }
    return node;
  }

  attributes(node: MemoryNode): Attributes {
    return {
      ino: node.id,
      mode: node.mode,
      nlink: node.nlink,
      uid: node.uid,
      gid: node.gid,
      rdevMajor: node.device.major,
      rdevMinor: node.device.minor,
      size: node.data.length,
      blocks: Math.ceil(node.data.length / 512),
      blksize: 4096,
      atime: node.atime,
      mtime: node.mtime,
      ctime: node.ctime,
      btime: node.btime,
      attributes: 0,
      attributesMask: 0,
    };
  }

  entry(node: MemoryNode): Entry {
    node.lookups++;
    return { node: node.id, attributes: this.attributes(node) };
  }

  forget(id: number, count: number): void {
    const node = this.nodes.get(id);
    if (node !== undefined && id !== rootNodeId) {
      node.lookups -= count;
      if (node.lookups <= 0 && node.nlink === 0) {
        this.nodes.delete(id);
      }
    }
  }

  lookup(parent: number, name: Name): Entry | undefined {
    const node = this.node(parent).children.get(name);
    return node && this.entry(node);
  }

  getAttributes(id: number, _handle: number | undefined): Attributes {
    return this.attributes(this.node(id));
  }

  setAttributes(id: number, _handle: number | undefined, changes: AttributeChanges): Attributes {
    const node = this.node(id);
    const time = now();
    if (changes.mode !== undefined) {
      node.mode = (node.mode & FileType.mask) | changes.mode;
    }
    node.uid = changes.uid ?? node.uid;
    node.gid = changes.gid ?? node.gid;
    if (changes.size !== undefined) {
      this.#resize(node, changes.size);
    }
    node.atime = changes.atime === "now" ? time : (changes.atime ?? node.atime);
    node.mtime = changes.mtime === "now" ? time : (changes.mtime ?? node.mtime);
    if (changes.killSetIds) {
      node.mode &= ~0o4000;
    }
    node.ctime = time;
    return this.attributes(node);
  }

  readLink(id: number): Buffer {
    return this.node(id).data;
  }

  makeSymlink(parent: number, name: Name, target: Buffer, caller: Caller): Entry {
    const node = this.#add(parent, name, FileType.symlink | 0o777, caller);
    node.data = target;
    return this.entry(node);
  }

  makeNode(parent: number, name: Name, creation: Creation, device: MemoryNode["device"], caller: Caller): Entry {
    const node = this.#add(parent, name, creation.mode & ~creation.umask, caller);
    node.device = device;
    return this.entry(node);
  }

  makeDirectory(parent: number, name: Name, creation: Creation, caller: Caller): Entry {
    return this.entry(this.#add(parent, name, FileType.directory | (creation.mode & ~creation.umask), caller));
  }

  link(id: number, newParent: number, newName: Name): Entry {
    const node = this.node(id);
    this.node(newParent).children.set(newName, node);
    node.nlink++;
    return this.entry(node);
  }

  removeFile(parent: number, name: Name): void {
    this.child(parent, name).nlink--;
    this.node(parent).children.delete(name);
  }

  removeDirectory(parent: number, name: Name): void {
    const node = this.child(parent, name);
    if (node.children.size > 0) {
      throw new FsError(Errno.ENOTEMPTY, name);
    }
    node.nlink = 0;
    this.node(parent).children.delete(name);
  }

  rename(parent: number, name: Name, newParent: number, newName: Name, flags: number): void {
    const from = this.node(parent).children;
    const to = this.node(newParent).children;
    const node = this.child(parent, name);
    const target = to.get(newName);
    if (flags === 1 && target !== undefined) {
      throw new FsError(Errno.EEXIST, newName);
    }
    if (flags === 0 && target !== undefined && target.children.size > 0) {
      throw new FsError(Errno.ENOTEMPTY, newName);
    }
    from.delete(name);
    to.set(newName, node);
    if (flags === 2 && target !== undefined) {
      from.set(name, target);
    } else if (target !== undefined) {
      target.nlink--;
    }
  }

  open(id: number, request: OpenRequest): Opened {
    if (request.flags & O_TRUNC) {
      this.#resize(this.node(id), 0);
    }
    return this.#opened();
  }

  create(parent: number, name: Name, creation: Creation, _: OpenRequest, caller: Caller): Entry & Opened {
    const node = this.#add(parent, name, FileType.regular | (creation.mode & ~creation.umask), caller);
    return { ...this.entry(node), ...this.#opened() };
  }

  createUnnamed(_parent: number, creation: Creation, _: OpenRequest, caller: Caller): Entry & Opened {
    const node = this.addNode(FileType.regular | (creation.mode & ~creation.umask), caller.uid, caller.gid);
    node.nlink = 0;
    return { ...this.entry(node), ...this.#opened() };
  }

  read(id: number, _handle: number, offset: number, into: Buffer): number | Deferred<number> {
    return this.node(id)
      .data.subarray(offset, offset + into.length)
      .copy(into);
  }

  write(id: number, _handle: number, request: WriteRequest): number | Deferred<number> {
    const node = this.node(id);
    const end = request.offset + request.data.length;
    if (end > node.data.length) {
      this.#resize(node, end);
    }
    request.data.copy(node.data, request.offset);
    node.mtime = now();
    return request.data.length;
  }

  release(_id: number, handle: number): void {
    this.openHandles.delete(handle);
  }

  sync(_id: number, _handle: number, _dataOnly: boolean): undefined | Deferred<undefined> {
    return undefined;
  }

  allocate(id: number, _handle: number, { mode, offset, length }: AllocatedRange): undefined {
    const node = this.node(id);
    if (mode !== 0) {
      throw new FsError(Errno.EOPNOTSUPP, `fallocate mode ${mode}`);
    }
    this.#resize(node, Math.max(node.data.length, offset + length));
  }

  seek(id: number, _handle: number, offset: number, whence: number): number {
    const { length } = this.node(id).data;
    if (offset >= length) {
      throw new FsError(Errno.ENXIO, "seek");
    }
    return whence === 3 ? offset : length;
  }

  copyRange(
    from: { node: number; offset: number },
    to: { node: number; handle: number; offset: number },
    length: number,
  ): number | Deferred<number> {
    const data = this.node(from.node).data.subarray(from.offset, from.offset + length);
    return this.write(to.node, to.handle, { offset: to.offset, data, flags: 0, killSetIds: false });
  }

  readDirectory(id: number, offset: number, withEntries: boolean, sink: DirectorySink): void {
    const listed = [[".", undefined] as const, ["..", undefined] as const, ...this.node(id).children];
    for (let i = offset; i < listed.length; i++) {
      const [name, node] = listed[i] as [Name, MemoryNode | undefined];
      if (!sink.hasRoom(name)) {
        return;
      }
      const mode = node?.mode ?? FileType.directory;
      const ino = node?.id ?? id;
      if (withEntries) {
        sink.addWithEntry(name, ino, mode & FileType.mask, i + 1, node && this.entry(node));
      } else {
        sink.add(name, ino, mode & FileType.mask, i + 1);
      }
    }
  }

  syncDirectory(_id: number): undefined {
    return undefined;
  }

  statistics(_id: number): FileSystemStatistics {
    return {
      blocks: 1000,
      blocksFree: 600,
      blocksAvailable: 500,
      files: 100,
      filesFree: 90,
      bsize: 4096,
      frsize: 1024,
      nameMax: 255,
    };
  }

  syncAll(): undefined {
    return undefined;
  }

  getXattr(id: number, name: Name): Buffer | undefined {
    return this.node(id).xattrs.get(name);
  }

  setXattr(id: number, name: Name, value: Buffer, _flags: number, _killSetGid: boolean): void {
    this.node(id).xattrs.set(name, Buffer.from(value));
  }

  listXattrs(id: number): readonly Name[] {
    return [...this.node(id).xattrs.keys()];
  }

  removeXattr(id: number, name: Name): void {
    if (!this.node(id).xattrs.delete(name)) {
      throw new FsError(Errno.ENODATA, name);
    }
  }

  ioctl(_id: number, command: number, input: Buffer, outputSize: number): Buffer {
    if (command !== 0x80086601) {
      throw new FsError(Errno.ENOTTY, `ioctl ${command}`);
    }
    // FS_IOC_GETFLAGS: append only and no dump, for the test to recognise
    const output = Buffer.alloc(outputSize);
    output.writeUInt32LE(0x60 | (input.length * 0), 0);
    return output;
  }

  destroy(): void {
    this.destroyed = true;
  }

  #add(parent: number, name: Name, mode: number, caller: Caller): MemoryNode {
    const { children } = this.node(parent);
    if (children.has(name)) {
      throw new FsError(Errno.EEXIST, name);
    }
    const node = this.addNode(mode, caller.uid, caller.gid);
    children.set(name, node);
    return node;
  }

  #opened(): Opened {
    const handle = ++this.#lastHandle;
    this.openHandles.add(handle);
    return { handle, cache: "keep" };
  }

  #resize(node: MemoryNode, size: number): void {
    if (size > 1 << 26) {
      throw new FsError(Errno.EFBIG, "memory file");
    }
    const data = Buffer.alloc(size);
    node.data.copy(data);
    node.data = data;
  }
}
