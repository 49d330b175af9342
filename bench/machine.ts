/** Where a run was made, and with which versions: all that has a part in the figures, and no names of hosts. */
import { readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import type { Peer } from "./peers.ts";
import { findProgram, python, run } from "./programs.ts";

/** Programs that workloads start. */
const tools: Readonly<Record<string, readonly string[]>> = {
  Python: [python, "--version"],
  fio: ["fio", "--version"],
  git: ["git", "--version"],
  npm: ["npm", "--version"],
  tar: ["tar", "--version"],
  findutils: ["find", "--version"],
};

/**
 * Kernel, processors, memory, and on what the layers lie.
 * @param awake whether idle processors are kept from sleeping
 */
export function machine(awake: boolean): string {
  const kilobytes = Number(/MemTotal:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 0);
  const processors = cpus();
  return [
    `Linux ${release()}`,
    `${processors.length} processors (${processors[0]?.model ?? "unknown"}) that ${awake ? "poll" : "may sleep"} when idle`,
    `${(kilobytes / 2 ** 20).toFixed(0)} GiB of memory`,
    "layers on file systems of their own on loop devices",
  ].join(", ");
}

/** The versions of Node, of the peers and of the tools that are there. */
export async function versions(peers: readonly Peer[]): Promise<Record<string, string>> {
  const found: Record<string, string> = { Node: process.version };
  const asked = [...peers.map(({ name, versionCommand }) => [name, versionCommand] as const), ...Object.entries(tools)];
  for (const [name, command] of asked) {
    if (command?.[0] !== undefined && findProgram(command[0]) !== undefined) {
      // Some have no way to tell.
      found[name] = await run(command).then(versionIn, () => "unknown");
    }
  }
  return found;
}

/** Programs on libfuse print its version too. */
function versionIn(output: string): string {
  const lines = output.split("\n").filter((line) => line !== "" && !/^(?:fuse |fusermount|using )/i.test(line));
  return /\d[\w.+-]*/.exec(lines[0] ?? "")?.[0] ?? "unknown";
}
