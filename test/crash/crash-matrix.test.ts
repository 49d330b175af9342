/**
 * The daemon is killed before and after each system call that changes something, in every operation: remounted, each
 * directory shows the state from before the operation or the one from after it, to Veneer and to the kernel's overlayfs;
 * the staging area is empty; the lowers are as they were.
 *
 * VENEER_TEST_CRASH=all does every point; else a part of the operations is, each at one point; the seed chooses.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { type CrashPoint, crashRound, type RoundResult } from "./crash-round.ts";
import { countCalls } from "./error-points.ts";
import { extent, numbersFrom } from "./extent.ts";
import { groups, kernelReferences, onStand, type Reference } from "./groups.ts";
import type { Group, Scenario } from "./scenarios.ts";

const minutes = 60_000;

describe("SIGKILL at a system call", () => {
  let home = "";

  beforeAll(() => {
    home = makeScratch();
  });

  afterAll(async () => {
    expect(await removeScratch(home)).toEqual([]);
  });

  function round(group: Group, points: readonly CrashPoint[]): Promise<RoundResult> {
    return onStand(home, group, (stand) => crashRound(stand, points));
  }

  /** All points of one kind, one call number after the other, until every scenario is done before its point. */
  async function everyPoint(
    group: Group,
    references: ReadonlyMap<Scenario, Reference>,
    kind: "before" | "after",
  ): Promise<{ kills: number; complaints: string[] }> {
    const complaints: string[] = [];
    let kills = 0;
    let open = [...group.scenarios];
    for (let at = 1; open.length > 0; at += 1) {
      const points = open.map((scenario) => ({ scenario, kind, at, reference: references.get(scenario) as Reference }));
      const result = await round(group, points);
      complaints.push(...result.complaints);
      kills += result.kills;
      open = open.filter((scenario) => !result.finished.has(scenario));
    }
    return { kills, complaints };
  }

  it.each(groups.filter(({ disposable }) => !disposable))(
    "$name: old or new, and nothing in between",
    { timeout: 60 * minutes },
    async (group) => {
      const references = await kernelReferences(home, group);
      if (extent.kind === "all") {
        const results = await Promise.all([
          everyPoint(group, references, "before"),
          everyPoint(group, references, "after"),
        ]);
        const kills = results.reduce((sum, result) => sum + result.kills, 0);
        const complaints = results.flatMap((result) => result.complaints);
        process.stdout.write(
          `crash matrix, ${group.name}: ${group.scenarios.length} operations, ${kills} kills, ${complaints.length} complaints\n`,
        );
        expect(complaints).toEqual([]);
        return;
      }
      const { seed, crashStride } = extent;
      const next = numbersFrom(seed);
      const chosen = group.scenarios.filter(() => next(crashStride) === 0);
      const counts = await onStand(home, group, (stand) => countCalls(stand, chosen, false));
      const points = chosen.map((scenario, index) => ({
        scenario,
        kind: next(2) === 0 ? ("before" as const) : ("after" as const),
        at: 1 + next(counts[index] ?? 1),
        reference: references.get(scenario) as Reference,
      }));
      const { kills, complaints } = await round(group, points);
      process.stdout.write(
        `crash matrix, ${group.name}: ${chosen.length} of ${group.scenarios.length} operations, ${kills} kills, VENEER_TEST_CRASH=${seed}\n`,
      );
      expect(complaints).toEqual([]);
    },
  );
});
