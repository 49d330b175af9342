/**
 * Where the benchmark works: lower trees that are built once, and a fresh upper, workdir and mountpoint for each
 * measurement.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Layers, Peer } from "./peers.ts";
import { run } from "./programs.ts";

/** A mounted tree, for the time of one measurement. */
export interface Mounted {
  /** The root of the tree: the mountpoint, or the bare directory. */
  readonly root: string;
  /** Seconds that mounting took; undefined for the bare directory. */
  readonly mountSeconds: number | undefined;
  /** Private memory of the daemon now, in MB; undefined where there is none. */
  memory(): number | undefined;
}

export class Stand {
  readonly area: string;
  #count = 0;

  /** @param parent a directory on the file system that is to hold layers and uppers */
  constructor(parent: string) {
    this.area = mkdtempSync(join(parent, "veneer-bench-"));
  }

  /** A directory that lives as long as the stand. */
  directory(name: string): string {
    const path = join(this.area, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /**
   * Mounts, lets `use` work in the tree, unmounts and throws the upper away.
   * @param uppersOn where the upper is made: by default beside everything else
   */
  async mounted<T>(
    peer: Peer,
    lowers: readonly string[],
    readOnly: boolean,
    use: (mounted: Mounted) => Promise<T>,
    uppersOn = this.area,
  ): Promise<T> {
    this.#count += 1;
    const place = join(uppersOn, `m${this.#count}`);
    const layers: Layers = readOnly ? { lowers } : { lowers, upper: join(place, "upper"), work: join(place, "work") };
    for (const directory of ["upper", "work", "mnt"]) {
      mkdirSync(join(place, directory), { recursive: true });
    }
    try {
      const mountpoint = join(place, "mnt");
      const command = peer.command(layers, mountpoint);
      if (command === undefined) {
        // The bare directory: a copy where it is written to, as a lower must not change.
        const [lower = ""] = lowers;
        if (!readOnly) {
          run(["cp", "-a", "--reflink=auto", `${lower}/.`, mountpoint]);
        }
        return await use({ root: readOnly ? lower : mountpoint, mountSeconds: undefined, memory: () => undefined });
      }
      const others = fuseDaemons();
      const begin = performance.now();
      run(command);
      const mountSeconds = (performance.now() - begin) / 1000;
      try {
        const daemon = peer.kind === "limit" ? undefined : [...fuseDaemons()].find((pid) => !others.has(pid));
        const memory = () => (daemon === undefined ? undefined : privateMemory(daemon));
        return await use({ root: mountpoint, mountSeconds, memory });
      } finally {
        await unmount(peer, mountpoint);
      }
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  }

  remove(): void {
    rmSync(this.area, { recursive: true, force: true });
  }
}

/** A mount may be busy for a moment after its last user went. */
async function unmount(peer: Peer, mountpoint: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      peer.unmount(mountpoint);
      return;
    } catch (error) {
      if (attempt === 10) {
        run(["umount", "-l", mountpoint]);
        throw error;
      }
      await sleep(100);
    }
  }
}

/** Drops names and inodes that the kernel has cached, but no pages. What is dirty is written first. */
export function dropNames(): void {
  run(["sync"]);
  writeFileSync("/proc/sys/vm/drop_caches", "2");
}

/** Processes that hold a FUSE device: daemons, in all likelihood. */
function fuseDaemons(): Set<string> {
  return new Set(processes().filter((pid) => descriptors(pid).includes("/dev/fuse")));
}

function processes(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

function descriptors(pid: string): string[] {
  return readable(() => readdirSync(`/proc/${pid}/fd`), []).map((fd) =>
    readable(() => readlinkSync(`/proc/${pid}/fd/${fd}`), ""),
  );
}

/** Private memory of a process in MB; undefined if it is gone. */
function privateMemory(pid: string): number | undefined {
  const rollup = readable(() => readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"), "");
  const kilobytes = [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].map(([, value]) => Number(value));
  return kilobytes.length === 0 ? undefined : kilobytes.reduce((sum, value) => sum + value) / 1024;
}

/** A process may end while it is looked at; some may not be looked at. */
function readable<T>(read: () => T, gone: T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && "code" in error && ["ENOENT", "ESRCH", "EACCES"].includes(String(error.code))) {
      return gone;
    }
    throw error;
  }
}
