/** The process that serves a FUSE mount, seen from outside. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { mountedAt } from "./area.ts";

/** Milliseconds for a daemon to end after its mount went. */
const patience = 20_000;

/**
 * The daemon of the FUSE mount at `mountpoint`. Veneer names its process after the connection; of others it is told by
 * its command line, which has the mountpoint in it, and by its open device.
 * @throws when there is none
 */
export function daemonOf(mountpoint: string): number {
  const connection = mountedAt(mountpoint)?.split(":")[1];
  if (connection === undefined) {
    throw new Error(`nothing is mounted at ${mountpoint}`);
  }
  const found = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => readProc(pid, "comm") === `veneer-${connection}\n` || servesByCommandLine(pid, mountpoint))
    .filter(lives)
    // One that had the connection's number before may still be about.
    .sort((a, b) => startOf(b) - startOf(a));
  if (found[0] === undefined) {
    throw new Error(`no process serves ${mountpoint}`);
  }
  return found[0];
}

/** Private memory of a process in MB. @throws when it has ended */
export function privateMemory(pid: number): number {
  const kilobytes = [...readProc(pid, "smaps_rollup").matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].map(([, kb]) =>
    Number(kb),
  );
  if (kilobytes.length === 0) {
    throw new Error("the daemon has ended");
  }
  return (kilobytes.reduce((sum, kb) => sum + kb) * 1024) / 1e6;
}

/** Waits for the end of a daemon whose mount went, and ends it when that takes too long. */
export async function daemonEnds(pid: number): Promise<void> {
  const deadline = Date.now() + patience;
  while (lives(pid) && Date.now() < deadline) {
    await sleep(5);
  }
  if (lives(pid)) {
    process.kill(pid, "SIGKILL");
    throw new Error("the daemon did not end with its mount");
  }
}

function servesByCommandLine(pid: number, mountpoint: string): boolean {
  return (
    readProc(pid, "cmdline").split("\0").includes(mountpoint) &&
    readable(() => readdirSync(`/proc/${pid}/fd`), []).some(
      (fd) => readable(() => readlinkSync(`/proc/${pid}/fd/${fd}`), "") === "/dev/fuse",
    )
  );
}

/** The fields of /proc/PID/stat from the state on; what is before may contain blanks. */
function statOf(pid: number): string[] {
  const stat = readProc(pid, "stat");
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function lives(pid: number): boolean {
  const [state] = statOf(pid);
  return state !== undefined && state !== "Z" && state !== "X";
}

function startOf(pid: number): number {
  return Number(statOf(pid)[19] ?? 0);
}

function readProc(pid: number, file: string): string {
  return readable(() => readFileSync(`/proc/${pid}/${file}`, "latin1"), "");
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
