/** What the benchmark makes of its figures. That it measures at all is shown by its short form. */
import { describe, expect, test } from "vitest";
import { asChart } from "../../bench/chart.ts";
import { Comparison } from "../../bench/comparison.ts";
import { asPage } from "../../bench/page.ts";
import type { Figures, Run } from "../../bench/run.ts";
import { smokeScale } from "../../bench/scale.ts";
import { outcomes, targetWorkloads } from "../../bench/targets.ts";
import { workloads } from "../../bench/workloads.ts";

type Times = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;

/** A run with the times of the rounds, by workload and peer. */
function runOf(times: Times): Run {
  const figures = Object.entries(times).flatMap(([workload, ofPeers]) =>
    Object.entries(ofPeers).map(
      ([peer, seconds]): Figures => ({ workload, peer, seconds: [...seconds], cpu: [], requests: [], memory: [] }),
    ),
  );
  return {
    date: "2000-01-01",
    command: "npm run bench",
    machine: "a machine",
    versions: { veneer: "1" },
    rounds: 3,
    scale: smokeScale,
    peers: [
      { name: "bare", kind: "limit" },
      { name: "kernel", kind: "limit" },
      { name: "veneer", kind: "veneer" },
      { name: "slow", kind: "fuse-overlayfs" },
      { name: "fast", kind: "fuse-overlayfs" },
    ],
    workloads: workloads
      .filter(({ name }) => name in times)
      .map(({ name, copyUp, aside }) => ({ name, ...(copyUp && { copyUp }), ...(aside && { aside }) })),
    figures,
    omissions: [],
  };
}

describe("several runs", () => {
  const walk = (kernel: number, veneer: number) => runOf({ "walk warm": { kernel: [kernel], veneer: [veneer] } });

  test("ratios are made in each run, and the middle one counts", () => {
    // The third machine was slow with both: the medians of seconds, 2 and 3, would say 1.5.
    const comparison = new Comparison([walk(1, 3), walk(2, 2), walk(10, 12)]);
    expect(comparison.ratio("walk warm", "veneer", "kernel")).toEqual({ middle: 1.2, least: 1, most: 3 });
  });

  test("rounds count by their median", () => {
    const comparison = new Comparison([runOf({ "walk warm": { kernel: [9, 1, 2], veneer: [4, 3, 100] } })]);
    expect(comparison.ratio("walk warm", "veneer", "kernel")?.middle).toBe(2);
  });

  test("of different workloads are not compared", () => {
    expect(() => new Comparison([walk(1, 1), runOf({})])).toThrow("not of the same");
  });

  test("what one run lacks is not shown", () => {
    const comparison = new Comparison([walk(1, 1), runOf({ "walk warm": { kernel: [1] } })]);
    expect(comparison.ratio("walk warm", "veneer", "kernel")).toBeUndefined();
  });
});

describe("the geometric mean", () => {
  const comparison = new Comparison([
    runOf({
      "walk warm": { kernel: [1], veneer: [2], slow: [6], fast: [4] },
      "copy-up by chmod": { kernel: [1], veneer: [8], slow: [1], fast: [1] },
      "copy-up by chmod, volatile": { kernel: [1], veneer: [1], slow: [2], fast: [2] },
      "walk of known files": { kernel: [1], veneer: [1000], slow: [1], fast: [1] },
    }),
  ]);

  test("over the kernel's is of copy-ups that are synced", () => {
    expect(comparison.mean("veneer", "kernel")?.middle).toBeCloseTo(4);
  });

  test("over another FUSE overlay's is of those that nobody syncs", () => {
    expect(comparison.mean("veneer", "fast")?.middle).toBeCloseTo(0.5);
  });

  test("is held against the fastest", () => {
    expect(comparison.fastestPeer?.name).toBe("fast");
    const mean = outcomes(comparison).find(({ what, measure }) => what === "geometric mean" && /fast$/.test(measure));
    expect([mean?.reached.middle, mean?.met]).toEqual([expect.closeTo(2), true]);
  });
});

test("a target is met up to its bound", () => {
  const met = (veneer: number) => {
    const comparison = new Comparison([runOf({ "walk cold": { kernel: [10], veneer: [veneer] } })]);
    return outcomes(comparison).find(({ what }) => what === "walk cold")?.met;
  };
  expect([met(25), met(26)]).toEqual([true, false]);
});

test("every target is one of a workload", () => {
  const names = workloads.map(({ name }) => name);
  expect(targetWorkloads.filter((name) => !names.includes(name))).toEqual([]);
});

test("names of workloads and peers are no markup in the chart", () => {
  const run = runOf({ "walk warm": { kernel: [1], veneer: [1], "a<b": [2] } });
  const chart = asChart(new Comparison([{ ...run, peers: [...run.peers, { name: "a<b", kind: "veneer" }] }]));
  expect(chart).toContain("a&lt;b");
  expect(chart).not.toContain("a<b");
});

test("the page tells of what was left out", () => {
  const run: Run = { ...runOf({}), omissions: [{ workload: "npm ci, offline", why: "npm not installed" }] };
  expect(asPage(new Comparison([run]))).toContain("- npm ci, offline: npm not installed");
});
