/**
 * The index: `index` in the user's workdir, where files with several names on a lower lie once they are copied up, each under
 * the file handle of its lower file in hexadecimal. A lower name leads to the upper file by it, whether or not that name is in the
 * upper. As Linux overlayfs keeps it with index=on (fs/overlayfs/super.c, namei.c, copy_up.c).
 */
import { FileType } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { Layer, LayerPath, Place, Stat, WritableLayer } from "../layer/layer.ts";
import { isWhiteout, type MarkNames } from "../layer/marks.ts";
import type { Logger } from "../log.ts";
import { cleanIndex } from "./index-cleaning.ts";
import { decodeLinkCount, encodeLinkCount } from "./link-count.ts";
import type { Indexed } from "./node.ts";
import { noUuid, type OriginLayers } from "./origin-layers.ts";
import { encodeOrigin, encodeUpper, readHandle } from "./stored-handle.ts";
import { makePlainDirectory, type Staged } from "./work-dir.ts";

const indexName = "index";

/** What an index belongs to. */
export interface IndexedLayers {
  readonly upper: WritableLayer;
  /** The user's workdir. */
  readonly work: WritableLayer;
  readonly lowers: readonly Layer[];
  readonly origins: OriginLayers;
  readonly marks: MarkNames;
  readonly log: Logger;
}

export class IndexDir {
  readonly #work: WritableLayer;
  readonly #marks: MarkNames;

  private constructor({ work, marks }: IndexedLayers) {
    this.#work = work;
    this.#marks = marks;
  }

  /**
   * Takes the index of these layers, or makes it. What it holds of files that have no name any more is removed.
   * @returns undefined where the file systems of the layers can't have one
   * @throws ESTALE where upper or index belong to other layers; EINVAL, ENODATA for an index that can't be understood
   */
  static open(layers: IndexedLayers): IndexDir | undefined {
    const { upper, work, lowers, marks, origins, log } = layers;
    const [top] = lowers;
    if (top === undefined || upper.fileHandle("") === undefined || !lowers.every((lower) => isFound(lower, origins))) {
      log.warn({}, "index=on is off: it takes file systems with file handles, each with a UUID of its own");
      return undefined;
    }
    const origin = encodeOrigin({ layer: top, path: "" });
    const other = "the upperdir was used with index=on on another lowerdir: mount that one, or with index=off";
    if (!claim(upper, "", marks.origin, origin, other)) {
      log.warn({}, "index=on is off: the upper's file system can't keep the xattrs for it");
      return undefined;
    }
    if (work.find(indexName) === undefined) {
      makePlainDirectory(work, indexName, 0);
    }
    const self = encodeUpper({ layer: upper, path: "" });
    const moved = "the index in the workdir belongs to another upperdir: remove WORKDIR/index, or mount with index=off";
    // Older kernels named the upper by this mark; it is never written here.
    if (readHandle(work, indexName, marks.origin) !== undefined) {
      claim(work, indexName, marks.origin, self, moved);
    }
    claim(work, indexName, marks.upper, self, moved);
    cleanIndex(layers, indexName);
    return new IndexDir(layers);
  }

  /**
   * The upper file of a lower one, if the index has it.
   * @param origin as `encodeOrigin` tells it
   * @throws EIO for what can't be the copy of such a file
   */
  find(origin: Buffer, lower: Stat): { readonly stat: Stat; readonly indexed: Indexed } | undefined {
    const path = pathOf(origin);
    const stat = origin.length === 0 ? undefined : this.#work.find(path);
    if (stat === undefined) {
      return undefined;
    }
    if (isWhiteout(stat) || ((stat.mode ^ lower.mode) & FileType.mask) !== 0) {
      throw new FsError(Errno.EIO, `the index has something else than a copy of the lower file (${path})`);
    }
    const count = decodeLinkCount(this.#work.getXattr(path, this.#marks.nlink), {
      lower: lower.nlink,
      upper: stat.nlink,
    });
    const surplus = count === undefined ? 0 : count - stat.nlink;
    return { stat, indexed: { path, lowerLinks: lower.nlink, surplus, allLinked: false } };
  }

  /** The commit point of a copy-up: all names of the lower file stand for the staged copy from now on. */
  install(staged: Staged, origin: Buffer, lower: Stat): { readonly stat: Stat; readonly indexed: Indexed } {
    if (origin.length === 0) {
      throw new FsError(Errno.EIO, "copy-up: a lower file with several names has no handle");
    }
    staged.layer.setXattr(staged.path, this.#marks.origin, origin, 0);
    staged.layer.setXattr(staged.path, this.#marks.nlink, encodeLinkCount("L", 0), 0);
    const stat = staged.layer.stat(staged.path);
    const path = pathOf(origin);
    staged.install(this.#work, path, 0);
    const surplus = lower.nlink - stat.nlink;
    return { stat, indexed: { path, lowerLinks: lower.nlink, surplus, allLinked: false } };
  }

  /** Where an indexed file lies. */
  place({ path }: Indexed): Place<WritableLayer> {
    return { layer: this.#work, path };
  }

  /** Notes how many names a file has, by the link count that is not about to change. */
  noteLinks({ path, surplus, lowerLinks }: Indexed, relativeTo: "L" | "U", upperLinks: number): void {
    const note = encodeLinkCount(relativeTo, relativeTo === "U" ? surplus : upperLinks + surplus - lowerLinks);
    // Mostly it says so already: removing a name takes no room then.
    if (this.#work.getXattr(path, this.#marks.nlink)?.equals(note) !== true) {
      this.#work.setXattr(path, this.#marks.nlink, note, 0);
    }
  }

  /** The last name of the file is gone. */
  remove({ path }: Indexed): void {
    this.#work.unlink(path);
  }
}

function pathOf(origin: Buffer): LayerPath {
  return `${indexName}/${origin.toString("hex")}`;
}

/** Whether the origins of objects on a lower lead back to it. */
function isFound(lower: Layer, origins: OriginLayers): boolean {
  const handle = lower.fileHandle("");
  const found = handle && origins.find(handle.uuid ?? noUuid)?.statByHandle(handle.type, handle.bytes);
  const root = lower.stat("");
  return found !== undefined && found.dev === root.dev && found.ino === root.ino;
}

/**
 * Sees to it that a mark holds this handle.
 * @returns whether it can hold one
 * @throws ESTALE with what `mismatch` says, where it holds another
 */
function claim(layer: WritableLayer, path: LayerPath, mark: string, handle: Buffer, mismatch: string): boolean {
  const stored = readHandle(layer, path, mark);
  if (stored?.value.equals(handle) === true) {
    return true;
  }
  if (stored !== undefined) {
    throw new FsError(Errno.ESTALE, mismatch);
  }
  try {
    layer.setXattr(path, mark, handle, 0);
    return true;
  } catch (error) {
    if (!isErrno(error, Errno.EOPNOTSUPP, Errno.EPERM)) {
      throw error;
    }
    return false;
  }
}
