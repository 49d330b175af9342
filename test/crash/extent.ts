/** How much of the matrices is run, and from which seed: VENEER_TEST_CRASH and VENEER_TEST_CRASH_SEED. */

export interface Extent {
  readonly seed: number;
  /** One in so many of the crash points and of the error points; undefined: all of them. */
  readonly part?: { readonly crashStride: number; readonly errorStride: number };
}

function readExtent(): Extent {
  const said = process.env.VENEER_TEST_CRASH ?? "part";
  if (said !== "all" && said !== "part") {
    throw new Error(`VENEER_TEST_CRASH: ${said} is neither "all" nor "part"`);
  }
  // Without the variable always the same: a run that fails says something of what was changed.
  const seed = Number(process.env.VENEER_TEST_CRASH_SEED ?? "1");
  if (!Number.isInteger(seed) || seed <= 0 || seed >= 2 ** 32) {
    throw new Error(`VENEER_TEST_CRASH_SEED: ${process.env.VENEER_TEST_CRASH_SEED} is no seed`);
  }
  return said === "all" ? { seed } : { seed, part: { crashStride: 4, errorStride: 80 } };
}

export const extent: Extent = readExtent();

/** A number from 0 up to a limit, which is not reached. */
export type Numbers = (limit: number) => number;

/** Numbers that are the same ones for the same seed and purpose (FNV-1a and xorshift, 32 bits). */
export function numbersFor(purpose: string, { seed } = extent): Numbers {
  let state = 2_166_136_261;
  for (const byte of Buffer.from(`${seed} ${purpose}`)) {
    state = Math.imul(state ^ byte, 16_777_619) >>> 0;
  }
  state ||= 1;
  return (limit) => {
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    return state % limit;
  };
}

/** The same things in another order. */
export function shuffled<T>(things: readonly T[], next: Numbers): T[] {
  const left = [...things];
  return things.flatMap(() => left.splice(next(left.length), 1));
}
