/** Sequences that once ended differently on the two overlays, shrunk; see differential.test.ts. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { runBatch } from "./batch.ts";
import { optionSetNamed } from "./option-sets.ts";
import type { Sequence } from "./sequence.ts";

interface Regression {
  /** The name of the options under which it failed. */
  readonly set: string;
  readonly sequence: Sequence;
}

const folder = new URL("regressions/", import.meta.url);
const regressions = readdirSync(folder).map((name) => {
  return { name, ...(JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Regression) };
});

describe("sequences that once made a difference", () => {
  test.each([...new Set(regressions.map(({ set }) => set))])("options: %s", async (set) => {
    const some = regressions.filter((regression) => regression.set === set);
    const { found } = await runBatch(
      optionSetNamed(set),
      some.map(({ sequence }) => sequence),
    );
    const told = found.flatMap((difference, index) => (difference ? [`${some[index]?.name}: ${difference.text}`] : []));
    expect(told).toEqual([]);
  });
});
