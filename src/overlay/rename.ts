/**
 * rename(2) and renameat2(2) in the merged view.
 *
 * Objects are copied up, then renamed. A directory that lowers contribute to gets a redirect before, which says where its
 * lower parts stay; without redirects (redirect_dir=on) it answers EXDEV. The old name is whited out by the same system call if a lower holds it; where the file system lacks that flag a second
 * hard link bridges the moment (see `renameLeavingWhiteout`).
 */
import { RenameFlag } from "../contract/filesystem.ts";
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { LayerPath, WritableLayer } from "../layer/layer.ts";
import { isMarked, isWhiteout, yes } from "../layer/marks.ts";
import { copyUp } from "./copy-up.ts";
import { isEmpty, nameWasPut, nameWasRemoved } from "./directory.ts";
import { markImpure } from "./impure.ts";
import { isOnLower } from "./lower-walk.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { requireRemovable, requireWritable } from "./protection.ts";
import { willBeOnUpper } from "./read-names.ts";
import { setRedirect } from "./redirect.ts";
import { detach, keepReachable, waitForCopyUp, willLoseName } from "./remove.ts";
import { findNode, nodeAt, requireDirectory } from "./resolver.ts";

/** A name in a directory. */
interface NameIn {
  readonly parent: Node;
  readonly name: Name;
}

/** @throws EXDEV for a directory of a lower, unless redirects are made; EEXIST, ENOTEMPTY, ENOENT, EINVAL as renameat2(2) says */
export function rename(overlay: Overlay, from: NameIn, to: NameIn, flags: number): void {
  overlay.writable();
  if ((flags & ~(RenameFlag.noReplace | RenameFlag.exchange)) !== 0) {
    throw new FsError(Errno.EINVAL, "rename flags");
  }
  const source = nodeAt(overlay, from.parent, from.name);
  requireDirectory(to.parent);
  const target = findNode(overlay, to.parent, to.name);
  requireUnprotected(overlay, from.parent, source, to.parent, target);
  requireMovable(overlay, source);
  waitForCopyUp(source);
  if (target !== undefined) {
    waitForCopyUp(target);
  }
  if ((flags & RenameFlag.exchange) !== 0) {
    exchange(overlay, from, source, to, target);
  } else {
    move(overlay, from, source, to, target, flags);
  }
}

function move(overlay: Overlay, from: NameIn, source: Node, to: NameIn, target: Node | undefined, flags: number): void {
  if (target === source) {
    return;
  }
  if (target !== undefined) {
    requireReplaceable(overlay, source, target, flags);
  }
  copyUp(overlay, source, "keep", [from]);
  copyUp(overlay, to.parent);
  if (target !== undefined) {
    willLoseName(overlay, target, to);
  }
  prepareMove(overlay, source, from.parent, to.parent);
  if (target?.type === FileType.directory) {
    clearUpperDirectory(overlay, to);
  }
  using reach = target === undefined ? undefined : keepReachable(overlay, target);
  moveOnDisk(overlay, from, to, source.type === FileType.directory && isWhitedOut(overlay, to));
  if (target !== undefined && reach !== undefined) {
    detach(overlay, target, to.parent, to.name, reach);
  }
  moveNode(overlay, source, from, to);
}

/** Whether a whiteout stands at a name in the upper. */
function isWhitedOut(overlay: Overlay, { parent, name }: NameIn): boolean {
  const stat = overlay.writable().upper.find(overlay.nodes.upperPathOf(parent, name));
  return stat !== undefined && isWhiteout(stat);
}

/** The commit point of a rename. */
function moveOnDisk(overlay: Overlay, from: NameIn, to: NameIn, directoryOverWhiteout: boolean): void {
  const { upper } = overlay.writable();
  const oldPath = overlay.nodes.upperPathOf(from.parent, from.name);
  const newPath = overlay.nodes.upperPathOf(to.parent, to.name);
  const needsWhiteout = isOnLower(overlay, from.parent, from.name);
  willBeOnUpper(overlay, from.parent, from.name);
  willBeOnUpper(overlay, to.parent, to.name);
  if (directoryOverWhiteout) {
    // A directory can't replace a whiteout: they change places, and the whiteout stays where it is of use.
    upper.rename(oldPath, upper, newPath, RenameFlag.exchange);
    if (!needsWhiteout) {
      removeIdleWhiteout(upper, oldPath);
    }
  } else if (needsWhiteout) {
    renameLeavingWhiteout(overlay, oldPath, newPath);
  } else {
    upper.rename(oldPath, upper, newPath, 0);
  }
}

/** The rename is done: a whiteout that hides nothing is no reason to fail, should it have to stay. */
function removeIdleWhiteout(upper: WritableLayer, path: LayerPath): void {
  try {
    upper.unlink(path);
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
  }
}

/**
 * Renames and leaves a whiteout, in one step where the file system can. Where it can't, a file has both names for a moment:
 * a crash then leaves the two, but never none, and never the lower entry. A directory can't have two names: EXDEV.
 */
