/**
 * Files with several names on a lower. With an index they stay one file: it is copied up into the index, and names are linked to it
 * when they are needed in the upper. Which name a program used for a change of the file is not told to a FUSE daemon: all that are known
 * are linked then, so that what was changed by a name is found by it in a later mount without the index, too.
 */
import { FileType } from "../contract/ids.ts";
import { FsError } from "../errno.ts";
import type { LayerPath, Place, Stat } from "../layer/layer.ts";
import { readMark } from "../layer/marks.ts";
import { markImpure } from "./impure.ts";
import { putBackTimes } from "./metadata.ts";
import type { Indexed, Link, Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { willBeOnUpper } from "./read-names.ts";
import { encodeOrigin } from "./stored-handle.ts";

/** Whether all names that an object has on its lower are one file, and stay one when it is changed. */
export function isOneFile(overlay: Overlay, { mode, nlink }: Stat): boolean {
  const type = mode & FileType.mask;
  if (type === FileType.directory || nlink < 2) {
    return false;
  }
  // Symlinks and devices have no user xattrs, which an index needs.
  const indexable = overlay.index !== undefined && (type === FileType.regular || !overlay.marks.inUserXattrs);
  return overlay.upper === undefined || indexable;
}

/** The upper file that a lower name leads to by the index. */
export function findIndexed(overlay: Overlay, lower: Place, stat: Stat): { stat: Stat; indexed: Indexed } | undefined {
  return overlay.index !== undefined && isOneFile(overlay, stat)
    ? overlay.index.find(encodeOrigin(lower), stat)
    : undefined;
}

/** What the index has of an upper file; undefined where that is not the file in the index. @param lower its origin */
export function indexedAs(overlay: Overlay, path: LayerPath, upper: Stat, lower: Stat): Indexed | undefined {
  if (overlay.index === undefined || overlay.upper === undefined || !isOneFile(overlay, lower)) {
    return undefined;
  }
  const origin = readMark(overlay.upper, path, overlay.marks.origin);
  const found = origin && overlay.index.find(origin, lower);
  return found?.stat.ino === upper.ino && found.stat.dev === upper.dev ? found.indexed : undefined;
}

/**
 * The names of an indexed file that are not in the upper.
 * @param names to look at; by default all that are known. When the caller has linked those, there are no more
 */
export function* missingNames(
  overlay: Overlay,
  node: Node,
  indexed: Indexed,
  names: readonly Link[] | undefined,
): Generator<Link, void> {
  if (indexed.allLinked) {
    return;
  }
  const { upper } = overlay.writable();
  for (const link of names ?? overlay.nodes.links(node)) {
    if (upper.find(overlay.nodes.upperPathOf(link.parent, link.name)) === undefined) {
      yield link;
    }
  }
  indexed.allLinked = names === undefined;
}

/** Links a name, whose directory is in the upper, to the indexed file that it stands for. The directory's times stay. */
export function linkName(overlay: Overlay, node: Node, { parent, name }: Link): void {
  const { indexed } = node;
  if (indexed === undefined) {
    throw new Error(`node ${node.id} is not indexed`);
  }
  const { upper } = overlay.writable();
  const { layer, path } = overlay.upperPlace(node);
  markImpure(overlay, parent);
  overlay.index?.noteLinks(indexed, "L", layer.stat(path).nlink);
  const parentPath = overlay.nodes.upperPath(parent);
  const times = upper.stat(parentPath);
  willBeOnUpper(overlay, parent, name);
  layer.link(path, upper, overlay.nodes.upperPathOf(parent, name));
  // In the upper now, no more on the lower alone.
  indexed.surplus -= 1;
  putBackTimes(upper, parentPath, times);
  overlay.notifier.attributesChanged(parent.id);
  overlay.notifier.attributesChanged(node.id);
  // The count by the lower, noted above, is right too, and is noted by the upper before that changes.
  attempt(overlay, "an indexed file keeps its link count by its lower", () => noteLinks(overlay, node));
}

/** To be called before an upper name of a file comes or goes: its count of names is right before and after. */
export function noteLinks(overlay: Overlay, node: Node): void {
  if (node.indexed !== undefined) {
    const { layer, path } = overlay.upperPlace(node);
    overlay.index?.noteLinks(node.indexed, "U", layer.stat(path).nlink);
  }
}

/** After a name went: when it was the last, the file goes from the index, too. What goes wrong here is left to the next mount. */
export function leaveIndex(overlay: Overlay, node: Node): void {
  const { indexed } = node;
  if (indexed === undefined || node.link !== undefined) {
    return;
  }
  attempt(overlay, "the index could not be cleaned", () => {
    const { nlink } = overlay.stat(node);
    if (nlink + indexed.surplus > 0) {
      return;
    }
    if (nlink > 1) {
      // It has names in the upper still: someone linked the lower file behind the overlay's back.
      indexed.surplus = -1;
      noteLinks(overlay, node);
      return;
    }
    overlay.index?.remove(indexed);
    node.indexed = undefined;
  });
}

/** What is no reason to fail: a later call, or the next mount, makes up for it. */
function attempt(overlay: Overlay, failure: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    overlay.log.warn({ err: error }, failure);
  }
}
