/** What Veneer is meant to reach, and whether it did. */
import type { Comparison, Spread } from "./comparison.ts";
import type { PeerFacts } from "./run.ts";
import { statBesideCopyUp } from "./workloads-changing.ts";

/** Time over the kernel's at most, and how many times faster than fuse-overlayfs at least. */
const timeTargets: readonly (readonly [workload: string, overKernel?: number | undefined, faster?: number])[] = [
  ["sequential read, lower", 1.1, 1],
  ["random 4k read, lower", 1.1, 1],
  ["sequential read, upper", 1.1, 1],
  ["random 4k read, upper", 1.1, 1],
  ["sequential write, new file", 1.1, 1],
  ["random 4k write, upper", 1.1, 2],
  ["sequential write, copied-up lower", 1.1, 1],
  ["random 4k write, copied-up lower", 1.1, 2],
  ["small appends", 1.1, 2],
  ["walk warm", 1.4, 1.3],
  ["walk cold", 2.5, 1.3],
  ["read small files warm", 2, 1.3],
  ["read small files cold", 2.6, 1.3],
  ["absent names", 2, 1.3],
  ["rename files, upper", 3, 2],
  ["rm -rf, upper", 3, 2],
  ["rm -rf, lower", 3, 4],
  ["create files", 1.4, 1.15],
  ["untar", 1.4, 1.15],
  ["copy-up by chmod", 1],
  ["copy-up by append", 1],
  ["copy-up of a large file", 1.05],
  ["copy-up of a large file, xfs", 1.05],
  ["copy-up of a large file, btrfs", 1.05],
  ["copy-up by chmod, volatile", undefined, 1],
  ["copy-up by append, volatile", undefined, 1],
  ["copy-up of a large file, volatile", undefined, 1],
  ["copy-up of a large file, xfs, volatile", undefined, 1],
  ["copy-up of a large file, btrfs, volatile", undefined, 1],
  ["many layers, walk cold", 0.6, 1],
  ["many layers, absent names", 0.25, 1],
];

/** The workloads that there are targets for. */
export const targetWorkloads: readonly string[] = timeTargets.map(([workload]) => workload);

const meanTargets = { overKernel: 1.3, faster: 1.6 } as const;

/** For a Veneer whose kernel passes no data through. */
const withoutPassthrough = { mean: 1.15, each: 0.8 } as const;

const mountOverNode = 2.5;
const idleMegabytes = 25;
const bytesPerFile = 700;
const statMilliseconds = 5;

/** A target and what was reached of it. */
export interface Outcome {
  readonly what: string;
  /** What is compared with what, as in "time over the kernel's". */
  readonly measure: string;
  readonly wanted: string;
  readonly reached: Spread;
  readonly digits: number;
  readonly met: boolean;
}

/** All targets for which there are figures. */
export function outcomes(comparison: Comparison): readonly Outcome[] {
  const { name: ours = "veneer" } = comparison.peers.find(({ kind }) => kind === "veneer") ?? {};
  const rival = comparison.fastestPeer;
  const found = [
    ...timeTargets.flatMap(([workload, overKernel, faster]) => [
      atMost(workload, "time over the kernel's", overKernel, comparison.ratio(workload, ours, "kernel")),
      rival && atLeast(workload, fasterThan(rival), faster, comparison.ratio(workload, rival.name, ours)),
    ]),
    atMost("geometric mean", "time over the kernel's", meanTargets.overKernel, comparison.mean(ours, "kernel")),
    rival && atLeast("geometric mean", fasterThan(rival), meanTargets.faster, meanFaster(comparison, rival, ours)),
    ...comparison.peers.flatMap((peer) => (rival ? ofOther(comparison, peer, rival) : [])),
    atMost("mount, over `node -e 0`", "other", mountOverNode, mountRatio(comparison, ours)),
    atMost("idle mount, MB of private memory", "other", idleMegabytes, comparison.figure("memory", "mount", ours), 1),
    atMost(`${statBesideCopyUp}, ms`, "other", statMilliseconds, statTime(comparison, ours), 3),
    atMost("known file, bytes of private memory", "other", bytesPerFile, knownFileBytes(comparison, ours), 0),
  ];
  return found.filter((outcome) => outcome !== undefined);
}

/** What a file that the kernel knows costs a daemon, in bytes. */
export function knownFileBytes(comparison: Comparison, peer: string): Spread | undefined {
  const idle = comparison.figure("memory", "mount", peer);
  const walked = comparison.figure("memory", "walk of known files", peer);
  const bytes = (megabytes: number) => ((megabytes - (idle?.middle ?? 0)) * 1e6) / comparison.first.scale.knownFiles;
  return idle && walked && { middle: bytes(walked.middle), least: bytes(walked.least), most: bytes(walked.most) };
}

/** The targets of a Veneer that was told to do without passthrough. */
function ofOther(comparison: Comparison, peer: PeerFacts, rival: PeerFacts): readonly (Outcome | undefined)[] {
  if (peer.kind !== "veneer" || !peer.options?.includes("passthrough=off")) {
    return [];
  }
  const each = comparison
    .counting(rival.name)
    // It has a target of its own, and takes no data anywhere.
    .filter((workload) => workload !== "mount")
    .map((workload) => [workload, comparison.ratio(workload, rival.name, peer.name)] as const)
    .sort(([, a], [, b]) => (a?.middle ?? Number.POSITIVE_INFINITY) - (b?.middle ?? Number.POSITIVE_INFINITY));
  const [worst, ratio] = each[0] ?? [];
  const mean = meanFaster(comparison, rival, peer.name);
  return [
    atLeast(`geometric mean, ${peer.name}`, fasterThan(rival), withoutPassthrough.mean, mean),
    atLeast(`worst of ${peer.name}: ${worst}`, fasterThan(rival), withoutPassthrough.each, ratio),
  ];
}

function fasterThan(rival: PeerFacts): string {
  return `times faster than ${rival.name}`;
}

/** How many times faster than a rival, with what that one never syncs left volatile. */
function meanFaster(comparison: Comparison, rival: PeerFacts, ours: string): Spread | undefined {
  return inverse(comparison.mean(ours, rival.name));
}

function inverse(of: Spread | undefined): Spread | undefined {
  return of && { middle: 1 / of.middle, least: 1 / of.most, most: 1 / of.least };
}

/** Each run's mount over the same run's `node -e 0`. */
function mountRatio(comparison: Comparison, ours: string): Spread | undefined {
  return comparison.ratioBetween(["mount", ours], ["node -e 0", "bare"]);
}

function statTime(comparison: Comparison, ours: string): Spread | undefined {
  const time = comparison.figure("seconds", statBesideCopyUp, ours);
  return time && { middle: time.middle * 1000, least: time.least * 1000, most: time.most * 1000 };
}

function atMost(what: string, measure: string, bound: number | undefined, reached: Spread | undefined, digits = 2) {
  return bound === undefined || reached === undefined
    ? undefined
    : { what, measure, wanted: `at most ${bound}`, reached, digits, met: reached.middle <= bound };
}

function atLeast(what: string, measure: string, bound: number | undefined, reached: Spread | undefined) {
  return bound === undefined || reached === undefined
    ? undefined
    : { what, measure, wanted: `at least ${bound}`, reached, digits: 2, met: reached.middle >= bound };
}
