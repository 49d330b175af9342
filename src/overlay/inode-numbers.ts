/**
 * Inode numbers of the merged view: those of the layers, made unique over several file systems.
 *
 * The file system of the topmost layer keeps its numbers as they are; every other one gets its index in bits 48 to 52
 * (numbers stay exact in a double). What does not fit (a file system number of 48 bits or more, a 32nd file system)
 * is numbered in the order met, which is unique but not the same in the next mount.
 */
const fileSystemFactor = 2 ** 48;
const overflowIndex = 31;

export class InodeNumbers {
  readonly #indexes = new Map<number, number>();
  readonly #overflow = new Map<string, number>();

  /** @param dev the device whose numbers are kept as they are */
  constructor(dev: number) {
    this.#indexes.set(dev, 0);
  }

  /** The number shown for inode `ino` of device `dev`. */
  number(dev: number, ino: number): number {
    let index = this.#indexes.get(dev);
    if (index === undefined) {
      index = this.#indexes.size;
      this.#indexes.set(dev, index);
    }
    if (ino >= fileSystemFactor || index >= overflowIndex) {
      return this.#overflowNumber(dev, ino);
    }
    return index * fileSystemFactor + ino;
  }

  #overflowNumber(dev: number, ino: number): number {
    const key = `${dev}:${ino}`;
    let number = this.#overflow.get(key);
    if (number === undefined) {
      number = overflowIndex * fileSystemFactor + this.#overflow.size + 1;
      this.#overflow.set(key, number);
    }
    return number;
  }
}
