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

  *#named(): Generator<[string, Layer]> {
    for (const lower of this.#lowers) {
      const uuid = lower.uuid();
      if (uuid !== null) {
        yield [uuid.toString("latin1"), lower];
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
