/** Reads the names of a directory from all of its layers in one pass, and keeps them. */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { ListedName, Place } from "../layer/layer.ts";
import { hiddenByMarkFile, isAnyWhiteout, isMarkFile } from "../layer/marks.ts";
import { isImpure } from "./impure.ts";
import { Listing } from "./listing.ts";
import { MergedNames } from "./merged-names.ts";
import { isMerged, joinPath, type LowerPart, type Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

/**
 * An upper object or a whiteout of this name is about to be made. To be called when nothing more is looked up before: names
 * that were read in between would lack it.
 */
export function willBeOnUpper(overlay: Overlay, directory: Node, name: Name): void {
  overlay.names.get(directory)?.putOnUpper(name);
}

/** The names of a directory: as they are kept, else read now. */
export function namesOf(overlay: Overlay, node: Node): MergedNames {
  const kept = overlay.names.use(node);
  if (kept !== undefined) {
    return kept;
  }
  const names = new MergedNames();
  const hidden = new Set<Name>();
  if (node.upper && overlay.upper !== undefined) {
    readUpper(overlay, node, names, hidden);
  }
  const reading = { names, isMerged: isMerged(node), bottom: node.lowers.length - 1, hidden, closed: new Set<Name>() };
  for (const [index, part] of node.lowers.entries()) {
    readLower(overlay, part, index, reading);
  }
  overlay.names.keep(node, names);
  return names;
}

/**
 * What is known of the names in a merged directory, and of the layers that have them. Undefined for one that is not merged, and for
 * one that this user may not list on a lower, as he may with root's rights alone: its layers are asked for each name then.
 */
export function knownNames(overlay: Overlay, node: Node): MergedNames | undefined {
  try {
    return isMerged(node) ? namesOf(overlay, node) : undefined;
  } catch (error) {
    if (isErrno(error, Errno.EACCES)) {
      return undefined;
    }
    throw error;
  }
}

/** Nothing has a name in a directory of the upper that was just made. */
export function startNames(overlay: Overlay, directory: Node): void {
  overlay.names.keep(directory, new MergedNames(Listing.ofNewDirectory()));
}

/** What is known of the names in any directory: those of one that is not merged, if they are kept. */
export function namesIfKnown(overlay: Overlay, node: Node): MergedNames | undefined {
  return isMerged(node) ? knownNames(overlay, node) : overlay.names.use(node);
}

/** So many bytes of a directory are read in the time that it takes to find out that one name is absent. */
const bytesPerMiss = 192;
const largestReadForMisses = 256 * 1024;
const fewMisses = 8;

/**
 * A name was looked for in vain in the one layer of a directory. When as much time went into that as it takes to read all
 * names of the directory, they are read.
 */
export function noteMiss(overlay: Overlay, node: Node): void {
  const { directory } = node;
  if (directory === undefined) {
    return;
  }
  directory.misses += 1;
  const { misses } = directory;
  if (misses < fewMisses || (misses & (misses - 1)) !== 0) {
    return;
  }
  try {
    if (overlay.stat(node).size <= Math.min(misses * bytesPerMiss, largestReadForMisses)) {
      namesOf(overlay, node);
    }
  } catch (error) {
    // Whoever looked for the name has the answer already.
    if (!(error instanceof FsError)) {
      throw error;
    }
  }
}

function readUpper(overlay: Overlay, node: Node, names: MergedNames, hidden: Set<Name>): void {
  const place: Place = overlay.upperPlace(node);
  const { dev } = place.layer.stat(place.path);
  const mayHaveOrigin = isImpure(overlay, node);
  const mayMerge = isMerged(node);
  const hiddenBy = overlay.forms?.whiteouts.hiddenIn(place.path);
  for (const entry of place.layer.list(place.path)) {
    const { name, type, ino } = entry;
    const whiteout = hiddenBy?.(entry);
    if (whiteout === undefined && overlay.isReserved(name)) {
      continue;
    }
    if (mayMerge || whiteout !== undefined) {
      names.putOnUpper(whiteout ?? name);
    }
    if (whiteout !== undefined) {
      hidden.add(whiteout);
    } else {
      const foreign = mayHaveOrigin || (mayMerge && type === FileType.directory);
      names.listing.fill(name, type, overlay.inodes.number(dev, ino), foreign);
    }
  }
}

interface Reading {
  readonly names: MergedNames;
  readonly isMerged: boolean;
  /** The index of the last lower part. */
  readonly bottom: number;
  /** Names that a whiteout above hides from view. */
  readonly hidden: Set<Name>;
  /**
   * Names that no lower part further down adds to. By the lowers alone: a whiteout of the upper hides a name, but it is still there
   * to be whited out.
   */
  readonly closed: Set<Name>;
}

function readLower(overlay: Overlay, part: LowerPart, index: number, reading: Reading): void {
  const { names, hidden, closed } = reading;
  const isBottom = index === reading.bottom;
  const { dev } = part.layer.stat(part.path);
  const whiteouts: Name[] = [];
  for (const entry of part.layer.list(part.path)) {
    const { name, type, ino } = entry;
    const whiteout = whiteoutOf(overlay, part, entry);
    if (whiteout !== undefined) {
      whiteouts.push(whiteout);
    } else if (!isMarkFile(name) && !closed.has(name)) {
      if (reading.isMerged) {
        names.addLower(name, type, index);
      }
      if (!isBottom && type !== FileType.directory) {
        closed.add(name);
      }
      if (!hidden.has(name)) {
        names.listing.fill(name, type, overlay.inodes.number(dev, ino), false);
      }
    }
  }
  for (const name of whiteouts) {
    hidden.add(name);
    closed.add(name);
  }
}

/** The name that an entry of a lower hides in the layers below; undefined for one that is no whiteout. */
function whiteoutOf(overlay: Overlay, part: LowerPart, { name, type }: ListedName): Name | undefined {
  if (isMarkFile(name)) {
    return hiddenByMarkFile(name);
  }
  const suspicious = type === FileType.character || (part.xattrWhiteouts && type === FileType.regular);
  if (!suspicious) {
    return undefined;
  }
  const path = joinPath(part.path, name);
  return isAnyWhiteout(overlay.marks, part.layer, path, part.layer.stat(path)) ? name : undefined;
}
