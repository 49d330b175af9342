/**
 * A layer that is a directory tree on disk, reached through one descriptor of its root and never by its path.
 * Opening a layer isolates it from all mounts where the kernel allows it.
 */
import type { FileSystemStatistics, TimeChange } from "../contract/filesystem.ts";
import type { Name } from "../contract/ids.ts";
import { type Job, JobCall } from "../contract/slow.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import { listDirectory } from "../sys/directory.ts";
import { truncateObject } from "../sys/file-data.ts";
import { fileHandleAt, fileSystemUuid, statByHandle } from "../sys/file-handle.ts";
import {
  changeMode,
  changeOwner,
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  readLink,
  removeDirectory,
  rename,
  setTimes,
  unlink,
} from "../sys/names.ts";
import { closeDescriptor, descriptorPath, duplicate, OpenFlag, openAt, workingDirectory } from "../sys/open.ts";
import { openReadOnlyTree, openWritablePair, type TreeRoot } from "../sys/private-tree.ts";
import { findStat, statAt } from "../sys/stat.ts";
import { statFileSystem } from "../sys/statfs.ts";
import { getXattr, listXattrs, removeXattr, setXattr } from "../sys/xattr.ts";
import { DiskFile, type OfLayer } from "./disk-file.ts";
import type { LayerFile, LayerPath, ListedName, Stat, WritableLayer } from "./layer.ts";
import { asOwner, concernedBy, directoriesAmong } from "./owner-access.ts";
import { walk } from "./walk.ts";

/** What the layer knows of its root beyond the descriptor. Plain data: hand it on with `fd` to rebuild it elsewhere. */
export interface LayerTraits {
  /** No mount, present or later, shows beneath the root. A mountpoint inside a layer without this would deadlock. */
  readonly isolated: boolean;
  /** Reads are to leave atime alone, and the kernel doesn't see to it. */
  readonly sparesAtime: boolean;
  /** The kernel itself follows no symlink below the root; else paths are walked name by name. */
  readonly confined: boolean;
  /** The UUID of the file system is not to be known. */
  readonly withoutUuid?: boolean;
  /** Owners come through an id-mapped mount. */
  readonly idMapped?: boolean;
}

/** Opening neither follows a symlink nor waits for the other end of a FIFO. */
const careful = OpenFlag.noFollow | OpenFlag.nonBlock;

/** openat(2), also of an O_PATH descriptor's own object, which only its magic link can open. */
function openObject(fd: number, path: string, flags: number): number {
  return path === ""
    ? openAt(workingDirectory, descriptorPath(fd), (flags & ~OpenFlag.noFollow) | OpenFlag.nonBlock)
    : openAt(fd, path, flags | careful);
}

export class DirectoryLayer implements WritableLayer {
  readonly fd: number;
  readonly traits: LayerTraits;
  readonly overridesStat: boolean = false;
  /** Of an anchor: the layer that it came from, which answers for the whole file system. */
  readonly #origin: DirectoryLayer | undefined;
  readonly #ofFiles: OfLayer;
  #uuid: Buffer | null | undefined;
  #closed = false;

  /**
   * @param fd of a directory, or O_PATH of any object; `close` closes it
   * @param traits of the layer that is rebuilt; by default those of a plain, unprotected directory
   */
  constructor(
    fd: number,
    traits: LayerTraits = { isolated: false, sparesAtime: false, confined: false },
    origin: DirectoryLayer | undefined = undefined,
  ) {
    this.fd = fd;
    this.traits = traits;
    this.#origin = origin;
    this.#ofFiles = {
      passable: !traits.sparesAtime,
      /* By O_PATH, not a duplicate: that would count as one more writer of the file. */
      makeAnchor: (file) =>
        this.anchored(openAt(workingDirectory, descriptorPath(file), OpenFlag.path), this.#origin ?? this),
      sharing: { isPossible: true },
    };
  }

  get isolated(): boolean {
    return this.traits.isolated;
  }

  stat(path: LayerPath): Stat {
    return walk(this, path, statAt);
  }

  find(path: LayerPath): Stat | undefined {
    try {
      return walk(this, path, findStat);
    } catch (error) {
      if (isErrno(error, Errno.ENOENT)) {
        return undefined;
      }
      throw error;
    }
  }

  list(path: LayerPath): ListedName[] {
    const directory = this.#withAccess(path, () => this.#openForReading(path === "" ? "." : path, OpenFlag.directory));
    try {
      const entries = listDirectory(directory);
      return entries.some((entry) => entry.type === 0) ? withTypes(directory, entries) : entries;
    } finally {
      closeDescriptor(directory);
    }
  }

  readLink(path: LayerPath): Buffer {
    return walk(this, path, readLink);
  }

  getXattr(path: LayerPath, name: Name): Buffer | undefined {
    return walk(this, path, (fd, rest) => getXattr(fd, rest, name));
  }

