/** Veneer's daemon, seen from outside. */
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { processLives } from "../../src/sys/proc.ts";

/** The process that holds the lock on this upper directory, if any does; proc_locks(5) has the format. */
export function lockHolder(upper: string): number | undefined {
  const { dev, ino } = lstatSync(upper, { bigint: true });
  return (
    readFileSync("/proc/locks", "latin1")
      .split("\n")
      .filter((lock) => lock.includes(" FLOCK ") && lock.includes(`:${ino} `))
      .map((lock) => Number(lock.trim().split(/\s+/)[4]))
      // Directories of other file systems have the same number.
      .find((pid) => hasOpen(pid, dev, ino))
  );
}

function hasOpen(pid: number, dev: bigint, ino: bigint): boolean {
  const descriptors = `/proc/${pid}/fd`;
  return (existsSync(descriptors) ? readdirSync(descriptors) : []).some((fd) => {
    const stat = statSync(`${descriptors}/${fd}`, { bigint: true, throwIfNoEntry: false });
    return stat?.dev === dev && stat.ino === ino;
  });
}

/** The daemon whose upper this is. */
export function daemonOf(upper: string): number {
  const pid = lockHolder(upper);
  if (pid === undefined) {
    throw new Error(`no process has locked ${upper}`);
  }
  return pid;
}

/** Private memory of a process in kB, and how many descriptors it holds. */
export function usageOf(pid: number): { privateKb: number; descriptors: number } {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  const kb = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? Number.NaN);
  return {
    privateKb: kb("Private_Dirty") + kb("Private_Clean"),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  };
}

/** Whether the process ends within `limitMs`, all of its threads; one that only waits to be reaped has ended. */
export async function endsWithin(pid: number, limitMs: number): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (Date.now() < deadline) {
    if (!processLives(pid)) {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}
