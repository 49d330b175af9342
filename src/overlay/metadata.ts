/** Gives an object of the upper metadata: those of the lower object that it takes the place of, and marks. */
import { FileType } from "../contract/ids.ts";
import { isAcl } from "../contract/xattr-names.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { LayerFile, LayerPath, OpenPlace, Place, Stat, WritableLayer } from "../layer/layer.ts";
import { visibleXattr } from "../layer/marks.ts";
import { copyFileFlags } from "./copied-flags.ts";
import type { Overlay } from "./overlay.ts";
import { encodeProtection, Protection } from "./protection.ts";

const setIdBits = 0o6000;

/** What a copy has of its metadata from the moment when it was made. */
export interface MadeWith {
  /** Permissions without set-id bits and the like. */
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number };
}

/**
 * Copies all metadata but link count, ctime and the overlay's own marks.
 * What the file system of the upper has no place for (EOPNOTSUPP) is dropped and logged once a mount; only of ACLs and
 * `security.` xattrs that is an error, as it is with Linux overlayfs.
 */
export function copyMetadata(
  overlay: Overlay,
  from: OpenPlace,
  stat: Stat,
  to: OpenPlace<WritableLayer>,
  made: MadeWith | undefined = undefined,
): void {
  const copy = to.file ?? byPath(to);
  if (made?.owner.uid !== stat.uid || made.owner.gid !== stat.gid) {
    giveTo(copy, stat);
  }
  if ((stat.mode & FileType.mask) !== FileType.symlink && made?.mode !== (stat.mode & 0o7777)) {
    // After chown, which clears setuid and setgid.
    copy.chmod(stat.mode & 0o7777);
  }
  // After chown, which clears security.capability.
  copyXattrs(overlay, from, to);
  copyFlags(overlay, from, stat, to);
  // Last, so that nothing moves them again.
  copy.setTimes(stat.atime, stat.mtime);
}

/** @throws EPERM for an owner who has no number in this user namespace, as Linux overlayfs has it */
function giveTo(copy: Pick<LayerFile, "chown">, { uid, gid }: Stat): void {
  try {
    copy.chown(uid, gid);
  } catch (error) {
    throw isErrno(error, Errno.EINVAL) ? new FsError(Errno.EPERM, "an owner of another user namespace") : error;
  }
}

function byPath({ layer, path }: Place<WritableLayer>): Pick<LayerFile, "chown" | "chmod" | "setTimes" | "setXattr"> {
  return {
    chown: (uid, gid) => layer.chown(path, uid, gid),
    chmod: (mode) => layer.chmod(path, mode),
    setTimes: (atime, mtime) => layer.setTimes(path, atime, mtime),
    setXattr: (name, value, flags) => layer.setXattr(path, name, value, flags),
  };
}

function copyFlags(overlay: Overlay, from: OpenPlace, stat: Stat, to: OpenPlace<WritableLayer>): void {
  const type = stat.mode & FileType.mask;
  if (type !== FileType.regular && type !== FileType.directory) {
    return;
  }
  if (!copyFileFlags(from, type, to)) {
    overlay.wasDropped("file flags");
  }
  const kept = stat.attributes & Protection.all;
  if (kept !== Protection.none) {
    setMark(overlay, to, overlay.marks.protection, encodeProtection(kept));
  }
}

function copyXattrs(overlay: Overlay, from: Place, to: OpenPlace<WritableLayer>): void {
  for (const name of from.layer.listXattrs(from.path)) {
    const value = visibleXattr(overlay.marks, name) === undefined ? undefined : from.layer.getXattr(from.path, name);
    if (value !== undefined) {
      setUnless(overlay, to, name, value, ...(protects(name) ? [] : [Errno.EOPNOTSUPP]));
    }
  }
}

/** Xattrs that say who may do what: without them the copy would be open to others, so they are never dropped. */
function protects(name: string): boolean {
  return isAcl(name) || name.startsWith("security.");
}

/**
 * Takes setuid and setgid away: what a write or a truncation by someone without CAP_FSETID does. The daemon's own calls don't have
 * that effect, as it has the capability. (A file system that knows the caller's groups leaves setgid to a group that may not execute
 * the file, where it means nothing, if the caller is in it.)
 */
export function killSetIds({ layer, path }: Place<WritableLayer>): void {
  const { mode } = layer.stat(path);
  if ((mode & setIdBits) !== 0) {
    layer.chmod(path, mode & 0o7777 & ~setIdBits);
  }
}

/**
 * A mark that is a convenience (inode numbers that stay): a file system that can't hold it is no reason to fail.
 * @returns whether it was set
 */
export function setMark(overlay: Overlay, to: OpenPlace<WritableLayer>, name: string, value: Buffer): boolean {
  return setUnless(overlay, to, name, value, Errno.EOPNOTSUPP, Errno.EPERM);
}

/** Sets an xattr, or notes that it was dropped if the file system answers one of `codes`. @returns whether it was set */
function setUnless(
  overlay: Overlay,
  to: OpenPlace<WritableLayer>,
  name: string,
  value: Buffer,
  ...codes: number[]
): boolean {
  try {
    (to.file ?? byPath(to)).setXattr(name, value, 0);
    return true;
  } catch (error) {
    if (!isErrno(error, ...codes)) {
      throw error;
    }
    overlay.wasDropped(name);
    return false;
  }
}

/**
 * Gives a directory the times that it had before a copy-up put a name in it. The copy is made and has its name: it is no
 * reason to fail that this can't be done.
 */
export function putBackTimes(upper: WritableLayer, directory: LayerPath, { atime, mtime }: Stat): void {
  try {
    upper.setTimes(directory, atime, mtime);
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
  }
}
