/** scripts/crash-matrix that is ended early, at whatever it does: nothing of it stays, and what was mounted still is. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mountsBelow, runProgram } from "../support/programs.ts";
import { makeScratch, removeScratch, whyWithout } from "../support/scratch.ts";

const script = fileURLToPath(new URL("../../scripts/crash-matrix", import.meta.url));
let home = "";

beforeAll(() => {
  home = makeScratch();
});

afterAll(async () => {
  expect(await removeScratch(home)).toEqual([]);
});

/** Resolves when the script has said with which seed it begins. */
function begun(run: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    run.stdout?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("seed 7")) {
        resolve();
      }
    });
    run.once("exit", (code, signal) => reject(new Error(`ended with ${signal ?? code}: ${said}`)));
  });
}

function ended(run: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => run.once("exit", (code) => resolve(code)));
}

/** Processes that have something to do with the scratch directory, but for this one. */
function processesOf(scratch: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) {
      return false;
    }
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(scratch);
    } catch {
      return false;
    }
  });
}

/** What the machine has; others may be testing beside this. */
function mounts(): string[] {
  return mountsBelow("/")
    .map(({ mountpoint }) => mountpoint)
    .filter((mountpoint) => /^\/((dev|proc|sys|run)(\/(?!shm\/).*)?)?$/.test(mountpoint));
}

test.for([
  ["SIGTERM", "at once", 0],
  ["SIGTERM", "while the file system is made", 150],
  ["SIGINT", "when it is mounted", 600],
  ["SIGTERM", "in the middle of it", 8000],
] as const)("%s, %s", async ([signal, , wait], { skip }) => {
  const reason = whyWithout("ext4");
  skip(reason !== undefined, reason);
  const before = mounts();
  expect(before).toContain("/");
  const run = spawn(script, ["--on", "ext4", "--seed", "7", "crash-matrix"], {
    env: { ...process.env, VENEER_TEST_SCRATCH: home },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await begun(run);
  await new Promise((resolve) => setTimeout(resolve, wait));
  run.kill(signal);
  expect(await ended(run)).toBe(signal === "SIGTERM" ? 143 : 130);
  expect(readdirSync(home)).toEqual([]);
  expect(mountsBelow(home)).toEqual([]);
  expect(mounts()).toEqual(before);
  expect(processesOf(home)).toEqual([]);
  expect((await runProgram(["losetup", "--list", "--output", "BACK-FILE"])).stdout).not.toContain(home);
});
