import { FileType, type Name } from "../contract/ids.ts";
import { Parked } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
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

/** unlink(2). @throws EISDIR for a directory */
export function removeFile(overlay: Overlay, parent: Node, name: Name): void {
  const { upper, whiteouts } = overlay.writable();
  const node = nodeAt(overlay, parent, name);
  requireRemovable(overlay, parent, node);
  if (node.type === FileType.directory) {
    throw new FsError(Errno.EISDIR, "unlink of a directory");
  }
  waitForCopyUp(node);
  willLoseName(overlay, node, { parent, name });
  takeAway(overlay, parent, name, node, {
    alone: (path) => upper.unlink(path),
    hiding: (path) => whiteouts.replaceFile(path),
  });
}

/**
 * A name of a file is about to go. Of several on a lower that are one file the others are to tell: the file is copied up for its count
 * of names. @throws Parked
 */
export function willLoseName(overlay: Overlay, node: Node, link: Link): void {
  if (overlay.index !== undefined && (node.indexed !== undefined || isOneFile(overlay, overlay.stat(node)))) {
    copyUp(overlay, node, "leave", [link]);
    noteLinks(overlay, node);
  }
}

/** rmdir(2). @throws ENOTDIR, and ENOTEMPTY while the merged view shows a name in it */
export function removeDirectory(overlay: Overlay, parent: Node, name: Name): void {
  const { upper, work, whiteouts } = overlay.writable();
  const node = nodeAt(overlay, parent, name);
  requireRemovable(overlay, parent, node);
  if (node.type !== FileType.directory) {
    throw new FsError(Errno.ENOTDIR, "rmdir of what is no directory");
  }
  if (!isEmpty(overlay, node)) {
    throw new FsError(Errno.ENOTEMPTY, "rmdir");
  }
  takeAway(overlay, parent, name, node, {
    alone: (path) => work.takeAwayDirectory(upper, path),
    hiding: (path) => whiteouts.replaceDirectory(path),
  });
}

/** How an upper object leaves its name: for nothing, or so that the name is hidden. */
interface Leaving {
  alone(path: LayerPath): void;
  hiding(path: LayerPath): void;
}

function takeAway(overlay: Overlay, parent: Node, name: Name, node: Node, leaving: Leaving): void {
  const { whiteouts } = overlay.writable();
  copyUp(overlay, parent);
  const path = overlay.nodes.upperPathOf(parent, name);
  const covers = node.upper && isOnLower(overlay, parent, name);
  willBeOnUpper(overlay, parent, name);
  const reach = keepReachable(overlay, node);
  try {
    if (!node.upper) {
      whiteouts.hide(path);
    } else if (covers) {
      leaving.hiding(path);
    } else {
      leaving.alone(path);
    }
    detach(overlay, node, parent, name, reach);
  } finally {
    reach.release();
  }
}

/**
 * A descriptor of an object whose name is about to go; closed again, by `release`, unless the node takes it. It is not for `using`,
 * which makes ten objects each time, as it is compiled for Node 20: files are removed by the thousands.
 */
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

  release(): void {
    this.#anchor?.close();
  }
}

/**
 * Keeps the object of a node reachable when its last known name is about to go: the kernel, or an open file, may still
 * hold it. One of a lower goes nowhere. Called before the change on disk.
 */
export function keepReachable(overlay: Overlay, node: Node): Reach {
  if (node.moreLinks !== undefined || !node.upper) {
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
