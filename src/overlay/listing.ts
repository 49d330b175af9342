/**
 * The merged names of one directory, in an order whose offsets hold without an open handle.
 *
 * Each name gets an offset that it keeps while it exists; names made later get higher ones. A reader at some offset
 * therefore sees every name that was there all the while exactly once. Reading from the start sets how far readers go:
 * names made afterwards are told to the next one who starts, so that a program which renames what it reads comes to an end.
 */
import type { Name } from "../contract/ids.ts";

export interface Listed {
  /** Where a reader goes on behind this entry. */
  readonly offset: number;
  readonly name: Name;
  /** The S_IFMT bits. */
  readonly type: number;
  /** The inode number of the object in its layer, which is the one shown unless `foreign`. */
  readonly ino: number;
  /** Only a lookup tells the inode number shown: that of a lower object, perhaps. */
  readonly foreign: boolean;
}

/** Offsets 1 and 2 are behind "." and "..". */
const firstOffset = 3;

export class Listing {
  /** Sorted by offset. A removed name stays until there are many: only those at their place in #positions count. */
  #entries: Listed[] = [];
  #positions = new Map<Name, number>();
  #lastOffset = firstOffset - 1;
  #readTo = Number.POSITIVE_INFINITY;
  /** Names came or went since it was read from the layers: reading them anew would give other offsets. */
  #changed = false;
  /** Offsets may have been told: of this listing, or of an earlier one of the same directory. */
  #told = true;

  /** That of a directory that was just made: nobody has read in it. */
  static ofNewDirectory(): Listing {
    const listing = new Listing();
    listing.#told = false;
    return listing;
  }

  /** Whether a listing that is read from the layers anew would be as good to all readers. */
  get isRepeatable(): boolean {
    return !this.#changed || !this.#told;
  }

  get size(): number {
    return this.#positions.size;
  }

  has(name: Name): boolean {
    return this.#positions.has(name);
  }

  /** Adds a name while the listing is being read from the layers; the first one to come stays. */
  fill(name: Name, type: number, ino: number, foreign: boolean): void {
    if (!this.#positions.has(name)) {
      this.#append(name, type, ino, foreign);
    }
  }

  /** A name was made, or now stands for something else. */
  put(name: Name, type: number, ino: number, foreign: boolean): void {
    this.remove(name);
    this.#changed = true;
    this.#append(name, type, ino, foreign);
  }

  /** The object of a name is another one of its layers from now on. */
  renumber(name: Name, ino: number, foreign: boolean): void {
    const position = this.#positions.get(name);
    if (position !== undefined) {
      this.#entries[position] = { ...(this.#entries[position] as Listed), ino, foreign };
    }
  }

  remove(name: Name): void {
    const position = this.#positions.get(name);
    if (position === undefined) {
      return;
    }
    this.#changed = true;
    this.#positions.delete(name);
    if (this.#entries.length > 64 && this.#entries.length > 2 * this.#positions.size) {
      this.#compact();
    }
  }

  /** The entries behind `offset`, in order. From 0 or "." on, the names that exist now are the ones to be told. */
  *from(offset: number): Generator<Listed, void> {
    this.#told = true;
    if (offset < firstOffset) {
      this.#readTo = this.#lastOffset;
    }
    const entries = this.#entries;
    for (let position = this.#behind(offset); position < entries.length; position++) {
      const entry = entries[position] as Listed;
      if (entry.offset <= this.#readTo && this.#positions.get(entry.name) === position) {
        yield entry;
      }
    }
  }

  /** The entries of all names that exist. */
  *all(): Generator<Listed, void> {
    for (const position of this.#positions.values()) {
      yield this.#entries[position] as Listed;
    }
  }

  #append(name: Name, type: number, ino: number, foreign: boolean): void {
    this.#lastOffset += 1;
    this.#positions.set(name, this.#entries.length);
    this.#entries.push({ offset: this.#lastOffset, name, type, ino, foreign });
  }

  /** The first position whose entry lies behind `offset`. */
  #behind(offset: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle] as Listed).offset <= offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  #compact(): void {
    this.#entries = this.#entries.filter((entry, position) => this.#positions.get(entry.name) === position);
    this.#positions = new Map(this.#entries.map((entry, position) => [entry.name, position]));
  }
}
