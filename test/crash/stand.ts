/** Layers on disk with one directory a scenario, and the mounts over them: Veneer with faults, and the kernel's overlayfs. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Agent, startAgent } from "../support/agent.ts";
import { mountOverlay, unmountOverlay, veneerProgram } from "../support/overlay.ts";
import { mountsBelow, runOk } from "../support/programs.ts";
import type { Snapshot } from "../support/tree.ts";
import { Faults, type Lacking } from "./faults.ts";
import { formWithout, inForm, type WhiteoutForm } from "./forms.ts";
import { type Dated, normalised, type State } from "./states.ts";

/** A daemon that did not come to serve its mount. */
export class DaemonEnded extends Error {
  /** The signal that ended it, or its status. */
  readonly by: string;

  constructor(by: string, log: string) {
    super(`the daemon ended with ${by}: ${log}`);
    this.by = by;
  }
}

/** Far more than anything takes, on a machine that has other work too. */
const limitMs = 120_000;

export class Stand {
  readonly faults: Faults;
  /** That the upper is built in, and that Veneer chooses. */
  readonly form: WhiteoutForm;
  /** Works in the mount, as root. */
  readonly sys: Agent = startAgent();
  readonly #area: string;
  readonly #options: readonly string[];
  #lowers: Snapshot[] = [];
  #daemon: ChildProcess | undefined;
  #log = "";

  /** @param area an empty directory */
  constructor(area: string, options: readonly string[], without: Lacking = "nothing") {
    this.#area = area;
    this.#options = options;
    this.form = formWithout(without);
    this.faults = new Faults(join(area, "faults"), without);
    for (const name of ["l0", "l1", "upper", "work", "mnt"]) {
      mkdirSync(join(area, name));
    }
  }

