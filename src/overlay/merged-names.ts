/**
 * The names of one directory over all of its layers: what the merged view lists, and, for a directory with several parts,
 * which of them have a name. A lookup then asks only the layer that is known to have the name. Of a directory with one part
 * it is not noted for each name that it is there; what is not listed is known to be absent all the same.
 *
 * Lowers never change. What is known of the upper is kept right by every operation, on the safe side: a name that *may* be
 * on the upper is looked for there.
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Listing } from "./listing.ts";

const nowhere: readonly number[] = [];

export class MergedNames {
  readonly listing: Listing;
  readonly #onUpper = new Set<Name>();
  /**
   * Which lower parts have a name, whether or not the upper hides it: the topmost, and behind it, for a directory,
   * those below down to the first that has something else or a whiteout.
   */
  readonly #lowers = new Map<Name, number | number[]>();

  constructor(listing: Listing = new Listing()) {
    this.listing = listing;
  }

  /** Whether no layer shows anything for a name, nor hides it by a whiteout of the upper. */
  lacks(name: Name): boolean {
    return !this.#onUpper.has(name) && !this.listing.has(name);
  }

  mayBeOnUpper(name: Name): boolean {
    return this.#onUpper.has(name);
  }

  /** As `willBeOnUpper`. */
  putOnUpper(name: Name): void {
    this.#onUpper.add(name);
  }

  /** The indexes of the lower parts that a name is made of, topmost first. */
  lowers(name: Name): readonly number[] {
    const found = this.#lowers.get(name);
    return found === undefined ? nowhere : typeof found === "number" ? [found] : found;
  }

  /** A directory that was on one lower alone is on the upper too from now on: all that is listed is of that lower. */
  becomeMerged(): void {
    for (const { name, type } of this.listing.all()) {
      this.addLower(name, type, 0);
    }
  }

  /** Takes in a name of lower part `part`; parts come from the topmost down. */
  addLower(name: Name, type: number, part: number): void {
    const known = this.#lowers.get(name);
    if (known === undefined) {
      this.#lowers.set(name, type === FileType.directory ? [part] : part);
    } else if (typeof known !== "number" && type === FileType.directory) {
      known.push(part);
    }
  }
}
