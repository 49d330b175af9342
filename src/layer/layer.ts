/**
 * A layer: a directory tree on disk, addressed by paths relative to its root, names as latin1 bytes.
 * "" is the root itself. Final symlinks are never followed, and no submount is entered.
 *
 * All methods throw FsError with the errno of the system call that failed, unless they say otherwise.
 */
import type { Attributes, FileSystemStatistics, TimeChange } from "../contract/filesystem.ts";
import type { Name } from "../contract/ids.ts";
import type { Job } from "../contract/slow.ts";

/** A path within a layer: names joined by "/", without a leading one; "" for the root. */
export type LayerPath = string;

/** What statx(2) tells of an object, as the layer's file system has it: `ino` and `nlink` are that file system's. */
export interface Stat extends Attributes {
  /** major * 2^20 + minor of the device that holds it. */
  readonly dev: number;
}

export interface ListedName {
  readonly name: Name;
  /** The S_IFMT bits; always known (a layer that lists DT_UNKNOWN stats the name itself). */
  readonly type: number;
  readonly ino: number;
}

/** An open regular file or directory of a layer. */
export interface LayerFile {
  /** For Jobs, and the same until `close` closes it. */
  readonly fd: number;
  readonly writable: boolean;
  /** The kernel may read and write it by itself: the layer sees to it that nothing happens to it that must not. */
  readonly passable: boolean;
  /** Whether its file system has what flags of open(2) ask for: not all have O_DIRECT. */
  takes(flags: number): boolean;
  /** Fills `into` from its start; short only at the end of the file. */
  read(into: Buffer, offset: number): number;
  /** As `read`, but undefined where the data are not in memory (RWF_NOWAIT) and reading would block. */
  readIfCached(into: Buffer, offset: number): number | undefined;
  /**
   * How many of so many bytes from `offset` there are, if all of these are in memory and nobody keeps others from reading them; else
   * undefined, also where there are none.
   */
  lengthIfCached(offset: number, length: number): number | undefined;
  /** Writes all of `data` unless the file system takes less. @param syncFlags O_SYNC and O_DSYNC count, others don't */
  write(data: Buffer, offset: number, syncFlags: number): number;
  /** lseek(2) with SEEK_DATA or SEEK_HOLE. */
  seek(offset: number, whence: number): number;
  truncate(size: number): void;
  /** fsync(2), at once: what may take long goes by a Job. */
  sync(): void;
  /** In bytes: a part of what `stat` tells. */
  size(): number;
  stat(): Stat;
  chmod(mode: number): void;
  chown(uid: number, gid: number): void;
  setTimes(atime: TimeChange, mtime: TimeChange): void;
  setXattr(name: Name, value: Buffer, flags: number): void;
  /** ioctl(2) with a buffer that is read and written in place. */
  ioctl(command: number, buffer: Buffer): void;
  /**
   * Copies all of its data to the empty `target` in one go: reflink, else copy_file_range, holes kept.
   * For small files; larger ones go by a Job.
   * @param dense there are no holes to look for
   */
  copyTo(target: LayerFile, size: number, dense: boolean): void;
  /** Makes the empty `target` share the first `size` bytes by reflink; false, and nothing has changed, where that can't be had. */
  shareWith(target: LayerFile, size: number): boolean;
  /** The file as a layer of its own, as `Layer.anchor` gives it; for files that have no name. */
  anchor(): WritableLayer;
  /** Turns into `other`, which is closed: its descriptor keeps its number, and calls under way keep the file that they have. */
  become(other: LayerFile): void;
  close(): void;
}

/** What can be asked of any layer. */
export interface Layer {
  stat(path: LayerPath): Stat;
  /** Undefined where the name is absent (ENOENT); any other failure is thrown. */
  find(path: LayerPath): Stat | undefined;
  /** All names but "." and "..", in the order of the file system (which is the same each time while nothing changes). */
  list(path: LayerPath): ListedName[];
  readLink(path: LayerPath): Buffer;
  /** Undefined where there is no such xattr (ENODATA). A file system without xattrs of the kind answers EOPNOTSUPP. */
  getXattr(path: LayerPath, name: Name): Buffer | undefined;
  /** Empty where the file system has no xattrs. */
  listXattrs(path: LayerPath): Name[];
  /** Reading leaves atime alone in a read-only layer. */
  openFile(path: LayerPath, writable: boolean): LayerFile;
  /** A directory opened for ioctl and fsync. */
  openDirectory(path: LayerPath): LayerFile;
  /** This object as a layer of its own, by an O_PATH descriptor: it stays reachable (as "") when its name goes. */
  anchor(path: LayerPath): WritableLayer;
  /**
   * The object's file handle as name_to_handle_at(2) gives it, with the UUID of its file system (16 bytes; null where
   * none is known). Undefined where the file system has no handles.
   */
  fileHandle(path: LayerPath): { type: number; bytes: Buffer; uuid: Buffer | null } | undefined;
  /** What a handle of this layer's file system stands for; undefined where it is stale or may not be opened. */
  statByHandle(type: number, bytes: Buffer): Stat | undefined;
  /** UUID of the layer's file system (16 bytes), null where it can't be asked for. */
  uuid(): Buffer | null;
  statistics(): FileSystemStatistics;
  close(): void;
}

/** A layer that may be changed: the upper and the workdir, which share a mount. The umask never applies. */
export interface WritableLayer extends Layer {
  /**
   * Owner and mode of an object are kept beside it, and those of its directory mean nothing to the file system: what setgid and
   * default ACLs do to what is made there is to be done by `chown`, `chmod` and `setXattr`.
   */
  readonly overridesStat: boolean;
  /** O_CREAT | O_EXCL | O_RDWR. */
  createFile(path: LayerPath, mode: number): LayerFile;
  /** O_TMPFILE in the directory `path`. */
  createUnnamedFile(path: LayerPath, mode: number): LayerFile;
  makeDirectory(path: LayerPath, mode: number): void;
  /** mknod(2); the type is in `mode`. */
  makeNode(path: LayerPath, mode: number, major: number, minor: number): void;
  makeSymlink(path: LayerPath, target: Buffer): void;
  link(path: LayerPath, to: WritableLayer, toPath: LayerPath): void;
  unlink(path: LayerPath): void;
  removeDirectory(path: LayerPath): void;
  /** renameat2(2). @param flags RenameFlag bits */
  rename(path: LayerPath, to: WritableLayer, toPath: LayerPath, flags: number): void;
  /** Never called for a symlink. */
  chmod(path: LayerPath, mode: number): void;
  /** lchown(2); undefined leaves one as it is. */
  chown(path: LayerPath, uid: number | undefined, gid: number | undefined): void;
  /** utimensat(2), symlinks included; undefined leaves one as it is. */
  setTimes(path: LayerPath, atime: TimeChange | undefined, mtime: TimeChange | undefined): void;
  /** truncate(2). */
  truncate(path: LayerPath, size: number): void;
  setXattr(path: LayerPath, name: Name, value: Buffer, flags: number): void;
  removeXattr(path: LayerPath, name: Name): void;
  /** Shows the layer's file system as a job to sync whole. */
  syncJob(): Job;
}

/** Where an object lies. */
export interface Place<L extends Layer = Layer> {
  readonly layer: L;
  readonly path: LayerPath;
}

/** An object by its place, and where it is open by its descriptor too, through which a call has no path to walk. */
export interface OpenPlace<L extends Layer = Layer> extends Place<L> {
  readonly file?: LayerFile | undefined;
}
