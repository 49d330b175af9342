/**
 * The names of directories that are kept: those used last, up to a number of names in all.
 * Those of a directory that changed since they were read stay as long as it is known, for the offsets of its listing could
 * not be made again.
 */
import type { MergedNames } from "./merged-names.ts";
import type { Node } from "./node.ts";

const namesKept = 250_000;

export class KeptNames {
  /** In the order of use, the least recent first. */
  readonly #kept = new Map<Node, MergedNames>();
  #names = 0;

  /** The names of a directory, if they are kept. */
  get(directory: Node): MergedNames | undefined {
    return this.#kept.get(directory);
  }

  /** As `get`, for a reader: they become the most recently used. */
  use(directory: Node): MergedNames | undefined {
    const names = this.#kept.get(directory);
    if (names !== undefined) {
      this.#kept.delete(directory);
      this.#kept.set(directory, names);
    }
    return names;
  }

  keep(directory: Node, names: MergedNames): void {
    this.#kept.set(directory, names);
    this.#names += names.listing.size;
    if (this.#names > namesKept) {
      this.#evict(directory);
    }
  }

  delete(directory: Node): void {
    this.#kept.delete(directory);
  }

  #evict(except: Node): void {
    this.#count();
    for (const [directory, { listing }] of this.#kept) {
      if (this.#names <= namesKept / 2) {
        break;
      }
      if (directory !== except && !listing.changed) {
        this.#kept.delete(directory);
        this.#names -= listing.size;
      }
    }
  }

  /** What is kept goes, grows and shrinks unseen: the sum is made anew when it seems too high. */
  #count(): void {
    this.#names = 0;
    for (const { listing } of this.#kept.values()) {
      this.#names += listing.size;
    }
  }
}
