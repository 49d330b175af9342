/** Ids as the layers have them, and as they are shown. */
import type { IdRange } from "../contract/presentation.ts";

/** What an id is taken for that has no counterpart: the kernel's default for that (overflowuid in proc_sys_kernel(5)). */
export const overflowId = 65534;

export class IdMap {
  readonly #ranges: readonly IdRange[];

  /** @param ranges none: all ids are the same on both sides. The first that has an id counts */
  constructor(ranges: readonly IdRange[]) {
    this.#ranges = ranges;
  }

  /** Undefined where no range has it. */
  shown(id: number): number | undefined {
    const range = this.#ranges.find(({ stored, count }) => id >= stored && id - stored < count);
    return range === undefined ? this.#unmapped(id) : range.shown + (id - range.stored);
  }

  /** Undefined where no range has it. */
  stored(id: number): number | undefined {
    const range = this.#ranges.find(({ shown, count }) => id >= shown && id - shown < count);
    return range === undefined ? this.#unmapped(id) : range.stored + (id - range.shown);
  }

  #unmapped(id: number): number | undefined {
    return this.#ranges.length === 0 ? id : undefined;
  }
}
