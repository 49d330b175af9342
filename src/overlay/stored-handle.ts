/**
 * File handles as marks hold them: overlay.origin names the lower object that a copied-up one came from, overlay.upper the upper that an
 * index belongs to; names in the index are such handles too. The format is `struct ovl_fb` of Linux (fs/overlayfs/overlayfs.h):
 * version 0, magic 0xfb, total length, flags, handle type, UUID of the file system (16 bytes), the handle.
 * An empty value says that the object was copied up from a file system without handles.
 */
import type { Name } from "../contract/ids.ts";
import type { LayerPath, Place } from "../layer/layer.ts";
import { type MarkedLayer, readMark } from "../layer/marks.ts";
import { noUuid } from "./origin-layers.ts";

const version = 0;
const magic = 0xfb;
const headerSize = 21;
const uuidAt = 5;
const flagBigEndian = 1;
const flagAnyEndian = 2;
/** The handle is that of an object of the upper. */
const flagUpper = 4;
const knownFlags = flagBigEndian | flagAnyEndian | flagUpper;
const nativeFlags = isBigEndian() ? flagBigEndian : 0;

/** The value of overlay.origin for an object that is copied up from `lower`. */
export function encodeOrigin(lower: Place): Buffer {
  return encodeHandle(lower, nativeFlags);
}

/** The value of overlay.upper, by which an index names its upper. */
export function encodeUpper(upper: Place): Buffer {
  return encodeHandle(upper, nativeFlags | flagUpper);
}

function encodeHandle({ layer, path }: Place, flags: number): Buffer {
  const handle = layer.fileHandle(path);
  if (handle === undefined || headerSize + handle.bytes.length > 255) {
    return Buffer.alloc(0);
  }
  const value = Buffer.allocUnsafe(headerSize + handle.bytes.length);
  value[0] = version;
  value[1] = magic;
  value[2] = value.length;
  value[3] = flags;
  value[4] = handle.type;
  value.set(handle.uuid ?? noUuid, uuidAt);
  value.set(handle.bytes, headerSize);
  return value;
}

/** A file handle as marks and the names of an index have it. */
export interface StoredHandle {
  /** All of it, as it is stored. */
  readonly value: Buffer;
  readonly type: number;
  readonly uuid: Buffer;
  readonly bytes: Buffer;
}

/** The handle that a mark holds; undefined where there is none that can be understood. */
export function readHandle(layer: MarkedLayer, path: LayerPath, mark: Name): StoredHandle | undefined {
  const value = readMark(layer, path, mark);
  return value && parseHandle(value);
}

/** Undefined for what is no handle, or none of this machine. */
export function parseHandle(value: Buffer): StoredHandle | undefined {
  if (!isWellFormed(value)) {
    return undefined;
  }
  const uuid = value.subarray(uuidAt, headerSize);
  // What follows the length that it gives means nothing, as with Linux (ovl_check_fb_len).
  const end = Math.max(headerSize, value[2] as number);
  return { value, type: value[4] as number, uuid, bytes: value.subarray(headerSize, end) };
}

function isWellFormed(value: Buffer): boolean {
  const flags = value[3] ?? 0;
  return (
    (flags & ~knownFlags) === 0 &&
    value.length > headerSize &&
    value[0] === version &&
    value[1] === magic &&
    (value[2] as number) <= value.length &&
    ((flags & flagAnyEndian) !== 0 || (flags & flagBigEndian) === nativeFlags)
  );
}

function isBigEndian(): boolean {
  return new Uint8Array(new Uint16Array([1]).buffer)[1] === 1;
}
