/**
 * The staging area: `work` in the user's workdir, where objects are made complete before they get their name in the
 * upper by one rename. What lies in it belongs to nobody: it is emptied at the next mount.
 */
import type { SyncMode } from "../contract/features.ts";
import { RenameFlag } from "../contract/filesystem.ts";
import { FileType } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { LayerPath, WritableLayer } from "../layer/layer.ts";
import { incompatName, markVolatile, requireCompatible } from "./incompat.ts";

const stagingName = "work";
const whiteoutMode = FileType.character;
const noFurtherLink = [Errno.EMLINK, Errno.EPERM, Errno.EOPNOTSUPP, Errno.EXDEV, Errno.ENOSPC, Errno.EDQUOT] as const;

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
  readonly #mode: SyncMode;
  #count = 0;
  /** One whiteout inode that every deletion links to: cheaper than a node each. */
  #whiteout: LayerPath | undefined;

  private constructor(layer: WritableLayer, mode: SyncMode) {
    this.layer = layer;
    this.#mode = mode;
  }

  /**
   * Makes the staging directory, or empties the one that an earlier mount left.
   * @throws what the file system answers when it can't keep whiteouts or exchange names; EBUSY when another overlay left
   * a mark in it that forbids the use of the upper
   */
  static open(layer: WritableLayer, mode: SyncMode): WorkDir {
    const work = new WorkDir(layer, mode);
    requireCompatible(layer, stagingName);
    if (layer.find(stagingName) !== undefined) {
      work.#removeTree(stagingName);
    }
    layer.makeDirectory(stagingName, 0o700);
    work.#requireRenames();
    if (mode === "volatile") {
      markVolatile(layer, stagingName);
    }
    return work;
  }

  /** Tries what every deletion relies on, so that a file system without it is refused now and not at the first one. */
  #requireRenames(): void {
    try {
      using one = this.stageWhiteout();
      using other = this.stageWhiteout();
      this.layer.rename(one.path, this.layer, other.path, RenameFlag.exchange);
      this.#discardWhiteout();
    } catch (error) {
      this.discard(stagingName);
      if (!(error instanceof FsError)) {
        throw error;
      }
      const what =
        "the upper's file system can't keep whiteouts, or can't exchange names (choose another for upper and work)";
      throw new FsError(error.code, what, { cause: error });
    }
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

  /** Links the whiteout to a name that does not exist. @throws EEXIST when it does */
  linkWhiteout(to: WritableLayer, path: LayerPath): void {
    const whiteout = this.#whiteout ?? this.#makeWhiteout();
    try {
      this.layer.link(whiteout, to, path);
    } catch (error) {
      // Too many links, a file system without links to devices, or a full one: the whiteout itself goes there.
      if (!isErrno(error, ...noFurtherLink)) {
        throw error;
      }
      this.layer.rename(whiteout, to, path, RenameFlag.noReplace);
      this.#whiteout = undefined;
    }
  }

  /** A whiteout that is ready to be renamed over something. */
  stageWhiteout(): Staged {
    const staged = this.stage();
    this.linkWhiteout(this.layer, staged.path);
    return staged;
  }

  /** Removes a staged object, whatever it is. What can't be removed stays for the next mount to clean up. */
  discard(path: LayerPath): void {
    forgive(() => this.#removeTree(path));
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

  #discardWhiteout(): void {
    if (this.#whiteout !== undefined) {
      this.discard(this.#whiteout);
      this.#whiteout = undefined;
    }
  }

  #makeWhiteout(): LayerPath {
    const staged = this.stage();
    this.layer.makeNode(staged.path, whiteoutMode, 0, 0);
    this.#whiteout = staged.path;
    return staged.path;
  }

  #removeTree(path: LayerPath): void {
    const stat = this.layer.find(path);
    if (stat === undefined) {
      return;
    }
    if ((stat.mode & FileType.mask) !== FileType.directory) {
      this.layer.unlink(path);
      return;
    }
    for (const { name } of this.layer.list(path)) {
      this.#removeTree(`${path}/${name}`);
    }
    this.layer.removeDirectory(path);
  }
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
