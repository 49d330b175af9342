/**
 * Making names: files, directories, symlinks, devices, hard links.
 *
 * Where nothing stands in the way the object is made right at its name by one system call. It is staged in the workdir
 * when that one call could not make it whole: when it belongs to somebody else than the daemon, when its owner is kept beside
 * it, or when it replaces a whiteout.
 */
import { type Creation, RenameFlag } from "../contract/filesystem.ts";
import { type Caller, FileType, type Name } from "../contract/ids.ts";
import { accessAclName, defaultAclName } from "../contract/xattr-names.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerFile, Place, Stat, WritableLayer } from "../layer/layer.ts";
import { inheritAcl } from "./acl.ts";
import { copyUp } from "./copy-up.ts";
import { nameWasPut } from "./directory.ts";
import { noteLinks } from "./hard-links.ts";
import { markImpure } from "./impure.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { Protection, requireChangeable, requireWritable } from "./protection.ts";
import { startNames, willBeOnUpper } from "./read-names.ts";
import { setRedirect } from "./redirect.ts";
import { requireDirectory, requireNoMark, resolve } from "./resolver.ts";
import { defaultAcl } from "./xattrs.ts";

const setGid = 0o2000;

/** What is to be made. */
export type NewObject =
  | { readonly type: typeof FileType.regular | typeof FileType.fifo | typeof FileType.socket }
  | { readonly type: typeof FileType.directory }
  | {
      readonly type: typeof FileType.character | typeof FileType.block;
      readonly major: number;
      readonly minor: number;
    }
  | { readonly type: typeof FileType.symlink; readonly target: Buffer };

export interface Made {
  readonly node: Node;
  readonly stat: Stat;
  /** The descriptor by which a regular file was made; the caller closes it or keeps it as the open file. */
  readonly file: LayerFile | undefined;
}

/**
 * Makes a new object with the caller as its owner.
 * @throws EEXIST when the name is there; ENOENT in a removed directory
 */
export function create(
  overlay: Overlay,
  parent: Node,
  name: Name,
  object: NewObject,
  creation: Creation,
  caller: Caller,
): Made {
  const { upper, work, whiteouts, opaque } = overlay.writable();
  requireWritable(overlay, parent);
  const replacesWhiteout = prepareName(overlay, parent, name) === "whited-out";
  const place: Place<WritableLayer> = { layer: upper, path: overlay.nodes.upperPathOf(parent, name) };
  const storedAcl = object.type === FileType.symlink ? undefined : defaultAcl(overlay, parent);
  const acl = overlay.inheritsAcls ? storedAcl : undefined;
  const mode = acl === undefined ? creation.mode & ~creation.umask : creation.mode;
  const isDirectory = object.type === FileType.directory;
  const prefersOpaque = isDirectory && parent.lowers.length > 0 && lowersNeverChange(overlay);
  let file: LayerFile | undefined;
  try {
    if (!replacesWhiteout && !upper.overridesStat && isSelf(overlay, caller) && acl === storedAcl) {
      // Made in its directory by the daemon's own user, the file system itself applies setgid and the default ACL.
      file = make(place, object, mode);
      if (prefersOpaque) {
        opaque.prefer(place);
      }
    } else {
      using staged = work.stage();
      file = make(staged, object, 0o600);
      finishStaged(overlay, parent, staged, object.type, { mode, acl, caller });
      if (isDirectory && replacesWhiteout) {
        opaque.set(staged);
      } else if (prefersOpaque) {
        opaque.prefer(staged);
      }
      if (replacesWhiteout) {
        whiteouts.installOver(staged, place.path, isDirectory);
      } else {
        staged.install(upper, place.path, RenameFlag.noReplace);
      }
    }
    const stat = file === undefined ? upper.stat(place.path) : file.stat();
    const node = adopt(overlay, parent, name, stat);
    if (isDirectory) {
      startNames(overlay, node);
    }
    return { node, stat, file };
  } catch (error) {
    file?.close();
    throw error;
  }
}

function isSelf({ self }: Overlay, { uid, gid }: Caller): boolean {
  return uid === self.uid && gid === self.gid;
}

/**
 * Whether what a lower has now is all that it will ever have. Without any of these features Linux overlayfs lets lowers be
 * changed between mounts (`ovl_allow_offline_changes`), and a name that a lower gets later shows in a directory of the upper.
 */
function lowersNeverChange({ features: { index, metacopy, redirect, xino } }: Overlay): boolean {
  return index || metacopy || redirect === "on" || xino === "on";
}

