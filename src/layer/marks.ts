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
  /** They are user xattrs, which only files and directories have. */
  readonly inUserXattrs: boolean;
  /** "y": what lies in layers below this directory is hidden. "x": there may be whiteouts by xattr in it. */
  readonly opaque: Name;
  /** An empty file with it, in a directory that says so, is a whiteout. */
  readonly whiteout: Name;
  /** File handle of the lower object that a copied-up one came from. */
  readonly origin: Name;
  /** Of an index: file handle of the upper that it belongs to. */
  readonly upper: Name;
  /** How many names an indexed file has, beyond those of its lower or upper file. */
  readonly nlink: Name;
  /** "y": the directory may hold objects with an origin, whose inode number is not their own. */
  readonly impure: Name;
  /** The flags of an upper object that is immutable ("i") or append-only ("a"). */
  readonly protection: Name;
  /** On the upper's root: the UUID of the overlay. */
  readonly uuid: Name;
  /** Where the lower parts of a renamed directory lie. */
  readonly redirect: Name;
  /** The data of the file are in a layer below. */
  readonly metacopy: Name;
}

/** @param userXattr whether the option of that name was given */
export function markNames(userXattr: boolean): MarkNames {
  const prefix = userXattr ? "user.overlay." : "trusted.overlay.";
  return {
    prefix,
    inUserXattrs: userXattr,
    opaque: `${prefix}opaque`,
    origin: `${prefix}origin`,
    upper: `${prefix}upper`,
    nlink: `${prefix}nlink`,
    impure: `${prefix}impure`,
    protection: `${prefix}protattr`,
    whiteout: `${prefix}whiteout`,
    uuid: `${prefix}uuid`,
    redirect: `${prefix}redirect`,
    metacopy: `${prefix}metacopy`,
  };
}

/** A whiteout is a character device with the number 0:0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.character && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

export type MarkedLayer = Pick<Layer, "getXattr" | "listXattrs">;

export const yes: Buffer = Buffer.from("y");

/** An xattr that says something to the overlay; undefined where there is none, or where there can't be one. */
export function readMark(layer: MarkedLayer, path: string, name: Name): Buffer | undefined {
  try {
    return layer.getXattr(path, name);
  } catch (error) {
    // Of what a plain user may not read he is told the names of `user.` xattrs, but not the values: mostly there are none.
    const isAbsent = isErrno(error, Errno.EACCES) && !layer.listXattrs(path).includes(name);
    if (!isAbsent && !isErrno(error, Errno.EOPNOTSUPP)) {
      throw error;
    }
    return undefined;
  }
}

/** Whether a directory's xattr of that name says yes. */
export function isMarked(layer: MarkedLayer, path: string, name: Name): boolean {
  const value = readMark(layer, path, name);
  return value !== undefined && value.length === 1 && value[0] === yes[0];
}

const escapePrefix = "overlay.";

/** What a directory's marks say of its names. */
export interface DirectoryMarks {
  /** What lies in layers below it is hidden. */
  readonly opaque: boolean;
  /** Empty files in it may be whiteouts, by an xattr of theirs. */
  readonly xattrWhiteouts: boolean;
  /** Where the parts in layers below it lie, if not under its own name. Means nothing where it is opaque. */
  readonly redirect: Buffer | undefined;
}

const unmarked: DirectoryMarks = { opaque: false, xattrWhiteouts: false, redirect: undefined };

/**
 * Which xattrs an object may have. Most have none of the overlay: one call tells. More than 64 KiB of names can't be listed:
 * any may be among them.
 */
function possibleXattrs(layer: MarkedLayer, path: string): (name: Name) => boolean {
  try {
    const names = layer.listXattrs(path);
    return (name) => names.includes(name);
  } catch (error) {
    if (!isErrno(error, Errno.E2BIG)) {
      throw error;
    }
    return () => true;
  }
}

/** The marks of a directory as Linux overlayfs writes them. */
export function readDirectoryMarks(marks: MarkNames, layer: MarkedLayer, path: string): DirectoryMarks {
  const mayHave = possibleXattrs(layer, path);
  const has = { opaque: mayHave(marks.opaque), redirect: mayHave(marks.redirect) };
  if (!has.opaque && !has.redirect) {
    return unmarked;
  }
  const opaque = has.opaque ? readMark(layer, path, marks.opaque)?.toString("latin1") : undefined;
  const redirect = has.redirect ? readMark(layer, path, marks.redirect) : undefined;
  return { opaque: opaque === "y", xattrWhiteouts: opaque === "x", redirect };
}

/**
 * What container engines and fuse-overlayfs leave in layers that they unpack (the OCI image specification, "Layer
 * Filesystem Changeset", after AUFS): `.wh.NAME` hides NAME in the layers below, `.wh..wh..opq` all that they have in the
 * directory. In an upper they count only where its file system has no other form: with true whiteouts a user may have files of
 * such names.
 */
const filePrefix = ".wh.";
export const opaqueFile: Name = ".wh..wh..opq";
const fuseOverlayfsOpaque: Name = "user.fuseoverlayfs.opaque";

/** Whether a name in a lower is such a mark, and stands for no object. */
export function isMarkFile(name: Name): boolean {
  return name.startsWith(filePrefix);
}

/** The name of the mark that hides a name. */
export function markFileFor(name: Name): Name {
  return filePrefix + name;
}

/** Where the mark lies that hides the name at the end of a path. */
export function besideMarkFile(path: string): string {
  const name = path.lastIndexOf("/") + 1;
  return path.slice(0, name) + markFileFor(path.slice(name));
}

/** The name that a mark of this name hides; undefined if it hides none. */
export function hiddenByMarkFile(name: Name): Name | undefined {
  return name.startsWith(`${filePrefix}${filePrefix}`) ? undefined : name.slice(filePrefix.length);
}

/** Whether a directory of a lower hides what lies below it by a mark that is not the kernel's. */
export function isOpaqueToOthers(layer: Layer, path: string): boolean {
  return (
    layer.find(path === "" ? opaqueFile : `${path}/${opaqueFile}`) !== undefined ||
    isMarked(layer, path, fuseOverlayfsOpaque)
  );
}

/** Whether a directory says that empty files in it may be whiteouts. */
export function mayHoldWhiteouts(marks: MarkNames, layer: MarkedLayer, path: string): boolean {
  return readMark(layer, path, marks.opaque)?.toString("latin1") === "x";
}

/**
 * Whether an object is a whiteout of either kind: a device, or an empty regular file with the xattr. The mark of a
 * directory says that listings have to look for the latter; an object that is looked up by its name is asked in any case,
 * as by ovl_lookup_single of Linux.
 */
export function isAnyWhiteout(marks: MarkNames, layer: MarkedLayer, path: string, stat: Stat): boolean {
  const isEmptyFile = (stat.mode & FileType.mask) === FileType.regular && stat.size === 0;
  return isWhiteout(stat) || (isEmptyFile && readMark(layer, path, marks.whiteout) !== undefined);
}

/** The value begins with four bytes on its version and the digest of the data, or is empty (struct ovl_metacopy of Linux). */
const metacopyHeader = 4;

/** Whether the data of a regular file are in a layer below. @throws EIO for a mark that is none */
export function isMetacopy(marks: MarkNames, layer: MarkedLayer, path: string): boolean {
  const value = readMark(layer, path, marks.metacopy);
  if (value !== undefined && value.length > 0 && value.length < metacopyHeader) {
    throw new FsError(Errno.EIO, `a file with a metacopy mark that is too short (${path})`);
  }
  return value !== undefined;
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
