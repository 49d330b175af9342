/** Rounds of measurements, and what they amount to. */
import type { Materials } from "./materials.ts";
import type { Peer } from "./peers.ts";
import { dropNames } from "./stand.ts";
import type { Workload } from "./workload.ts";

/** What one workload took with one peer. */
export interface Result {
  readonly workload: string;
  readonly peer: string;
  /** Of each round, in the order measured. */
  readonly seconds: number[];
  /** MB of private memory of the daemon after each round; empty where there is none. */
  readonly memory: number[];
  /** Why it was not measured. */
  missing?: string;
}

export type Progress = (line: string) => void;

/**
 * Measures every workload with every peer, `rounds` times, each time in another order: a machine that gets slower or
 * faster meanwhile does so for all.
 */
export async function measure(
  workloads: readonly Workload[],
  peers: readonly Peer[],
  materials: Materials,
  rounds: number,
  progress: Progress,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const workload of workloads) {
    const ofWorkload = new Map<Peer, Result>();
    for (const peer of peers) {
      const result: Result = { workload: workload.name, peer: peer.name, seconds: [], memory: [] };
      const missing = peer.missing() ?? (peer.kind === "limit" && peer.name === "bare" ? workload.notBare : undefined);
      const reason = missing ?? workload.missing?.();
      if (reason !== undefined) {
        result.missing = reason;
      }
      ofWorkload.set(peer, result);
      results.push(result);
    }
    for (let round = 1; round <= rounds; round++) {
      for (const [peer, result] of shuffled([...ofWorkload])) {
        if (result.missing === undefined) {
          await measureOnce(workload, peer, materials, result);
        }
      }
    }
    progress(describe(workload, [...ofWorkload.values()]));
  }
  return results;
}

async function measureOnce(workload: Workload, peer: Peer, materials: Materials, result: Result): Promise<void> {
  for (const name of [...workload.materials, ...(workload.further ?? [])]) {
    await materials.make(name);
  }
  const uppersOn = workload.upperOn === undefined ? undefined : await materials.make(workload.upperOn);
  const lowers = workload.lowers?.(materials) ?? workload.materials.map((name) => materials.path(name));
  try {
    await materials.stand.mounted(
      peer,
      lowers,
      workload.readOnly,
      async (mounted) => {
        await workload.prepare?.(mounted.root, materials);
        if (workload.cold === true) {
          dropNames();
        }
        result.seconds.push(await workload.run(mounted, materials));
        const memory = mounted.memory();
        if (memory !== undefined) {
          result.memory.push(memory);
        }
      },
      uppersOn,
    );
  } catch (error) {
    // A peer that can't do it is a result, too.
    result.missing =
      String(error instanceof Error ? error.message : error)
        .split("\n", 1)[0]
        ?.slice(0, 160) ?? "";
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  const rest = [...items];
  const order: T[] = [];
  while (rest.length > 0) {
    order.push(...rest.splice(Math.floor(Math.random() * rest.length), 1));
  }
  return order;
}

function describe(workload: Workload, results: readonly Result[]): string {
  const figures = results.map(({ peer, seconds, missing }) =>
    missing === undefined ? `${peer} ${median(seconds).toFixed(4)}` : `${peer} - (${missing})`,
  );
  return `${workload.name}: ${figures.join("  ")}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
