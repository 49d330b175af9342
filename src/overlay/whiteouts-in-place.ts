/**
 * Whiteouts that lie at the name that they hide: the character device 0:0, or, where no device can be made, an empty file with
 * the xattr overlay.whiteout in a directory with overlay.opaque = "x" (Documentation/filesystems/overlayfs.rst, "Nesting
 * overlayfs mounts").
 */
import { RenameFlag } from "../contract/filesystem.ts";
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { LayerPath, ListedName, Stat, WritableLayer } from "../layer/layer.ts";
import { isAnyWhiteout, type MarkNames, mayHoldWhiteouts, readMark, yes } from "../layer/marks.ts";
import { joinPath } from "./node.ts";
import type { Move, OnUpper, Whiteouts } from "./whiteouts.ts";
import type { Staged, WorkDir } from "./work-dir.ts";

export type WhiteoutObject = "device" | "xattr";

const noFurtherLink = [Errno.EMLINK, Errno.EPERM, Errno.EOPNOTSUPP, Errno.EXDEV, Errno.ENOSPC, Errno.EDQUOT] as const;

export class WhiteoutsInPlace implements Whiteouts {
  readonly #upper: WritableLayer;
  readonly #work: WorkDir;
  readonly #marks: MarkNames;
  readonly #object: WhiteoutObject;
  /** One whiteout inode that every deletion links to: cheaper than an object each. */
  #shared: LayerPath | undefined;

  constructor(upper: WritableLayer, work: WorkDir, marks: MarkNames, object: WhiteoutObject) {
    this.#upper = upper;
    this.#work = work;
    this.#marks = marks;
    this.#object = object;
  }

  find(path: LayerPath): OnUpper {
    const stat = this.#upper.find(path);
    return stat !== undefined && this.#is(path, stat) ? "whiteout" : stat;
  }

  hiddenIn(directory: LayerPath): (entry: ListedName) => Name | undefined {
    let mayHoldFiles: boolean | undefined;
    const isSuspicious = (type: number): boolean => {
      if (type === FileType.regular) {
        mayHoldFiles ??= this.#object === "xattr" || mayHoldWhiteouts(this.#marks, this.#upper, directory);
        return mayHoldFiles;
      }
      return type === FileType.character;
    };
    return ({ name, type }) => {
      const path = joinPath(directory, name);
      return isSuspicious(type) && this.#is(path, this.#upper.stat(path)) ? name : undefined;
    };
  }

  isReserved(): boolean {
    return false;
  }

  hide(path: LayerPath): void {
    this.#prepareParent(path);
    this.#link(this.#upper, path);
  }

