/**
 * An upper on a file system of its own, in an image that can be copied at any instant: the copy has what that file system has
 * given to its disk so far, and nothing that is only in memory. So a machine would find it after a power cut, but that the
 * disk's own cache is lost too then, which no copy of an image shows.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Agent, startAgent } from "../support/agent.ts";
import { mountOverlay, unmountOverlay } from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";
import { describeTree, type Tree } from "../support/tree.ts";

export type DiskKind = "ext4" | "xfs";

/** No write-back and no commit of the journal comes by itself within the time of a test. */
const mountOptions: Readonly<Record<DiskKind, string>> = { ext4: "loop,commit=300", xfs: "loop" };
const makers: Readonly<Record<DiskKind, readonly string[]>> = {
  ext4: ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
  xfs: ["mkfs.xfs", "-q", "-f"],
};
const megabytes: Readonly<Record<DiskKind, number>> = { ext4: 64, xfs: 320 };

export class Disk {
  readonly sys: Agent = startAgent();
  readonly mnt: string;
  readonly #area: string;
  readonly #kind: DiskKind;

  /** @param area an empty directory */
  constructor(area: string, kind: DiskKind) {
    this.#area = area;
    this.#kind = kind;
    this.mnt = join(area, "mnt");
  }

  /** Makes the file system and mounts Veneer with its upper on it. */
  async mount(lower: Tree, upper: Tree, options: readonly string[]): Promise<void> {
    for (const name of ["disk", "found", "mnt", "lower"]) {
      mkdirSync(join(this.#area, name));
    }
    const image = join(this.#area, "image");
    await runOk(["truncate", "-s", `${megabytes[this.#kind]}M`, image]);
    await runOk([...makers[this.#kind], image], "/", 60_000);
    const disk = join(this.#area, "disk");
    await runOk(["mount", "-n", "-t", this.#kind, "-o", mountOptions[this.#kind], image, disk]);
    mkdirSync(join(disk, "upper"));
    mkdirSync(join(disk, "work"));
    await this.sys.build(join(this.#area, "lower"), describeTree(lower));
    await this.sys.build(join(disk, "upper"), describeTree(upper));
    await mountOverlay("veneer", {
      lowers: [join(this.#area, "lower")],
      upper: join(disk, "upper"),
      work: join(disk, "work"),
      mountpoint: this.mnt,
      options,
    });
    await runOk(["sync", "-f", disk]);
  }

  /** What a power cut at this instant leaves of the upper, as `look` finds it there. */
  async afterPowerCut<T>(look: (inUpper: (name: string) => string) => Promise<T>): Promise<T> {
    const copy = join(this.#area, "copy");
    const found = join(this.#area, "found");
    await runOk(["cp", "--sparse=always", join(this.#area, "image"), copy]);
    const same = this.#kind === "xfs" ? ",nouuid" : "";
    await runOk(["mount", "-n", "-t", this.#kind, "-o", `loop${same}`, copy, found]);
    try {
      return await look((name) => join(found, "upper", name));
    } finally {
      await runOk(["umount", "-n", found]);
    }
  }

  async discard(): Promise<void> {
    await this.sys.end();
    if (existsSync(this.mnt)) {
      await unmountOverlay("veneer", this.mnt);
      await runOk(["umount", "-n", join(this.#area, "disk")]);
    }
  }
}
