/**
 * Paths to nodes. libfuse keeps the tree of names and says paths; the file system wants nodes. Each path is walked from the
 * root. Lookups are counted by the file system: those of directories are held for a while, so that the next walk finds their
 * nodes; those of all else are forgotten with the operation, so that a file that is removed does not keep its room on the disk.
 */
import type { Entry, Filesystem } from "../contract/filesystem.ts";
import { FileType, type Name, type NodeId, rootNodeId } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";

const heldDirectories = 1024;

export interface Place {
  readonly parent: NodeId;
  readonly name: Name;
}

export class Paths {
  readonly #filesystem: Filesystem;
  readonly #held: NodeId[] = [];
  #oldest = 0;
  #found: NodeId[] = [];

  constructor(filesystem: Filesystem) {
    this.#filesystem = filesystem;
  }

  /** The directory that a path leads to, and the last name in it. @throws FsError ENOENT; EBUSY for the root */
  placeOf(path: string): Place {
    const names = path.split("/").filter((name) => name !== "");
    const name = names.pop();
    if (name === undefined) {
      throw new FsError(Errno.EBUSY, "the root as a name");
    }
    return { parent: names.reduce((node, next) => this.find(node, next).node, rootNodeId), name };
  }

  /** What a name in a directory is. @throws FsError ENOENT */
  find(parent: NodeId, name: Name): Entry {
    const entry = this.#filesystem.lookup(parent, name);
    if (entry === undefined) {
      throw new FsError(Errno.ENOENT, name);
    }
    this.hold(entry);
    return entry;
  }

  /** Begins an operation. @returns what ends it: to be called once, when nothing more is done with its nodes */
  begin(): () => void {
    const found: NodeId[] = [];
    this.#found = found;
    return () => {
      for (const node of found) {
        this.#filesystem.forget(node, 1);
      }
    };
  }

  /** Takes over a lookup that the file system has counted. */
  hold(entry: Entry): void {
    if ((entry.attributes.mode & FileType.mask) !== FileType.directory) {
      this.#found.push(entry.node);
      return;
    }
    const dropped = this.#held[this.#oldest];
    this.#held[this.#oldest] = entry.node;
    this.#oldest = (this.#oldest + 1) % heldDirectories;
    if (dropped !== undefined) {
      this.#filesystem.forget(dropped, 1);
    }
  }
}
