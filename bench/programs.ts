/** Programs that the benchmark starts, each with a time limit. */
import { spawn, spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";

/** Seconds after which whatever runs is taken for stuck. */
const limit = 600;

/** Runs a program to its end. @throws with what it said when its status is not 0 */
export function run(argv: readonly string[], cwd = "/"): string {
  const [program = "", ...args] = argv;
  const result = spawnSync(program, args, {
    cwd,
    encoding: "latin1",
    timeout: limit * 1000,
    killSignal: "SIGKILL",
    maxBuffer: 2 ** 28,
  });
  if (result.error !== undefined) {
    throw new Error(`${argv.join(" ").slice(0, 200)}: ${result.error.message}`);
  }
  if (result.status !== 0) {
    throw new Error(`${argv.join(" ").slice(0, 200)}: status ${result.status}: ${result.stderr.slice(0, 500)}`);
  }
  return result.stdout;
}

/** Wall seconds from start to end of a program whose output is thrown away. */
export function timed(argv: readonly string[], cwd = "/"): Promise<number> {
  const [program = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    const child = spawn(program, args, { cwd, stdio: "ignore", timeout: limit * 1000, killSignal: "SIGKILL" });
    child.on("error", reject);
    child.on("exit", (status, signal) => {
      const seconds = (performance.now() - begin) / 1000;
      if (status === 0) {
        resolve(seconds);
      } else {
        reject(new Error(`${argv.join(" ").slice(0, 200)}: ended with ${signal ?? status}`));
      }
    });
  });
}

/** Where a program is found, or undefined. */
export function findProgram(name: string): string | undefined {
  const found = spawnSync("sh", ["-c", 'command -v -- "$1"', "sh", name], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}
