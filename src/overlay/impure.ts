/**
 * The mark of an upper directory that may hold objects with an origin: objects that were copied up, there or before they
 * were moved there. In all others the inode numbers shown are those of the upper itself.
 */
import { isMarked, yes } from "../layer/marks.ts";
import { setMark } from "./metadata.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

/** Whether the upper part of a directory is marked. */
export function isImpure(overlay: Overlay, node: Node): boolean {
  const state = node.directory;
  if (state === undefined || overlay.upper === undefined || !node.upper) {
    return false;
  }
  state.impure ??= isMarked(overlay.upper, overlay.nodes.upperPath(node), overlay.marks.impure);
  return state.impure;
}

/** Marks the upper part of a directory. Called before an object with an origin gets a name in it. */
export function markImpure(overlay: Overlay, directory: Node): void {
  const state = directory.directory;
  if (state !== undefined && state.impure !== true) {
    setMark(overlay, overlay.upperPlace(directory), overlay.marks.impure, yes);
    state.impure = true;
  }
}
