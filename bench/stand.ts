/** A mounted tree with a fresh upper for each measurement, and the worker that works in it. */
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Area, type FileSystemName, unmount } from "./area.ts";
import { daemonEnds, daemonOf } from "./daemon.ts";
import type { Peer } from "./peers.ts";
import { python, run } from "./programs.ts";
import type { Step } from "./workload.ts";

const workerFile = fileURLToPath(new URL("../worker.py", import.meta.url));

/** Milliseconds. */
const startUp = 100;

/** What is to be mounted. */
export interface Request {
  readonly lowers: readonly string[];
  readonly on: FileSystemName;
  readonly readOnly: boolean;
  readonly volatile: boolean;
  /** Where nothing is mounted, the first lower is copied, as it will be changed. */
  readonly changes: boolean;
}

/** A mounted tree, for the time of one measurement. */
export interface Mounted {
  /** The root of the tree: the mountpoint, or the bare directory. */
  readonly root: string;
  readonly lowers: readonly string[];
  /** Seconds from exec until the root was listed; undefined where nothing is mounted. */
  readonly mountSeconds: number | undefined;
  /** The process that serves it, if one does. */
  readonly daemon: number | undefined;
}

/** What the worker measured. */
export interface Measurement {
  readonly seconds: number;
  /** Seconds of processor time of the daemon. */
  readonly cpu?: number;
  /** Requests of each kind that the daemon served, where it tells. */
  readonly requests?: Readonly<Record<string, number>>;
}

export class Stand {
  readonly area: Area;
  #count = 0;

  constructor(area: Area) {
    this.area = area;
  }

  /** Mounts, lets `use` work in the tree, unmounts and throws the upper away. */
  async mounted<T>(peer: Peer, request: Request, use: (mounted: Mounted) => Promise<T>): Promise<T> {
    this.#count += 1;
    const place = join(await this.area.fileSystem(request.on), `u${this.#count}`);
    const mountpoint = join(this.area.path, `m${this.#count}`);
    const [upper, work] = [join(place, "upper"), join(place, "work")];
    for (const directory of [upper, work, mountpoint]) {
      mkdirSync(directory, { recursive: true });
    }
    const { lowers, volatile } = request;
    const command = peer.command(
      request.readOnly ? { lowers, volatile } : { lowers, upper, work, volatile },
      mountpoint,
    );
    try {
      return await (command === undefined
        ? useBare(request, upper, use)
        : useMount(peer, command, mountpoint, lowers, use));
    } finally {
      rmdirSync(mountpoint);
      await run(["rm", "-rf", place], { toItsEnd: true });
    }
  }

  /** Takes a step in a mounted tree, when what was before is done and written. */
  async measure(mounted: Mounted, prepare: readonly Step[], timed: Step, cold: boolean): Promise<Measurement> {
    const { root, lowers, daemon = null } = mounted;
    return worker({ root, lowers, daemon, prepare, timed, cold, sync: this.area.roots() });
  }
}

async function useBare<T>(request: Request, copy: string, use: (mounted: Mounted) => Promise<T>): Promise<T> {
  const { lowers } = request;
  const [lower = ""] = lowers;
  if (request.changes) {
    await run(["cp", "-a", `${lower}/.`, copy]);
  }
  return use({ root: request.changes ? copy : lower, lowers, mountSeconds: undefined, daemon: undefined });
}

async function useMount<T>(
  peer: Peer,
  command: readonly string[],
  mountpoint: string,
  lowers: readonly string[],
  use: (mounted: Mounted) => Promise<T>,
): Promise<T> {
  let daemon: number | undefined;
  try {
    const { seconds } = await worker({ mount: command, mountpoint }, true);
    daemon = peer.kind === "limit" ? undefined : daemonOf(mountpoint);
    // What a daemon does on its own after its start is done before anything else is asked of it.
    await sleep(startUp);
    return await use({ root: mountpoint, lowers, mountSeconds: seconds, daemon });
  } finally {
    await takeDown(peer, mountpoint, daemon);
  }
}

async function takeDown(peer: Peer, mountpoint: string, daemon: number | undefined): Promise<void> {
  try {
    await unmount(mountpoint, peer.unmountCommand?.(mountpoint));
  } finally {
    if (daemon !== undefined) {
      await daemonEnds(daemon);
    }
  }
}

async function worker(job: object, toItsEnd = false): Promise<Measurement> {
  return JSON.parse(await run([python, workerFile, JSON.stringify(job)], { toItsEnd }));
}
