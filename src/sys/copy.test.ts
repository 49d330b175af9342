import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeFileSystem, makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { JobCall } from "../contract/slow.ts";
import { Errno } from "../errno.ts";
import { copyDense, copyFile, copyPart, copyRest } from "./copy.ts";
import { makePipe } from "./device.ts";
import { Seek, seekIn } from "./file-data.ts";
import { runJob } from "./jobs.ts";

let scratch: string;
let opened: number[] = [];
const MiB = 1024 * 1024;

beforeAll(async () => {
  scratch = makeScratch();
  mkdirSync(`${scratch}/disk`);
  await makeFileSystem("tmpfs", `${scratch}/memory`);
  await makeFileSystem("xfs", `${scratch}/xfs`);
});

afterEach(() => {
  for (const fd of opened) {
    closeSync(fd);
  }
  opened = [];
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

function open(path: string, flags: string): number {
  const fd = openSync(`${scratch}/${path}`, flags);
  opened.push(fd);
  return fd;
}

/** [start, end) of each run of data. */
function extents(fd: number): [number, number][] {
  const size = fstatSync(fd).size;
  const found: [number, number][] = [];
  for (let at = 0; at < size; ) {
    try {
      const begin = seekIn(fd, at, Seek.data);
      at = seekIn(fd, begin, Seek.hole);
      found.push([begin, at]);
    } catch (error) {
      expect(error).toMatchObject({ code: Errno.ENXIO });
      break;
    }
  }
  return found;
}

/** A hole, data, a hole, data, and a hole at the end: 20 MiB in size, 132 KiB of it data. */
function makeSparse(fd: number): void {
  writeSync(fd, Buffer.alloc(64 * 1024, "a"), 0, undefined, MiB);
  writeSync(fd, Buffer.alloc(68 * 1024, "b"), 0, undefined, 9 * MiB);
  ftruncateSync(fd, 20 * MiB + 17);
}

const sha256 = (path: string) =>
  createHash("sha256")
    .update(readFileSync(`${scratch}/${path}`))
    .digest("hex");

describe.each([
  ["disk", "disk"],
  ["disk", "memory"],
  ["memory", "disk"],
  ["memory", "memory"],
  ["xfs", "xfs"],
  ["xfs", "disk"],
])("from %s to %s", (source, target) => {
  const size = 20 * MiB + 17;
  const partSize = 48 * 1024;

  test.each([
    ["at once", (from: number, to: number) => copyFile(from, to, size)],
    [
      "in parts",
      (from: number, to: number) => {
        let offset = 0;
        while (offset < size) {
          offset = copyPart(from, to, size, offset, partSize);
        }
        copyRest(from, to, size, offset, false);
      },
    ],
    [
      "to the disk, from where a part ended",
      (from: number, to: number) => copyRest(from, to, size, copyPart(from, to, size, 0, partSize), true),
    ],
  ])("data and holes are kept: %s", (way, copy) => {
    const from = open(`${source}/from ${way}`, "w+");
    makeSparse(from);
    const to = open(`${target}/to ${way}`, "w+");
    copy(from, to);
    expect(fstatSync(to).size).toBe(size);
    expect(sha256(`${target}/to ${way}`)).toBe(sha256(`${source}/from ${way}`));
    expect(extents(to)).toEqual([
      [MiB, MiB + 64 * 1024],
      [9 * MiB, 9 * MiB + 68 * 1024],
    ]);
  });

  test("the next part is told from where the last one ended, up to the end", () => {
    const from = open(`${source}/parts`, "w+");
    writeSync(from, Buffer.alloc(10, "p"));
    const to = open(`${target}/parts-copy`, "w+");
    expect([0, 4, 8, 10].map((offset) => copyPart(from, to, 10, offset, 4))).toEqual([4, 8, 10, 10]);
    expect(readFileSync(`${scratch}/${target}/parts-copy`, "latin1")).toBe("pppppppppp");
    // Where the source is shorter than it was said to be, nothing is left to copy.
    expect(copyPart(from, to, 20, 10, 100)).toBe(20);
  });

  test("sizes around a page, and none at all", () => {
    for (const size of [0, 1, 4095, 4096, 4097, 300_001]) {
      const from = open(`${source}/small-${size}`, "w+");
      writeSync(from, Buffer.alloc(size, `${size}.`));
      const to = open(`${target}/small-copy-${size}`, "w+");
      copyFile(from, to, size);
      expect(sha256(`${target}/small-copy-${size}`)).toBe(sha256(`${source}/small-${size}`));
    }
  });

  test("the size asked for holds, whether the source is longer or shorter", () => {
    const from = open(`${source}/ten`, "w+");
    writeSync(from, "0123456789");
    const less = open(`${target}/less`, "w+");
    copyFile(from, less, 4);
    expect(readFileSync(`${scratch}/${target}/less`, "latin1")).toBe("0123");
    const more = open(`${target}/more`, "w+");
    copyFile(from, more, 12);
    expect(readFileSync(`${scratch}/${target}/more`, "latin1")).toBe("0123456789\0\0");
  });
});

test("where blocks can be shared, they are", () => {
  const from = open("xfs/shared", "w+");
  writeSync(from, Buffer.alloc(8 * MiB, "s"));
  const to = open("xfs/sharing", "w+");
  copyFile(from, to, 8 * MiB);
  expect(execFileSync("filefrag", ["-v", `${scratch}/xfs/sharing`]).toString()).toContain("shared");
});

test("a full target fails with ENOSPC", () => {
  execFileSync("mkdir", [`${scratch}/tiny`]);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", `${scratch}/tiny`]);
  try {
    const from = open("disk/large", "w+");
    writeSync(from, Buffer.alloc(MiB, "x"));
    const to = open("tiny/to", "w+");
    expect(() => copyFile(from, to, MiB)).toThrow(expect.objectContaining({ code: Errno.ENOSPC }));
    closeSync(opened.pop() as number);
  } finally {
    execFileSync("umount", [`${scratch}/tiny`]);
  }
});

describe("jobs", () => {
  test("read fills the reply, but for the end of the file", () => {
    const fd = open("disk/job", "w+");
    writeSync(fd, "0123456789");
    const reply = Buffer.from(new SharedArrayBuffer(8));
    expect(runJob({ call: JobCall.read, args: [fd, 1] }, reply)).toBe(8);
    expect(reply.toString()).toBe("12345678");
    expect(runJob({ call: JobCall.read, args: [fd, 6] }, reply)).toBe(4);
    expect(runJob({ call: JobCall.read, args: [fd, 10] }, reply)).toBe(0);
    expect(runJob({ call: JobCall.read, args: [fd, 0] })).toBe(-Errno.EINVAL);
  });

  test.each([
    ["no sync", 0],
    ["O_DSYNC", 0o10000],
    ["O_SYNC", 0o4010000],
  ])("write puts the payload at its offset (%s)", (_, flags) => {
    const fd = open("disk/job-write", "w+");
    expect(runJob({ call: JobCall.write, args: [fd, 3, flags] }, undefined, Buffer.from("abc"))).toBe(3);
    expect(readFileSync(`${scratch}/disk/job-write`, "latin1")).toBe("\0\0\0abc");
  });

  test("copyFile, copyRange, allocate and the syncs do what they are called", () => {
    const from = open("disk/job-from", "w+");
    writeSync(from, "0123456789");
    const to = open("disk/job-to", "w+");
    expect(runJob({ call: JobCall.copyFile, args: [from, 10, to, 1] })).toBe(0);
    expect(runJob({ call: JobCall.copyRange, args: [from, 8, to, 12, 5] })).toBe(2);
    expect(readFileSync(`${scratch}/disk/job-to`, "latin1")).toBe("0123456789\0\x0089");
    expect(runJob({ call: JobCall.allocate, args: [to, 0, 0, 100] })).toBe(0);
    expect(fstatSync(to).size).toBe(100);
    for (const call of [JobCall.sync, JobCall.syncData, JobCall.syncFileSystem]) {
      expect(runJob({ call, args: [to] })).toBe(0);
    }
  });

  test("failures are negative errnos, never exceptions", () => {
    const { readFd, writeFd } = makePipe();
    opened.push(readFd, writeFd);
    for (const call of Object.values(JobCall)) {
      expect(runJob({ call, args: [9999, 0, 9999, 1, 1] }, Buffer.alloc(1), Buffer.alloc(1))).toBe(-Errno.EBADF);
    }
    expect(runJob({ call: JobCall.sync, args: [readFd] })).toBe(-Errno.EINVAL);
    expect(runJob({ call: JobCall.read, args: [readFd, 0] }, Buffer.alloc(1))).toBe(-Errno.ESPIPE);
    expect(runJob({ call: 99 as 1, args: [] })).toBe(-Errno.ENOSYS);
  });
});

describe("a file without holes", () => {
  const places = [
    { on: "one file system", from: "disk/dense", to: "disk/copy" },
    { on: "two file systems", from: "disk/dense", to: "memory/copy" },
  ];

  test.each(places.flatMap((place) => [1, 16_384, 16_385, 100_001].map((size) => ({ ...place, size }))))(
    "of $size bytes is copied on $on; one that turns out shorter ends in a hole",
    ({ from, to, size }) => {
      const sharing = { isPossible: true };
      const data = Buffer.alloc(size, "dense");
      const source = open(from, "w+");
      writeSync(source, data);
      for (const round of ["first", "second"]) {
        copyDense(source, open(`${to}.${round}`, "w+"), size, sharing);
        expect(readFileSync(`${scratch}/${to}.${round}`).equals(data)).toBe(true);
      }
      copyDense(source, open(`${to}.longer`, "w+"), 2 * size, sharing);
      expect(readFileSync(`${scratch}/${to}.longer`).equals(Buffer.concat([data], 2 * size))).toBe(true);
    },
  );

  test("that is small is known not to be shared by its file system after the first", () => {
    const source = open("memory/small", "w+");
    writeSync(source, "small");
    const sharing = { isPossible: true };
    copyDense(source, open("memory/small.copy", "w+"), 5, sharing);
    expect(sharing.isPossible).toBe(false);
  });
});
