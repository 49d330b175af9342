/**
 * The names of directories that are kept: those used last, up to a number of names in all.
 * Those of a directory that changed since readers were told offsets of its listing stay as long as it is known, for these could
 * not be made again.
 */
import type { MergedNames } from "./merged-names.ts";
import type { Node } from "./node.ts";

const namesKept = 250_000;

interface Kept {
  readonly names: MergedNames;
  /** When they were last used, on a clock that goes by uses: cheaper, with each lookup, than an order that is kept. */
  usedAt: number;
}

export class KeptNames {
  readonly #kept = new Map<Node, Kept>();
  #clock = 0;
  #names = 0;
  /** How many names there have to be before some of them go. */
  #limit = namesKept;

  /** The names of a directory, if they are kept. */
  get(directory: Node): MergedNames | undefined {
    return this.#kept.get(directory)?.names;
  }

  /** As `get`, for a reader: they become the most recently used. */
  use(directory: Node): MergedNames | undefined {
    const kept = this.#kept.get(directory);
    if (kept === undefined) {
      return undefined;
    }
    this.#clock += 1;
    kept.usedAt = this.#clock;
    return kept.names;
  }

  keep(directory: Node, names: MergedNames): void {
    this.#clock += 1;
    this.#kept.set(directory, { names, usedAt: this.#clock });
    this.#names += names.listing.size;
    if (this.#names > this.#limit) {
      this.#evict(directory);
    }
  }

  /** A name was added to those of a directory. */
  grew(): void {
    this.#names += 1;
    if (this.#names > this.#limit) {
      this.#evict(undefined);
    }
  }

  delete(directory: Node): void {
    this.#kept.delete(directory);
  }

  #evict(except: Node | undefined): void {
    this.#count();
    const byUse = [...this.#kept].sort(([, one], [, other]) => one.usedAt - other.usedAt);
    for (const [directory, { names }] of byUse) {
      if (this.#names <= namesKept / 2) {
        break;
      }
      if (directory !== except && names.listing.isRepeatable) {
        this.#kept.delete(directory);
        this.#names -= names.listing.size;
      }
    }
    // What can't go is not to be looked through for each name that comes.
    this.#limit = Math.max(namesKept, 2 * this.#names);
  }

  /** What is kept goes, grows and shrinks unseen: the sum is made anew when it seems too high. */
  #count(): void {
    this.#names = 0;
    for (const { names } of this.#kept.values()) {
      this.#names += names.listing.size;
    }
  }
}