  get #paths() {
    return {
      lowers: [join(this.#area, "l0"), join(this.#area, "l1")],
      upper: join(this.#area, "upper"),
      work: join(this.#area, "work"),
      mountpoint: join(this.#area, "mnt"),
      options: this.#options,
    };
  }

  get pid(): number {
    return this.#daemon?.pid ?? 0;
  }

  /** What is left in the staging area; nothing where there is none. */
  get staged(): string[] {
    return existsSync(this.stagingPath) ? readdirSync(this.stagingPath) : [];
  }

  get stagingPath(): string {
    return join(this.#area, "work", "work");
  }

  get indexPath(): string {
    return join(this.#area, "work", "index");
  }

  /** How many the daemon has open. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Whether the kernel's overlayfs can have it for an upper, too: then it cleans the workdir, as Veneer does. */
  get isKernelsUpper(): boolean {
    return this.form === "device";
  }

  /** Whether the kernel's overlayfs can show what is in the upper. */
  get isForKernel(): boolean {
    return this.form !== "beside";
  }

  inMount(directory: string): (name: string) => string {
    return (name) => join(this.#paths.mountpoint, directory, name);
  }

  /** Adds a directory to each layer that has one for it. */
  async build(
    directory: string,
    { lower, below, upper }: { lower: Dated; below?: Dated | undefined; upper?: Dated | undefined },
  ) {
    const { lowers, upper: upperPath } = this.#paths;
    for (const [root, tree] of [
      [lowers[0], lower],
      [lowers[1], below],
      [upperPath, upper && inForm(upper, this.form)],
    ] as const) {
      if (root !== undefined && tree !== undefined) {
        mkdirSync(join(root, directory));
        await this.sys.build(join(root, directory), tree);
      }
    }
  }

  /** From now on the lowers must stay as they are. */
  async seal(): Promise<void> {
    this.#lowers = await this.#snapshotLowers();
  }

  /** What has changed in the lowers since they were sealed. */
  async harmToLowers(): Promise<string[]> {
    const now = await this.#snapshotLowers();
    return now.flatMap((snapshot, at) =>
      isDeepStrictEqual(snapshot, this.#lowers[at]) ? [] : [`the lower ${at} is no longer what it was`],
    );
  }

  /** Mounts Veneer as a child in the foreground, with the fault points in it. */
  async mountVeneer(): Promise<void> {
    const { lowers, upper, work, mountpoint } = this.#paths;
    const layers = [`lowerdir=${lowers.join(":")}`, `upperdir=${upper}`, `workdir=${work}`];
    // Data that are passed through are not written by a call of the daemon's.
    const options = [...layers, "passthrough=off", ...this.#options];
    const daemon = spawn(veneerProgram, ["mount", "-f", "-o", options.join(","), mountpoint], {
      env: { ...process.env, ...this.faults.environment },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#daemon = daemon;
    this.#log = "";
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`no mount after ${limitMs} ms: ${this.#log}`)), limitMs);
      daemon.stderr.setEncoding("utf8").on("data", (text: string) => {
        this.#log += text;
        if (this.#log.includes('"mounted"')) {
          clearTimeout(limit);
          resolve();
        }
      });
      daemon.once("exit", (code, signal) => {
        clearTimeout(limit);
        reject(new DaemonEnded(signal ?? `${code}`, this.#log));
      });
    });
  }

  /** Resolves when the daemon that is to be killed has gone, and takes its dead mount away. */
  async clearKilled(): Promise<void> {
    await this.#ended();
    await this.#removeMount("-l");
  }

  /** Errors and worse that the daemon has logged since it was started. */
  get errorsLogged(): string[] {
    return this.#log.split("\n").filter((line) => /"level":"error"/.test(line));
  }

  async unmountVeneer(): Promise<void> {
    // Whoever looks at all mounts of the machine, as df does, makes it busy for a moment.
    for (let time = 1; ; time += 1) {
      try {
        // By umount(8), which starts faster than `veneer umount`.
        await this.#removeMount();
        break;
      } catch (error) {
        if (time === 20 || !String(error).includes("busy")) {
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
    await this.#ended();
  }

  /**
   * What the kernel's overlayfs shows, over the same layers with the same options. Its uppers have whiteouts that are devices: it
   * can show one with xattrs as a lower. One with files it can't show at all.
   */
  async byKernel<T>(look: () => Promise<T>): Promise<T> {
    const { upper, work, ...paths } = this.#paths;
    const layers = this.isKernelsUpper
      ? { ...paths, upper, work }
      : { ...paths, lowers: [upper, ...paths.lowers], upper: null };
    await mountOverlay("kernel", { work: null, ...layers });
    try {
      return await look();
    } finally {
      await unmountOverlay("kernel", this.#paths.mountpoint, limitMs);
    }
  }

  /** What the mount shows of a directory. */
  async look(directory: string): Promise<State> {
    return normalised(await this.sys.snapshot(this.inMount(directory)("."), {}));
  }

  /** Whatever state it is in: nothing of it goes on or stays mounted. */
  async discard(): Promise<void> {
    await this.sys.end();
    this.#daemon?.kill("SIGKILL");
    await this.clearKilled();
    this.faults.close();
  }

  /** By what is said to be mounted: umount(8) would take another file system if nothing were. */
  async #removeMount(...flags: "-l"[]): Promise<void> {
    if (!this.#isMounted) {
      return;
    }
    try {
      await runOk(["umount", ...flags, this.#paths.mountpoint], "/", limitMs);
    } catch (error) {
      // What has gone meanwhile need not be taken away.
      if (this.#isMounted || !String(error).includes("not mounted")) {
        throw error;
      }
    }
  }

  get #isMounted(): boolean {
    const { mountpoint } = this.#paths;
    return mountsBelow(mountpoint).some((mount) => mount.mountpoint === mountpoint);
  }

  async #ended(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined || daemon.signalCode !== null || daemon.exitCode !== null) {
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`the daemon has not ended after ${limitMs} ms`)), limitMs);
      daemon.once("exit", () => {
        clearTimeout(limit);
        resolve();
      });
    });
  }

  #snapshotLowers(): Promise<Snapshot[]> {
    return Promise.all(this.#paths.lowers.map((lower) => this.sys.snapshot(lower, {})));
  }
}
