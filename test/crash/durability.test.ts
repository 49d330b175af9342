/**
 * What is synced outlives a power cut, unless the mount is volatile. And it is the sync that does it: the same without, or on
 * a volatile mount, is not there afterwards.
 */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Agent } from "../support/agent.ts";
import { makeScratch, removeScratch, whyWithout } from "../support/scratch.ts";
import type { Tree } from "../support/tree.ts";
import { Disk, type DiskKind } from "./power-cut.ts";
import { large, withFile } from "./scenarios.ts";

interface Durable {
  readonly name: string;
  readonly lower?: Tree;
  readonly upper?: Tree;
  /** @param sync false: all but the sync itself */
  act(sys: Agent, at: (name: string) => string, sync: boolean): Promise<unknown>;
  /** Whether the upper holds what was promised. */
  isKept(sys: Agent, inUpper: (name: string) => string): Promise<boolean>;
}

async function holds(sys: Agent, path: string, data: string): Promise<boolean> {
  return (await sys.exists(path)) && (await sys.readFile(path)) === data;
}

const text = "that is to be kept ".repeat(1000);

/** The first copies a file up, and so syncs what was done before it. */
const durables: readonly Durable[] = [
  {
    name: "fsync of a file that is copied up, by a handle from before",
    lower: { f: text, large },
    act: (sys, at, sync) =>
      withFile(sys, at("f"), "O_RDONLY", async (before) => {
        await sys.appendFile(at("f"), "more");
        await (sync && sys.fsync(before));
      }),
    isKept: (sys, inUpper) => holds(sys, inUpper("f"), `${text}more`),
  },
  {
    name: "fsync of a new file",
    act: (sys, at, sync) =>
      withFile(sys, at("f"), "O_WRONLY|O_CREAT", async (fd) => {
        await sys.write(fd, text);
        await (sync && sys.fsync(fd));
      }),
    isKept: (sys, inUpper) => holds(sys, inUpper("f"), text),
  },
  {
    name: "fdatasync of a file that grows",
    upper: { f: "short" },
    act: (sys, at, sync) =>
      withFile(sys, at("f"), "O_WRONLY", async (fd) => {
        await sys.write(fd, text);
        await (sync && sys.fdatasync(fd));
      }),
    isKept: (sys, inUpper) => holds(sys, inUpper("f"), text),
  },
  {
    name: "a write with O_SYNC",
    upper: { f: "short" },
    act: (sys, at, sync) => withFile(sys, at("f"), sync ? "O_WRONLY|O_SYNC" : "O_WRONLY", (fd) => sys.write(fd, text)),
    isKept: (sys, inUpper) => holds(sys, inUpper("f"), text),
  },
  {
    name: "a write with O_DSYNC",
    upper: { f: "short" },
    act: (sys, at, sync) => withFile(sys, at("f"), sync ? "O_WRONLY|O_DSYNC" : "O_WRONLY", (fd) => sys.write(fd, text)),
    isKept: (sys, inUpper) => holds(sys, inUpper("f"), text),
  },
  {
    name: "msync of a shared mapping",
    upper: { f: text },
    act: (sys, at, sync) =>
      withFile(sys, at("f"), "O_RDWR", async (fd) => {
        const mapping = await sys.mmap(fd, 4096, "PROT_READ|PROT_WRITE", "MAP_SHARED");
        await sys.mwrite(mapping, 0, "mapped");
        await (sync && sys.msync(mapping));
        await sys.munmap(mapping);
      }),
    isKept: (sys, inUpper) => holds(sys, inUpper("f"), `mapped${text.slice(6)}`),
  },
  {
    name: "fsync of a directory with a new name",
    lower: { d: { old: "x" } },
    act: (sys, at, sync) =>
      withFile(sys, at("d"), "O_RDONLY|O_DIRECTORY", async (fd) => {
        await sys.symlink("to", at("d/s"));
        await (sync && sys.fsync(fd));
      }),
    isKept: (sys, inUpper) => sys.exists(inUpper("d/s")),
  },
  {
    name: "fsync of a directory that a lower name was removed from",
    lower: { d: { old: "x" } },
    act: (sys, at, sync) =>
      withFile(sys, at("d"), "O_RDONLY|O_DIRECTORY", async (fd) => {
        await sys.unlink(at("d/old"));
        await (sync && sys.fsync(fd));
      }),
    isKept: async (sys, inUpper) =>
      (await sys.exists(inUpper("d/old"))) && (await sys.lstat(inUpper("d/old"))).rdev === "0:0",
  },
  {
    name: "fsync of a directory that a file was renamed in",
    upper: { d: { a: "1" } },
    act: (sys, at, sync) =>
      withFile(sys, at("d"), "O_RDONLY|O_DIRECTORY", async (fd) => {
        await sys.rename(at("d/a"), at("d/b"));
        await (sync && sys.fsync(fd));
      }),
    isKept: async (sys, inUpper) => (await sys.exists(inUpper("d/b"))) && !(await sys.exists(inUpper("d/a"))),
  },
];

