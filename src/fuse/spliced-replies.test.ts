/** Replies whose data come from a file, seen at the other end of a pipe that takes the place of the device. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileRange } from "../contract/file-range.ts";
import type { Logger } from "../log.ts";
import { makePipe, setNonBlocking } from "../sys/device.ts";
import { SplicedReplies } from "./spliced-replies.ts";

const data = Buffer.alloc(40_000, "0123456789");
const silent = () => undefined;
const log: Logger = { debugEnabled: false, debug: silent, info: silent, warn: silent, error: silent };
const device = makePipe();
setNonBlocking(device.readFd, true);
let directory: string;
let fd: number;
let replies: SplicedReplies;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "veneer-test-"));
  writeFileSync(join(directory, "file"), data);
  fd = openSync(join(directory, "file"), "r");
  replies = new SplicedReplies(device.writeFd, log);
});

afterEach(() => {
  replies.close();
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

function send(unique: number, offset: number, length: number, from = fd): boolean {
  const range = new FileRange(from, offset, length, () => 0);
  return replies.send({ uniqueLow: unique, uniqueHigh: 3 }, range);
}

/** What has come: a header, and data. */
function received(): { header: readonly number[]; data: string } {
  const bytes = Buffer.alloc(100_000);
  const length = readSync(device.readFd, bytes);
  const words = Array.from({ length: 4 }, (_, index) => bytes.readUInt32LE(index * 4));
  return { header: words, data: bytes.toString("latin1", 16, length) };
}

test.each([
  [0, 40_000],
  [4096, 8192],
  [5, 1],
  [4095, 4098],
])("from %i, %i bytes", (offset, length) => {
  expect(send(7, offset, length)).toBe(true);
  const expected = data.toString("latin1", offset, offset + length);
  expect(received()).toEqual({ header: [16 + length, 0, 7, 3], data: expected });
});

test("what is not there is not sent, and nothing of it comes with the next reply", () => {
  expect(send(1, 30_000, 10_001)).toBe(false);
  expect(send(2, 50_000, 1)).toBe(false);
  expect(send(3, 0, 10, -1)).toBe(false);
  expect(() => received()).toThrow("EAGAIN");
  expect(send(4, 0, 10)).toBe(true);
  expect(received()).toEqual({ header: [26, 0, 4, 3], data: "0123456789" });
});

test("a reply that is larger than a pipe is not waited for", () => {
  const large = join(directory, "large");
  writeFileSync(large, Buffer.alloc(2 * 1024 * 1024));
  const from = openSync(large, "r");
  expect(send(1, 0, 2 * 1024 * 1024, from)).toBe(false);
  closeSync(from);
});

test("a device that takes nothing leaves the reply to others", () => {
  replies.close();
  replies = new SplicedReplies(device.readFd, log);
  expect(send(1, 0, 10)).toBe(false);
});
