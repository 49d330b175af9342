/** The merged listing of a directory: read from the layers once, then kept right by every operation. */
import type { DirectorySink } from "../contract/filesystem.ts";
import { FileType, type Name } from "../contract/ids.ts";
import { FsError } from "../errno.ts";
import type { Place } from "../layer/layer.ts";
import { isWhiteout } from "../layer/marks.ts";
import { type Listed, Listing } from "./listing.ts";
import { isMerged, isRemoved, joinPath, type Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { findNode, findNodeAndStat, isImpure, requireDirectory } from "./resolver.ts";

const dotOffset = 1;
const dotDotOffset = 2;

/** As `Filesystem.readDirectory`. A removed directory is empty. */
export function readDirectory(
  overlay: Overlay,
  node: Node,
  offset: number,
  withEntries: boolean,
  sink: DirectorySink,
): void {
  requireDirectory(node);
  if (isRemoved(node) || !addDots(node, offset, withEntries, sink)) {
    return;
  }
  for (const listed of listingOf(overlay, node).from(offset)) {
    if (!sink.hasRoom(listed.name)) {
      return;
    }
    if (withEntries) {
      addWithEntry(overlay, node, listed, sink);
    } else {
      sink.add(listed.name, shownInode(overlay, node, listed), listed.type, listed.offset);
    }
  }
}

/** Whether the merged view of a directory shows no name. */
export function isEmpty(overlay: Overlay, node: Node): boolean {
  return listingOf(overlay, node).size === 0;
}

/** A name was made, or stands for another object now. */
export function nameWasPut(overlay: Overlay, parent: Node, name: Name, node: Node): void {
  overlay.listings.get(parent)?.put(name, node.type, node.ino);
}

/** A name stands for nothing any more. */
export function nameWasRemoved(overlay: Overlay, parent: Node, name: Name): void {
  overlay.listings.get(parent)?.remove(name);
}

/** @returns whether there was room */
function addDots(node: Node, offset: number, withEntries: boolean, sink: DirectorySink): boolean {
  const dots: [Name, Node, number][] = [
    [".", node, dotOffset],
    ["..", node.link?.parent ?? node, dotDotOffset],
  ];
  for (const [name, shown, next] of dots) {
    if (offset < next) {
      if (!sink.hasRoom(name)) {
        return false;
      }
      if (withEntries) {
        sink.addWithEntry(name, shown.ino, FileType.directory, next, undefined);
      } else {
        sink.add(name, shown.ino, FileType.directory, next);
      }
    }
  }
  return true;
}

function addWithEntry(overlay: Overlay, parent: Node, listed: Listed, sink: DirectorySink): void {
  const entry = tolerant(overlay, () => {
    const found = findNodeAndStat(overlay, parent, listed.name);
    return found === undefined ? undefined : overlay.entry(found.node, found.stat);
  });
  sink.addWithEntry(listed.name, entry?.attributes.ino ?? listed.ino, listed.type, listed.offset, entry);
}

function shownInode(overlay: Overlay, parent: Node, listed: Listed): number {
  if (!listed.foreign) {
    return listed.ino;
  }
  const node = tolerant(overlay, () => findNode(overlay, parent, listed.name));
  if (node === undefined) {
    return listed.ino;
  }
  const { ino } = node;
  overlay.nodes.dropIfUnused(node);
  return ino;
}

/** One object that can't be looked up is no reason not to list the others: the caller meets the error when it asks for it. */
function tolerant<T>(overlay: Overlay, look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    overlay.log.debug({ err: error }, "readdir: an entry can't be looked up");
    return undefined;
  }
}

function listingOf(overlay: Overlay, node: Node): Listing {
  const kept = overlay.listings.use(node);
  if (kept !== undefined) {
    return kept;
  }
  const listing = new Listing();
  const hidden = new Set<Name>();
  if (node.upper && overlay.upper !== undefined) {
    fill(overlay, node, { layer: overlay.upper, path: overlay.nodes.upperPath(node) }, true, listing, hidden);
  }
  for (const lower of node.lowers) {
    fill(overlay, node, lower, false, listing, hidden);
  }
  overlay.listings.keep(node, listing);
  return listing;
}

/** Adds the names of one layer that no layer above it has or hides; `hidden` collects its whiteouts for those below. */
function fill(overlay: Overlay, node: Node, place: Place, isUpper: boolean, listing: Listing, hidden: Set<Name>): void {
  const { layer, path } = place;
  const { dev } = layer.stat(path);
  const mayHaveOrigin = isUpper && isImpure(overlay, node);
  const mayMerge = isUpper && isMerged(node);
  const whiteouts: Name[] = [];
  for (const { name, type, ino } of layer.list(path)) {
    if (type === FileType.character && isWhiteout(layer.stat(joinPath(path, name)))) {
      whiteouts.push(name);
    } else if (!hidden.has(name)) {
      const foreign = mayHaveOrigin || (mayMerge && type === FileType.directory);
      listing.fill(name, type, overlay.inodes.number(dev, ino), foreign);
    }
  }
  for (const name of whiteouts) {
    hidden.add(name);
  }
}
