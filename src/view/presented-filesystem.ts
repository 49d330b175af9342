/** A file system shown otherwise than it is stored: each method hands on, with what the presenter makes of ids, counts and xattrs. */

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
import type { Caller, HandleId, Name, NodeId } from "../contract/ids.ts";
import type { Presentation } from "../contract/presentation.ts";
import { Deferred } from "../contract/slow.ts";
import { Presenter } from "./presenter.ts";

export class PresentedFilesystem implements Filesystem {
  readonly #stored: Filesystem;
  readonly #presenter: Presenter;

  constructor(stored: Filesystem, how: Presentation) {
    this.#stored = stored;
    this.#presenter = new Presenter(how);
  }

  forget(node: NodeId, count: number): void {
    this.#stored.forget(node, count);
  }

  lookup(parent: NodeId, name: Name): Entry | undefined {
    const found = this.#stored.lookup(parent, name);
    return found && this.#presenter.entry(found);
  }

  getAttributes(node: NodeId, handle: HandleId | undefined): Attributes {
    return this.#presenter.attributes(this.#stored.getAttributes(node, handle));
  }

  setAttributes(
    node: NodeId,
    handle: HandleId | undefined,
    changes: AttributeChanges,
    caller: Caller,
  ): Attributes | Deferred<Attributes> {
    const result = this.#stored.setAttributes(node, handle, this.#presenter.changes(changes), caller);
    return result instanceof Deferred
      ? new Deferred(result.job, (outcome) => this.#presenter.attributes(result.finish(outcome)))
      : this.#presenter.attributes(result);
  }

  readLink(node: NodeId): Buffer {
    return this.#stored.readLink(node);
  }

  makeSymlink(parent: NodeId, name: Name, target: Buffer, caller: Caller): Entry {
    return this.#presenter.entry(this.#stored.makeSymlink(parent, name, target, this.#presenter.owner(caller)));
  }

  makeNode(
    parent: NodeId,
    name: Name,
    creation: Creation,
    device: { readonly major: number; readonly minor: number },
    caller: Caller,
  ): Entry {
    return this.#presenter.entry(this.#stored.makeNode(parent, name, creation, device, this.#presenter.owner(caller)));
  }

  makeDirectory(parent: NodeId, name: Name, creation: Creation, caller: Caller): Entry {
    return this.#presenter.entry(this.#stored.makeDirectory(parent, name, creation, this.#presenter.owner(caller)));
  }

  link(node: NodeId, newParent: NodeId, newName: Name): Entry {
    return this.#presenter.entry(this.#stored.link(node, newParent, newName));
  }

  removeFile(parent: NodeId, name: Name): void {
    this.#stored.removeFile(parent, name);
  }

  removeDirectory(parent: NodeId, name: Name): void {
    this.#stored.removeDirectory(parent, name);
  }

  rename(parent: NodeId, name: Name, newParent: NodeId, newName: Name, flags: number): void {
    this.#stored.rename(parent, name, newParent, newName, flags);
  }

  open(node: NodeId, request: OpenRequest): Opened {
    return this.#stored.open(node, request);
  }

  create(parent: NodeId, name: Name, creation: Creation, request: OpenRequest, caller: Caller): Entry & Opened {
    return this.#presenter.entry(this.#stored.create(parent, name, creation, request, this.#presenter.owner(caller)));
  }

  createUnnamed(parent: NodeId, creation: Creation, request: OpenRequest, caller: Caller): Entry & Opened {
    return this.#presenter.entry(this.#stored.createUnnamed(parent, creation, request, this.#presenter.owner(caller)));
  }

  read(node: NodeId, handle: HandleId, offset: number, into: Buffer): number | Deferred<number> | FileRange {
    return this.#stored.read(node, handle, offset, into);
  }

  write(node: NodeId, handle: HandleId, request: WriteRequest): number | Deferred<number> {
    return this.#stored.write(node, handle, request);
  }

  release(node: NodeId, handle: HandleId): void {
    this.#stored.release(node, handle);
  }

  sync(node: NodeId, handle: HandleId, dataOnly: boolean): undefined | Deferred<undefined> {
    return this.#stored.sync(node, handle, dataOnly);
  }

  allocate(node: NodeId, handle: HandleId, range: AllocatedRange, caller: Caller): undefined | Deferred<undefined> {
    return this.#stored.allocate(node, handle, range, caller);
  }

  seek(node: NodeId, handle: HandleId, offset: number, whence: number): number {
    return this.#stored.seek(node, handle, offset, whence);
  }

  copyRange(
    from: { readonly node: NodeId; readonly handle: HandleId; readonly offset: number },
    to: { readonly node: NodeId; readonly handle: HandleId; readonly offset: number },
    length: number,
    caller: Caller,
  ): number | Deferred<number> {
    return this.#stored.copyRange(from, to, length, caller);
  }

  readDirectory(node: NodeId, offset: number, withEntries: boolean, sink: DirectorySink): void {
    this.#stored.readDirectory(node, offset, withEntries, {
      hasRoom: (name) => sink.hasRoom(name),
      add: (name, ino, type, next) => sink.add(name, ino, type, next),
      addWithEntry: (name, ino, type, next, entry) =>
        sink.addWithEntry(name, ino, type, next, entry && this.#presenter.entry(entry)),
    });
  }

  syncDirectory(node: NodeId): undefined | Deferred<undefined> {
    return this.#stored.syncDirectory(node);
  }

  statistics(node: NodeId): FileSystemStatistics {
    return this.#stored.statistics(node);
  }

  syncAll(): undefined | Deferred<undefined> {
    return this.#stored.syncAll();
  }

  getXattr(node: NodeId, name: Name): Buffer | undefined {
    const value = this.#presenter.mayHave(name) ? this.#stored.getXattr(node, name) : undefined;
    return value && this.#presenter.shownXattr(name, value);
  }

  setXattr(node: NodeId, name: Name, value: Buffer, flags: number, killSetGid: boolean): void {
    this.#presenter.requireXattr(name);
    this.#stored.setXattr(node, name, this.#presenter.storedXattr(name, value), flags, killSetGid);
  }

  listXattrs(node: NodeId, caller: Caller): readonly Name[] {
    this.#presenter.requireXattrs();
    return this.#presenter.names(this.#stored.listXattrs(node, caller));
  }

  removeXattr(node: NodeId, name: Name): void {
    this.#presenter.requireXattr(name);
    this.#stored.removeXattr(node, name);
  }

  ioctl(node: NodeId, command: number, input: Buffer, outputSize: number): Buffer {
    return this.#stored.ioctl(node, command, input, outputSize);
  }

  destroy(): void {
    this.#stored.destroy();
  }
}
