/**
 * Marks in the workdir that forbid any further mount of the upper, as Linux overlayfs has them: entries of
 * `work/incompat`, each named after a feature. The one that is known is `volatile`: a mount that never syncs leaves it, also
 * when it ends cleanly, as nobody can tell afterwards what has reached the disk (overlayfs.rst, "Volatile mount").
 */
import { FileType } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerPath, WritableLayer } from "../layer/layer.ts";

export const incompatName = "incompat";
const volatileName = "volatile";

/**
 * @param staging the staging area's path in the workdir
 * @throws EBUSY, with the advice for the user, where a mark forbids the mount
 */
export function requireCompatible(work: WritableLayer, staging: LayerPath): void {
  const path = `${staging}/${incompatName}`;
  const stat = work.find(path);
  if (stat === undefined || (stat.mode & FileType.mask) !== FileType.directory) {
    return;
  }
  const features = work.list(path).map(({ name }) => name);
  if (features.includes(volatileName)) {
    throw new FsError(
      Errno.EBUSY,
      `${path}/${volatileName}: the upper was mounted volatile and may be incomplete; make both anew, or remove that directory if you know that the upper is whole`,
    );
  }
  if (features.length > 0) {
    throw new FsError(Errno.EBUSY, `${path}/${features[0]}: the upper needs a feature that veneer does not know`);
  }
}

/** Leaves the mark of a volatile mount, as the kernel does: a directory with a file in it, both without permissions. */
export function markVolatile(work: WritableLayer, staging: LayerPath): void {
  const path = `${staging}/${incompatName}`;
  work.makeDirectory(path, 0);
  work.makeDirectory(`${path}/${volatileName}`, 0);
  work.createFile(`${path}/${volatileName}/dirty`, 0).close();
}
