/** Which lower an origin leads to: the one whose file system has the UUID that the origin names. */
import type { Layer } from "../layer/layer.ts";

/** Stands for a file system whose UUID is not known, or that has none. */
export const noUuid: Buffer = Buffer.alloc(16);

/** The layers that origins point to, by the UUID of their file system; it is asked for once. */
export class OriginLayers {
  readonly #lowers: readonly Layer[];
  #byUuid: Map<string, Layer> | undefined;

  constructor(lowers: readonly Layer[]) {
    this.#lowers = lowers;
  }

  find(uuid: Buffer): Layer | undefined {
    this.#byUuid ??= new Map([...this.#nameless(), ...this.#named()]);
    return this.#byUuid.get(uuid.toString("latin1"));
  }

  /** File systems with the same UUID (an image mounted twice, say) can't be told apart: no origin leads to any of them. */
  *#named(): Generator<[string, Layer]> {
    const byUuid = new Map<string, Layer[]>();
    for (const lower of this.#lowers) {
      const uuid = lower.uuid()?.toString("latin1");
      if (uuid !== undefined) {
        byUuid.set(uuid, [...(byUuid.get(uuid) ?? []), lower]);
      }
    }
    for (const [uuid, [first, ...others]] of byUuid) {
      if (first !== undefined && others.every((other) => sharesFileSystem(first, other))) {
        yield [uuid, first];
      }
    }
  }

  /** A file system without a UUID is known by being the only such one among the lowers. */
  *#nameless(): Generator<[string, Layer]> {
    const lowers = this.#lowers.filter((lower) => lower.uuid() === null);
    const devices = new Set(lowers.map((lower) => lower.stat("").dev));
    const first = lowers[0];
    if (devices.size === 1 && first !== undefined) {
      yield [noUuid.toString("latin1"), first];
    }
  }
}

/** Whether two layers with the same UUID are of one mounted file system. */
function sharesFileSystem(a: Layer, b: Layer): boolean {
  const [one, other] = [a.stat("").dev, b.stat("").dev];
  // Subvolumes of one btrfs have device numbers of their own, without a major number.
  return one === other || (one < minors && other < minors);
}

/** `Stat.dev` counts in these by the major number. */
const minors = 2 ** 20;
