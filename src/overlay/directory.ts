/** The merged listing of a directory: read from the layers once, then kept right by every operation. */
import type { DirectorySink } from "../contract/filesystem.ts";
import { FileType, type Name } from "../contract/ids.ts";
import { FsError } from "../errno.ts";
import type { Listed } from "./listing.ts";
import { isRemoved, type Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { namesOf } from "./read-names.ts";
import { findNode, findNodeAndStat, requireDirectory } from "./resolver.ts";

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
  for (const listed of namesOf(overlay, node).listing.from(offset)) {
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
  return namesOf(overlay, node).listing.size === 0;
}

/** A name was made, or stands for another object now. */
export function nameWasPut(overlay: Overlay, parent: Node, name: Name, node: Node): void {
  // A number that was a lower's is kept by an xattr alone, which not every object can have.
  const names = overlay.names.get(parent);
  if (names !== undefined) {
    names.listing.put(name, node.type, node.ino, node.hasOrigin);
    overlay.names.grew();
  }
}

/** A name stands for nothing any more. */
export function nameWasRemoved(overlay: Overlay, parent: Node, name: Name): void {
  overlay.names.get(parent)?.listing.remove(name);
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
  const found = tolerant(overlay, parent, listed.name, findNodeAndStat);
  const entry = found && overlay.entry(found.node, found.stat);
  sink.addWithEntry(listed.name, entry?.attributes.ino ?? listed.ino, listed.type, listed.offset, entry);
}

function shownInode(overlay: Overlay, parent: Node, listed: Listed): number {
  if (!listed.foreign) {
    return listed.ino;
  }
  const node = tolerant(overlay, parent, listed.name, findNode);
  if (node === undefined) {
    return listed.ino;
  }
  const { ino } = node;
  overlay.nodes.dropIfUnused(node);
  return ino;
}

/** One object that can't be looked up is no reason not to list the others: the caller meets the error when it asks for it. */
function tolerant<T>(
  overlay: Overlay,
  parent: Node,
  name: Name,
  look: (overlay: Overlay, parent: Node, name: Name) => T,
): T | undefined {
  try {
    return look(overlay, parent, name);
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    overlay.log.debug({ err: error }, "readdir: an entry can't be looked up");
    return undefined;
  }
}
