/**
 * One name across the layers: which object the merged view shows for it, and of which parts it consists.
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerPath, Stat } from "../layer/layer.ts";
import { isMetacopy, readDirectoryMarks } from "../layer/marks.ts";
import { withDataBlocks } from "./data-source.ts";
import { findIndexed, indexedAs, isOneFile } from "./hard-links.ts";
import { isImpure } from "./impure.ts";
import { type FoundPart, type LowerObject, lowerObject } from "./lower-walk.ts";
import { type DataSource, type Indexed, isMerged, isRemoved, type Node } from "./node.ts";
import type { Discovery } from "./node-table.ts";
import { originOf } from "./origin.ts";
import type { Overlay } from "./overlay.ts";
import { protectionOnLower } from "./protection.ts";
import { namesIfKnown, noteMiss } from "./read-names.ts";
import { follows, parseRedirect } from "./redirect.ts";

/**
 * What a name stands for.
 * - absent: nothing; creating it needs nothing special.
 * - whited-out: nothing, by a whiteout in the upper; creation has to replace the whiteout, and a new directory must be
 *   opaque before it is visible.
 * - found: an object, on the upper or only on lowers.
 */
export type Resolution = { readonly kind: "absent" } | { readonly kind: "whited-out" } | Found;

export interface Found extends Discovery {
  readonly kind: "found";
}

const absent: Resolution = { kind: "absent" };
const whitedOut: Resolution = { kind: "whited-out" };

/** Longer ones are refused even where it is known without asking a file system that there are none (NAME_MAX). */
const longestName = 255;

/** Looks a name up. @throws ENOENT in a removed directory; ENAMETOOLONG */
export function resolve(overlay: Overlay, parent: Node, name: Name): Resolution {
  requireDirectory(parent);
  if (isRemoved(parent)) {
    throw new FsError(Errno.ENOENT, "lookup in a removed directory");
  }
  if (name.length > longestName) {
    throw new FsError(Errno.ENAMETOOLONG, "lookup");
  }
  if (overlay.isReserved(name)) {
    return absent;
  }
  const names = namesIfKnown(overlay, parent);
  if (names?.lacks(name) === true) {
    return absent;
  }
  const mayBeOnUpper = parent.upper && (names === undefined || !isMerged(parent) || names.mayBeOnUpper(name));
  const onUpper = mayBeOnUpper ? resolveOnUpper(overlay, parent, name) : undefined;
  const resolution = onUpper ?? resolveOnLowers(overlay, parent, name);
  if (resolution === absent && names === undefined) {
    noteMiss(overlay, parent);
  }
  return resolution;
}

function resolveOnLowers(overlay: Overlay, parent: Node, name: Name): Resolution {
  if (parent.lowers.length === 0) {
    return absent;
  }
  const object = lowerObject(overlay, parent, name);
  return object.parts.length === 0 ? absent : foundOnLowers(overlay, object);
}

/** Undefined where the upper has nothing of that name, and hides nothing. */
function resolveOnUpper(overlay: Overlay, parent: Node, name: Name): Resolution | undefined {
  const upperPath = overlay.nodes.upperPathOf(parent, name);
  const onUpper = overlay.forms?.whiteouts.find(upperPath);
  if (onUpper === undefined) {
    return undefined;
  }
  if (onUpper === "whiteout") {
    return whitedOut;
  }
  if (!isDirectory(onUpper)) {
    return foundFile(overlay, parent, name, upperPath, onUpper);
  }
  return foundDirectory(overlay, parent, name, upperPath, onUpper);
}

/**
 * The node of a name: the known one, or a new one for what is found on disk.
 * @throws ENOENT when the name is absent
 */
export function nodeAt(overlay: Overlay, parent: Node, name: Name): Node {
  const node = findNode(overlay, parent, name);
  if (node === undefined) {
    throw new FsError(Errno.ENOENT, "no such name");
  }
  return node;
}

/** As `nodeAt`, but undefined when the name is absent. A new node is dropped with `dropIfUnused` if nobody takes it. */
export function findNode(overlay: Overlay, parent: Node, name: Name): Node | undefined {
  requireDirectory(parent);
  return parent.directory?.children.get(name) ?? discover(overlay, parent, name)?.node;
}

/** As `findNode`, with what stat(2) tells of the object now. */
export function findNodeAndStat(overlay: Overlay, parent: Node, name: Name): { node: Node; stat: Stat } | undefined {
  requireDirectory(parent);
  const known = parent.directory?.children.get(name);
  return known === undefined ? discover(overlay, parent, name) : { node: known, stat: overlay.stat(known) };
}

function discover(overlay: Overlay, parent: Node, name: Name): { node: Node; stat: Stat } | undefined {
  const resolution = resolve(overlay, parent, name);
  if (resolution.kind !== "found") {
    return undefined;
  }
  const node = overlay.nodes.add(parent, name, resolution);
  if (!node.upper) {
    node.protection ??= protectionOnLower(node, resolution.stat);
  }
  return { node, stat: resolution.stat };
}

