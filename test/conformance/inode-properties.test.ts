/**
 * The table "Inode properties" of the kernel's documentation (Documentation/filesystems/overlayfs.rst), on both overlays: what
 * it promises of directories and of other objects, with all layers on one file system and on several, with xino and without.
 * Where it promises nothing, Veneer may give more.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { FileStat } from "../support/agent.ts";
import { describeOverlay, type Mounted, type Overlay } from "../support/overlay.ts";
import { makeFileSystem } from "../support/scratch.ts";
import { hardlink, symlink, type Tree } from "../support/tree.ts";

/** Whether it is promised of directories, and of other objects. */
type Promised = readonly [directories: boolean, others: boolean];

interface Row {
  readonly layers: string;
  readonly several: boolean;
  readonly options: readonly string[];
  readonly persistentIno: Promised;
  readonly uniformDev: Promised;
  readonly inoIsListed: Promised;
  /** The listed number is that of the inode itself (i_ino), as /proc/PID/fdinfo has it. */
  readonly listedIsOwn: Promised;
}

const yes: Promised = [true, true];
const everything = { persistentIno: yes, uniformDev: yes, inoIsListed: yes, listedIsOwn: yes };
const rows: readonly Row[] = [
  { layers: "on one file system", several: false, options: [], ...everything },
  {
    layers: "on several, xino=off",
    several: true,
    options: ["xino=off"],
    persistentIno: [false, false],
    uniformDev: [true, false],
    inoIsListed: [false, true],
    listedIsOwn: [false, true],
  },
  { layers: "on several, xino=auto", several: true, options: ["xino=auto"], ...everything },
  { layers: "on several, xino=on", several: true, options: ["xino=on"], ...everything },
];

const lower: Tree = {
  both: { "of the lower": "1" },
  low: { file: "2", sub: {}, link: symlink("file") },
  twice: { one: "3", two: hardlink("twice/one") },
};
const upper: Tree = { both: { "of the upper": "4" }, up: { file: "5", link: symlink("file"), sub: {} } };
const directories = ["both", "low", "low/sub", "up", "up/sub", "twice"];
const others = ["both/of the lower", "both/of the upper", "low/file", "low/link", "up/file", "up/link"];

/** The kernel completes the marks of an upper that it finds; what is told of numbers is told of one that it has seen. */
async function mountRow(overlay: Overlay, { several, options }: Row): Promise<Mounted> {
  const lowerArea = join(overlay.scratch, "second");
  if (several) {
    await makeFileSystem("tmpfs", lowerArea);
  }
  const m = await overlay.mount({ lowers: [lower], upper, options, ...(several ? { lowerArea } : {}) });
  await m.remount("kernel");
  await m.sys.walk(m.mnt);
  await m.remount();
  return m;
}

async function statAll(m: Mounted, paths: readonly string[]): Promise<FileStat[]> {
  const stats: FileStat[] = [];
  for (const path of paths) {
    stats.push(await m.sys.lstat(`${m.mnt}/${path}`));
  }
  return stats;
}

/** The numbers that listings tell, of names that were looked up before. */
async function listed(m: Mounted, paths: readonly string[]): Promise<(bigint | undefined)[]> {
  const numbers: (bigint | undefined)[] = [];
  for (const path of paths) {
    const [, directory = "", name = ""] = /^(?:(.*)\/)?([^/]*)$/.exec(path) ?? [];
    const fd = await m.sys.open(`${m.mnt}/${directory}`, "O_RDONLY|O_DIRECTORY");
    const entries = await m.sys.getdents(fd);
    await m.sys.close(fd);
    numbers.push(entries.find((entry) => entry.name === name)?.ino);
  }
  return numbers;
}

/** Of each, the number that the kernel's own inode has. */
async function own(m: Mounted, paths: readonly string[]): Promise<bigint[]> {
  const numbers: bigint[] = [];
  for (const path of paths) {
    const fd = await m.sys.open(`${m.mnt}/${path}`, "O_PATH|O_NOFOLLOW");
    const fdinfo = await m.sys.readFile(`/proc/self/fdinfo/${fd}`);
    await m.sys.close(fd);
    numbers.push(BigInt(/^ino:\s*(\d+)$/m.exec(fdinfo)?.[1] ?? -1));
  }
  return numbers;
}

const ino = (stats: readonly FileStat[]) => stats.map((stat) => stat.ino);

describeOverlay("inode properties", (overlay) => {
  test.each(rows)("layers $layers: what the table promises", async (row) => {
    const m = await mountRow(overlay, row);
    const root = await m.sys.lstat(m.mnt);
    for (const [index, paths] of [directories, others].entries()) {
      const stats = await statAll(m, paths);
      const numbers = await listed(m, paths);
      if (row.uniformDev[index]) {
        expect(new Set(stats.map((stat) => stat.dev)), `st_dev of ${paths}`).toEqual(new Set([root.dev]));
      }
      if (row.inoIsListed[index]) {
        expect(numbers, `st_ino and d_ino of ${paths}`).toEqual(ino(stats));
      }
      if (row.listedIsOwn[index]) {
        expect(await own(m, paths), `d_ino and i_ino of ${paths}`).toEqual(numbers);
      }
    }
    const places = (await statAll(m, [...directories, ...others])).map((stat) => `${stat.dev}:${stat.ino}`);
    expect(new Set(places).size, "every object has a place of its own").toBe(places.length);
  });

  test.each(rows)("layers $layers: numbers over remounts", async (row) => {
    const m = await mountRow(overlay, row);
    const before = [ino(await statAll(m, directories)), ino(await statAll(m, others))];
    // In another order: numbers that are given out as objects come would differ.
    await m.remount();
    await statAll(m, [...others, ...directories].reverse());
    for (const [index, paths] of [directories, others].entries()) {
      if (row.persistentIno[index]) {
        expect(ino(await statAll(m, paths)), `of ${paths}`).toEqual(before[index]);
      }
    }
  });

  test.each(rows)("layers $layers: numbers over a copy-up, and of hard links", async (row) => {
    const m = await mountRow(overlay, row);
    const paths = ["low/sub", "low/file", "low/link", "low"];
    const before = ino(await statAll(m, paths));
    const [one, two] = ino(await statAll(m, ["twice/one", "twice/two"]));
    expect(one).toBe(two);
    for (const path of paths) {
      await m.sys.lchown(`${m.mnt}/${path}`, 5, 5);
    }
    expect(ino(await statAll(m, paths)), "copied up").toEqual(before);
    await m.sys.link(`${m.mnt}/up/file`, `${m.mnt}/low/further`);
    const [first, further] = ino(await statAll(m, ["up/file", "low/further"]));
    expect(first).toBe(further);
    if (row.persistentIno[1]) {
      await m.remount();
      expect(ino(await statAll(m, paths)), "copied up, after a remount").toEqual(before);
    }
  });
});