/** A regular file without a name (O_TMPFILE), which lives by its descriptor. */
export function createUnnamed(overlay: Overlay, parent: Node, creation: Creation, caller: Caller): Made {
  const { work } = overlay.writable();
  requireDirectory(parent);
  requireWritable(overlay, parent);
  // As Linux overlayfs does: the file may get a name there, which must not fail for what the directory lacks.
  copyUp(overlay, parent);
  const acl = overlay.inheritsAcls ? defaultAcl(overlay, parent) : undefined;
  const mode = acl === undefined ? creation.mode & ~creation.umask : creation.mode;
  const file = work.layer.createUnnamedFile(work.stagingPath, 0o600);
  let anchor: WritableLayer | undefined;
  try {
    anchor = file.anchor();
    finishStaged(overlay, parent, { layer: anchor, path: "" }, FileType.regular, { mode, acl, caller });
    const stat = anchor.stat("");
    const ino = overlay.inodes.number(stat.dev, stat.ino);
    const node = overlay.nodes.addUnnamed({ stat, upper: true, lowers: [], ino, hasOrigin: false });
    node.anchor = anchor;
    return { node, stat, file };
  } catch (error) {
    anchor?.close();
    file.close();
    throw error;
  }
}

/**
 * Gives a file a further name; one without any (O_TMPFILE) gets its first.
 * @throws EEXIST when the name is there
 */
export function link(overlay: Overlay, node: Node, parent: Node, name: Name): Stat {
  const { upper, work, whiteouts } = overlay.writable();
  if (node.directory !== undefined) {
    throw new FsError(Errno.EPERM, "hard link to a directory");
  }
  requireWritable(overlay, parent);
  requireChangeable(overlay, node);
  copyUp(overlay, node, "leave", []);
  const state = prepareName(overlay, parent, name);
  if (node.data !== undefined) {
    setRedirect(overlay, node, false);
  }
  if (node.hasOrigin) {
    markImpure(overlay, parent);
  }
  noteLinks(overlay, node);
  const from = overlay.upperPlace(node);
  const path = overlay.nodes.upperPathOf(parent, name);
  if (state === "whited-out") {
    using staged = work.stage();
    from.layer.link(from.path, staged.layer, staged.path);
    whiteouts.installOver(staged, path, false);
  } else {
    from.layer.link(from.path, upper, path);
  }
  overlay.nodes.addLink(node, parent, name);
  nameWasPut(overlay, parent, name, node);
  const stat = upper.stat(path);
  overlay.nodes.rememberInode(node, stat);
  return stat;
}

/** Sees to it that the directory is on the upper, and says what stands at the name. @throws EEXIST, ENOENT */
function prepareName(overlay: Overlay, parent: Node, name: Name): "absent" | "whited-out" {
  const { kind } = resolve(overlay, parent, name);
  requireNoMark(overlay, name);
  if (kind === "found") {
    throw new FsError(Errno.EEXIST, "create");
  }
  copyUp(overlay, parent);
  willBeOnUpper(overlay, parent, name);
  return kind;
}

function make(place: Place<WritableLayer>, object: NewObject, mode: number): LayerFile | undefined {
  const { layer, path } = place;
  switch (object.type) {
    case FileType.regular:
      return layer.createFile(path, mode & 0o7777);
    case FileType.directory:
      layer.makeDirectory(path, mode & 0o7777);
      return undefined;
    case FileType.symlink:
      layer.makeSymlink(path, object.target);
      return undefined;
    case FileType.character:
    case FileType.block:
      layer.makeNode(path, object.type | (mode & 0o7777), object.major, object.minor);
      return undefined;
    default:
      layer.makeNode(path, object.type | (mode & 0o7777), 0, 0);
      return undefined;
  }
}

interface Ownership {
  readonly mode: number;
  readonly acl: Buffer | undefined;
  readonly caller: Caller;
}

/** What the file system would have given the object, had its owner made it in its directory. */
function finishStaged(
  overlay: Overlay,
  parent: Node,
  staged: Place<WritableLayer>,
  type: number,
  { mode, acl, caller }: Ownership,
): void {
  const { layer, path } = staged;
  const directory = overlay.stat(parent);
  const inheritsGroup = (directory.mode & setGid) !== 0;
  layer.chown(path, caller.uid, inheritsGroup ? directory.gid : caller.gid);
  if (type === FileType.symlink) {
    return;
  }
  const inherited = acl === undefined ? undefined : inheritAcl(acl, mode);
  const groupBit = inheritsGroup && type === FileType.directory ? setGid : 0;
  // After chown, which clears setuid and setgid.
  layer.chmod(path, ((inherited?.mode ?? mode) & 0o7777) | groupBit);
  if (inherited?.access !== undefined) {
    layer.setXattr(path, accessAclName, inherited.access, 0);
  }
  if (acl !== undefined && type === FileType.directory) {
    layer.setXattr(path, defaultAclName, acl, 0);
  }
}

function adopt(overlay: Overlay, parent: Node, name: Name, stat: Stat): Node {
  const ino = overlay.inodes.number(stat.dev, stat.ino);
  const node = overlay.nodes.add(parent, name, { stat, upper: true, lowers: [], ino, hasOrigin: false });
  node.protection = Protection.none;
  node.hasNoCapability = true;
  nameWasPut(overlay, parent, name, node);
  return node;
}
