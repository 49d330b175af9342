/** How much the fuzzers do, and from which seed. `scripts/fuzz` does more, from ever new seeds. */
import type { Parameters } from "fast-check";

const seed = Number(process.env.VENEER_TEST_FUZZ_SEED ?? 1);

/** @param share of the runs that are wanted: what takes long does fewer */
export function fuzzing(share: number): Parameters<unknown> {
  const runs = Number(process.env.VENEER_TEST_FUZZ_RUNS ?? 60);
  // A failure prints its seed, and the smallest case that fails in the same way.
  return { numRuns: Math.max(1, Math.round(runs * share)), seed };
}

/** For tests that take as long as they have runs. */
export const fuzzLimitMs = 1_800_000;
