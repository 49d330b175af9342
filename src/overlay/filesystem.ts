/** The overlay as a transport sees it: each operation finds its nodes, calls the concern, and replies. */

import type { FileRange } from "../contract/file-range.ts";
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
  WriteRequest,
} from "../contract/filesystem.ts";
import { HandleKind, isOfKind } from "../contract/handle.ts";
import { type Caller, FileType, type HandleId, type Name, type NodeId } from "../contract/ids.ts";
import type { Deferred } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import { getAttributes, isAnnouncement, setAttributes } from "./attributes.ts";
import { copyUp } from "./copy-up.ts";
import { create, createUnnamed, link, type Made, type NewObject } from "./create.ts";
import { allocate, copyRange, read, sync, write } from "./data.ts";
import { readDirectory } from "./directory.ts";
import { fileFlagsIoctl } from "./file-flags.ts";
import { killSetIds } from "./metadata.ts";
import type { Node } from "./node.ts";
import { OpenFiles, requireOpenable } from "./open-files.ts";
import { OpenFlag, opensForChange } from "./open-flags.ts";
import { Overlay, type OverlayOptions } from "./overlay.ts";
import { announceWrite, requireDataFree } from "./passthrough.ts";
import { removeDirectory, removeFile } from "./remove.ts";
import { rename } from "./rename.ts";
import { findNodeAndStat } from "./resolver.ts";
import { syncDirectory, syncUpper } from "./sync.ts";
import { getXattr, listXattrs, removeXattr, setXattr } from "./xattrs.ts";

/** A symlink has no permissions of its own. */
const anyMode: Creation = { mode: 0o777, umask: 0 };

export class OverlayFilesystem implements Filesystem {
  readonly #overlay: Overlay;
  readonly #files: OpenFiles;

  /** @throws FsError when a layer can't be read or the workdir can't be prepared */
  constructor(options: OverlayOptions) {
    this.#overlay = new Overlay(options);
    this.#files = new OpenFiles(this.#overlay);
  }

  forget(node: NodeId, count: number): void {
    const known = this.#overlay.nodes.find(node);
    if (known !== undefined) {
      this.#overlay.nodes.forget(known, count);
    }
  }

