/**
 * Copy-up: the first change of a lower object makes it an upper one, whole and at once. Parents come first; the object is
 * made complete in the workdir and gets its name by one rename, so that each name shows the old object or the new one.
 */
import { FileType } from "../contract/ids.ts";
import { Gate, type Job, JobCall, Parked } from "../contract/slow.ts";
import { FsError } from "../errno.ts";
import type { LayerFile, Place, Stat, WritableLayer } from "../layer/layer.ts";
import { isOneFile, linkName, missingNames } from "./hard-links.ts";
import { markImpure } from "./impure.ts";
import { copyMetadata, putBackTimes, setMark } from "./metadata.ts";
import { isRemoved, type Link, type Node } from "./node.ts";
import { reopen } from "./open-files.ts";
import type { Overlay } from "./overlay.ts";
import { willBeOnUpper } from "./read-names.ts";
import { encodeOrigin } from "./stored-handle.ts";
import type { Staged } from "./work-dir.ts";

/** Files up to this size are copied at once when nothing has to be synced. */
const inlineCopyLimit = 128 * 1024;
const stagedMode = 0o600;

/**
 * Makes a node an upper one.
 * @param data "drop" when the caller truncates the file anyway
 * @param names of an indexed file, which have to be in the upper then: all that are known, unless it is known which matter
 * @throws Parked while the data of this file are being copied
 */
export function copyUp(
  overlay: Overlay,
  node: Node,
  data: "keep" | "drop" = "keep",
  names: readonly Link[] | undefined = undefined,
): void {
  if (node.copyingUp !== undefined) {
    throw new Parked(node.copyingUp);
  }
  if (!node.upper) {
    copyUpLower(overlay, node, data);
  }
  for (const link of node.indexed === undefined ? [] : missingNames(overlay, node, node.indexed, names)) {
    copyUp(overlay, link.parent);
    linkName(overlay, node, link);
  }
}

