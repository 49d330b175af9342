/**
 * Where a copied-up object came from: the file handle of the lower object, kept in the xattr overlay.origin so that
 * its inode number stays the same for ever.
 */
import { FileType } from "../contract/ids.ts";
import type { LayerPath, Stat } from "../layer/layer.ts";
import type { Overlay } from "./overlay.ts";
import { readHandle } from "./stored-handle.ts";

/** The lower object that an upper file was copied up from; undefined where that can't be told (any more). */
export function originOf(overlay: Overlay, path: LayerPath, stat: Stat): Stat | undefined {
  const handle = overlay.upper && readHandle(overlay.upper, path, overlay.marks.origin);
  const layer = handle && overlay.originLayers.find(handle.uuid);
  const origin = handle && layer?.statByHandle(handle.type, handle.bytes);
  const sameType = origin !== undefined && (origin.mode & FileType.mask) === (stat.mode & FileType.mask);
  return sameType ? origin : undefined;
}
