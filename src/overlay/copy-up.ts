/**
 * Copy-up: the first change of a lower object makes it an upper one, whole and at once. Parents come first; the object is
 * made complete in the workdir and gets its name by one rename, so that each name shows the old object or the new one.
 */
import { FileType } from "../contract/ids.ts";
import { Parked } from "../contract/slow.ts";
import type { LayerFile, OpenPlace, Stat, WritableLayer } from "../layer/layer.ts";
import { copyData } from "./copy-data.ts";
import { isOneFile, linkName, missingNames } from "./hard-links.ts";
import { markImpure } from "./impure.ts";
import { bringDataUp, markMetacopy } from "./metacopy.ts";
import { copyMetadata, killSetIds, putBackTimes, setMark } from "./metadata.ts";
import { type DataSource, isMerged, isRemoved, type Link, type Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { willBeOnUpper } from "./read-names.ts";
import { encodeOrigin } from "./stored-handle.ts";
import type { Staged } from "./work-dir.ts";

const stagedMode = 0o600;
/** Of a mode all that open(2) gives a new file on every file system. */
const plainModes = 0o777;

/**
 * What is to become of the data of a regular file: they are to be changed ("keep"), or they are of no concern ("leave"): with the
 * feature metacopy they stay where they are. Or the file is to be empty: none are copied then, and the copy is truncated before it
 * gets its name, so that the name never shows an empty file of which the caller was not told.
 */
type DataWanted = "keep" | "leave" | Truncation;

/** The truncation of a lower file to nothing. */
interface Truncation {
  /** Setuid and setgid go with the data. */
  readonly killsSetIds: boolean;
}

/**
 * Makes a node an upper one.
 * @param names of an indexed file, which have to be in the upper then: all that are known, unless it is known which matter
 * @throws Parked while the data of this file are being copied
 */
export function copyUp(
  overlay: Overlay,
  node: Node,
  data: DataWanted = "leave",
  names: readonly Link[] | undefined = undefined,
): void {
  if (node.copyingUp !== undefined) {
    throw new Parked(node.copyingUp);
  }
  if (!node.upper) {
    copyUpLower(overlay, node, data);
  } else if (node.data !== undefined) {
    overlay.writable();
    // Where they are missing even metadata are not changed, as in Linux.
    overlay.dataPlace(node);
    if (data !== "leave") {
      bringDataUp(overlay, node);
    }
  }
  for (const link of node.indexed === undefined ? [] : missingNames(overlay, node, node.indexed, names)) {
    copyUp(overlay, link.parent);
    linkName(overlay, node, link);
  }
}

function copyUpLower(overlay: Overlay, node: Node, data: DataWanted): void {
  overlay.writable();
  if (node.link !== undefined) {
    copyUp(overlay, node.link.parent);
  }
  const from = overlay.place(node);
  const stat = from.layer.stat(from.path);
  if (node.type === FileType.regular) {
    copyUpFile(overlay, node, from, stat, data);
  } else {
    copyUpSpecial(overlay, node, from, stat);
  }
}

/** Directories, symlinks, FIFOs, sockets and devices: nothing of them takes long. */
function copyUpSpecial(overlay: Overlay, node: Node, from: OpenPlace, stat: Stat): void {
  using staged = overlay.writable().work.stage();
  const { layer, path } = staged;
  if (node.type === FileType.directory) {
    layer.makeDirectory(path, 0o700);
  } else if (node.type === FileType.symlink) {
    layer.makeSymlink(path, from.layer.readLink(from.path));
  } else {
    layer.makeNode(path, node.type | stagedMode, stat.rdevMajor, stat.rdevMinor);
  }
  copyMetadata(overlay, from, stat, staged);
  finish(overlay, node, { from, stat, staged, to: staged, data: undefined });
}

function copyUpFile(overlay: Overlay, node: Node, from: OpenPlace, stat: Stat, data: DataWanted): void {
  const source = overlay.dataPlace(node);
  const { work } = overlay.writable();
  const staged = work.stage();
  const dispose = () => staged[Symbol.dispose]();
  const made = work.newOwner && { mode: stat.mode & plainModes, owner: work.newOwner };
  let target: LayerFile;
  try {
    target = staged.layer.createFile(staged.path, made?.mode ?? stagedMode);
  } catch (error) {
    dispose();
    throw error;
  }
  const truncation = typeof data === "object" ? data : undefined;
  const metadataOnly = data === "leave" && overlay.features.metacopy && !isRemoved(node);
  copyData(overlay, node, {
    from: source,
    target,
    size: truncation !== undefined || metadataOnly ? 0 : stat.size,
    dense: node.data === undefined && stat.blocks * 512 >= stat.size,
    finish: (opened) => {
      if (metadataOnly) {
        markMetacopy(overlay, target, stat.size);
      }
      // What has its data elsewhere has its metadata in another file than the one that was opened.
      const file = node.data === undefined ? opened : undefined;
      const original: OpenPlace = { layer: from.layer, path: from.path, file };
      const to = { layer: staged.layer, path: staged.path, file: target };
      copyMetadata(overlay, original, stat, to, made);
      if (truncation !== undefined) {
        truncateStaged(staged, target, truncation);
      }
      const dataLeft: DataSource | undefined = metadataOnly ? { kind: "found", place: source } : undefined;
      finish(overlay, node, { from: original, stat, staged, to, data: dataLeft });
      if (!metadataOnly) {
        // Handles that are open see what is written from now on.
        node.open?.file.become(target);
      }
    },
    end: () => {
      target.close();
      dispose();
    },
  });
}

/** ftruncate(2) of what is empty takes capabilities away and sets mtime, as that of the lower file would have done. */
function truncateStaged(staged: Staged, file: LayerFile, { killsSetIds }: Truncation): void {
  if (killsSetIds) {
    killSetIds(staged);
  }
  file.truncate(0);
}

interface Copy {
  readonly from: OpenPlace;
  readonly stat: Stat;
  readonly staged: Staged;
  /** What is staged, where it is a file by its descriptor too. */
  readonly to: OpenPlace<WritableLayer>;
  /** Where the data stay when metadata alone are copied. */
  readonly data: DataSource | undefined;
}

/** The commit point, once what is staged has its data and metadata. */
function finish(overlay: Overlay, node: Node, copy: Copy): void {
  if (isRemoved(node)) {
    adoptRemoved(overlay, node, copy);
  } else {
    install(overlay, node, copy);
  }
}

/** Gives the staged object its marks and the name; the parent's times stay as they were. */
function install(overlay: Overlay, node: Node, { from, stat, staged, to, data }: Copy): void {
  const { upper } = overlay.writable();
  if (node.link === undefined) {
    throw new Error(`copy-up of node ${node.id}, which has no name`);
  }
  const { parent } = node.link;
  if (overlay.index !== undefined && isOneFile(overlay, stat)) {
    const indexed = overlay.index.install(staged, encodeOrigin(from), stat);
    node.indexed = indexed.indexed;
    overlay.nodes.rememberInode(node, indexed.stat);
    becomeUpper(overlay, node, { copy: undefined, data });
    return;
  }
  const keepsInode = node.type === FileType.directory || stat.nlink === 1;
  if (keepsInode) {
    // A directory is found to be that of the lower by its name.
    node.isRenumbered = !markOrigin(overlay, from, to) && node.directory === undefined;
  }
  markImpure(overlay, parent);
  const parentPath = overlay.nodes.upperPath(parent);
  const times = upper.stat(parentPath);
  const copy = keepsInode ? undefined : staged.layer.stat(staged.path);
  willBeOnUpper(overlay, parent, node.link.name);
  staged.install(upper, overlay.nodes.upperPath(node), 0);
  becomeUpper(overlay, node, { copy, data });
  // Its ctime can't be kept.
  overlay.notifier.attributesChanged(parent.id);
  putBackTimes(upper, parentPath, times);
}

/**
 * A removed lower object has no name to be copied up to: its copy lives by a descriptor alone.
 */
function adoptRemoved(overlay: Overlay, node: Node, { staged, data }: Copy): void {
  const anchor = staged.layer.anchor(staged.path);
  node.anchor?.close();
  node.anchor = anchor;
  becomeUpper(overlay, node, { copy: undefined, data });
  // Leaving the block of the caller removes the staged name, and with it the last link.
}

interface Outcome {
  /** A copy that is a file of its own, and not the lower object with another place. */
  readonly copy: Stat | undefined;
  readonly data: DataSource | undefined;
}

function becomeUpper(overlay: Overlay, node: Node, { copy, data }: Outcome): void {
  if (node.directory !== undefined && !isMerged(node)) {
    overlay.names.get(node)?.becomeMerged();
  }
  node.upper = true;
  node.data = data;
  if (node.type !== FileType.directory && data === undefined) {
    node.lowers = [];
  }
  node.hasOrigin = copy === undefined;
  if (copy !== undefined) {
    // A lower hard link is broken.
    node.ino = overlay.inodes.number(copy.dev, copy.ino);
  }
  if (node.link !== undefined) {
    const { parent, name } = node.link;
    overlay.names.get(parent)?.listing.renumber(name, node.ino, node.hasOrigin);
    if (copy !== undefined) {
      overlay.notifier.listingChanged(parent.id);
    }
  }
  // Link count, ctime, blocks: none of them is what the kernel was told of the lower object.
  overlay.notifier.attributesChanged(node.id);
}

function markOrigin(overlay: Overlay, from: OpenPlace, to: OpenPlace<WritableLayer>): boolean {
  return setMark(overlay, to, overlay.marks.origin, encodeOrigin(from));
}
