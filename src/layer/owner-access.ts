/**
 * What the daemon does with objects of its own user that their modes keep from him. Root passes over modes; a plain user's daemon
 * has to give the owner access for the length of a call. The kernel has asked by then whether the caller may have what he wants of
 * the merged object, and to move a directory, to mark it or to copy into it takes more than that.
 */
import { FileType } from "../contract/ids.ts";
import { Errno, isErrno } from "../errno.ts";
import { Capability, hasCapability } from "../sys/process.ts";
import type { LayerPath, Place, WritableLayer } from "./layer.ts";

/** With search permission for directories. */
const fileAccess = 0o600;
const directoryAccess = 0o700;
/** chmod(2) takes it away where its group is none of the user's. */
const setGid = 0o2000;

/**
 * What `act` returns; where it is EACCES, it is done again while the owner has all access to the objects that may be in its way.
 * A kill in between leaves him that access.
 * @param anchors these objects, each as a layer of its own; only called for then, and closed
 */
export function asOwner<T>(anchors: () => readonly WritableLayer[], act: () => T): T {
  try {
    return act();
  } catch (error) {
    // With the capability it is not for a mode that it was refused.
    if (!isErrno(error, Errno.EACCES) || hasCapability(Capability.dacOverride)) {
      throw error;
    }
    const inTheWay = anchors();
    try {
      const widened = inTheWay.flatMap((object) => widen(object) ?? []);
      if (widened.length === 0) {
        throw error;
      }
      try {
        return act();
      } finally {
        for (const restore of widened) {
          restore();
        }
      }
    } finally {
      for (const object of inTheWay) {
        object.close();
      }
    }
  }
}

/** Of a name that is moved or replaced: itself and its directory. */
export function concernedBy(layer: WritableLayer, path: LayerPath): readonly Place<WritableLayer>[] {
  return [
    { layer, path },
    { layer, path: path.slice(0, Math.max(0, path.lastIndexOf("/"))) },
  ];
}

/** Those of the places that are directories, as `asOwner` takes them. */
export function directoriesAmong(...places: readonly Place<WritableLayer>[]): WritableLayer[] {
  return places.flatMap(({ layer, path }) => {
    const isDirectory = ((layer.find(path)?.mode ?? 0) & FileType.mask) === FileType.directory;
    return isDirectory ? [layer.anchor(path)] : [];
  });
}

/** @returns what takes it back; undefined where nothing is missing, or it is not ours to give */
function widen(object: WritableLayer): (() => void) | undefined {
  const { mode } = object.stat("");
  const type = mode & FileType.mask;
  const wanted = type === FileType.directory ? directoryAccess : type === FileType.regular ? fileAccess : 0;
  if ((mode & wanted) === wanted || (mode & setGid) !== 0) {
    return undefined;
  }
  try {
    object.chmod("", (mode | wanted) & 0o7777);
  } catch (error) {
    if (isErrno(error, Errno.EPERM, Errno.EROFS)) {
      return undefined;
    }
    throw error;
  }
  return () => object.chmod("", mode & 0o7777);
}
