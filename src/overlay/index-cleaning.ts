/**
 * What an index holds when it is taken for a mount: entries of files that have no name any more go, others stay, and an index with
 * something else in it is refused, as Linux overlayfs does (ovl_indexdir_cleanup and ovl_verify_index of fs/overlayfs).
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerPath, Stat, WritableLayer } from "../layer/layer.ts";
import { isWhiteout, type MarkNames } from "../layer/marks.ts";
import { decodeLinkCount } from "./link-count.ts";
import { joinPath } from "./node.ts";
import type { OriginLayers } from "./origin-layers.ts";
import { parseHandle, readHandle, type StoredHandle } from "./stored-handle.ts";

interface CleanedLayers {
  readonly work: WritableLayer;
  readonly origins: OriginLayers;
  readonly marks: MarkNames;
}

/**
 * Removes the entries that no name leads to.
 * @param index path of the index in `work`
 * @throws EINVAL, ENODATA for an entry that can't be understood
 */
export function cleanIndex(layers: CleanedLayers, index: LayerPath): void {
  for (const { name, type } of layers.work.list(index)) {
    const path = joinPath(index, name);
    if (isLeftOver(layers, name, path)) {
      if (type === FileType.directory) {
        layers.work.removeDirectory(path);
      } else {
        layers.work.unlink(path);
      }
    }
  }
}

function isLeftOver({ work, origins, marks }: CleanedLayers, name: Name, path: LayerPath): boolean {
  if (name.startsWith("#")) {
    // Unfinished work of the kernel's.
    return true;
  }
  const handle = handleOf(name, path);
  const stat = work.stat(path);
  if (isWhiteout(stat) || (stat.mode & FileType.mask) === FileType.directory) {
    // From a mount with nfs_export=on, which may come again.
    return false;
  }
  const origin = readHandle(work, path, marks.origin);
  if (origin === undefined) {
    throw new FsError(
      Errno.ENODATA,
      `${path} in the workdir has no origin: remove WORKDIR/index, or mount with index=off`,
    );
  }
  return (
    !origin.value.equals(handle.value) || (stat.nlink === 1 && hasNoName({ work, origins, marks }, handle, stat, path))
  );
}

/** Whether a file that has no name in the upper has none on a lower either. */
function hasNoName(
  { work, origins, marks }: CleanedLayers,
  handle: StoredHandle,
  stat: Stat,
  path: LayerPath,
): boolean {
  const layer = origins.find(handle.uuid);
  if (layer === undefined) {
    // Of a lower that is not in this mount: it keeps its changes until that comes back.
    return false;
  }
  const lower = layer.statByHandle(handle.type, handle.bytes);
  if (lower === undefined || ((lower.mode ^ stat.mode) & FileType.mask) !== 0) {
    return true;
  }
  return decodeLinkCount(work.getXattr(path, marks.nlink), { lower: lower.nlink, upper: stat.nlink }) === undefined;
}

function handleOf(name: Name, path: LayerPath): StoredHandle {
  const handle = /^([0-9a-f]{2})+$/.test(name) ? parseHandle(Buffer.from(name, "hex")) : undefined;
  if (handle === undefined) {
    throw new FsError(
      Errno.EINVAL,
      `${path} in the workdir is no entry of an index: remove it, or mount with index=off`,
    );
  }
  return handle;
}
