/** How a directory of the upper says that nothing of the lowers shows in it. */
import type { Name } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { LayerPath, Place, WritableLayer } from "../layer/layer.ts";
import { besideMarkFile, isMarked, isOpaqueToOthers, type MarkNames, opaqueFile, yes } from "../layer/marks.ts";
import { joinPath } from "./node.ts";

/** The form that the upper's file system can hold. The xattr counts in any case (`readDirectoryMarks`). */
export interface Opaque {
  /** Marks a directory. */
  set(directory: Place<WritableLayer>): void;
  /** Marks a new directory to spare lookups in it the layers below, which have nothing for it: it is there and right without. */
  prefer(directory: Place<WritableLayer>): void;
  /** Whether files, and not the xattr, say that this directory of the upper is opaque. */
  isSetByFile(path: LayerPath): boolean;
  /** A name of the upper that stands for a mark, and for no object of a user. */
  isReserved(name: Name): boolean;
  /** A marked directory can be empty on disk, and so be replaced by rename(2). */
  readonly fitsEmptyDirectory: boolean;
}

/** overlay.opaque = "y", as Linux overlayfs has it. */
export class OpaqueByXattr implements Opaque {
  readonly fitsEmptyDirectory = true;
  readonly #marks: MarkNames;

  constructor(marks: MarkNames) {
    this.#marks = marks;
  }

  set({ layer, path }: Place<WritableLayer>): void {
    if (!isMarked(layer, path, this.#marks.opaque)) {
      layer.setXattr(path, this.#marks.opaque, yes, 0);
    }
  }

  prefer({ layer, path }: Place<WritableLayer>): void {
    try {
      layer.setXattr(path, this.#marks.opaque, yes, 0);
    } catch (error) {
      if (!(error instanceof FsError)) {
        throw error;
      }
    }
  }

  isSetByFile(): boolean {
    return false;
  }

  isReserved(): boolean {
    return false;
  }
}

/** The file `.wh..wh..opq`, where there are no xattrs for it. */
export class OpaqueByFile implements Opaque {
  readonly fitsEmptyDirectory = false;
  readonly #upper: WritableLayer;

  constructor(upper: WritableLayer) {
    this.#upper = upper;
  }

  set({ layer, path }: Place<WritableLayer>): void {
    const { atime, mtime } = layer.stat(path);
    makeMarkFile(layer, joinPath(path, opaqueFile));
    // As little is to be seen of it as of an xattr.
    layer.setTimes(path, atime, mtime);
  }

  prefer(): void {
    // One more file in each directory would cost more than it spares.
  }

  isSetByFile(path: LayerPath): boolean {
    return isOpaqueToOthers(this.#upper, path);
  }

  isReserved(name: Name): boolean {
    return name === opaqueFile;
  }
}

/** As `OpaqueByFile`, where whiteouts are files too: one beside a directory hides what lies below the directory. */
export class OpaqueByFiles extends OpaqueByFile {
  readonly #layer: WritableLayer;

  constructor(upper: WritableLayer) {
    super(upper);
    this.#layer = upper;
  }

  override isSetByFile(path: LayerPath): boolean {
    return super.isSetByFile(path) || hasMarkBeside(this.#layer, path);
  }
}

/** Whether a file `.wh.NAME` lies beside the name at the end of a path. */
export function hasMarkBeside(layer: WritableLayer, path: LayerPath): boolean {
  try {
    return layer.find(besideMarkFile(path)) !== undefined;
  } catch (error) {
    // No mark was ever made for a name that is too long for one.
    if (!isErrno(error, Errno.ENAMETOOLONG)) {
      throw error;
    }
    return false;
  }
}

/** Makes an empty file that is a mark; one that is there already will do. */
export function makeMarkFile(layer: WritableLayer, path: LayerPath): void {
  try {
    layer.createFile(path, 0o600).close();
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== Errno.EEXIST) {
      throw error;
    }
  }
}
