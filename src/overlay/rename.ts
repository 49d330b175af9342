/**
 * rename(2) and renameat2(2) in the merged view.
 *
 * Objects are copied up, then renamed. A directory that lowers contribute to gets a redirect before, which says where its
 * lower parts stay; without redirects (redirect_dir=on) it answers EXDEV. The old name is hidden with it if a lower holds it
 * (`Whiteouts.move`).
 */
import { RenameFlag } from "../contract/filesystem.ts";
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import { copyUp } from "./copy-up.ts";
import { isEmpty, nameWasPut, nameWasRemoved } from "./directory.ts";
import { markImpure } from "./impure.ts";
import { isOnLower } from "./lower-walk.ts";
import { copyMetadata } from "./metadata.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { requireRemovable, requireWritable } from "./protection.ts";
import { willBeOnUpper } from "./read-names.ts";
import { setRedirect } from "./redirect.ts";
import { detach, keepReachable, waitForCopyUp, willLoseName } from "./remove.ts";
import { findNode, nodeAt, requireDirectory, requireNoMark } from "./resolver.ts";

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
  requireNoMark(overlay, to.name);
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
  copyUp(overlay, source, "leave", [from]);
  copyUp(overlay, to.parent);
  if (target !== undefined) {
    willLoseName(overlay, target, to);
  }
  prepareMove(overlay, source, from.parent, to.parent);
  const reach = target === undefined ? undefined : keepReachable(overlay, target);
  try {
    if (target?.type === FileType.directory) {
      clearUpperDirectory(overlay, to);
    }
    moveOnDisk(overlay, from, to, source.type === FileType.directory, target !== undefined);
    if (target !== undefined && reach !== undefined) {
      detach(overlay, target, to.parent, to.name, reach);
    }
    moveNode(overlay, source, from, to);
  } finally {
    reach?.release();
  }
}

/** The commit point of a rename. @param replaces whether an object has the new name until now */
function moveOnDisk(overlay: Overlay, from: NameIn, to: NameIn, isDirectory: boolean, replaces: boolean): void {
  const { whiteouts } = overlay.writable();
  const oldPath = overlay.nodes.upperPathOf(from.parent, from.name);
  const newPath = overlay.nodes.upperPathOf(to.parent, to.name);
  const hidesOld = isOnLower(overlay, from.parent, from.name);
  willBeOnUpper(overlay, from.parent, from.name);
  willBeOnUpper(overlay, to.parent, to.name);
  whiteouts.move(oldPath, newPath, { isDirectory, hidesOld, replaces });
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
  copyUp(overlay, source, "leave", [from]);
  copyUp(overlay, target, "leave", [to]);
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
  if (node.lowers.length > 0) {
    setRedirect(overlay, node, oldParent === newParent && !mayHaveOtherNames(node));
  } else if (node.type === FileType.directory && newParent.lowers.length > 0) {
    overlay.writable().opaque.set(overlay.upperPlace(node));
  }
}

/** Whether other names of a file may stand for the same upper object: what says where its data are must hold for them, too. */
function mayHaveOtherNames(node: Node): boolean {
  const [lower] = node.lowers;
  return node.type !== FileType.directory && lower !== undefined && lower.layer.stat(lower.path).nlink > 1;
}

/**
 * An empty merged directory that is to be replaced may have marks in its upper part, which would make the rename
 * fail: an empty opaque one takes its place first.
 * @throws EXDEV where no empty directory can be opaque
 */
function clearUpperDirectory(overlay: Overlay, { parent, name }: NameIn): void {
  const { upper, work, opaque } = overlay.writable();
  const path = overlay.nodes.upperPathOf(parent, name);
  const stat = upper.find(path);
  if (stat === undefined || upper.list(path).length === 0) {
    return;
  }
  if (!opaque.fitsEmptyDirectory) {
    throw new FsError(Errno.EXDEV, "rename over a directory that is opaque by a file in it");
  }
  using cleared = work.stage();
  cleared.layer.makeDirectory(cleared.path, 0o700);
  // Should the rename fail then, it stays.
  copyMetadata(overlay, { layer: upper, path }, stat, cleared);
  opaque.set(cleared);
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
