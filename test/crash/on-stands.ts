/** Does the points of a matrix on stands; what ends by an exception is a complaint, and the rest goes on upon another stand. */
import { chmodSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import type { Described, Tree } from "../support/tree.ts";
import type { Group, Scenario } from "./scenarios.ts";
import { Stand } from "./stand.ts";
import { dated } from "./states.ts";

/** A stand in a directory of its own below `home`; it goes with `home`. */
export async function onStand<T>(
  home: string,
  { options, without }: Pick<Group, "options" | "without">,
  use: (stand: Stand) => Promise<T>,
): Promise<T> {
  const area = mkdtempSync(join(home, "stand-"));
  // Other users work in the mounts too.
  chmodSync(area, 0o755);
  const stand = new Stand(area, options, without);
  try {
    return await use(stand);
  } finally {
    await stand.discard();
  }
}

/** Makes the directory of a scenario in all layers. */
export async function buildScenario(stand: Stand, directory: string, scenario: Scenario): Promise<void> {
  const layer = (tree: Tree | Described | undefined, age: number) => tree && dated(tree, age);
  const { lower = {}, below, upper } = scenario;
  await stand.build(directory, { lower: dated(lower, 1), below: layer(below, 2), upper: layer(upper, 0) });
}

export type Complain = (label: string, complaints: readonly string[]) => void;

/** What a matrix does on one stand, on which all scenarios are built and Veneer is mounted. */
export interface Round<Point> {
  run(point: Point, directory: string): Promise<void>;
  /** When all points were run, and Veneer has been unmounted. */
  end?(): Promise<void>;
}

interface Work<Point> {
  readonly home: string;
  readonly group: Group;
  readonly points: readonly Point[];
  /** How many on one stand: a daemon that one of them broke does not spoil the rest. */
  readonly atOnce: number;
  begin(stand: Stand, complain: Complain): Round<Point>;
  /** How a point is told in a complaint. */
  label(point: Point): string;
}

/** Two stands at a time. @returns the complaints, each once */
export async function doPoints<Point extends { readonly scenario: Scenario }>(work: Work<Point>): Promise<string[]> {
  const found = new Set<string>();
  const complain: Complain = (label, complaints) => {
    for (const complaint of complaints) {
      found.add(`${label}: ${complaint}`);
    }
  };
  const parts: Point[][] = [];
  for (let from = 0; from < work.points.length; from += work.atOnce) {
    parts.push(work.points.slice(from, from + work.atOnce));
  }
  const worker = async () => {
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      const rest = await doPart(work, part, complain);
      if (rest.length > 0) {
        parts.unshift(rest);
      }
    }
  };
  await Promise.all([worker(), worker()]);
  return [...found];
}

/** @returns the points that come after one that ended by an exception */
async function doPart<Point extends { readonly scenario: Scenario }>(
  { home, group, begin, label }: Work<Point>,
  points: Point[],
  complain: Complain,
): Promise<Point[]> {
  let doing = "the layers are made";
  let rest: Point[] = [];
  try {
    await onStand(home, group, async (stand) => {
      for (const [index, { scenario }] of points.entries()) {
        await buildScenario(stand, `s${index}`, scenario);
      }
      await stand.seal();
      await stand.mountVeneer();
      const round = begin(stand, complain);
      for (const [index, point] of points.entries()) {
        doing = label(point);
        rest = points.slice(index + 1);
        await round.run(point, `s${index}`);
      }
      doing = `the end of a mount in which were: ${points.map(label).join("; ")}`;
      await stand.unmountVeneer();
      await round.end?.();
      complain(doing, await stand.harmToLowers());
    });
  } catch (error) {
    complain(doing, [String(error)]);
  }
  return rest;
}
