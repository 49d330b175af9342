/** Programs that the benchmark starts: each has a time limit, and ends when the benchmark is interrupted. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/** Seconds after which whatever runs is taken for stuck, and what is not to be interrupted. */
const limits = { usual: 600, toItsEnd: 60 } as const;

/** Milliseconds for which output is waited for when its program has ended. */
const heldOutput = 2000;

/** As much of an error's text as a table can bear. */
const longestComplaint = 300;

/** Aborted when the benchmark is to end before its time. */
export const interruption = new AbortController();

export interface RunOptions {
  readonly cwd?: string;
  /** Beyond what the benchmark has. */
  readonly env?: Readonly<Record<string, string>>;
  /** It is not ended by an interruption: what it does would be left half done. */
  readonly toItsEnd?: boolean;
}

/**
 * Runs a program, and whatever it starts in its process group, to the end.
 * @returns what it printed on stdout
 * @throws with what it said when its status is not 0
 */
export function run(argv: readonly string[], { cwd = "/", env, toItsEnd = false }: RunOptions = {}): Promise<string> {
  const [program = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    if (!toItsEnd && interruption.signal.aborted) {
      reject(interruption.signal.reason);
      return;
    }
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const end = () => child.pid !== undefined && child.exitCode === null && process.kill(-child.pid, "SIGKILL");
    const timer = setTimeout(end, (toItsEnd ? limits.toItsEnd : limits.usual) * 1000);
    let grace: NodeJS.Timeout | undefined;
    if (!toItsEnd) {
      interruption.signal.addEventListener("abort", end);
    }
    const said = { stdout: "", stderr: "" };
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      said.stdout += text;
    });
    child.stderr.setEncoding("latin1").on("data", (text: string) => {
      said.stderr += text;
    });
    child.on("error", reject);
    // A daemon that the program leaves behind may hold its output open.
    child.on("exit", () => {
      grace = setTimeout(() => [child.stdout, child.stderr].map((stream) => stream.destroy()), heldOutput);
    });
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      clearTimeout(grace);
      interruption.signal.removeEventListener("abort", end);
      if (status === 0) {
        resolve(said.stdout);
      } else if (!toItsEnd && interruption.signal.aborted) {
        reject(interruption.signal.reason);
      } else {
        const complaint = said.stderr.trim().slice(-longestComplaint);
        reject(new Error(`${program.split("/").at(-1)} ended with ${signal ?? status}: ${complaint}`));
      }
    });
  });
}

/** Where a program is found, or undefined. @param name of a program in PATH, or a path */
export function findProgram(name: string): string | undefined {
  const found = spawnSync("sh", ["-c", 'command -v -- "$1"', "sh", name], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

/** Why what needs these programs can't be done here; undefined if it can. */
export function missingProgram(...names: readonly string[]): string | undefined {
  const missing = names.filter((name) => findProgram(name) === undefined);
  return missing.length === 0 ? undefined : `${missing.join(" and ")} not installed`;
}

/** The system's Python: one that is first in PATH may be a script that takes long to find the real one. */
export const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
