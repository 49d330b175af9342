/**
 * Where the data of a file lie whose metadata alone are in the layer that shows it (metacopy): in another lower, or in a
 * data-only layer, which is asked when the data are first needed. As Linux overlayfs, fs/overlayfs/namei.c and inode.c.
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { Layer, Place, Stat } from "../layer/layer.ts";
import { type DataSource, joinPath } from "./node.ts";

/**
 * The regular file at a path in the first layer that has one there.
 * @throws what the last layer answers: ENOENT where it has nothing, or something else, at the path
 */
export function findData(layers: readonly Layer[], names: readonly Name[]): Place {
  let failure: unknown;
  for (const layer of layers) {
    try {
      return { layer, path: findFile(layer, names) };
    } catch (error) {
      if (!(error instanceof FsError)) {
        throw error;
      }
      failure = error;
    }
  }
  throw failure ?? new FsError(Errno.EIO, "no layer for the data of a file");
}

/** Name by name, so that no symlink leads elsewhere. */
function findFile(layer: Layer, names: readonly Name[]): string {
  let path = "";
  for (const [index, name] of names.entries()) {
    if (name === "." || name === "..") {
      throw new FsError(Errno.EXDEV, "a redirect out of its layer");
    }
    path = joinPath(path, name);
    const type = layer.stat(path).mode & FileType.mask;
    const isLast = index === names.length - 1;
    if (isLast ? type !== FileType.regular : type !== FileType.directory) {
      const code = isLast ? Errno.ENOENT : type === FileType.symlink ? Errno.ELOOP : Errno.ENOTDIR;
      throw new FsError(code, "the redirect of a file leads to no data");
    }
  }
  return path;
}

const unitOfGuess = 4096;

/** What stat(2) shows of a file: the room that its data take; a guess where they have not been looked for. */
export function withDataBlocks(stat: Stat, source: DataSource): Stat {
  const blocks =
    source.kind === "found"
      ? source.place.layer.stat(source.place.path).blocks
      : Math.ceil(stat.size / unitOfGuess) * (unitOfGuess / 512);
  return { ...stat, blocks };
}