  listXattrs(path: LayerPath): Name[] {
    return walk(this, path, listXattrs);
  }

  openFile(path: LayerPath, writable: boolean): LayerFile {
    const open = () => (writable ? this.#openForWriting(path) : this.#openForReading(path, 0));
    return this.#file(this.#withAccess(path, open), writable);
  }

  openDirectory(path: LayerPath): LayerFile {
    const open = () => this.#openForReading(path === "" ? "." : path, OpenFlag.directory);
    return this.#file(this.#withAccess(path, open), false);
  }

  anchor(path: LayerPath): DirectoryLayer {
    const fd =
      path === ""
        ? duplicate(this.fd)
        : walk(this, path, (at, rest) => openAt(at, rest, OpenFlag.path | OpenFlag.noFollow));
    return this.anchored(fd, this.#origin ?? this);
  }

  /** A layer of this kind over one object. */
  protected anchored(fd: number, origin: DirectoryLayer): DirectoryLayer {
    return new DirectoryLayer(fd, this.traits, origin);
  }

  fileHandle(path: LayerPath): { type: number; bytes: Buffer; uuid: Buffer | null } | undefined {
    const handle = walk(this, path, fileHandleAt);
    return handle === undefined ? undefined : { type: handle.type, bytes: handle.bytes, uuid: this.uuid() };
  }

  statByHandle(type: number, bytes: Buffer): Stat | undefined {
    return this.#withReadableRoot((fd) => statByHandle(fd, { type, bytes }));
  }

  uuid(): Buffer | null {
    if (this.traits.withoutUuid) {
      return null;
    }
    if (this.#origin !== undefined) {
      return this.#origin.uuid();
    }
    if (this.#uuid === undefined) {
      this.#uuid = this.#withReadableRoot(fileSystemUuid);
    }
    return this.#uuid;
  }

  statistics(): FileSystemStatistics {
    return statFileSystem(this.fd);
  }

  /** Closing an anchored layer leaves its anchors as they are, but for what they ask of the whole file system. */
  close(): void {
    if (!this.#closed) {
      this.#closed = true;
      closeDescriptor(this.fd);
    }
  }

  createFile(path: LayerPath, mode: number): LayerFile {
    const flags = OpenFlag.readWrite | OpenFlag.create | OpenFlag.exclusive | OpenFlag.noFollow;
    return this.#file(
      walk(this, path, (fd, rest) => openAt(fd, rest, flags, mode)),
      true,
    );
  }

  createUnnamedFile(path: LayerPath, mode: number): LayerFile {
    const flags = OpenFlag.readWrite | OpenFlag.unnamed | OpenFlag.noFollow;
    return this.#file(
      walk(this, path === "" ? "." : path, (fd, rest) => openAt(fd, rest, flags, mode)),
      true,
    );
  }

  makeDirectory(path: LayerPath, mode: number): void {
    walk(this, path, (fd, rest) => makeDirectory(fd, rest, mode));
  }

  makeNode(path: LayerPath, mode: number, major: number, minor: number): void {
    walk(this, path, (fd, rest) => makeNode(fd, rest, mode, major, minor));
  }

  makeSymlink(path: LayerPath, target: Buffer): void {
    walk(this, path, (fd, rest) => makeSymlink(target.toString("latin1"), fd, rest));
  }

  link(path: LayerPath, to: WritableLayer, toPath: LayerPath): void {
    this.#withBoth(path, to, toPath, link);
  }

  unlink(path: LayerPath): void {
    walk(this, path, unlink);
  }

  removeDirectory(path: LayerPath): void {
    walk(this, path, removeDirectory);
  }

  rename(path: LayerPath, to: WritableLayer, toPath: LayerPath, flags: number): void {
    asOwner(
      () => directoriesAmong(...concernedBy(this, path), ...concernedBy(to, toPath)),
      () => this.#withBoth(path, to, toPath, (fd, rest, toFd, toRest) => rename(fd, rest, toFd, toRest, flags)),
    );
  }

  chmod(path: LayerPath, mode: number): void {
    if (path === "" || this.traits.confined) {
      walk(this, path, (fd, rest) => changeMode(fd, rest, mode));
      return;
    }
    /* chmod(2) alone follows a final symlink. */
    const object = this.anchor(path);
    try {
      object.chmod("", mode);
    } finally {
      object.close();
    }
  }

  chown(path: LayerPath, uid: number | undefined, gid: number | undefined): void {
    walk(this, path, (fd, rest) => changeOwner(fd, rest, uid, gid));
  }

  setTimes(path: LayerPath, atime: TimeChange | undefined, mtime: TimeChange | undefined): void {
    walk(this, path, (fd, rest) => setTimes(fd, rest, atime, mtime));
  }

