/**
 * The staging area: `work` in the user's workdir, where objects are made complete before they get their name in the
 * upper by one rename. What lies in it belongs to nobody: it is emptied at the next mount.
 */
import type { SyncMode } from "../contract/features.ts";
import { RenameFlag } from "../contract/filesystem.ts";
import { type Caller, FileType } from "../contract/ids.ts";
import { accessAclName, defaultAclName } from "../contract/xattr-names.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { LayerPath, WritableLayer } from "../layer/layer.ts";
import { incompatName, markVolatile, requireCompatible } from "./incompat.ts";

const stagingName = "work";

type Owner = Pick<Caller, "uid" | "gid">;

/** A staged object: gone at the end of its `using` block unless it was installed. */
export class Staged {
  readonly path: LayerPath;
  readonly #work: WorkDir;
  #installed = false;

  constructor(work: WorkDir, path: LayerPath) {
    this.#work = work;
    this.path = path;
  }

  get layer(): WritableLayer {
    return this.#work.layer;
  }

  /** The commit point: the object gets its name in the upper. @param flags RenameFlag bits */
  install(upper: WritableLayer, path: LayerPath, flags: number): void {
    this.#work.syncIfStrict(this.path);
    this.layer.rename(this.path, upper, path, flags);
    this.#installed = true;
  }

  /** The object is in other hands; nothing is left to discard. */
  keep(): void {
    this.#installed = true;
  }

  [Symbol.dispose](): void {
    if (!this.#installed) {
      this.#work.discard(this.path);
    }
  }
}

export class WorkDir {
  readonly layer: WritableLayer;
  /** Whom the file system gives what is made in the staging area; undefined where that is not known. */
  readonly newOwner: Owner | undefined;
  readonly #mode: SyncMode;
  #count = 0;

  private constructor(layer: WritableLayer, mode: SyncMode, newOwner: Owner | undefined) {
    this.layer = layer;
    this.#mode = mode;
    this.newOwner = newOwner;
  }

  /**
   * Makes the staging directory, or empties the one that an earlier mount left.
   * @param self whose name this process makes files in
   * @throws EBUSY when another overlay left
   * a mark in it that forbids the use of the upper
   */
  static open(layer: WritableLayer, mode: SyncMode, self: Owner): WorkDir {
    requireCompatible(layer, stagingName);
    if (layer.find(stagingName) !== undefined) {
      removeTree(layer, stagingName);
    }
    makePlainDirectory(layer, stagingName, 0o700);
    if (mode === "volatile") {
      markVolatile(layer, stagingName);
    }
    return new WorkDir(layer, mode, ownerOfNew(layer, self));
  }

  /**
   * With fsync=strict, syncs a staged file or directory with its metadata, so that a crash of the machine can't show its name
   * without them on a file system that does not keep the order of such changes (ubifs, say).
   */
  syncIfStrict(path: LayerPath): void {
    if (this.#mode !== "strict") {
      return;
    }
    const type = this.layer.stat(path).mode & FileType.mask;
    if (type !== FileType.regular && type !== FileType.directory) {
      return;
    }
    const object = type === FileType.directory ? this.layer.openDirectory(path) : this.layer.openFile(path, false);
    try {
      object.sync();
    } finally {
      object.close();
    }
  }

  /** A fresh name in the staging area, whose object is to be made by the caller. */
  stage(): Staged {
    this.#count += 1;
    return new Staged(this, `${stagingName}/${this.#count.toString(16)}`);
  }

  /** The directory to make unnamed files in. */
  get stagingPath(): LayerPath {
    return stagingName;
  }

  /** Removes a directory of the upper whose merged view is empty; marks may be left in it. */
  takeAwayDirectory(upper: WritableLayer, path: LayerPath): void {
    try {
      upper.removeDirectory(path);
    } catch (error) {
      if (!isErrno(error, Errno.ENOTEMPTY)) {
        throw error;
      }
      using discarded = this.stage();
      upper.rename(path, discarded.layer, discarded.path, RenameFlag.noReplace);
    }
  }

  /** Removes a staged object, whatever it is. What can't be removed stays for the next mount to clean up. */
  discard(path: LayerPath): void {
    forgive(() => removeTree(this.layer, path));
  }

  /** Empties the staging area and removes it, unless it bears the mark of a volatile mount. */
  close(): void {
    forgive(() => {
      const names = this.layer.list(stagingName).map(({ name }) => name);
      for (const name of names.filter((each) => each !== incompatName)) {
        this.discard(`${stagingName}/${name}`);
      }
      if (!names.includes(incompatName)) {
        this.layer.removeDirectory(stagingName);
      }
    });
    this.layer.close();
  }
}

/** By the group of the daemon or by that of the directory (mount option `grpid`): where both are one, it is that. */
function ownerOfNew(layer: WritableLayer, self: Owner): Owner | undefined {
  const { uid, gid } = layer.stat(stagingName);
  return !layer.overridesStat && uid === self.uid && gid === self.gid ? { uid, gid } : undefined;
}

function removeTree(layer: WritableLayer, path: LayerPath): void {
  const stat = layer.find(path);
  if (stat === undefined) {
    return;
  }
  if ((stat.mode & FileType.mask) !== FileType.directory) {
    layer.unlink(path);
    return;
  }
  if ((stat.mode & 0o700) !== 0o700) {
    // Whoever is not root removes nothing from it else.
    layer.chmod(path, 0o700);
  }
  for (const { name } of layer.list(path)) {
    removeTree(layer, `${path}/${name}`);
  }
  layer.removeDirectory(path);
}

/** Makes a directory that hands nothing down to what is made in it: the user's workdir may have a default ACL, or setgid. */
export function makePlainDirectory(layer: WritableLayer, path: LayerPath, mode: number): void {
  layer.makeDirectory(path, mode);
  for (const acl of [defaultAclName, accessAclName]) {
    try {
      layer.removeXattr(path, acl);
    } catch (error) {
      if (!isErrno(error, Errno.ENODATA, Errno.EOPNOTSUPP)) {
        throw error;
      }
    }
  }
  layer.chmod(path, mode);
}

/** For clearing up, which others can do later. */
function forgive(clear: () => void): void {
  try {
    clear();
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
  }
}
