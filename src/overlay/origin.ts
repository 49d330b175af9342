/**
 * Where a copied-up object came from: the file handle of the lower object, kept in the xattr overlay.origin so that
 * its inode number stays the same for ever. The format is `struct ovl_fb` of Linux (fs/overlayfs/overlayfs.h):
 * version 0, magic 0xfb, total length, flags, handle type, UUID of the file system (16 bytes), the handle.
 * An empty value says that the object was copied up from a file system without handles.
 */
import { FileType } from "../contract/ids.ts";
import type { LayerPath, Place, Stat } from "../layer/layer.ts";
import { readMark } from "../layer/marks.ts";
import { noUuid } from "./origin-layers.ts";
import type { Overlay } from "./overlay.ts";

const version = 0;
const magic = 0xfb;
const headerSize = 21;
const uuidAt = 5;
const flagBigEndian = 1;
const flagAnyEndian = 2;
const nativeFlags = isBigEndian() ? flagBigEndian : 0;

/** The value of overlay.origin for an object that is copied up from `lower`. */
export function encodeOrigin(lower: Place): Buffer {
  const handle = lower.layer.fileHandle(lower.path);
  if (handle === undefined || headerSize + handle.bytes.length > 255) {
    return Buffer.alloc(0);
  }
  const length = headerSize + handle.bytes.length;
  const header = Buffer.from([version, magic, length, nativeFlags, handle.type]);
  return Buffer.concat([header, handle.uuid ?? noUuid, handle.bytes]);
}

/** The lower object that an upper file was copied up from; undefined where that can't be told (any more). */
export function originOf(overlay: Overlay, path: LayerPath, stat: Stat): Stat | undefined {
  const value = overlay.upper && readMark(overlay.upper, path, overlay.marks.origin);
  if (value === undefined || !isWellFormed(value)) {
    return undefined;
  }
  const type = value[4] as number;
  const layer = overlay.originLayers.find(value.subarray(uuidAt, headerSize));
  const origin = layer?.statByHandle(type, value.subarray(headerSize));
  const sameType = origin !== undefined && (origin.mode & FileType.mask) === (stat.mode & FileType.mask);
  return sameType ? origin : undefined;
}

function isWellFormed(value: Buffer): boolean {
  const flags = value[3] ?? 0;
  return (
    value.length > headerSize &&
    value[0] === version &&
    value[1] === magic &&
    value[2] === value.length &&
    ((flags & flagAnyEndian) !== 0 || (flags & flagBigEndian) === nativeFlags)
  );
}

function isBigEndian(): boolean {
  return new Uint8Array(new Uint16Array([1]).buffer)[1] === 1;
}