/** @throws EINVAL for a name that stands for a mark in this upper */
export function requireNoMark(overlay: Overlay, name: Name): void {
  if (overlay.isReserved(name)) {
    throw new FsError(Errno.EINVAL, "a name that hides others in this upper");
  }
}

/** @throws ENOTDIR */
export function requireDirectory(node: Node): void {
  if (node.directory === undefined) {
    throw new FsError(Errno.ENOTDIR, `node ${node.id} is not a directory`);
  }
}

function foundOnLowers(overlay: Overlay, { parts, data }: LowerObject): Found {
  const { place, stat } = parts[0] as FoundPart;
  const ino = overlay.inodes.number(stat.dev, stat.ino);
  const copy = findIndexed(overlay, place, stat);
  if (copy !== undefined) {
    const found: Found = { kind: "found", ...copy, upper: true, lowers: [], ino, hasOrigin: true };
    return isIndexedMetacopy(overlay, copy.indexed)
      ? withData({ ...found, lowers: [place] }, data ?? { kind: "found", place })
      : found;
  }
  const found: Found = {
    kind: "found",
    stat,
    upper: false,
    lowers: parts.length === 1 ? [place] : parts.map((part) => part.place),
    ino,
    hasOrigin: false,
    isOneFile: isOneFile(overlay, stat),
  };
  return data === undefined ? found : withData(found, data);
}

/** @throws EPERM where the data of such files are not looked for */
function isIndexedMetacopy(overlay: Overlay, indexed: Indexed): boolean {
  const place = overlay.index?.place(indexed);
  if (place === undefined || !isMetacopy(overlay.marks, place.layer, place.path)) {
    return false;
  }
  if (!overlay.features.metacopy) {
    throw new FsError(Errno.EPERM, "a file without its data (metacopy), which are not looked for");
  }
  return true;
}

function withData(found: Found, data: DataSource): Found {
  return { ...found, data, stat: withDataBlocks(found.stat, data) };
}

function foundFile(overlay: Overlay, parent: Node, name: Name, path: LayerPath, stat: Stat): Found {
  const isCopyOfMetadata =
    overlay.upper !== undefined && isRegular(stat) && isMetacopy(overlay.marks, overlay.upper, path);
  const below = isCopyOfMetadata ? objectBelow(overlay, parent, name, path, "metacopy") : undefined;
  const mayBeIndexed = overlay.index !== undefined && stat.nlink > 1;
  const mayBeCopy = overlay.upper !== undefined && (isCopyOfMetadata || mayBeIndexed || isImpure(overlay, parent));
  const mark = mayBeCopy ? originOf(overlay, path, stat) : undefined;
  const indexed = mark && indexedAs(overlay, path, stat, mark);
  const origin = mark ?? below?.parts[0]?.stat;
  // Of a lower file with several names there may be several copies, unless it is indexed: each has its own number.
  const { dev, ino } = origin !== undefined && (origin.nlink === 1 || indexed !== undefined) ? origin : stat;
  const found: Found = {
    kind: "found",
    stat,
    upper: true,
    lowers: below?.parts.map((part) => part.place) ?? [],
    ino: overlay.inodes.number(dev, ino),
    hasOrigin: mark !== undefined,
    ...(indexed && { indexed }),
  };
  return below?.data === undefined ? found : withData(found, below.data);
}

/** A merged directory shows the inode number of its topmost lower part, as before its copy-up. */
function foundDirectory(overlay: Overlay, parent: Node, name: Name, path: LayerPath, stat: Stat): Found {
  // Where no redirect is followed, only those below a directory with lower parts, or moved to an impure one, are looked for.
  const mayBeMerged = follows(overlay) || parent.lowers.length > 0 || isImpure(overlay, parent);
  const { parts } = mayBeMerged ? objectBelow(overlay, parent, name, path, "directory") : { parts: [] };
  const { dev, ino } = parts[0]?.stat ?? stat;
  return {
    kind: "found",
    stat,
    upper: true,
    lowers: parts.map((part) => part.place),
    ino: overlay.inodes.number(dev, ino),
    hasOrigin: parts.length > 0,
  };
}

/** What the lowers add to an object of the upper. */
function objectBelow(
  overlay: Overlay,
  parent: Node,
  name: Name,
  path: LayerPath,
  above: "directory" | "metacopy",
): LowerObject {
  if (overlay.upper === undefined) {
    return { parts: [] };
  }
  const { opaque, redirect } = readDirectoryMarks(overlay.marks, overlay.upper, path);
  if (above === "directory" && (opaque || overlay.forms?.opaque.isSetByFile(path) === true)) {
    return { parts: [] };
  }
  return lowerObject(overlay, parent, name, above, redirect && parseRedirect(redirect));
}

function isRegular(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.regular;
}

function isDirectory(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.directory;
}
