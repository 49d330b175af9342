/**
 * The daemon is killed before and after each system call that changes something, in every operation: remounted, each
 * directory shows the state from before the operation or the one from after it, to Veneer and to the kernel's overlayfs;
 * the staging area is empty; the lowers are as they were.
 *
 * VENEER_TEST_CRASH=all does every point; else a part of the operations is, each at one point, which the seed chooses.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { type CrashPoint, CrashRound, crashLabel, type Tally } from "./crash-round.ts";
import { countCalls } from "./error-points.ts";
import { extent, numbersFor, shuffled } from "./extent.ts";
import { groups, kernelReferences, type Reference } from "./groups.ts";
import { doPoints, onStand } from "./on-stands.ts";
import type { Group, Scenario } from "./scenarios.ts";

const minutes = 60_000;
const kinds = ["before", "after"] as const;

describe("SIGKILL at a system call", () => {
  let home = "";

  beforeAll(() => {
    home = makeScratch();
  });

  afterAll(async () => {
    expect(await removeScratch(home)).toEqual([]);
  });

  function crash(group: Group, points: readonly CrashPoint[], tally: Tally): Promise<string[]> {
    return doPoints({
      home,
      group,
      points,
      atOnce: 60,
      label: crashLabel,
      begin: (stand, complain) => new CrashRound(stand, complain, tally),
    });
  }

  /** All points of all scenarios, with calls up to one that is not made. */
  async function everyPoint(group: Group, reference: (scenario: Scenario) => Reference, tally: Tally) {
    const counts = await onStand(home, group, (stand) => countCalls(stand, group.scenarios, false));
    const complaints: string[] = [];
    let open = group.scenarios.flatMap((scenario, index) =>
      // Right after a mount there may be a call or two more: the whiteout that all deletions share is made.
      kinds.map((kind) => ({ scenario, kind, from: 1, to: (counts[index] ?? 0) + 2 })),
    );
    for (let turn = 1; open.length > 0; turn += 1) {
      const points = open.flatMap(({ scenario, kind, from, to }) =>
        Array.from({ length: to - from + 1 }, (_, more) => ({
          scenario,
          kind,
          at: from + more,
          reference: reference(scenario),
        })),
      );
      complaints.push(...(await crash(group, shuffled(points, numbersFor(`${group.name}, turn ${turn}`)), tally)));
      const isDone = ({ scenario, kind }: (typeof open)[number]) =>
        [...tally.undisturbed].some((point) => point.scenario === scenario && point.kind === kind);
      // One that fails has said so.
      open = complaints.length > 0 ? [] : open.filter((each) => !isDone(each)).map(further);
    }
    return complaints;
  }

  it.each(groups.filter(({ disposable }) => !disposable))(
    "$name: old or new, and nothing in between",
    { timeout: 120 * minutes },
    async (group) => {
      const references = await kernelReferences(home, group);
      const reference = (scenario: Scenario) => references.get(scenario) as Reference;
      const tally: Tally = { kills: 0, undisturbed: new Set() };
      let complaints: string[];
      let chosen = group.scenarios;
      if (extent.part === undefined) {
        complaints = await everyPoint(group, reference, tally);
      } else {
        const { crashStride } = extent.part;
        const next = numbersFor(`points of ${group.name}`);
        chosen = group.scenarios.filter(() => next(crashStride) === 0);
        const counts = await onStand(home, group, (stand) => countCalls(stand, chosen, false));
        const points = chosen.map((scenario, index) => ({
          scenario,
          kind: kinds[next(2)] ?? "before",
          at: 1 + next(counts[index] ?? 1),
          reference: reference(scenario),
        }));
        complaints = await crash(group, points, tally);
      }
      process.stdout.write(
        `crash matrix, ${group.name}: ${chosen.length} of ${group.scenarios.length} operations, ${tally.kills} kills, ${complaints.length} complaints, seed ${extent.seed}\n`,
      );
      expect(complaints).toEqual([]);
    },
  );
});

/** Two calls more than were tried. */
function further<Range extends { readonly to: number }>(range: Range): Range & { from: number } {
  return { ...range, from: range.to + 1, to: range.to + 2 };
}
