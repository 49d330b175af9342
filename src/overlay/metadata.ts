/** Gives a staged object the owner, mode, xattrs and times of the lower object that it takes the place of. */
import { FileType } from "../contract/ids.ts";
import { Errno, isErrno } from "../errno.ts";
import type { Place, Stat, WritableLayer } from "../layer/layer.ts";
import { visibleXattr } from "../layer/marks.ts";
import type { Overlay } from "./overlay.ts";

/**
 * Copies all metadata but link count, ctime and the overlay's own marks.
 * What the file system of the upper has no place for (EOPNOTSUPP) is dropped and logged once a mount.
 */
export function copyMetadata(overlay: Overlay, from: Place, stat: Stat, to: Place<WritableLayer>): void {
  const { layer, path } = to;
  layer.chown(path, stat.uid, stat.gid);
  if ((stat.mode & FileType.mask) !== FileType.symlink) {
    // After chown, which clears setuid and setgid.
    layer.chmod(path, stat.mode & 0o7777);
  }
  // After chown, which clears security.capability.
  copyXattrs(overlay, from, to);
  // Last, so that nothing moves them again.
  layer.setTimes(path, stat.atime, stat.mtime);
}

function copyXattrs(overlay: Overlay, from: Place, to: Place<WritableLayer>): void {
  for (const name of from.layer.listXattrs(from.path)) {
    const value = visibleXattr(overlay.marks, name) === undefined ? undefined : from.layer.getXattr(from.path, name);
    if (value !== undefined) {
      copyXattr(overlay, to, name, value);
    }
  }
}

function copyXattr(overlay: Overlay, to: Place<WritableLayer>, name: string, value: Buffer): void {
  try {
    to.layer.setXattr(to.path, name, value, 0);
  } catch (error) {
    if (!isErrno(error, Errno.EOPNOTSUPP)) {
      throw error;
    }
    overlay.xattrWasDropped(name);
  }
}
