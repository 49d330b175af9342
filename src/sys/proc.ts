/** What /proc tells of processes, this one and others. Needs no system call of our own: node:fs reads it. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A file below /proc, as latin1. @throws an error of node:fs (ENOENT: no such process, or no /proc) */
export function readProcFile(path: string): string {
  return readFileSync(`/proc/${path}`, "latin1");
}

/** The number of the initial user namespace, the same on every machine (PROC_USER_INIT_INO of linux/proc_ns.h). */
const initialUserNamespace = "user:[4026531837]";

/** Whether this process is in another user namespace than the machine's own, so that root there is not root here. */
export function isInUserNamespace(): boolean {
  // There is no such file where the kernel was built without them.
  const own = ifPresent(() => readlinkSync("/proc/self/ns/user"));
  return own !== undefined && own !== initialUserNamespace;
}

/** Of the processes whose main thread has this name (comm, at most 15 bytes) the one that was started last. */
export function newestProcessNamed(name: string): number | undefined {
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry) && processName(entry) === name);
  const started = pids.map((pid) => ({ pid: Number(pid), ticks: startTicks(pid) }));
  return started.sort((a, b) => b.ticks - a.ticks)[0]?.pid;
}

/**
 * Whether there is such a process; one that has ended but was not waited for counts as gone. While a thread of it goes on after
 * the main thread its descriptors are still open, and file systems that they belong to in use.
 */
export function processLives(pid: number): boolean {
  const fields = statFields(String(pid));
  return fields !== undefined && !(/[ZX]/.test(fields[0] as string) && Number(fields[17]) <= 1);
}

/** Signal n is bit n - 1. */
const sigKill = 1n << 8n;

/**
 * Whether a fatal signal waits for this thread (of whatever process): the kernel has made it a SIGKILL of each of its threads, but for
 * those signals that dump core. False where /proc does not show the thread.
 */
export function isBeingKilled(thread: number): boolean {
  const pending = /^SigPnd:\s*([0-9a-f]+)$/m.exec(ifPresent(() => readProcFile(`${thread}/status`)) ?? "");
  return pending !== null && (BigInt(`0x${pending[1]}`) & sigKill) !== 0n;
}

/**
 * Descriptors of this process that it has from the process `ancestor`, which has them still: the same number is open as the
 * same file there. (Node marks what it was started with as its own, close-on-exec.)
 */
export function descriptorsSharedWith(ancestor: number): number[] {
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => {
      const file = openFileName("self", fd);
      return file !== undefined && !file.startsWith("anon_inode:") && file === openFileName(String(ancestor), fd);
    });
}

function openFileName(process: string, fd: number): string | undefined {
  return ifPresent(() => readlinkSync(`/proc/${process}/fd/${fd}`, "latin1"));
}

function processName(pid: string): string | undefined {
  return ifPresent(() => readProcFile(`${pid}/comm`))?.trimEnd();
}

/** Clock ticks from the start of the machine to that of the process. */
function startTicks(pid: string): number {
  return Number(statFields(pid)?.[19] ?? 0);
}

/** proc_pid_stat(5) from field 3 on: [0] is the state, [17] the number of threads (field 20), [19] the start (field 22). */
function statFields(pid: string): string[] | undefined {
  return ifPresent(() => readProcFile(`${pid}/stat`))
    ?.split(") ")
    .at(-1)
    ?.split(" ");
}

/** Processes and descriptors come and go while one looks at them. */
function ifPresent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) {
      return undefined;
    }
    throw error;
  }
}