  lookup(parent: NodeId, name: Name): Entry | undefined {
    const found = findNodeAndStat(this.#overlay, this.#node(parent), name);
    return found === undefined ? undefined : this.#overlay.entry(found.node, found.stat);
  }

  getAttributes(node: NodeId): Attributes {
    return getAttributes(this.#overlay, this.#node(node));
  }

  setAttributes(node: NodeId, handle: HandleId | undefined, changes: AttributeChanges, caller: Caller): Attributes {
    const changed = this.#node(node);
    if (isAnnouncement(changes)) {
      announceWrite(this.#overlay, changed, caller);
      return getAttributes(this.#overlay, changed);
    }
    return setAttributes(this.#overlay, changed, changes, handle !== undefined);
  }

  readLink(node: NodeId): Buffer {
    const { layer, path } = this.#overlay.place(this.#node(node));
    return layer.readLink(path);
  }

  makeSymlink(parent: NodeId, name: Name, target: Buffer, caller: Caller): Entry {
    return this.#make(parent, name, { type: FileType.symlink, target }, anyMode, caller);
  }

  makeNode(
    parent: NodeId,
    name: Name,
    creation: Creation,
    device: { readonly major: number; readonly minor: number },
    caller: Caller,
  ): Entry {
    return this.#make(parent, name, newNode(creation.mode, device), creation, caller);
  }

  makeDirectory(parent: NodeId, name: Name, creation: Creation, caller: Caller): Entry {
    return this.#make(parent, name, { type: FileType.directory }, creation, caller);
  }

  link(node: NodeId, newParent: NodeId, newName: Name): Entry {
    const linked = this.#node(node);
    return this.#overlay.entry(linked, link(this.#overlay, linked, this.#node(newParent), newName));
  }

  removeFile(parent: NodeId, name: Name): void {
    const from = this.#node(parent);
    this.#naming([{ parent: from, name }], () => removeFile(this.#overlay, from, name));
  }

  removeDirectory(parent: NodeId, name: Name): void {
    const from = this.#node(parent);
    this.#naming([{ parent: from, name }], () => removeDirectory(this.#overlay, from, name));
  }

  rename(parent: NodeId, name: Name, newParent: NodeId, newName: Name, flags: number): void {
    const from = { parent: this.#node(parent), name };
    const to = { parent: this.#node(newParent), name: newName };
    this.#naming([from, to], () => rename(this.#overlay, from, to, flags));
  }

  open(node: NodeId, request: OpenRequest): Opened {
    const opened = this.#node(node);
    const forChange = opensForChange(request.flags);
    requireOpenable(this.#overlay, opened, request.flags);
    if (forChange) {
      requireDataFree(opened);
    }
    if ((request.flags & OpenFlag.truncate) !== 0) {
      const handle = this.#openEmptied(opened, request.killSetIds);
      return this.#files.opened(opened, handle, request.flags);
    }
    if (forChange) {
      copyUp(this.#overlay, opened, "keep");
    }
    return this.#files.opened(opened, this.#files.open(opened, forChange), request.flags);
  }

  create(parent: NodeId, name: Name, creation: Creation, request: OpenRequest, caller: Caller): Entry & Opened {
    const made = create(this.#overlay, this.#node(parent), name, { type: FileType.regular }, creation, caller);
    return this.#openMade(made, request);
  }

  createUnnamed(parent: NodeId, creation: Creation, request: OpenRequest, caller: Caller): Entry & Opened {
    return this.#openMade(createUnnamed(this.#overlay, this.#node(parent), creation, caller), request);
  }

  read(node: NodeId, handle: HandleId, offset: number, into: Buffer): number | Deferred<number> | FileRange {
    return read(this.#node(node), { file: this.#files.file(handle), handle }, offset, into);
  }

  write(node: NodeId, handle: HandleId, request: WriteRequest): number | Deferred<number> {
    const written = this.#node(node);
    const file = this.#files.writableFile(written, handle);
    if (isOfKind(handle, HandleKind.appending) && (request.flags & OpenFlag.append) === 0) {
      throw new FsError(Errno.EPERM, "fcntl took O_APPEND from the handle of an append-only file");
    }
    return write(this.#overlay, written, { file, handle }, request);
  }

  release(_node: NodeId, handle: HandleId): void {
    this.#files.release(handle);
  }

  sync(node: NodeId, handle: HandleId, dataOnly: boolean): undefined | Deferred<undefined> {
    return sync(this.#overlay, this.#node(node), this.#files.file(handle), dataOnly);
  }

  allocate(node: NodeId, handle: HandleId, range: AllocatedRange, caller: Caller): Deferred<undefined> {
    const allocated = this.#node(node);
    return allocate(this.#overlay, allocated, this.#files.writableFile(allocated, handle), range, caller);
  }

  seek(_node: NodeId, handle: HandleId, offset: number, whence: number): number {
    return this.#files.file(handle).seek(offset, whence);
  }

  copyRange(
    from: { readonly node: NodeId; readonly handle: HandleId; readonly offset: number },
    to: { readonly node: NodeId; readonly handle: HandleId; readonly offset: number },
    length: number,
    caller: Caller,
  ): Deferred<number> {
    const source = { file: this.#files.file(from.handle), offset: from.offset };
    const node = this.#node(to.node);
    const target = { node, file: this.#files.writableFile(node, to.handle), offset: to.offset };
    return copyRange(this.#overlay, source, target, length, caller);
  }

  readDirectory(node: NodeId, offset: number, withEntries: boolean, sink: DirectorySink): void {
    readDirectory(this.#overlay, this.#node(node), offset, withEntries, sink);
  }

  syncDirectory(node: NodeId): undefined | Deferred<undefined> {
    return syncDirectory(this.#overlay, this.#node(node));
  }

  statistics(_node: NodeId): FileSystemStatistics {
    const { layer } = this.#overlay.place(this.#overlay.nodes.root);
    return layer.statistics();
  }

  syncAll(): undefined | Deferred<undefined> {
    return syncUpper(this.#overlay);
  }

  getXattr(node: NodeId, name: Name): Buffer | undefined {
    return getXattr(this.#overlay, this.#node(node), name);
  }

  setXattr(node: NodeId, name: Name, value: Buffer, flags: number, killSetGid: boolean): void {
    setXattr(this.#overlay, this.#node(node), name, value, flags, killSetGid);
  }

  listXattrs(node: NodeId, caller: Caller): readonly Name[] {
    return listXattrs(this.#overlay, this.#node(node), caller);
  }

  removeXattr(node: NodeId, name: Name): void {
    removeXattr(this.#overlay, this.#node(node), name);
  }

  ioctl(node: NodeId, command: number, input: Buffer): Buffer {
    return fileFlagsIoctl(this.#overlay, this.#node(node), command, input);
  }

  destroy(): void {
    this.#files.closeAll();
    this.#overlay.close();
  }

  #node(id: NodeId) {
    return this.#overlay.nodes.get(id);
  }

  /** Makes a change of names. What bears one that the kernel has never looked up is not known longer than that. */
  #naming(names: readonly { readonly parent: Node; readonly name: Name }[], change: () => void): void {
    try {
      change();
    } finally {
      for (const { parent, name } of names) {
        const node = parent.directory?.children.get(name);
        if (node !== undefined) {
          this.#overlay.nodes.dropIfUnused(node);
        }
      }
    }
  }

  #make(parent: NodeId, name: Name, object: NewObject, creation: Creation, caller: Caller): Entry {
    const { node, stat, file } = create(this.#overlay, this.#node(parent), name, object, creation, caller);
    file?.close();
    return this.#overlay.entry(node, stat);
  }

  #openMade({ node, stat, file }: Made, { flags }: OpenRequest): Entry & Opened {
    if (file === undefined) {
      throw new FsError(Errno.EIO, "a new file without a descriptor");
    }
    const opened = this.#files.opened(node, this.#files.adopt(node, file), flags, stat.mode);
    const { attributes } = this.#overlay.entry(node, stat);
    return { node: node.id, attributes, handle: opened.handle, cache: opened.cache, backing: opened.backing };
  }

  /** Open with O_TRUNC. The handle comes first: once the file is empty nothing is left that could fail. */
  #openEmptied(node: Node, killsSetIds: boolean): HandleId {
    const wasUpper = node.upper;
    if (wasUpper) {
      copyUp(this.#overlay, node, "keep");
    }
    const handle = this.#files.open(node, wasUpper);
    try {
      if (!wasUpper) {
        copyUp(this.#overlay, node, { killsSetIds });
      } else {
        if (killsSetIds) {
          killSetIds(this.#overlay.upperPlace(node));
        }
        // Unlike truncate(2) this moves mtime also when the file is empty already.
        this.#files.file(handle).truncate(0);
      }
    } catch (error) {
      this.#files.release(handle);
      throw error;
    }
    return handle;
  }
}

/** @throws EINVAL for a type that mknod can't make; EPERM for a whiteout */
function newNode(mode: number, device: { readonly major: number; readonly minor: number }): NewObject {
  const type = mode & FileType.mask;
  switch (type) {
    case 0:
      return { type: FileType.regular };
    case FileType.regular:
    case FileType.fifo:
    case FileType.socket:
      return { type };
    case FileType.character:
      if (device.major === 0 && device.minor === 0) {
        // In the upper it would be taken for a whiteout.
        throw new FsError(Errno.EPERM, "mknod of a whiteout");
      }
      return { type, ...device };
    case FileType.block:
      return { type, ...device };
    default:
      throw new FsError(Errno.EINVAL, "mknod of this type");
  }
}