const kinds: readonly DiskKind[] = ["ext4", "xfs"];

describe.each(kinds)("a power cut, the upper on %s", (kind) => {
  const why = whyWithout(kind);
  let home = "";
  /** Of a mount that is not volatile. */
  let disk: Disk;

  beforeAll(async () => {
    home = makeScratch();
    if (why === undefined) {
      disk = await makeDisk([]);
    } else {
      process.stdout.write(`power cuts on ${kind} are skipped: ${why}\n`);
    }
  });

  afterAll(async () => {
    await disk?.discard();
    expect(await removeScratch(home)).toEqual([]);
  });

  /** A disk with a directory for each of the durables. */
  async function makeDisk(options: readonly string[]): Promise<Disk> {
    const made = new Disk(mkdtempSync(join(home, "disk-")), kind);
    const trees = (layer: "lower" | "upper") =>
      Object.fromEntries(durables.map((durable, index) => [`${index}`, durable[layer] ?? {}]));
    await made.mount(trees("lower"), trees("upper"), options);
    return made;
  }

  function act(disk: Disk, durable: Durable, sync: boolean): Promise<unknown> {
    return durable.act(disk.sys, (name) => join(disk.mnt, `${durables.indexOf(durable)}`, name), sync);
  }

  /** Those that a power cut now leaves done. */
  function keptNow(disk: Disk, candidates: readonly Durable[]): Promise<string[]> {
    return disk.afterPowerCut(async (inUpper) => {
      const kept: string[] = [];
      for (const durable of candidates) {
        if (await durable.isKept(disk.sys, (name) => inUpper(`${durables.indexOf(durable)}/${name}`))) {
          kept.push(durable.name);
        }
      }
      return kept;
    });
  }

  async function keptOnNewDisk(sync: boolean, options: readonly string[]): Promise<string[]> {
    const lossy = await makeDisk(options);
    try {
      for (const durable of durables) {
        await act(lossy, durable, sync);
      }
      return await keptNow(lossy, durables);
    } finally {
      await lossy.discard();
    }
  }

  it.skipIf(why !== undefined).each(durables)("keeps: $name", async (durable) => {
    await act(disk, durable, true);
    expect(await keptNow(disk, [durable])).toEqual([durable.name]);
  });

  it.skipIf(why !== undefined)("a copy-up that has its name has its data", async () => {
    await withFile(disk.sys, join(disk.mnt, "0", "large"), "O_RDWR");
    // The name alone is synced, by its directory.
    await withFile(disk.sys, join(disk.mnt, "0"), "O_RDONLY|O_DIRECTORY", (fd) => disk.sys.fsync(fd));
    const shown = await disk.sys.hash(join(disk.mnt, "0", "large"));
    expect(await disk.afterPowerCut((inUpper) => disk.sys.hash(inUpper("0/large")))).toBe(shown);
  });

  it.skipIf(why !== undefined).each([
    { name: "without a sync", sync: false, options: [], stays: [] },
    // A mapping is one of the upper's own file, as with the kernel's overlayfs.
    { name: "that is volatile", sync: true, options: ["volatile"], stays: ["msync of a shared mapping"] },
  ])("loses all of it in a mount $name", async ({ sync, options, stays }) => {
    let kept: readonly string[] = [];
    // Now and then the file system writes its journal of its own accord just then.
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      kept = await keptOnNewDisk(sync, options);
      if (kept.length === stays.length) {
        break;
      }
    }
    expect(kept).toEqual(stays);
  });
});
