/** Makes a failing sequence small. Many smaller ones are tried in one pair of mounts. */
import { runBatch } from "./batch.ts";
import type { Difference } from "./compare.ts";
import type { OptionSet } from "./option-sets.ts";
import type { Sequence } from "./sequence.ts";

/** What may be left out of a sequence, a set of numbers: first those of the entries of all layers, then those of the steps. */
function parts({ layers, steps }: Sequence): number {
  return layers.reduce((sum, entries) => sum + entries.length, steps.length);
}

function leaveOut({ layers, steps }: Sequence, out: ReadonlySet<number>): Sequence {
  let number = 0;
  const kept = () => !out.has(number++);
  return { layers: layers.map((entries) => entries.filter(kept)), steps: steps.filter(kept) };
}

const atOnce = 40;

/** Of the candidates those that fail in the same way, by their index. */
async function failing(
  set: OptionSet,
  candidates: readonly Sequence[],
  { kind, stage }: Difference,
): Promise<number[]> {
  const indexes: number[] = [];
  for (let from = 0; from < candidates.length; from += atOnce) {
    const { found } = await runBatch(set, candidates.slice(from, from + atOnce), stage);
    indexes.push(...found.flatMap((difference, index) => (difference?.kind === kind ? [from + index] : [])));
  }
  return indexes;
}

/** Leaves out what is not needed for this difference, in chunks of falling size. */
export async function shrink(set: OptionSet, failed: Sequence, difference: Difference): Promise<Sequence> {
  let sequence = failed;
  for (let size = Math.ceil(parts(sequence) / 2); size >= 1; ) {
    const chunks: number[][] = [];
    for (let from = 0; from < parts(sequence); from += size) {
      chunks.push(Array.from({ length: Math.min(size, parts(sequence) - from) }, (_, index) => from + index));
    }
    const current = sequence;
    const without = (some: readonly number[][]) => leaveOut(current, new Set(some.flat()));
    const single = await failing(
      set,
      chunks.map((chunk) => without([chunk])),
      difference,
    );
    const removable = single.map((index) => chunks[index] as number[]);
    // Chunks that can go one by one often go together; the first of them goes in any case.
    const together = removable.map((_, index) => without(removable.slice(0, index + 1)));
    const most = (await failing(set, together.slice(1), difference)).pop();
    sequence = together[most === undefined ? 0 : most + 1] ?? sequence;
    size = size === 1 ? (removable.length > 1 ? 1 : 0) : Math.floor(size / 2);
  }
  return sequence;
}
