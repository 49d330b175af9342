/**
 * Each system call of an operation that changes or opens something fails in turn: the caller gets that errno and the view is
 * what it was, or Veneer goes another way that its documents name and the operation is done. The operation then succeeds.
 * Nothing grows by it: descriptors, staged files, nodes.
 *
 * VENEER_TEST_CRASH=all does every point with every errno, fifty times with ENOSPC; else a part that the seed chooses.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { countCalls, type ErrorPoint, ErrorRound, type ErrorTally, errorLabel, errorNames } from "./error-points.ts";
import { extent, numbersFor, shuffled } from "./extent.ts";
import { groups, kernelReferences, type Reference } from "./groups.ts";
import { doPoints, onStand } from "./on-stands.ts";
import type { Group } from "./scenarios.ts";

const minutes = 60_000;

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

  it.each(groups)("$name: told to the caller, and nothing has changed", { timeout: 120 * minutes }, async (group) => {
    const next = numbersFor(`points of ${group.name}`);
    const all = await allPoints(group);
    const { part, seed } = extent;
    const points =
      part === undefined
        ? shuffled(all, next)
        : all
            .filter(() => next(part.errorStride) === 0)
            .map((point) => ({ ...point, tries: point.error === "ENOSPC" ? 12 : 1 }));
    const tally: ErrorTally = { failures: 0 };
    const complaints = await doPoints({
      home,
      group,
      points,
      atOnce: 100,
      label: errorLabel,
      begin: (stand, complain) => new ErrorRound(stand, complain, tally),
    });
    process.stdout.write(
      `error matrix, ${group.name}: ${points.length} of ${all.length} points, ${tally.failures} failures, ${complaints.length} complaints, seed ${seed}\n`,
    );
    expect(complaints).toEqual([]);
  });
});
