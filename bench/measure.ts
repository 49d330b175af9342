/** Rounds of measurements. */
import { missingFileSystem } from "./area.ts";
import { privateMemory } from "./daemon.ts";
import type { Materials } from "./materials.ts";
import type { Peer } from "./peers.ts";
import { interruption, missingProgram } from "./programs.ts";
import type { Figures, Omission } from "./run.ts";
import type { Measurement, Request, Stand } from "./stand.ts";
import { median } from "./statistics.ts";
import { call } from "./steps.ts";
import type { Workload } from "./workload.ts";

export interface Found {
  readonly figures: readonly Figures[];
  readonly omissions: readonly Omission[];
}

/**
 * Measures every workload with every peer, `rounds` times, each time in another order: a machine that gets slower or
 * faster meanwhile does so for all.
 * @param peers that can be measured here
 * @param rehearse whether each mount is used before, for other files
 */
export async function measureAll(
  workloads: readonly Workload[],
  peers: readonly Peer[],
  stand: Stand,
  materials: Materials,
  rounds: number,
  rehearse: boolean,
  say: (line: string) => void,
): Promise<Found> {
  const figures: Figures[] = [];
  const omissions: Omission[] = [];
  for (const workload of workloads) {
    const why = missingProgram(...(workload.needs ?? [])) ?? missingFileSystem(workload.on ?? "ext4");
    if (why !== undefined) {
      omissions.push({ workload: workload.name, why });
      say(`${workload.name}: left out: ${why}`);
      continue;
    }
    for (const { name, kind } of peers) {
      if (kind === "fuse-native" && workload.notFuseNative !== undefined) {
        omissions.push({ workload: workload.name, peer: name, why: workload.notFuseNative });
        say(`${workload.name}, ${name}: left out: ${workload.notFuseNative}`);
      }
    }
    let rest = peers.filter((peer) => concerns(workload, peer));
    const found = new Map(rest.map((peer) => [peer, emptyFigures(workload, peer)]));
    for (let round = 1; round <= rounds; round++) {
      for (const peer of shuffled(rest)) {
        try {
          await measureOnce(workload, peer, stand, materials, rehearse, found.get(peer) as Figures);
        } catch (error) {
          interruption.signal.throwIfAborted();
          // A peer that can't do it is a result, too.
          const reason = String(error instanceof Error ? error.message : error).replaceAll("\n", " ");
          const withoutPaths = reason.replaceAll(stand.area.path, "...");
          omissions.push({ workload: workload.name, peer: peer.name, why: withoutPaths, failed: true });
          say(`${workload.name}, ${peer.name}: FAILED: ${reason}`);
          found.delete(peer);
          rest = rest.filter((other) => other !== peer);
        }
      }
    }
    figures.push(...found.values());
    const medians = [...found.values()].map(({ peer, seconds }) => `${peer} ${median(seconds).toFixed(4)}`);
    say(`${workload.name}: ${medians.join("  ")}`);
  }
  return { figures, omissions };
}

/** Whether a workload means something with a peer. */
function concerns(workload: Workload, peer: Peer): boolean {
  if (peer.kind === "fuse-native" && workload.notFuseNative !== undefined) {
    return false;
  }
  return peer.name === "bare" ? workload.notBare === undefined : workload.onlyBare === undefined;
}

function emptyFigures(workload: Workload, peer: Peer): Figures {
  return { workload: workload.name, peer: peer.name, seconds: [], cpu: [], requests: [], memory: [] };
}

async function measureOnce(
  workload: Workload,
  peer: Peer,
  stand: Stand,
  materials: Materials,
  rehearse: boolean,
  figures: Figures,
): Promise<void> {
  const on = workload.on ?? "ext4";
  const directory = await materials.make(workload.lower, on);
  const lowers = (await workload.lowers?.(directory, materials)) ?? [directory];
  const rehearses = rehearse && peer.name !== "bare" && workload.timed !== undefined && !workload.readOnly;
  const request: Request = {
    lowers: [...lowers, ...(rehearses ? [await materials.make("rehearsal", on)] : [])],
    on,
    readOnly: workload.readOnly ?? false,
    volatile: workload.copyUp === "volatile",
    changes: workload.changes ?? false,
  };
  const rehearsal = rehearses ? [call("rehearse", materials.scale.sourceFiles)] : [];
  const prepare = [...rehearsal, ...((await workload.prepare?.(materials)) ?? [])];
  const timed = await workload.timed?.(materials);
  await stand.mounted(peer, request, async (mounted) => {
    const taken: Measurement =
      timed === undefined
        ? { seconds: mounted.mountSeconds ?? Number.NaN }
        : await stand.measure(mounted, prepare, timed, workload.cold ?? false);
    if (!(taken.seconds > 0)) {
      throw new Error("no time was measured");
    }
    figures.seconds.push(taken.seconds);
    figures.cpu.push(...(taken.cpu === undefined ? [] : [taken.cpu]));
    if (taken.requests !== undefined) {
      figures.requests.push(Object.values(taken.requests).reduce((sum, count) => sum + count, 0));
      figures.kinds = taken.requests;
    }
    figures.memory.push(...(mounted.daemon === undefined ? [] : [privateMemory(mounted.daemon)]));
  });
}

function shuffled<T>(items: readonly T[]): T[] {
  const rest = [...items];
  const order: T[] = [];
  while (rest.length > 0) {
    order.push(...rest.splice(Math.floor(Math.random() * rest.length), 1));
  }
  return order;
}
