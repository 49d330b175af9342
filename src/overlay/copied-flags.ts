/** The file flags that a copy-up keeps beside those of `protection.ts`, as Linux overlayfs does (ovl_copy_fileattr). */
import { FileType } from "../contract/ids.ts";
import { Errno, isErrno } from "../errno.ts";
import type { OpenPlace, WritableLayer } from "../layer/layer.ts";

/** FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h: declared with a long, they carry an int. */
export const FlagsCommand = { get: 0x80086601, set: 0x40086602 } as const;

/** FS_SYNC_FL and FS_NOATIME_FL. */
const copied = 0x88;

/** For one call at a time: a buffer of its own costs each copy-up more than the call. */
const argument = Buffer.alloc(8);

/** ioctl(2) on a file or directory. */
export function ioctlOn({ layer, path, file: open }: OpenPlace, type: number, command: number, value: Buffer): void {
  if (open !== undefined) {
    open.ioctl(command, value);
    return;
  }
  const file = type === FileType.directory ? layer.openDirectory(path) : layer.openFile(path, false);
  try {
    file.ioctl(command, value);
  } finally {
    file.close();
  }
}

/** Gives a copy the flags of the lower file or directory; false where the upper's file system has no place for them. */
export function copyFileFlags(from: OpenPlace, type: number, to: OpenPlace<WritableLayer>): boolean {
  // What a plain user may not read of a lower he does without.
  const wanted = (readFlags(from, type, Errno.EACCES) ?? 0) & copied;
  if (wanted === 0) {
    return true;
  }
  const present = readFlags(to, type);
  if (present === undefined) {
    return false;
  }
  argument.fill(0).writeUInt32LE(((present & ~copied) | wanted) >>> 0);
  return withoutFlags(() => ioctlOn(to, type, FlagsCommand.set, argument)) !== "none";
}

/** Undefined where the file system has no flags, or the call fails with one of `codes`. */
function readFlags(place: OpenPlace, type: number, ...codes: number[]): number | undefined {
  argument.fill(0);
  const outcome = withoutFlags(() => ioctlOn(place, type, FlagsCommand.get, argument), ...codes);
  return outcome === "none" ? undefined : argument.readUInt32LE(0);
}

/** "none" where the call fails as it does on file systems without flags, or without one of them, or with one of `codes`. */
function withoutFlags(call: () => void, ...codes: number[]): "done" | "none" {
  try {
    call();
    return "done";
  } catch (error) {
    if (!isErrno(error, Errno.ENOTTY, Errno.EINVAL, Errno.EOPNOTSUPP, ...codes)) {
      throw error;
    }
    return "none";
  }
}
