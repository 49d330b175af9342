/**
 * The listings that are kept: those used last, up to a number of names in all.
 * One that changed since it was read stays as long as its directory, for its offsets could not be made again.
 */
import type { Listing } from "./listing.ts";
import type { Node } from "./node.ts";

const namesKept = 250_000;

export class Listings {
  /** In the order of use, the least recent first. */
  readonly #listings = new Map<Node, Listing>();
  #names = 0;

  /** The listing of a directory, if it is kept. */
  get(directory: Node): Listing | undefined {
    return this.#listings.get(directory);
  }

  /** As `get`, for a reader: it becomes the most recently used. */
  use(directory: Node): Listing | undefined {
    const listing = this.#listings.get(directory);
    if (listing !== undefined) {
      this.#listings.delete(directory);
      this.#listings.set(directory, listing);
    }
    return listing;
  }

  keep(directory: Node, listing: Listing): void {
    this.#listings.set(directory, listing);
    this.#names += listing.size;
    if (this.#names > namesKept) {
      this.#evict(directory);
    }
  }

  delete(directory: Node): void {
    this.#listings.delete(directory);
  }

  #evict(except: Node): void {
    this.#count();
    for (const [directory, listing] of this.#listings) {
      if (this.#names <= namesKept / 2) {
        break;
      }
      if (directory !== except && !listing.changed) {
        this.#listings.delete(directory);
        this.#names -= listing.size;
      }
    }
  }

  /** Kept listings go, grow and shrink unseen: the sum is made anew when it seems too high. */
  #count(): void {
    this.#names = 0;
    for (const listing of this.#listings.values()) {
      this.#names += listing.size;
    }
  }
}
