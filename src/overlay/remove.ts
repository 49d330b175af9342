/**
 * Removing names: unlink and rmdir. A whiteout takes the place of a name that a lower holds, by the same rename that
 * takes the upper object away.
 */
import { RenameFlag } from "../contract/filesystem.ts";
import { FileType, type Name } from "../contract/ids.ts";
import { Parked } from "../contract/slow.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { LayerPath, WritableLayer } from "../layer/layer.ts";
import { copyUp } from "./copy-up.ts";
import { isEmpty, nameWasRemoved } from "./directory.ts";
import { isOneFile, leaveIndex, noteLinks } from "./hard-links.ts";
import { isOnLower } from "./lower-walk.ts";
import type { Link, Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { requireRemovable } from "./protection.ts";
import { willBeOnUpper } from "./read-names.ts";
import { nodeAt } from "./resolver.ts";
import type { Staged } from "./work-dir.ts";

/** unlink(2). @throws EISDIR for a directory */
export function removeFile(overlay: Overlay, parent: Node, name: Name): void {
  const { upper } = overlay.writable();
  const node = nodeAt(overlay, parent, name);
  requireRemovable(overlay, parent, node);
  if (node.type === FileType.directory) {
    throw new FsError(Errno.EISDIR, "unlink of a directory");
  }
  waitForCopyUp(node);
  willLoseName(overlay, node, { parent, name });
  takeAway(overlay, parent, name, node, {
    alone: (path) => upper.unlink(path),
    forWhiteout: (whiteout, path) => whiteout.install(upper, path, 0),
  });
}

/**
 * A name of a file is about to go. Of several on a lower that are one file the others are to tell: the file is copied up for its count
 * of names. @throws Parked
 */
export function willLoseName(overlay: Overlay, node: Node, link: Link): void {
  if (overlay.index !== undefined && (node.indexed !== undefined || isOneFile(overlay, overlay.stat(node)))) {
    copyUp(overlay, node, "keep", [link]);
    noteLinks(overlay, node);
  }
}

/** rmdir(2). @throws ENOTDIR, and ENOTEMPTY while the merged view shows a name in it */
export function removeDirectory(overlay: Overlay, parent: Node, name: Name): void {
  const { upper } = overlay.writable();
  const node = nodeAt(overlay, parent, name);
  requireRemovable(overlay, parent, node);
  if (node.type !== FileType.directory) {
    throw new FsError(Errno.ENOTDIR, "rmdir of what is no directory");
  }
  if (!isEmpty(overlay, node)) {
    throw new FsError(Errno.ENOTEMPTY, "rmdir");
  }
  takeAway(overlay, parent, name, node, {
    alone: (path) => removeUpperDirectory(overlay, path),
    // The directory, with the whiteouts in it, changes places with the whiteout and is discarded.
    forWhiteout: (whiteout, path) => whiteout.layer.rename(whiteout.path, upper, path, RenameFlag.exchange),
  });
}

/** How an upper object leaves its name: for nothing, or for a whiteout, by one call. */
interface Leaving {
  alone(path: LayerPath): void;
  forWhiteout(whiteout: Staged, path: LayerPath): void;
}

/** The commit point of a removal is one call in all three cases. */
function takeAway(overlay: Overlay, parent: Node, name: Name, node: Node, leaving: Leaving): void {
  const { upper, work } = overlay.writable();
  copyUp(overlay, parent);
  const path = overlay.nodes.upperPathOf(parent, name);
  const covers = node.upper && isOnLower(overlay, parent, name);
  willBeOnUpper(overlay, parent, name);
  using reach = keepReachable(overlay, node);
  if (!node.upper) {
    work.linkWhiteout(upper, path);
  } else if (covers) {
    using whiteout = work.stageWhiteout();
    leaving.forWhiteout(whiteout, path);
  } else {
    leaving.alone(path);
  }
  detach(overlay, node, parent, name, reach);
}

/** An upper directory that no lower has; whiteouts may be left in it from a time when one had. */
function removeUpperDirectory(overlay: Overlay, path: string): void {
  const { upper, work } = overlay.writable();
  try {
    upper.removeDirectory(path);
  } catch (error) {
    if (!isErrno(error, Errno.ENOTEMPTY)) {
      throw error;
    }
    using discarded = work.stage();
    upper.rename(path, discarded.layer, discarded.path, RenameFlag.noReplace);
  }
}

/** A descriptor of an object whose name is about to go; closed again unless the node takes it. */
class Reach {
  #anchor: WritableLayer | undefined;

  constructor(anchor: WritableLayer | undefined) {
    this.#anchor = anchor;
  }

  take(): WritableLayer | undefined {
    const anchor = this.#anchor;
    this.#anchor = undefined;
    return anchor;
  }

  [Symbol.dispose](): void {
    this.#anchor?.close();
  }
}

/**
 * Keeps the object of a node reachable when its last known name is about to go: the kernel, or an open file, may still
 * hold it. Called before the change on disk.
 */
export function keepReachable(overlay: Overlay, node: Node): Reach {
  if (node.moreLinks !== undefined) {
    return new Reach(undefined);
  }
  const { layer, path } = overlay.place(node);
  return new Reach(layer.anchor(path));
}

/** The name is gone on disk: it goes from the tree of nodes and from the listing. */
export function detach(overlay: Overlay, node: Node, parent: Node, name: Name, reach: Reach): void {
  overlay.nodes.removeLink(node, parent, name);
  nameWasRemoved(overlay, parent, name);
  if (node.link === undefined) {
    node.anchor = reach.take();
    leaveIndex(overlay, node);
    if (node.inodeKey !== undefined && overlay.stat(node).nlink === 0) {
      overlay.nodes.forgetInode(node);
    }
  }
  overlay.nodes.dropIfUnused(node);
}

/** @throws Parked while the data of this file are being copied up: it would get its name back at the end */
export function waitForCopyUp(node: Node): void {
  if (node.copyingUp !== undefined) {
    throw new Parked(node.copyingUp);
  }
}
