/**
 * Owners, modes and types that are not an object's own: an xattr of it says what they are. The engines' library containers/storage
 * writes it (pkg/idtools) where all files of an image belong to one user, or are readable by others; fuse-overlayfs reads and writes
 * it as their mount program. The value is `uid:gid:mode`, mode in octal; `:file`, `:dir`, `:char-MAJOR-MINOR` and the like may follow.
 */
import { FileType, type Name } from "../contract/ids.ts";
import { FsError } from "../errno.ts";
import type { Stat, WritableLayer } from "./layer.ts";
import { type MarkedLayer, readMark } from "./marks.ts";

const privilegedName: Name = "security.fuseoverlayfs.override_stat";
/** Of containers/storage, and of fuse-overlayfs from 1.15 on. */
const containersName: Name = "user.containers.override_stat";
const fuseOverlayfsName: Name = "user.fuseoverlayfs.override_stat";

/**
 * In the order in which the root of a layer is asked for them. An older fuse-overlayfs adds its own to a root that has the one of
 * containers/storage, and gives the objects its own alone.
 */
const names: readonly Name[] = [privilegedName, fuseOverlayfsName, containersName];

/** Whether nobody may see or set such an xattr through a mount that believes them. */
export function isOverrideXattr(name: Name): boolean {
  return names.includes(name);
}

/** By which of them the objects of a layer are overridden, as its root is; undefined where none is. */
export function overrideXattrOf(layer: MarkedLayer): Name | undefined {
  return names.find((name) => readMark(layer, "", name) !== undefined);
}

/**
 * The same of an upper, whose root gets one if it has none: it stays what it is then.
 * @param privileged whether it is to be one that only the privileged can set
 */
export function requireOverrideXattr(upper: WritableLayer, privileged: boolean): Name {
  const present = overrideXattrOf(upper);
  if (present !== undefined) {
    return present;
  }
  const name = privileged ? privilegedName : containersName;
  try {
    upper.setXattr("", name, encodeOverride(upper.stat("")), 0);
  } catch (error) {
    throw error instanceof FsError ? new FsError(error.code, `the upper can't have ${name}`, { cause: error }) : error;
  }
  return name;
}

/** What the xattr says. */
type Override = Pick<Stat, "uid" | "gid" | "mode" | "rdevMajor" | "rdevMinor">;

const permissions = 0o7777;

/** The words for types; those that a regular file may stand for come with the number of a device, if they have one. */
const words: readonly (readonly [word: string, type: number])[] = [
  ["file", FileType.regular],
  ["dir", FileType.directory],
  ["symlink", FileType.symlink],
  ["pipe", FileType.fifo],
  ["socket", FileType.socket],
  ["block", FileType.block],
  ["char", FileType.character],
];

/** The value for an object that is to be this. */
export function encodeOverride({ uid, gid, mode, rdevMajor, rdevMinor }: Override): Buffer {
  const type = mode & FileType.mask;
  const word = words.find(([, each]) => each === type)?.[0] ?? "file";
  const device = isDevice(type) ? `-${rdevMajor}-${rdevMinor}` : "";
  return Buffer.from(`${uid}:${gid}:${(mode & permissions).toString(8).padStart(4, "0")}:${word}${device}`);
}

/**
 * What a value makes of an object; undefined where it is malformed. A regular file may stand for a special one; all else is what it is
 * on disk. fuse-overlayfs writes ids from 2^31 on as negative numbers, and a mode with type bits, which mean nothing.
 */
export function decodeOverride<T extends Override>(value: Buffer, stored: T): T | undefined {
  const text = value.toString("latin1");
  const match = /^(-?\d{1,10}):(-?\d{1,10}):([0-7]{1,7})(?::([a-z]+)(?:-(\d+)-(\d+))?.*)?$/s.exec(text);
  const storedType = stored.mode & FileType.mask;
  const type = match?.[4] === undefined ? storedType : words.find(([word]) => word === match[4])?.[1];
  if (match === null || type === undefined || (isDevice(type) && match[5] === undefined)) {
    return undefined;
  }
  const owner = { uid: Number(match[1]) >>> 0, gid: Number(match[2]) >>> 0 };
  const mode = Number.parseInt(match[3] as string, 8) & permissions;
  return storedType === FileType.regular && type !== FileType.directory && type !== FileType.symlink
    ? { ...stored, ...owner, mode: type | mode, rdevMajor: Number(match[5] ?? 0), rdevMinor: Number(match[6] ?? 0) }
    : { ...stored, ...owner, mode: storedType | mode };
}

const plainFile: Override = { uid: 0, gid: 0, mode: FileType.regular, rdevMajor: 0, rdevMinor: 0 };

/** The S_IFMT bits of what a regular file with this value stands for. */
export function typeOfFile(value: Buffer): number {
  return (decodeOverride(value, plainFile) ?? plainFile).mode & FileType.mask;
}

function isDevice(type: number): boolean {
  return type === FileType.block || type === FileType.character;
}
