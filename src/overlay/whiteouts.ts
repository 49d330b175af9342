/** How the upper hides names that lowers have: whiteouts in the form that its file system can hold. */
import type { Name } from "../contract/ids.ts";
import type { LayerPath, ListedName, Stat } from "../layer/layer.ts";
import type { Staged } from "./work-dir.ts";

/** What the upper has at a name. */
export type OnUpper = Stat | "whiteout" | undefined;

/** How a name is to be moved. */
export interface Move {
  readonly isDirectory: boolean;
  /** The old name is to be hidden: a lower has it. */
  readonly hidesOld: boolean;
  /** The new name stands for an object until now. */
  readonly replaces: boolean;
}

/**
 * Whiteouts of the upper. Paths are those of the names that are hidden. Each method has one commit point, before which the name
 * shows what it did; where it takes two calls on disk, the state between them shows no more and no less than the end.
 */
export interface Whiteouts {
  /** What the upper has at a path. */
  find(path: LayerPath): OnUpper;
  /** Tells of the entries of a directory of the upper which name each of them hides; undefined for one that is no whiteout. */
  hiddenIn(directory: LayerPath): (entry: ListedName) => Name | undefined;
  /** A name of the upper that stands for a mark, and for no object of a user. */
  isReserved(name: Name): boolean;
  /** Hides a name that the upper does not have. */
  hide(path: LayerPath): void;
  /** Takes a file away and hides its name. */
  replaceFile(path: LayerPath): void;
  /** Takes a directory away, whose merged view is empty, and hides its name. */
  replaceDirectory(path: LayerPath): void;
  /** Gives a staged object a name that is hidden. A directory must be opaque by itself. */
  installOver(staged: Staged, path: LayerPath, isDirectory: boolean): void;
  /** Renames. A directory must be opaque by itself if something lies below its new name. @throws EXDEV where it can't be done whole */
  move(from: LayerPath, to: LayerPath, move: Move): void;
}