function copyUpLower(overlay: Overlay, node: Node, data: "keep" | "drop"): void {
  overlay.writable();
  if (!isRemoved(node) && node.link !== undefined) {
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
function copyUpSpecial(overlay: Overlay, node: Node, from: Place, stat: Stat): void {
  using staged = overlay.writable().work.stage();
  const { layer, path } = staged;
  if (node.type === FileType.directory) {
    layer.makeDirectory(path, 0o700);
  } else if (node.type === FileType.symlink) {
    layer.makeSymlink(path, from.layer.readLink(from.path));
  } else {
    layer.makeNode(path, node.type | stagedMode, stat.rdevMajor, stat.rdevMinor);
  }
  finish(overlay, node, { from, stat, staged });
}

function copyUpFile(overlay: Overlay, node: Node, from: Place, stat: Stat, data: "keep" | "drop"): void {
  const staged = overlay.writable().work.stage();
  const size = data === "drop" ? 0 : stat.size;
  let source: LayerFile | undefined;
  let target: LayerFile | undefined;
  let underWay = false;
  try {
    target = staged.layer.createFile(staged.path, stagedMode);
    if (size > 0) {
      source = from.layer.openFile(from.path, false);
      if (!overlay.volatile || size > inlineCopyLimit) {
        underWay = true;
        throw startCopy(overlay, node, { from, stat, staged, source, target, size });
      }
      source.copyTo(target, size);
    }
    finish(overlay, node, { from, stat, staged });
  } finally {
    if (!underWay) {
      source?.close();
      target?.close();
      staged[Symbol.dispose]();
    }
  }
}

interface Copy {
  readonly from: Place;
  readonly stat: Stat;
  readonly staged: Staged;
}

interface RunningCopy extends Copy {
  readonly source: LayerFile;
  readonly target: LayerFile;
  readonly size: number;
}

/** Starts to copy the data elsewhere; when they are there, the file is installed and those who wait go on. */
function startCopy(overlay: Overlay, node: Node, copy: RunningCopy): Parked {
  const gate = new Gate();
  const job: Job = {
    call: JobCall.copyFile,
    args: [copy.source.fd, copy.size, copy.target.fd, overlay.volatile ? 0 : 1],
  };
  overlay.jobs.start(job, (result) => gate.open(endCopy(overlay, node, copy, result)));
  node.copyingUp = gate;
  return new Parked(gate);
}

/** @returns what went wrong, for those who wait */
function endCopy(overlay: Overlay, node: Node, copy: RunningCopy, result: number): unknown {
  node.copyingUp = undefined;
  try {
    if (result < 0) {
      throw new FsError(-result, "copy-up: copy data");
    }
    finish(overlay, node, copy);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    copy.source.close();
    copy.target.close();
    copy.staged[Symbol.dispose]();
    overlay.nodes.dropIfUnused(node);
  }
}

/** The commit point, once what is staged has its data. */
function finish(overlay: Overlay, node: Node, { from, stat, staged }: Copy): void {
  if (isRemoved(node)) {
    adoptRemoved(overlay, node, from, stat, staged);
  } else {
    install(overlay, node, from, stat, staged);
  }
  // Handles that are open see what is written from now on.
  reopen(overlay, node, false);
}

/** Completes the staged object and gives it the name; the parent's times stay as they were. */
function install(overlay: Overlay, node: Node, from: Place, stat: Stat, staged: Staged): void {
  const { upper } = overlay.writable();
  if (node.link === undefined) {
    throw new Error(`copy-up of node ${node.id}, which has no name`);
  }
  const { parent } = node.link;
  copyMetadata(overlay, from, stat, { layer: staged.layer, path: staged.path });
  if (overlay.index !== undefined && isOneFile(overlay, stat)) {
    const copy = overlay.index.install(staged, encodeOrigin(from), stat);
    node.indexed = copy.indexed;
    overlay.nodes.rememberInode(node, copy.stat);
    becomeUpper(overlay, node, copy.stat, true);
    return;
  }
  const keepsInode = node.type === FileType.directory || stat.nlink === 1;
  if (keepsInode) {
    markOrigin(overlay, from, { layer: staged.layer, path: staged.path });
  }
  markImpure(overlay, parent);
  const parentPath = overlay.nodes.upperPath(parent);
  const times = upper.stat(parentPath);
  const copyStat = staged.layer.stat(staged.path);
  willBeOnUpper(overlay, parent, node.link.name);
  staged.install(upper, overlay.nodes.upperPath(node), 0);
  becomeUpper(overlay, node, copyStat, keepsInode);
  // Its ctime can't be kept.
  overlay.notifier.attributesChanged(parent.id);
  putBackTimes(upper, parentPath, times);
}

/**
 * A removed lower object has no name to be copied up to: its copy lives by a descriptor alone.
 */
function adoptRemoved(overlay: Overlay, node: Node, from: Place, stat: Stat, staged: Staged): void {
  copyMetadata(overlay, from, stat, { layer: staged.layer, path: staged.path });
  const anchor = staged.layer.anchor(staged.path);
  node.anchor?.close();
  node.anchor = anchor;
  becomeUpper(overlay, node, anchor.stat(""), true);
  // Leaving the block of the caller removes the staged name, and with it the last link.
}

function becomeUpper(overlay: Overlay, node: Node, stat: Stat, keepsInode: boolean): void {
  node.upper = true;
  if (node.type !== FileType.directory) {
    node.lowers = [];
  }
  node.hasOrigin = keepsInode;
  if (!keepsInode) {
    // A lower hard link is broken: the copy is a file of its own.
    node.ino = overlay.inodes.number(stat.dev, stat.ino);
    if (node.link !== undefined) {
      overlay.names.get(node.link.parent)?.listing.renumber(node.link.name, node.ino);
    }
  }
  // Link count, ctime, blocks: none of them is what the kernel was told of the lower object.
  overlay.notifier.attributesChanged(node.id);
}

/** The mark is a convenience (inode numbers that stay): a file system that can't hold it is no reason to fail. */
function markOrigin(overlay: Overlay, from: Place, to: Place<WritableLayer>): void {
  setMark(overlay, to, overlay.marks.origin, encodeOrigin(from));
}
