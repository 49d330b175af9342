/**
 * One name across the layers: which object the merged view shows for it, and of which parts it consists.
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerPath, Place, Stat } from "../layer/layer.ts";
import { isMarked, isOpaque, isWhiteout, requireData } from "../layer/marks.ts";
import { isRemoved, joinPath, type Node } from "./node.ts";
import type { Discovery } from "./node-table.ts";
import { originOf } from "./origin.ts";
import type { Overlay } from "./overlay.ts";

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

/** Looks a name up on disk. @throws ENOENT in a removed directory */
export function resolve(overlay: Overlay, parent: Node, name: Name): Resolution {
  requireDirectory(parent);
  if (isRemoved(parent)) {
    throw new FsError(Errno.ENOENT, "lookup in a removed directory");
  }
  const upperPath = overlay.nodes.upperPathOf(parent, name);
  const upperStat = parent.upper ? overlay.upper?.find(upperPath) : undefined;
  if (upperStat === undefined) {
    const parts = lowerParts(overlay, parent, name, false);
    return parts.length === 0 ? absent : foundOnLowers(overlay, parts);
  }
  if (isWhiteout(upperStat)) {
    return whitedOut;
  }
  if (!isDirectory(upperStat)) {
    return foundFile(overlay, parent, upperPath, upperStat);
  }
  return foundDirectory(overlay, parent, name, upperPath, upperStat);
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

/** Whether a lower of `parent` shows something for the name, so that it needs a whiteout to be gone. */
export function isOnLower(overlay: Overlay, parent: Node, name: Name): boolean {
  return lowerParts(overlay, parent, name, true).length > 0;
}

/** @throws ENOTDIR */
export function requireDirectory(node: Node): void {
  if (node.directory === undefined) {
    throw new FsError(Errno.ENOTDIR, `node ${node.id} is not a directory`);
  }
}

interface LowerPart {
  readonly place: Place;
  readonly stat: Stat;
}

/**
 * The parts of a name on the lowers of a directory, topmost first: one file, or directories down to the one that is
 * opaque or has a whiteout or a file below it.
 * @param firstOnly the topmost part is enough
 */
function lowerParts(overlay: Overlay, parent: Node, name: Name, firstOnly: boolean): LowerPart[] {
  const parts: LowerPart[] = [];
  const last = parent.lowers.length - 1;
  for (const [index, lower] of parent.lowers.entries()) {
    const place: Place = { layer: lower.layer, path: joinPath(lower.path, name) };
    const stat = place.layer.find(place.path);
    if (stat === undefined) {
      continue;
    }
    if (isWhiteout(stat) || (parts.length > 0 && !isDirectory(stat))) {
      break;
    }
    parts.push({ place, stat });
    if (firstOnly || index === last) {
      break;
    }
    if (!isDirectory(stat)) {
      if (isRegular(stat)) {
        requireData(overlay.marks, place.layer, place.path);
      }
      break;
    }
    if (isOpaque(overlay.marks, place.layer, place.path)) {
      break;
    }
  }
  return parts;
}

function foundOnLowers(overlay: Overlay, parts: readonly LowerPart[]): Found {
  const { stat } = parts[0] as LowerPart;
  return {
    kind: "found",
    stat,
    upper: false,
    lowers: parts.map((part) => part.place),
    ino: overlay.inodes.number(stat.dev, stat.ino),
    hasOrigin: false,
  };
}

function foundFile(overlay: Overlay, parent: Node, path: LayerPath, stat: Stat): Found {
  const mayBeCopy = overlay.upper !== undefined && isImpure(overlay, parent);
  if (mayBeCopy && isRegular(stat)) {
    requireData(overlay.marks, overlay.upper, path);
  }
  const origin = mayBeCopy ? originOf(overlay, path, stat) : undefined;
  const { dev, ino } = origin ?? stat;
  return {
    kind: "found",
    stat,
    upper: true,
    lowers: [],
    ino: overlay.inodes.number(dev, ino),
    hasOrigin: origin !== undefined,
  };
}

/** A merged directory shows the inode number of its topmost lower part, as before its copy-up. */
function foundDirectory(overlay: Overlay, parent: Node, name: Name, path: LayerPath, stat: Stat): Found {
  // Only below a directory with lower parts, or moved to an impure one, can there be anything to hide or to redirect.
  const mayHaveMarks = parent.lowers.length > 0 || isImpure(overlay, parent);
  const opaque = mayHaveMarks && overlay.upper !== undefined && isOpaque(overlay.marks, overlay.upper, path);
  const parts = opaque ? [] : lowerParts(overlay, parent, name, false).filter((part) => isDirectory(part.stat));
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

/** Whether the upper part of a directory may hold objects that were copied up: only they have an origin. */
export function isImpure(overlay: Overlay, node: Node): boolean {
  const state = node.directory;
  if (state === undefined || overlay.upper === undefined) {
    return false;
  }
  state.impure ??= isMarked(overlay.upper, overlay.nodes.upperPath(node), overlay.marks.impure);
  return state.impure;
}

function isRegular(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.regular;
}

function isDirectory(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.directory;
}
