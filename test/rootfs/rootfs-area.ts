/**
 * A scratch area with a Debian root file system as the lower, and overlays over it: Veneer's and the kernel's.
 * Everything is torn down by `discard`, whatever state it is in.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { veneerProgram as veneer } from "../support/overlay.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import { type Finished, type Running, run, start, tail } from "./processes.ts";

export type OverlayKind = "veneer" | "kernel";
export type Stage = "install" | "use" | "remove" | "repair";

const repository = fileURLToPath(new URL("../../", import.meta.url));
const workScript = fileURLToPath(new URL("work.sh", import.meta.url));

/** Without the features that only the kernel has, so that both keep the same things on disk. */
const kernelOptions = "redirect_dir=off,index=off,metacopy=off,xino=off,nfs_export=off";

/** Upper, work and mountpoint of one overlay; they outlive each mount. */
export class RootfsOverlay {
  readonly mountpoint: string;
  readonly #layers: string;
  readonly #work: string;

  constructor(area: string, name: string, lower: string) {
    const own = (part: string) => join(area, `${name}.${part}`);
    this.mountpoint = own("merged");
    this.#work = own("work");
    this.#layers = `lowerdir=${lower},upperdir=${own("upper")},workdir=${this.#work}`;
  }

  async mount(kind: OverlayKind): Promise<void> {
    const [program, args] =
      kind === "veneer"
        ? [veneer, ["mount", "-o", this.#layers, this.mountpoint]]
        : ["mount", ["-t", "overlay", "overlay", "-o", `${this.#layers},${kernelOptions}`, this.mountpoint]];
    await run(program, args, 30);
  }

  /** Mounts Veneer as a child process, to have its process id; resolves when the mount is usable. */
  async mountInForeground(): Promise<Running> {
    const daemon = start(veneer, ["mount", "-f", "-o", this.#layers, this.mountpoint], 600);
    let early: Finished | undefined;
    daemon.finished.then(
      (finished) => {
        early = finished;
      },
      () => undefined,
    );
    const deadline = Date.now() + 30_000;
    while (!(await this.isMounted())) {
      if (early !== undefined || Date.now() > deadline) {
        throw new Error(`veneer did not mount: ${tail(early?.output ?? "no mount after 30 s")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return daemon;
  }

  async isMounted(): Promise<boolean> {
    const mounts = await readFile("/proc/self/mountinfo", "utf8");
    return mounts.split("\n").some((line) => line.split(" ")[4] === this.mountpoint);
  }

  /** An orderly unmount: fails when the mount is busy; when it returns, the daemon has ended. */
  async unmount(kind: OverlayKind): Promise<void> {
    await run(kind === "veneer" ? veneer : "umount", [...(kind === "veneer" ? ["umount"] : []), this.mountpoint], 60);
  }

  /** Takes away a mount in any state, hung or without its daemon. */
  async clear(): Promise<void> {
    while (await this.isMounted()) {
      // -f ends the connection of a daemon that answers no more; -l needs no answer from it.
      await start("umount", ["-f", "-l", this.mountpoint], 20).finished;
    }
  }

  /**
   * Does a stage of work.sh in a chroot in the mounted tree, all its processes in a PID namespace that ends with it.
   * Returns once its proc is unmounted, or could not be since the tree is dead.
   */
  async work(stage: Stage, onLine?: (line: string) => void): Promise<Finished> {
    const script = await readFile(workScript, "utf8");
    const inNamespace = 'mount -t proc proc "$0/proc" && exec chroot "$0" /bin/bash -c "$1" work "$2"';
    const shell = ["/bin/sh", "-c", inNamespace, this.mountpoint, script, stage];
    const finished = await start("unshare", ["--pid", "--fork", "--kill-child", ...shell], 400, onLine).finished;
    await start("umount", [join(this.mountpoint, "proc")], 20).finished;
    return finished;
  }

  /** As `work`, and throws with the last lines that it said unless all went well. */
  async mustWork(stage: Stage): Promise<void> {
    const { status, output } = await this.work(stage);
    if (status !== 0) {
      throw new Error(`work.sh ${stage} in ${this.mountpoint}: status ${status}\n${tail(output)}`);
    }
  }

  manifest(): Promise<Manifest> {
    return readManifest(this.mountpoint);
  }

  async makeDirectories(): Promise<void> {
    for (const directory of [this.mountpoint, this.#work, this.#work.replace(/work$/, "upper")]) {
      await mkdir(directory);
    }
  }
}

export class RootfsArea {
  readonly lower: string;
  readonly #root: string;
  readonly #overlays: RootfsOverlay[] = [];

  private constructor(root: string) {
    this.#root = root;
    this.lower = join(root, "lower");
  }

  /** Unpacks the cached root file system (made first, in some 20 s, where there is none). */
  static async make(): Promise<RootfsArea> {
    const tar = (await run(join(repository, "scripts/debian-rootfs"), [], 900)).trim();
    // Not /tmp: that may be a tmpfs, and the rootfs wants a real disk.
    const home = process.env.VENEER_TEST_SCRATCH ?? "/var/tmp";
    const area = new RootfsArea(await mkdtemp(join(home, "veneer-rootfs-")));
    await mkdir(area.lower);
    const keep = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner"];
    await run("tar", ["-C", area.lower, ...keep, "-xpf", tar], 120);
    return area;
  }

  async overlay(name: string): Promise<RootfsOverlay> {
    const overlay = new RootfsOverlay(this.#root, name, this.lower);
    await overlay.makeDirectories();
    this.#overlays.push(overlay);
    return overlay;
  }

  /** Leaves no mount and no file. */
  async discard(): Promise<void> {
    for (const overlay of this.#overlays) {
      await overlay.clear();
    }
    const left = (await readFile("/proc/self/mountinfo", "utf8")).includes(this.#root);
    if (left) {
      throw new Error(`something is still mounted beneath ${this.#root}: not removed`);
    }
    if (existsSync(this.#root)) {
      await rm(this.#root, { recursive: true });
    }
  }
}
