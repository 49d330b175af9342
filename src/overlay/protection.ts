/**
 * Immutable and append-only objects (chattr +i, +a), as Linux overlayfs has them (fs/overlayfs: ovl_check_protattr,
 * ovl_set_protattr, ovl_copy_fileattr). On a lower the object has the flags itself; an upper one has them in an xattr,
 * since an immutable object could not be renamed to its place. What they forbid is refused here: a FUSE daemon can't give
 * them to the kernel's inode.
 */
import { FileType } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { Place, Stat, WritableLayer } from "../layer/layer.ts";
import { readMark } from "../layer/marks.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

/** The bits of FS_IOC_GETFLAGS (linux/fs.h); stx_attributes has the same. */
export const Protection = { none: 0, immutable: 0x10, append: 0x20, all: 0x30 } as const;

const letters: readonly (readonly [letter: string, bit: number])[] = [
  ["a", Protection.append],
  ["i", Protection.immutable],
];

/** The value of the xattr, with at least one letter. */
export function encodeProtection(bits: number): Buffer {
  return Buffer.from(letters.map(([letter, bit]) => ((bits & bit) === 0 ? "" : letter)).join(""), "latin1");
}

/** The longest value that Linux reads (OVL_PROTATTR_MAX). */
const longestValue = 32;

/** The bits that a value of the xattr stands for: none where it is too long or has a letter that is not known, as with Linux. */
function decodeProtection(value: Buffer | undefined): number {
  let bits: number = Protection.none;
  if (value === undefined || value.length > longestValue) {
    return bits;
  }
  for (const letter of value.toString("latin1")) {
    const bit = letters.find(([known]) => known === letter)?.[1];
    if (bit === undefined) {
      return Protection.none;
    }
    bits |= bit;
  }
  return bits;
}

/** Which of the flags an object has; a symlink or a special file has none. */
export function protection(overlay: Overlay, node: Node): number {
  node.protection ??= readProtection(overlay, node);
  return node.protection;
}

/** Which of the flags an object of a lower has, by what statx(2) tells of it. */
export function protectionOnLower({ type }: Node, { attributes }: Stat): number {
  return type === FileType.regular || type === FileType.directory ? attributes & Protection.all : Protection.none;
}

function readProtection(overlay: Overlay, node: Node): number {
  if (node.type !== FileType.regular && node.type !== FileType.directory) {
    return Protection.none;
  }
  const { layer, path } = overlay.place(node);
  const own = overlay.stat(node).attributes & Protection.all;
  return node.upper ? own | decodeProtection(readMark(layer, path, overlay.marks.protection)) : own;
}

/** Stores the flags of an upper object. @throws EPERM where its file system can't hold the xattr */
export function setProtection(overlay: Overlay, node: Node, bits: number): void {
  const place = overlay.upperPlace(node);
  if (bits !== Protection.none) {
    storeProtection(overlay, place, bits);
  } else if (protection(overlay, node) !== Protection.none) {
    removeProtection(overlay, place);
  }
  node.protection = bits;
}

function removeProtection(overlay: Overlay, { layer, path }: Place<WritableLayer>): void {
  try {
    layer.removeXattr(path, overlay.marks.protection);
  } catch (error) {
    // The flags came from a lower, and the upper could not hold them.
    if (!isErrno(error, Errno.ENODATA, Errno.EOPNOTSUPP)) {
      throw error;
    }
  }
}

function storeProtection(overlay: Overlay, { layer, path }: Place<WritableLayer>, bits: number): void {
  try {
    layer.setXattr(path, overlay.marks.protection, encodeProtection(bits), 0);
  } catch (error) {
    if (isErrno(error, Errno.EOPNOTSUPP)) {
      throw new FsError(Errno.EPERM, "the upper can't hold overlay.protattr", { cause: error });
    }
    throw error;
  }
}

/** For a change of an object's attributes, and for a further name of it. @throws EPERM */
export function requireChangeable(overlay: Overlay, node: Node): void {
  refuse(overlay, node, Protection.all);
}

/** For writing to a file, and for a new name in a directory. @throws EPERM */
export function requireWritable(overlay: Overlay, node: Node): void {
  refuse(overlay, node, Protection.immutable);
}

/** For a name that is to go. @throws EPERM */
export function requireRemovable(overlay: Overlay, parent: Node, node: Node): void {
  refuse(overlay, parent, Protection.all);
  refuse(overlay, node, Protection.all);
}

/** For what changes data that are there already. @throws EPERM */
export function requireOverwritable(overlay: Overlay, node: Node): void {
  refuse(overlay, node, Protection.append);
}

function refuse(overlay: Overlay, node: Node, bits: number): void {
  if ((protection(overlay, node) & bits) !== 0) {
    throw new FsError(Errno.EPERM, "the object is immutable or append-only");
  }
}
