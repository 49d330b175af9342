/**
 * One name across the layers: which object the merged view shows for it, and of which parts it consists.
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerPath, Stat } from "../layer/layer.ts";
import { readDirectoryMarks, requireData } from "../layer/marks.ts";
import { findIndexed, indexedAs, isOneFile } from "./hard-links.ts";
import { isImpure } from "./impure.ts";
import { type FoundPart, lowerParts, redirectedParts } from "./lower-walk.ts";
import { isMerged, isRemoved, type Node } from "./node.ts";
import type { Discovery } from "./node-table.ts";
import { originOf } from "./origin.ts";
import type { Overlay } from "./overlay.ts";
import { namesOf } from "./read-names.ts";
import { parseRedirect } from "./redirect.ts";

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
  const names = isMerged(parent) ? namesOf(overlay, parent) : undefined;
  if (names !== undefined && !names.mayBeOnUpper(name) && !names.listing.has(name)) {
    return absent;
  }
  const upperPath = overlay.nodes.upperPathOf(parent, name);
  const mayBeOnUpper = parent.upper && (names === undefined || names.mayBeOnUpper(name));
  const onUpper = mayBeOnUpper ? overlay.forms?.whiteouts.find(upperPath) : undefined;
  if (onUpper === undefined) {
    const parts = lowerParts(overlay, parent, name);
    return parts.length === 0 ? absent : foundOnLowers(overlay, parts);
  }
  if (onUpper === "whiteout") {
    return whitedOut;
  }
  if (!isDirectory(onUpper)) {
    return foundFile(overlay, parent, upperPath, onUpper);
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
  return resolution.kind === "found"
    ? { node: overlay.nodes.add(parent, name, resolution), stat: resolution.stat }
    : undefined;
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

function foundOnLowers(overlay: Overlay, parts: readonly FoundPart[]): Found {
  const { place, stat } = parts[0] as FoundPart;
  const ino = overlay.inodes.number(stat.dev, stat.ino);
  const copy = findIndexed(overlay, place, stat);
  if (copy !== undefined) {
    return { kind: "found", ...copy, upper: true, lowers: [], ino, hasOrigin: true };
  }
  return {
    kind: "found",
    stat,
    upper: false,
    lowers: parts.map((part) => part.place),
    ino,
    hasOrigin: false,
    isOneFile: isOneFile(overlay, stat),
  };
}

function foundFile(overlay: Overlay, parent: Node, path: LayerPath, stat: Stat): Found {
  const mayBeIndexed = overlay.index !== undefined && stat.nlink > 1;
  const mayBeCopy = overlay.upper !== undefined && (mayBeIndexed || isImpure(overlay, parent));
  if (mayBeCopy && isRegular(stat)) {
    requireData(overlay.marks, overlay.upper, path);
  }
  const origin = mayBeCopy ? originOf(overlay, path, stat) : undefined;
  const indexed = origin && indexedAs(overlay, path, stat, origin);
  // Of a lower file with several names there may be several copies, unless it is indexed: each has its own number.
  const { dev, ino } = origin !== undefined && (origin.nlink === 1 || indexed !== undefined) ? origin : stat;
  return {
    kind: "found",
    stat,
    upper: true,
    lowers: [],
    ino: overlay.inodes.number(dev, ino),
    hasOrigin: origin !== undefined,
    ...(indexed && { indexed }),
  };
}

/** A merged directory shows the inode number of its topmost lower part, as before its copy-up. */
function foundDirectory(overlay: Overlay, parent: Node, name: Name, path: LayerPath, stat: Stat): Found {
  const parts = partsBelow(overlay, parent, name, path).filter((part) => isDirectory(part.stat));
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

/** What the lowers add to a directory of the upper. */
function partsBelow(overlay: Overlay, parent: Node, name: Name, path: LayerPath): FoundPart[] {
  // Where no redirect is followed, only those below a directory with lower parts, or moved to an impure one, are looked for.
  const follows = overlay.features.redirect !== "nofollow";
  if (overlay.upper === undefined || !(follows || parent.lowers.length > 0 || isImpure(overlay, parent))) {
    return [];
  }
  const { opaque, redirect } = readDirectoryMarks(overlay.marks, overlay.upper, path);
  if (opaque || overlay.forms?.opaque.isSetByFile(path) === true) {
    return [];
  }
  return redirect === undefined
    ? lowerParts(overlay, parent, name)
    : redirectedParts(overlay, parent, parseRedirect(overlay, redirect));
}

function isRegular(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.regular;
}

function isDirectory(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.directory;
}
