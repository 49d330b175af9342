/**
 * Inode numbers of the merged view: those of the layers, made unique over several file systems. A FUSE mount has one st_dev,
 * so that what the kernel's overlayfs tells apart by st_dev with xino=off is told apart by number here too.
 *
 * The file system of the topmost layer keeps its numbers as they are; every other one gets its index in bits 48 to 52
 * (numbers stay exact in a double), file systems of layers in the order of the layers: the same in each mount. What does
 * not fit (a file system number of 48 bits or more, a 32nd file system) is numbered in the order met, which is unique but
 * not the same in the next mount.
 *
 * With xino=off no number needs more than 32 bits as long as there are less than 2^31 objects: where there are several
 * file systems, all but the topmost one's numbers below 2^31 are given in the order met, from 2^31 on.
 */
import type { Features } from "../contract/features.ts";

const fileSystemFactor = 2 ** 48;
const overflowIndex = 31;
const smallLimit = 2 ** 31;

export class InodeNumbers {
  readonly #indexes = new Map<number, number>();
  readonly #small: boolean;
  /** What is numbered in the order met. Never freed: a number must not come back for another object. */
  readonly #met = new Map<string, number>();

  /** @param devices of the layers, topmost first: the numbers of the first one are kept as they are */
  constructor(devices: readonly number[], xino: Features["xino"]) {
    for (const dev of devices) {
      this.#index(dev);
    }
    this.#small = xino === "off" && this.#indexes.size > 1;
  }

  /** The number shown for inode `ino` of device `dev`. */
  number(dev: number, ino: number): number {
    const index = this.#index(dev);
    if (this.#small) {
      return index === 0 && ino < smallLimit ? ino : this.#inOrder(dev, ino, smallLimit);
    }
    if (ino >= fileSystemFactor || index >= overflowIndex) {
      return this.#inOrder(dev, ino, overflowIndex * fileSystemFactor + 1);
    }
    return index === 0 ? ino : index * fileSystemFactor + ino;
  }

  #index(dev: number): number {
    let index = this.#indexes.get(dev);
    if (index === undefined) {
      index = this.#indexes.size;
      this.#indexes.set(dev, index);
    }
    return index;
  }

  #inOrder(dev: number, ino: number, first: number): number {
    const key = `${dev}:${ino}`;
    let number = this.#met.get(key);
    if (number === undefined) {
      number = first + this.#met.size;
      this.#met.set(key, number);
    }
    return number;
  }
}