  truncate(path: LayerPath, size: number): void {
    const fd = walk(this, path, (at, rest) => openObject(at, rest, OpenFlag.writeOnly));
    try {
      truncateObject(fd, size);
    } finally {
      closeDescriptor(fd);
    }
  }

  setXattr(path: LayerPath, name: Name, value: Buffer, flags: number): void {
    this.#withAccess(path, () => walk(this, path, (fd, rest) => setXattr(fd, rest, name, value, flags)));
  }

  removeXattr(path: LayerPath, name: Name): void {
    this.#withAccess(path, () => walk(this, path, (fd, rest) => removeXattr(fd, rest, name)));
  }

  syncJob(): Job {
    return { call: JobCall.syncFileSystem, args: [(this.#origin ?? this).fd] };
  }

  #file(fd: number, writable: boolean): LayerFile {
    return this.opened(fd, writable, this.#ofFiles);
  }

  /** An open file of this kind of layer. */
  protected opened(fd: number, writable: boolean, ofLayer: OfLayer): LayerFile {
    return new DiskFile(fd, writable, ofLayer);
  }

  #openForWriting(path: LayerPath): number {
    const open = (flags: number) => walk(this, path, (fd, rest) => openObject(fd, rest, OpenFlag.readWrite | flags));
    try {
      return open(0);
    } catch (error) {
      /* An append-only file (chattr +a) is refused but for appending. */
      if (!isErrno(error, Errno.EPERM)) {
        throw error;
      }
      return open(OpenFlag.append);
    }
  }

  #openForReading(path: LayerPath, flags: number): number {
    if (this.traits.sparesAtime) {
      try {
        return walk(this, path, (fd, rest) => openObject(fd, rest, flags | OpenFlag.noAtime));
      } catch (error) {
        /* O_NOATIME is for owners and CAP_FOWNER; others may read all the same. */
        if (!isErrno(error, Errno.EPERM)) {
          throw error;
        }
      }
    }
    return walk(this, path, (fd, rest) => openObject(fd, rest, flags));
  }

  /** Never of a lower: where the kernel does not see to it, its atime is spared. */
  #withAccess<T>(path: LayerPath, act: () => T): T {
    return asOwner(() => (this.traits.sparesAtime ? [] : [this.anchor(path)]), act);
  }

  /** For calls that O_PATH descriptors are refused for. */
  #withReadableRoot<T>(act: (fd: number) => T): T {
    const fd = openAt((this.#origin ?? this).fd, ".", OpenFlag.readOnly | OpenFlag.directory);
    try {
      return act(fd);
    } finally {
      closeDescriptor(fd);
    }
  }

  #withBoth(
    path: LayerPath,
    to: WritableLayer,
    toPath: LayerPath,
    act: (fd: number, path: string, toFd: number, toPath: string) => void,
  ): void {
    if (!(to instanceof DirectoryLayer)) {
      throw new FsError(Errno.EXDEV, "a layer of another kind");
    }
    walk(this, path, (fd, rest) => walk(to, toPath, (toFd, toRest) => act(fd, rest, toFd, toRest)));
  }
}

function withTypes(directory: number, entries: readonly ListedName[]): ListedName[] {
  const typed: ListedName[] = [];
  for (const entry of entries) {
    const type = entry.type !== 0 ? entry.type : (findStat(directory, entry.name)?.mode ?? 0) & 0o170000;
    /* A name without a type has gone since. */
    if (type !== 0) {
      typed.push({ name: entry.name, type, ino: entry.ino });
    }
  }
  return typed;
}

function layerOf(root: TreeRoot, readOnly: boolean, idMapped: boolean): DirectoryLayer {
  return new DirectoryLayer(root.fd, {
    isolated: root.isolated,
    sparesAtime: readOnly && !root.sealed,
    confined: root.confined,
    idMapped,
  });
}

/**
 * Opens a directory as a layer that is only read: where clones of mounts can be had (see `isolated`) the kernel
 * itself refuses every write below it.
 * @param path latin1 bytes, relative to the working directory, as given by the user: never normalised
 * @param idMapped what the layer is to know of the mount that it lies on
 * @throws FsError ENOENT, ENOTDIR, EACCES; EILSEQ for a path with characters that are no bytes
 */
export function openLowerLayer(path: string, idMapped = false): DirectoryLayer {
  return layerOf(openReadOnlyTree(path), true, idMapped);
}

/**
 * Opens upperdir and workdir so that names can be moved between them.
 * @param upper latin1 bytes, as with `openLowerLayer`; `work` likewise
 * @throws FsError EXDEV if they don't lie on one mount; else as `openLowerLayer`
 */
export function openUpperLayers(
  upper: string,
  work: string,
): { readonly upper: DirectoryLayer; readonly work: DirectoryLayer } {
  const { first, second } = openWritablePair(upper, work);
  return { upper: layerOf(first, false, false), work: layerOf(second, false, false) };
}