function renameLeavingWhiteout(overlay: Overlay, oldPath: string, newPath: string): void {
  const { upper, work } = overlay.writable();
  try {
    upper.rename(oldPath, upper, newPath, RenameFlag.whiteout);
    return;
  } catch (error) {
    if (!isErrno(error, Errno.EINVAL, Errno.EOPNOTSUPP, Errno.ENOSYS)) {
      throw error;
    }
  }
  if ((upper.stat(oldPath).mode & FileType.mask) === FileType.directory) {
    throw new FsError(Errno.EXDEV, "rename of a directory over a lower name without RENAME_WHITEOUT");
  }
  using second = work.stage();
  upper.link(oldPath, second.layer, second.path);
  second.install(upper, newPath, 0);
  using whiteout = work.stageWhiteout();
  whiteout.install(upper, oldPath, 0);
}

function exchange(overlay: Overlay, from: NameIn, source: Node, to: NameIn, target: Node | undefined): void {
  const { upper } = overlay.writable();
  if (target === undefined) {
    throw new FsError(Errno.ENOENT, "exchange with an absent name");
  }
  requireMovable(overlay, target);
  if (target === source) {
    return;
  }
  copyUp(overlay, source, "keep", [from]);
  copyUp(overlay, target, "keep", [to]);
  prepareMove(overlay, source, from.parent, to.parent);
  prepareMove(overlay, target, to.parent, from.parent);
  const oldPath = overlay.nodes.upperPathOf(from.parent, from.name);
  const newPath = overlay.nodes.upperPathOf(to.parent, to.name);
  upper.rename(oldPath, upper, newPath, RenameFlag.exchange);
  overlay.nodes.removeLink(source, from.parent, from.name);
  overlay.nodes.removeLink(target, to.parent, to.name);
  overlay.nodes.addLink(source, to.parent, to.name);
  overlay.nodes.addLink(target, from.parent, from.name);
  overlay.nodes.directoryWasRenamed();
  nameWasPut(overlay, to.parent, to.name, source);
  nameWasPut(overlay, from.parent, from.name, target);
}

function requireUnprotected(
  overlay: Overlay,
  fromParent: Node,
  source: Node,
  toParent: Node,
  target: Node | undefined,
): void {
  requireRemovable(overlay, fromParent, source);
  if (target === undefined) {
    requireWritable(overlay, toParent);
  } else {
    requireRemovable(overlay, toParent, target);
  }
}

/** A directory that lowers contribute to can't be moved without a redirect: its parts below stay where they are. */
function requireMovable(overlay: Overlay, node: Node): void {
  if (node.type === FileType.directory && node.lowers.length > 0 && overlay.features.redirect !== "on") {
    throw new FsError(Errno.EXDEV, "rename of a directory of a lower");
  }
}

function requireReplaceable(overlay: Overlay, source: Node, target: Node, flags: number): void {
  if ((flags & RenameFlag.noReplace) !== 0) {
    throw new FsError(Errno.EEXIST, "rename");
  }
  const isDirectory = target.type === FileType.directory;
  if (isDirectory !== (source.type === FileType.directory)) {
    throw new FsError(isDirectory ? Errno.EISDIR : Errno.ENOTDIR, "rename");
  }
  if (isDirectory && !isEmpty(overlay, target)) {
    throw new FsError(Errno.ENOTEMPTY, "rename");
  }
}

/** Marks that have to be there before the object gets its new name. */
function prepareMove(overlay: Overlay, node: Node, oldParent: Node, newParent: Node): void {
  if (node.hasOrigin) {
    markImpure(overlay, newParent);
  }
  if (node.type !== FileType.directory) {
    return;
  }
  if (node.lowers.length > 0) {
    setRedirect(overlay, node, oldParent === newParent);
  } else if (newParent.lowers.length > 0) {
    const { layer, path } = overlay.upperPlace(node);
    if (!isMarked(layer, path, overlay.marks.opaque)) {
      layer.setXattr(path, overlay.marks.opaque, yes, 0);
    }
  }
}

/**
 * An empty merged directory that is to be replaced may have whiteouts in its upper part, which would make the rename
 * fail: an empty opaque one takes its place first.
 */
function clearUpperDirectory(overlay: Overlay, { parent, name }: NameIn): void {
  const { upper, work } = overlay.writable();
  const path = overlay.nodes.upperPathOf(parent, name);
  const stat = upper.find(path);
  if (stat === undefined || upper.list(path).length === 0) {
    return;
  }
  using cleared = work.stage();
  cleared.layer.makeDirectory(cleared.path, 0o700);
  cleared.layer.chown(cleared.path, stat.uid, stat.gid);
  cleared.layer.chmod(cleared.path, stat.mode & 0o7777);
  cleared.layer.setTimes(cleared.path, stat.atime, stat.mtime);
  cleared.layer.setXattr(cleared.path, overlay.marks.opaque, yes, 0);
  cleared.layer.rename(cleared.path, upper, path, RenameFlag.exchange);
}

function moveNode(overlay: Overlay, node: Node, from: NameIn, to: NameIn): void {
  overlay.nodes.addLink(node, to.parent, to.name);
  overlay.nodes.removeLink(node, from.parent, from.name);
  if (node.type === FileType.directory) {
    overlay.nodes.directoryWasRenamed();
  }
  nameWasRemoved(overlay, from.parent, from.name);
  nameWasPut(overlay, to.parent, to.name, node);
}
