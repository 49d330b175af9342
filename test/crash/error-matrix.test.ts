/**
 * Each system call of an operation that changes or opens something fails in turn: the caller gets that errno and the view is
 * what it was, or Veneer goes another way that its documents name and the operation is done. The operation then succeeds.
 * Nothing grows by it: descriptors, staged files, nodes.
 *
 * VENEER_TEST_CRASH=all does every point with every errno, fifty times with ENOSPC; else a part that the seed chooses.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { countCalls, type ErrorPoint, errorNames, errorPoints } from "./error-points.ts";
import { extent, numbersFrom } from "./extent.ts";
import { groups, kernelReferences, onStand, type Reference } from "./groups.ts";
import type { Group } from "./scenarios.ts";

const minutes = 60_000;
/** Points in one mount: a daemon that one of them broke does not spoil the rest. */
const pointsInMount = 100;

describe("a system call that fails", () => {
  let home = "";

  beforeAll(() => {
    home = makeScratch();
  });

  afterAll(async () => {
    expect(await removeScratch(home)).toEqual([]);
  });

  async function allPoints(group: Group): Promise<ErrorPoint[]> {
    const references = await kernelReferences(home, group);
    const counts = await onStand(home, group, (stand) => countCalls(stand, group.scenarios, true));
    return group.scenarios.flatMap((scenario, index) =>
      Array.from({ length: (counts[index] ?? 0) + 1 }).flatMap((_, call) =>
        errorNames.map((error) => ({
          scenario,
          reference: references.get(scenario) as Reference,
          at: call + 1,
          error,
          tries: error === "ENOSPC" ? 50 : 1,
        })),
      ),
    );
  }

  it.each(groups)("$name: told to the caller, and nothing has changed", { timeout: 60 * minutes }, async (group) => {
    let points = await allPoints(group);
    const all = points.length;
    if (extent.kind === "part") {
      const { seed, errorStride } = extent;
      const next = numbersFrom(seed);
      points = points
        .filter(() => next(errorStride) === 0)
        .map((point) => ({ ...point, tries: point.error === "ENOSPC" ? 12 : 1 }));
    }
    const parts: ErrorPoint[][] = [];
    for (let from = 0; from < points.length; from += pointsInMount) {
      parts.push(points.slice(from, from + pointsInMount));
    }
    const complaints = new Set<string>();
    let failures = 0;
    const work = async () => {
      for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
        const mine = part;
        const result = await onStand(home, group, (stand) => errorPoints(stand, mine));
        for (const complaint of result.complaints) {
          complaints.add(complaint);
        }
        failures += result.failures;
      }
    };
    await Promise.all([work(), work()]);
    const said = extent.kind === "part" ? `, VENEER_TEST_CRASH=${extent.seed}` : "";
    process.stdout.write(
      `error matrix, ${group.name}: ${points.length} of ${all} points, ${failures} failures, ${complaints.size} complaints${said}\n`,
    );
    expect([...complaints]).toEqual([]);
  });
});
