/**
 * Random sequences on Veneer and on the kernel's overlayfs, over equal layers: every step ends alike, and so do the trees,
 * before and after a remount, and when each mounts the upper of the other. A difference is shrunk, and printed as JSON to be
 * kept in regressions/. The variables are in CONTRIBUTING.md.
 */
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { runBatch } from "./batch.ts";
import { sequences } from "./generate.ts";
import { optionSet, setCount } from "./option-sets.ts";
import { shrink } from "./shrink.ts";

const number = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);
const count = number("VENEER_CONFORMANCE_SEQUENCES", 220);
const seed = number("VENEER_CONFORMANCE_SEED", 1);
const steps = number("VENEER_CONFORMANCE_STEPS", 60);
/** So that a short run has every set of options too. */
const batchSize = Math.min(40, Math.ceil(count / setCount));
/** Shrinking takes a minute or so; of a batch with many differences the first two kinds are enough to begin with. */
const shrunkPerBatch = 2;

describe(`${count} random sequences of ${steps} steps, seed ${seed}`, () => {
  const figures = { sequences: 0, steps: 0, refused: 0, start: Date.now() };
  const batches = Array.from({ length: Math.ceil(count / batchSize) }, (_, index) => ({
    batchSeed: seed * 1000 + index,
    set: optionSet(index),
    size: Math.min(batchSize, count - index * batchSize),
  }));

  test.each(batches)(
    "seed $batchSeed, $set.name: $size sequences",
    { timeout: 900_000 },
    async ({ batchSeed, set, size }) => {
      const all = fc.sample(sequences(steps), { seed: batchSeed, numRuns: size });
      const { found, tally } = await runBatch(set, all);
      figures.sequences += size;
      for (const [played, refused] of tally.values()) {
        figures.steps += played;
        figures.refused += refused;
      }
      const failures = found.flatMap((difference, index) => (difference === undefined ? [] : [{ difference, index }]));
      const kinds = new Map(failures.toReversed().map((failure) => [failure.difference.kind, failure]));
      const told = failures.map(({ difference, index }) => `sequence ${index}: ${difference.text}`);
      for (const { difference, index } of [...kinds.values()].slice(0, shrunkPerBatch)) {
        const sequence = await shrink(set, all[index] as (typeof all)[number], difference);
        told.push(`sequence ${index}, shrunk: ${JSON.stringify({ set: set.name, sequence })}`);
      }
      expect(told, `seed ${batchSeed}, options: ${set.name}`).toEqual([]);
    },
  );

  afterAll(() => {
    const { sequences: played, steps: all, refused, start } = figures;
    const seconds = Math.round((Date.now() - start) / 1000);
    const share = Math.round((100 * (all - refused)) / Math.max(all, 1));
    process.stdout.write(
      `seed ${seed}: ${played} sequences, ${all} steps on each overlay, ${share}% of them with success, ${seconds} s\n`,
    );
  });
});
