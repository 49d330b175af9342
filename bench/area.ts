/**
 * Where the benchmark works: a scratch directory with file systems of its own in it, each on a loop device, so that all
 * peers meet the same conditions and nothing else on the machine uses them. Knows what has to be unmounted at the end.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { missingProgram, run } from "./programs.ts";

/** Megabytes. Xfs takes no less than 300. */
export interface FileSystemSizes {
  readonly ext4: number;
  readonly xfs: number;
  readonly btrfs: number;
}

export type FileSystemName = keyof FileSystemSizes;

const makers: Readonly<Record<FileSystemName, readonly string[]>> = {
  // All is initialised now, rather than by a kernel thread while something is measured.
  ext4: ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
  xfs: ["mkfs.xfs", "-q", "-m", "reflink=1"],
  btrfs: ["mkfs.btrfs", "-q"],
};

/** Why a file system can't be had here; undefined if it can. */
export function missingFileSystem(name: FileSystemName): string | undefined {
  const known = new RegExp(`\\t${name}$`, "m").test(readFileSync("/proc/filesystems", "latin1"));
  return missingProgram(makers[name][0] ?? "") ?? (known ? undefined : `this kernel has no ${name}`);
}

export class Area {
  readonly path: string;
  readonly #sizes: FileSystemSizes;
  readonly #mounted: string[] = [];

  /** @param parent the directory in which the scratch directory is made */
  constructor(parent: string, sizes: FileSystemSizes) {
    this.path = mkdtempSync(join(parent, "veneer-bench-"));
    this.#sizes = sizes;
  }

  /** The root of a file system, which is made and mounted when it is first asked for. */
  async fileSystem(name: FileSystemName): Promise<string> {
    const root = join(this.path, name);
    if (!this.#mounted.includes(root)) {
      const image = `${root}.img`;
      mkdirSync(root);
      await run(["truncate", "-s", `${this.#sizes[name]}M`, image]);
      await run([...makers[name], image]);
      this.#mounted.push(root);
      await run(["mount", "-o", "loop", image, root], { toItsEnd: true });
      await avoidTheCache(root);
    }
    return root;
  }

  /** The roots of the file systems there are. */
  roots(): readonly string[] {
    return this.#mounted;
  }

  /** Unmounts the file systems, which frees their loop devices, and removes everything. */
  async remove(): Promise<void> {
    try {
      for (const root of this.#mounted.splice(0)) {
        await unmount(root);
      }
    } finally {
      rmSync(this.path, { recursive: true, force: true });
    }
  }
}

/** What a loop device writes goes by the page cache of the file system below, where that can be: pages are kept once. */
async function avoidTheCache(root: string): Promise<void> {
  const device = (await run(["findmnt", "-n", "-o", "SOURCE", root])).trim();
  await run(["sh", "-c", 'losetup --direct-io=on "$1" || echo "not possible here"', "sh", device]);
}

/** The device number ("0:51") of what is mounted at exactly this path; undefined if nothing is. */
export function mountedAt(path: string): string | undefined {
  const entries = readFileSync("/proc/self/mountinfo", "latin1")
    .split("\n")
    .map((line) => line.split(" "));
  return entries.findLast((fields) => fields[4] === path)?.[2];
}

/**
 * Unmounts what is mounted at exactly this path, if anything is. It may be busy for a moment after its last user went;
 * when it stays so it is detached.
 * @param command unmounts; umount(8) unless told
 * @throws when it had to be detached
 */
export async function unmount(path: string, command: readonly string[] = ["umount", path]): Promise<void> {
  let failure: unknown;
  for (let attempt = 0; attempt < 20; attempt += 1) {
    if (mountedAt(path) === undefined) {
      return;
    }
    try {
      await run(command, { toItsEnd: true });
    } catch (error) {
      failure = error;
      await sleep(100);
    }
  }
  if (mountedAt(path) !== undefined) {
    await run(["umount", "-l", path], { toItsEnd: true });
    throw failure;
  }
}
