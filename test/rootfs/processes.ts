/** Child processes with a time limit: whatever they touch may hang, the test must not. */
import { type ChildProcess, spawn } from "node:child_process";

export interface Finished {
  /** The exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  /** stdout and stderr as they came. */
  readonly output: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** Never rejects for what the program does; rejects when the time is over (the process group is killed then). */
  readonly finished: Promise<Finished>;
}

/** The last lines of what a program said, for a message. */
export function tail(output: string, lines = 25): string {
  return output.trimEnd().split("\n").slice(-lines).join("\n");
}

/**
 * Starts a program without stdin, in a process group of its own.
 * @param seconds when to kill it
 * @param onLine sees each whole line of stdout at once
 */
export function start(
  program: string,
  args: readonly string[],
  seconds: number,
  onLine?: (line: string) => void,
): Running {
  const child = spawn(program, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const finished = new Promise<Finished>((resolve, reject) => {
    let stdout = "";
    let output = "";
    let rest = "";
    const limit = setTimeout(() => {
      killGroup(child);
      reject(new Error(`${program} ${args[0] ?? ""}: not finished after ${seconds} s\n${tail(output)}`));
    }, seconds * 1000);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      output += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        onLine?.(line);
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.on("error", reject);
    child.on("close", (status) => {
      clearTimeout(limit);
      resolve({ status, stdout, output });
    });
  });
  return { child, finished };
}

function killGroup(child: ChildProcess): void {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    process.kill(-child.pid, "SIGKILL");
  }
}

/** Runs a program to its end and returns its stdout. Throws, with what it said, unless it ended with status 0. */
export async function run(program: string, args: readonly string[], seconds: number): Promise<string> {
  const { status, stdout, output } = await start(program, args, seconds).finished;
  if (status !== 0) {
    throw new Error(`${program} ${args.join(" ").slice(0, 200)}: status ${status}\n${tail(output)}`);
  }
  return stdout;
}
