/**
 * The marks that an overlay leaves in a layer, as Linux overlayfs has them
 * (Documentation/filesystems/overlayfs.rst; xattr names in fs/overlayfs/overlayfs.h).
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { Layer, Stat } from "./layer.ts";

/** The xattr names of one mount: trusted.overlay.*, or user.overlay.* with the option userxattr. */
export interface MarkNames {
  readonly prefix: Name;
  /** "y": what lies in layers below this directory is hidden. */
  readonly opaque: Name;
  /** File handle of the lower object that a copied-up one came from. */
  readonly origin: Name;
  /** "y": the directory may hold objects with an origin, whose inode number is not their own. */
  readonly impure: Name;
  /** Where the lower parts of a renamed directory lie; understood only as far as to be refused. */
  readonly redirect: Name;
  /** The data of the file are still on a lower; understood only as far as to be refused. */
  readonly metacopy: Name;
}

/** @param userXattr whether the option of that name was given */
export function markNames(userXattr: boolean): MarkNames {
  const prefix = userXattr ? "user.overlay." : "trusted.overlay.";
  return {
    prefix,
    opaque: `${prefix}opaque`,
    origin: `${prefix}origin`,
    impure: `${prefix}impure`,
    redirect: `${prefix}redirect`,
    metacopy: `${prefix}metacopy`,
  };
}

/** A whiteout is a character device with the number 0:0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.character && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

type MarkedLayer = Pick<Layer, "getXattr" | "listXattrs">;

export const yes: Buffer = Buffer.from("y");

/** An xattr that says something to the overlay; undefined where there is none, or where there can't be one. */
export function readMark(layer: Pick<Layer, "getXattr">, path: string, name: Name): Buffer | undefined {
  try {
    return layer.getXattr(path, name);
  } catch (error) {
    if (!isErrno(error, Errno.EOPNOTSUPP)) {
      throw error;
    }
    return undefined;
  }
}

/** Whether a directory's xattr of that name says yes. */
export function isMarked(layer: Pick<Layer, "getXattr">, path: string, name: Name): boolean {
  const value = readMark(layer, path, name);
  return value !== undefined && value.length === 1 && value[0] === yes[0];
}

const escapePrefix = "overlay.";

/**
 * Whether a directory hides what lies below it.
 * @throws EPERM, as Linux overlayfs does with redirect_dir=nofollow, where its lower parts lie under another name: what
 * would be shown without them is not what was there
 */
export function isOpaque(marks: MarkNames, layer: MarkedLayer, path: string): boolean {
  // Most directories have no mark at all: one call tells.
  const names = layer.listXattrs(path);
  if (names.includes(marks.redirect)) {
    throw new FsError(Errno.EPERM, `a directory with a redirect, which is not followed (${path})`);
  }
  return names.includes(marks.opaque) && isMarked(layer, path, marks.opaque);
}

/** @throws EPERM for a file whose data are still in a layer below: reading it would give zeros */
export function requireData(marks: MarkNames, layer: MarkedLayer, path: string): void {
  if (layer.listXattrs(path).includes(marks.metacopy)) {
    throw new FsError(Errno.EPERM, `a file without its data (metacopy), which are not looked for (${path})`);
  }
}

/**
 * The name under which a user's xattr is kept: users may have overlay xattrs of their own (an overlay nested in
 * this one writes them), so theirs get one more "overlay." behind the prefix.
 */
export function escapedXattr(marks: MarkNames, name: Name): Name {
  return name.startsWith(marks.prefix) ? marks.prefix + escapePrefix + name.slice(marks.prefix.length) : name;
}

/** The name under which a user sees a layer's xattr; undefined for the marks of this overlay itself. */
export function visibleXattr(marks: MarkNames, name: Name): Name | undefined {
  if (!name.startsWith(marks.prefix)) {
    return name;
  }
  const rest = name.slice(marks.prefix.length);
  return rest.startsWith(escapePrefix) ? marks.prefix + rest.slice(escapePrefix.length) : undefined;
}
