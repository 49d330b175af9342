/** A scratch directory with layers, and the command run over it; every process that comes of it bears a mark. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mountsBelow, type ProgramResult, runOk, runProgram } from "../support/programs.ts";
import { makeScratch, removeScratch } from "../support/scratch.ts";

export const veneerProgram = fileURLToPath(new URL("../../bin/veneer", import.meta.url));

/** Descriptor number -> what it is open on. */
export type Descriptors = ReadonlyMap<number, string>;

export class Stand {
  readonly path = makeScratch();
  /** Process ids that bore the mark. */
  readonly #seen = new Set<string>();

  constructor() {
    for (const name of ["lower", "upper", "work", "mnt"]) {
      mkdirSync(join(this.path, name));
    }
    writeFileSync(join(this.path, "lower/file"), "from the lower\n");
  }

  /** Runs `veneer ARGS` with the scratch directory as working directory. Over `limitMs` it is killed: status -1. */
  veneer(...args: string[]): Promise<ProgramResult> {
    return this.run(veneerProgram, ...args);
  }

  /** As `veneer`, for a shell line in which "$V" is the program. */
  shell(line: string): Promise<ProgramResult> {
    return this.run("env", `V=${veneerProgram}`, "sh", "-c", line);
  }

  /** What the lines print in a mount with these options, made after `prepare`; the first error ends them all. */
  async printed(options: string, prepare: string, lines: string): Promise<string> {
    const mount = `"$V" -o lowerdir=lower,upperdir=upper,workdir=work,${options} mnt`;
    const { status, stdout, stderr } = await this.shell(`set -e; ${prepare}\n${mount}\n${lines}`);
    if (status !== 0 || stderr !== "") {
      throw new Error(`status ${status}: ${stderr}`);
    }
    return stdout;
  }

  run(...argv: string[]): Promise<ProgramResult> {
    return runProgram(["env", this.#mark, ...argv], this.path, 30_000);
  }

  /** A writable mount of the layers at `mnt`, by VENEER_TEST_TRANSPORT; answers the daemon's process id. */
  async mount(...more: string[]): Promise<number> {
    const layers = "lowerdir=lower,upperdir=upper,workdir=work";
    const transport = process.env.VENEER_TEST_TRANSPORT ?? "direct";
    const result = await this.veneer("mount", "--transport", transport, "-o", layers, ...more, "mnt");
    if (result.status !== 0) {
      throw new Error(`mount: status ${result.status}: ${result.stderr}`);
    }
    return this.onlyProcess();
  }

  /** The mark's processes, zombies left out: whose turn it is to reap an orphan is not our affair. */
  processes(): number[] {
    return readdirSync("/proc")
      .filter((entry) => /^\d+$/.test(entry) && this.#isMarked(entry))
      .map(Number);
  }

  /** The one of them that is the daemon of a mount by its name, also where the mount is not usable yet. */
  daemon(): number | undefined {
    const names = spawnSync("ps", ["-A", "-o", "pid=,comm="], { encoding: "latin1" }).stdout.split("\n");
    const daemons = names.filter((line) => / veneer-\d+$/.test(line)).map((line) => Number.parseInt(line, 10));
    return this.processes().find((pid) => daemons.includes(pid));
  }

  onlyProcess(): number {
    const [first, ...others] = this.processes();
    if (first === undefined || others.length > 0) {
      throw new Error(`not one process but ${[first, ...others].join(", ")}`);
    }
    return first;
  }

  /** Waits until no process of ours is left; answers those that are after the time. */
  async processesAfter(milliseconds: number): Promise<number[]> {
    const deadline = Date.now() + milliseconds;
    for (;;) {
      const left = this.processes();
      if (left.length === 0 || Date.now() > deadline) {
        return left;
      }
      await pause(20);
    }
  }

  mounts(): string[] {
    return mountsBelow(`${this.path}/`).map((mount) => mount.mountpoint);
  }

  /** The number of the FUSE connection at `mnt`. */
  connection(): string {
    const mount = mountsBelow(join(this.path, "mnt")).find((each) => each.type.startsWith("fuse."));
    if (mount === undefined) {
      throw new Error("nothing of FUSE is mounted");
    }
    return mount.minor;
  }

  /** Every path below the scratch directory, mounts not entered. */
  files(): Promise<string> {
    return runOk(["sh", "-c", "find . -xdev | LC_ALL=C sort"], this.path);
  }

  /** What must be as before when a command has failed. */
  async traces(): Promise<object> {
    return { mounts: this.mounts(), processes: await this.processesAfter(3_000), files: await this.files() };
  }

  async remove(): Promise<void> {
    for (const pid of this.processes()) {
      process.kill(pid, "SIGKILL");
    }
    await removeScratch(this.path);
  }

  get #mark(): string {
    return `VENEER_TEST_STAND=${this.path}`;
  }

  #isMarked(pid: string): boolean {
    try {
      const environment = environmentOf(pid);
      const isOurs = environment?.split("\0").includes(this.#mark) ?? this.#seen.has(pid);
      if (!isOurs || hasEnded(pid)) {
        return false;
      }
      this.#seen.add(pid);
      return true;
    } catch (error) {
      // It ended while we looked, or is not even root's to read: no child of a test.
      if (["ENOENT", "ESRCH", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) {
        return false;
      }
      throw error;
    }
  }
}

/** Undefined for a process that is ending: it loses its memory first, and its open files a moment later. */
function environmentOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1") || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") {
      return undefined;
    }
    throw error;
  }
}

/** Whether what is left waits to be reaped: of a process of several threads the first may be in that state before the others. */
function hasEnded(pid: string): boolean {
  return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1")) && readdirSync(`/proc/${pid}/task`).length <= 1;
}

export function descriptorsOf(pid: number): Descriptors {
  const folder = `/proc/${pid}/fd`;
  return new Map(readdirSync(folder).map((fd) => [Number(fd), readlinkSync(`${folder}/${fd}`)]));
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
