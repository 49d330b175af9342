import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, openSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { Errno } from "../errno.ts";
import { closeDescriptor } from "./open.ts";
import { type FileStat, findStat, foldInode, statAt } from "./stat.ts";

let scratch: string;
let root: number;

beforeAll(() => {
  scratch = makeScratch();
  root = openSync(scratch, "r");
});

afterAll(async () => {
  closeDescriptor(root);
  expect(await removeScratch(scratch)).toEqual([]);
});

/** What node:fs says of the same object, in our terms. */
function byNode(path: string): Partial<FileStat> {
  const stat = lstatSync(path, { bigint: true });
  const device = (number: bigint) => [
    Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)),
    Number((number & 0xffn) | ((number >> 12n) & 0xff_ff00n)),
  ];
  const [devMajor = 0, devMinor = 0] = device(stat.dev);
  const [rdevMajor = 0, rdevMinor = 0] = device(stat.rdev);
  return {
    dev: devMajor * 2 ** 20 + devMinor,
    ino: Number(stat.ino),
    mode: Number(stat.mode),
    nlink: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    rdevMajor,
    rdevMinor,
    size: Number(stat.size),
    blocks: Number(stat.blocks),
    blksize: Number(stat.blksize),
  };
}

const makers: Record<string, (path: string) => void> = {
  file: (path) => {
    writeFileSync(path, "twelve bytes");
    execFileSync("chown", ["4000000000:3000000001", path]);
    execFileSync("chmod", ["6751", path]);
  },
  "a sparse file of 5 GB": (path) => execFileSync("truncate", ["-s", "5000000001", path]),
  directory: (path) => mkdirSync(path),
  symlink: (path) => symlinkSync("nowhere", path),
  fifo: (path) => execFileSync("mkfifo", [path]),
  "character device": (path) => execFileSync("mknod", [path, "c", "259", "70000"]),
  "block device": (path) => execFileSync("mknod", [path, "b", "4000", "1048575"]),
};

test.each(Object.keys(makers))("statx of a %s agrees with node:fs", (kind) => {
  makers[kind]?.(`${scratch}/${kind}`);
  expect(statAt(root, kind)).toMatchObject(byNode(`${scratch}/${kind}`));
});

test("an empty path is the descriptor's own object, an absolute one ignores it", () => {
  expect(statAt(root, "")).toMatchObject(byNode(scratch));
  expect(statAt(-100, "/dev/null")).toMatchObject({ ...byNode("/dev/null"), rdevMajor: 1, rdevMinor: 3 });
});

test.each([
  ["1922", -1_500_000_000, 123_456_789],
  ["a nanosecond before 1970", -1, 999_999_999],
  ["1970", 0, 0],
  ["after 2038", 4_000_000_001, 1],
])("times of %s come back exactly", (_, sec, nsec) => {
  const path = `${scratch}/times`;
  writeFileSync(path, "");
  execFileSync("python3", [
    "-c",
    `import os; os.utime(${JSON.stringify(path)}, ns=(${sec} * 10**9 + ${nsec}, ${sec} * 10**9 + ${nsec} + 7))`,
  ]);
  const stat = statAt(root, "times");
  expect(stat.atime).toEqual({ sec, nsec });
  const later = nsec + 7;
  expect(stat.mtime).toEqual({ sec: sec + Math.floor(later / 1e9), nsec: later % 1e9 });
  expect(Math.abs(stat.ctime.sec - Date.now() / 1000)).toBeLessThan(60);
  expect(Math.abs((stat.btime?.sec ?? 0) - Date.now() / 1000)).toBeLessThan(60);
});

test("attributes carry what chattr set, and their mask covers it", () => {
  const STATX_ATTR_IMMUTABLE = 0x10;
  const path = `${scratch}/immutable`;
  writeFileSync(path, "");
  execFileSync("chattr", ["+i", path]);
  try {
    const stat = statAt(root, "immutable");
    expect(stat.attributes & STATX_ATTR_IMMUTABLE).toBe(STATX_ATTR_IMMUTABLE);
    expect(stat.attributesMask & STATX_ATTR_IMMUTABLE).toBe(STATX_ATTR_IMMUTABLE);
  } finally {
    execFileSync("chattr", ["-i", path]);
  }
});

test("absent is undefined for findStat alone; other failures are thrown by both", () => {
  writeFileSync(`${scratch}/plain`, "");
  expect(findStat(root, "absent")).toBeUndefined();
  expect(() => statAt(root, "absent")).toThrow(expect.objectContaining({ code: Errno.ENOENT }));
  expect(() => findStat(root, "plain/below")).toThrow(expect.objectContaining({ code: Errno.ENOTDIR }));
  expect(() => findStat(root, "n".repeat(256))).toThrow(expect.objectContaining({ code: Errno.ENAMETOOLONG }));
  expect(() => findStat(root, "n/".repeat(2048))).toThrow(expect.objectContaining({ code: Errno.ENAMETOOLONG }));
  expect(() => findStat(root, "plain\0x")).toThrow(expect.objectContaining({ code: Errno.EINVAL }));
  expect(() => findStat(9999, "plain")).toThrow(expect.objectContaining({ code: Errno.EBADF }));
});

test("inode numbers stay below 2^53 and keep their value where they fit", () => {
  expect(foldInode(5, 0)).toBe(5);
  expect(foldInode(0xffff_ffff, 0x1f_ffff)).toBe(Number.MAX_SAFE_INTEGER);
  const folded = [
    foldInode(1, 0x8000_0000),
    foldInode(1, 0x4000_0000),
    foldInode(1, 0x0020_0000),
    foldInode(1, 0xffff_ffff),
  ];
  expect(new Set(folded).size).toBe(folded.length);
  for (const ino of folded) {
    expect(Number.isSafeInteger(ino)).toBe(true);
    expect(ino).toBeGreaterThan(2 ** 32);
  }
});
