/** How much of the matrices is run, by VENEER_TEST_CRASH: `all`, or a seed that chooses a part. */

export type Extent =
  | { readonly kind: "all" }
  /** One in so many of the crash points and of the error points. */
  | { readonly kind: "part"; readonly seed: number; readonly crashStride: number; readonly errorStride: number };

function readExtent(): Extent {
  const said = process.env.VENEER_TEST_CRASH ?? "1";
  if (said === "all") {
    return { kind: "all" };
  }
  const seed = Number(said);
  if (!Number.isInteger(seed) || seed <= 0) {
    throw new Error(`VENEER_TEST_CRASH: ${said} is neither "all" nor a seed`);
  }
  return { kind: "part", seed, crashStride: 4, errorStride: 80 };
}

/** Without the variable always the same part: a run that fails says something of what was changed. */
export const extent: Extent = readExtent();

/** Numbers from 0 up to a limit, the same ones for the same seed (xorshift, 32 bits). */
export function numbersFrom(seed: number): (limit: number) => number {
  let state = Math.imul(seed, 2_654_435_761) >>> 0 || 1;
  return (limit) => {
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    return state % limit;
  };
}
