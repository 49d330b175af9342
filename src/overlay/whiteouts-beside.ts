/**
 * Whiteouts as files beside the name that they hide, `.wh.NAME`, for file systems without device nodes and xattrs (AUFS, the OCI
 * image specification, fuse-overlayfs). They hide what lowers have of the name, not what the upper has: so one is made before an
 * object goes, and removed after another came.
 */
import { RenameFlag } from "../contract/filesystem.ts";
import type { Name } from "../contract/ids.ts";
import { FsError } from "../errno.ts";
import type { LayerPath, ListedName, WritableLayer } from "../layer/layer.ts";
import { besideMarkFile, hiddenByMarkFile, isMarkFile } from "../layer/marks.ts";
import { hasMarkBeside, makeMarkFile } from "./opaque.ts";
import type { Move, OnUpper, Whiteouts } from "./whiteouts.ts";
import type { Staged, WorkDir } from "./work-dir.ts";

export class WhiteoutsBeside implements Whiteouts {
  readonly #upper: WritableLayer;
  readonly #work: WorkDir;

  constructor(upper: WritableLayer, work: WorkDir) {
    this.#upper = upper;
    this.#work = work;
  }

  find(path: LayerPath): OnUpper {
    const stat = this.#upper.find(path);
    return stat === undefined && hasMarkBeside(this.#upper, path) ? "whiteout" : stat;
  }

  hiddenIn(): (entry: ListedName) => Name | undefined {
    return ({ name }) => (isMarkFile(name) ? hiddenByMarkFile(name) : undefined);
  }

  isReserved(name: Name): boolean {
    return isMarkFile(name);
  }

  hide(path: LayerPath): void {
    makeMarkFile(this.#upper, besideMarkFile(path));
  }

  replaceFile(path: LayerPath): void {
    this.hide(path);
    this.#upper.unlink(path);
  }

  replaceDirectory(path: LayerPath): void {
    this.hide(path);
    this.#work.takeAwayDirectory(this.#upper, path);
  }

  installOver(staged: Staged, path: LayerPath): void {
    staged.install(this.#upper, path, RenameFlag.noReplace);
    this.#uncover(path);
  }

  move(from: LayerPath, to: LayerPath, { hidesOld }: Move): void {
    if (hidesOld) {
      this.hide(from);
    }
    this.#upper.rename(from, this.#upper, to, 0);
    this.#uncover(to);
  }

  /** What lies at the name hides the lowers' by itself: a whiteout that can't be removed does no harm. */
  #uncover(path: LayerPath): void {
    try {
      if (hasMarkBeside(this.#upper, path)) {
        this.#upper.unlink(besideMarkFile(path));
      }
    } catch (error) {
      if (!(error instanceof FsError)) {
        throw error;
      }
    }
  }
}