  replaceFile(path: LayerPath): void {
    this.#prepareParent(path);
    using whiteout = this.stage();
    whiteout.install(this.#upper, path, 0);
  }

  replaceDirectory(path: LayerPath): void {
    this.#prepareParent(path);
    using whiteout = this.stage();
    // The directory, with the whiteouts in it, changes places with the whiteout and is discarded.
    whiteout.layer.rename(whiteout.path, this.#upper, path, RenameFlag.exchange);
  }

  installOver(staged: Staged, path: LayerPath, isDirectory: boolean): void {
    if (isDirectory) {
      this.#work.syncIfStrict(staged.path);
      // A directory can't be renamed over a whiteout. Not installed: the whiteout lies at the staged path now, to be discarded.
      staged.layer.rename(staged.path, this.#upper, path, RenameFlag.exchange);
    } else {
      staged.install(this.#upper, path, 0);
    }
  }

  move(from: LayerPath, to: LayerPath, { isDirectory, hidesOld, replaces }: Move): void {
    if (hidesOld) {
      this.#prepareParent(from);
    }
    if (isDirectory && !replaces && this.find(to) === "whiteout") {
      // They change places, and the whiteout stays where it is of use.
      this.#upper.rename(from, this.#upper, to, RenameFlag.exchange);
      if (!hidesOld) {
        this.#removeIdle(from);
      }
    } else if (!hidesOld) {
      this.#upper.rename(from, this.#upper, to, 0);
    } else if (!this.#moveLeavingDevice(from, to)) {
      this.#moveAndHide(from, to, { isDirectory, hidesOld, replaces });
    }
  }

  /** A whiteout that is ready to be renamed over something. */
  stage(): Staged {
    const staged = this.#work.stage();
    this.#link(this.#work.layer, staged.path);
    return staged;
  }

  /** @returns whether the file system could: it leaves the device 0:0 by itself */
  #moveLeavingDevice(from: LayerPath, to: LayerPath): boolean {
    if (this.#object !== "device") {
      return false;
    }
    try {
      this.#upper.rename(from, this.#upper, to, RenameFlag.whiteout);
      return true;
    } catch (error) {
      if (!isErrno(error, Errno.EINVAL, Errno.EOPNOTSUPP, Errno.ENOSYS)) {
        throw error;
      }
      return false;
    }
  }

  /**
   * A new name that shows nothing gets a whiteout, unless it has one, which then changes places with the object. A file that
   * replaces another has both names for a moment: a crash then leaves the two, but never none, and never the lower entry.
   * A directory can't have two names.
   */
  #moveAndHide(from: LayerPath, to: LayerPath, { isDirectory, replaces }: Move): void {
    if (!replaces) {
      this.#exchangeWithWhiteout(from, to);
      return;
    }
    if (isDirectory) {
      throw new FsError(Errno.EXDEV, "rename of a directory over another without RENAME_WHITEOUT");
    }
    using second = this.#work.stage();
    this.#upper.link(from, second.layer, second.path);
    using whiteout = this.stage();
    const flags = this.#upper.find(to) === undefined ? RenameFlag.noReplace : RenameFlag.exchange;
    second.layer.rename(second.path, this.#upper, to, flags);
    try {
      whiteout.install(this.#upper, from, 0);
    } catch (error) {
      // Taken back: what was replaced is still there.
      this.#upper.rename(to, second.layer, second.path, flags);
      throw error;
    }
  }

  #exchangeWithWhiteout(from: LayerPath, to: LayerPath): void {
    const isThere = this.#upper.find(to) !== undefined;
    if (!isThere) {
      this.hide(to);
    }
    try {
      this.#upper.rename(from, this.#upper, to, RenameFlag.exchange);
    } catch (error) {
      if (!isThere) {
        this.#removeIdle(to);
      }
      throw error;
    }
  }

  #is(path: LayerPath, stat: Stat): boolean {
    return isAnyWhiteout(this.#marks, this.#upper, path, stat);
  }

  /** Before a file is a whiteout in a directory, the directory has to say that there may be such. */
  #prepareParent(path: LayerPath): void {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (this.#object === "xattr" && readMark(this.#upper, parent, this.#marks.opaque) === undefined) {
      this.#upper.setXattr(parent, this.#marks.opaque, Buffer.from("x"), 0);
    }
  }

  /** A whiteout that hides nothing: should it have to stay, that changes nothing of how the rename went. */
  #removeIdle(path: LayerPath): void {
    try {
      this.#upper.unlink(path);
    } catch (error) {
      if (!(error instanceof FsError)) {
        throw error;
      }
    }
  }

  /** Links the whiteout to a name that does not exist. @throws EEXIST when it does */
  #link(to: WritableLayer, path: LayerPath): void {
    this.#shared ??= this.#make();
    try {
      this.#work.layer.link(this.#shared, to, path);
    } catch (error) {
      // Too many links, a file system without links to such objects, or a full one: the whiteout itself goes there.
      if (!isErrno(error, ...noFurtherLink)) {
        throw error;
      }
      this.#work.layer.rename(this.#shared, to, path, RenameFlag.noReplace);
      this.#shared = undefined;
    }
  }

  /** Those that were linked stay. */
  discardShared(): void {
    if (this.#shared !== undefined) {
      this.#work.discard(this.#shared);
      this.#shared = undefined;
    }
  }

  /** @returns where it lies in the staging area */
  #make(): LayerPath {
    using staged = this.#work.stage();
    const { layer, path } = staged;
    if (this.#object === "device") {
      layer.makeNode(path, FileType.character, 0, 0);
    } else {
      layer.createFile(path, 0o600).close();
      layer.setXattr(path, this.#marks.whiteout, yes, 0);
    }
    staged.keep();
    return path;
  }
}
