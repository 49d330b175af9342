import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Job, JobCall } from "../contract/slow.ts";
import { Errno } from "../errno.ts";
import type { Logger } from "../log.ts";
import { pollTwo } from "../sys/device.ts";
import { runJob } from "../sys/jobs.ts";
import { BufferPool } from "./buffers.ts";
import { IoThreads } from "./io-threads.ts";
import { readyThreadId } from "./job-records.ts";

const log: Logger = {
  debugEnabled: false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** An I/O thread whose fsync takes until the first word of the buffers is set, and all else no time. */
const code = `(function (require) {
  const { workerData } = require("node:worker_threads");
  const { readSync, writeSync } = require("node:fs");
  const record = new Float64Array(16);
  for (;;) {
    readSync(workerData.jobPipe, new Uint8Array(record.buffer));
    if (record[1] === ${JobCall.sync}) {
      Atomics.wait(new Int32Array(workerData.memory), 0, 0);
    }
    writeSync(workerData.resultPipe, new Uint8Array(Float64Array.of(record[0], 0).buffer));
  }
})`;

let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "veneer-io-threads-"));
});

afterEach(() => rmSync(scratch, { recursive: true }));

/** Threads of this code, and those of its own that a test waits for. */
function start(code: string, limit: number) {
  const file = join(scratch, "thread.js");
  writeFileSync(file, code);
  const pool = new BufferPool(2, 4096);
  const threads = new IoThreads({ device: -1, pool, limit, log, runJob, file, copiesEarly: true });
  return { threads, pool };
}

/** Sets the word that threads wait for. */
function letGo(pool: BufferPool): void {
  const word = new Int32Array(pool.memory);
  Atomics.store(word, 0, 1);
  Atomics.notify(word, 0);
}

function drainUntil(threads: IoThreads, isDone: () => boolean): void {
  while (!isDone() && pollTwo(threads.resultFd, -1, 10_000) !== 0) {
    threads.drain();
  }
}

test("jobs for pages never wait for others, which leave a thread to them", () => {
  const { threads, pool } = start(code, 3);
  const done: string[] = [];
  for (let at = 0; at < 8; at++) {
    threads.start({ call: JobCall.sync, args: [-1] }, () => done.push("other"));
  }
  for (let at = 0; at < 3; at++) {
    threads.start({ call: JobCall.syncData, args: [-1], forPages: true }, () => done.push("page"));
  }
  drainUntil(threads, () => done.length === 3);
  expect(done).toEqual(["page", "page", "page"]);
  expect(threads.pending).toBe(8);
  letGo(pool);
  drainUntil(threads, () => done.length === 11);
  expect(done.length).toBe(11);
  threads.stop();
});

test("what is brief the core does until a thread is up, and starts one for what comes", () => {
  // Takes jobs at once, and answers each with 7.
  const answering = `(function (require) {
    const { workerData } = require("node:worker_threads");
    const { readSync, writeSync } = require("node:fs");
    const tell = (id, result) => writeSync(workerData.resultPipe, new Uint8Array(Float64Array.of(id, result).buffer));
    tell(${readyThreadId}, 0);
    const record = new Float64Array(16);
    for (;;) {
      readSync(workerData.jobPipe, new Uint8Array(record.buffer));
      tell(record[0], 7);
    }
  })`;
  const { threads } = start(answering, 3);
  writeFileSync(join(scratch, "data"), "0123456789");
  const fd = openSync(join(scratch, "data"), "r");
  const job: Job = { call: JobCall.read, args: [fd, 4], brief: true };
  const results: (number | string)[] = [];
  const read = () =>
    threads.startWithBuffers(job, { replySize: 3 }, (result, reply) => {
      results.push(result, reply?.bytes.toString("latin1", 16, 16 + result) ?? "");
    });
  read();
  drainUntil(threads, () => results.length === 2);
  expect(results).toEqual([3, "456"]);
  // The thread that was started tells that it is up.
  expect(pollTwo(threads.resultFd, -1, 10_000)).not.toBe(0);
  threads.drain();
  read();
  drainUntil(threads, () => results.length === 4);
  expect(results[2]).toBe(7);
  closeSync(fd);
  threads.stop();
});

describe("a copy that the core begins", () => {
  const MiB = 1024 * 1024;
  /** Answers the first word of the buffers by saying that it is up, and a job by its last argument and whether it is to sync. */
  const recorder = `(function (require) {
    const { workerData } = require("node:worker_threads");
    const { readSync, writeSync } = require("node:fs");
    const tell = (id, result) => writeSync(workerData.resultPipe, new Uint8Array(Float64Array.of(id, result).buffer));
    Atomics.wait(new Int32Array(workerData.memory), 0, 0);
    tell(${readyThreadId}, 0);
    const record = new Float64Array(16);
    for (;;) {
      readSync(workerData.jobPipe, new Uint8Array(record.buffer));
      tell(record[0], record[11] + record[10] / 2);
    }
  })`;
  const data = Buffer.alloc(3 * MiB + 5, "data ");
  let files: readonly [from: number, to: number];

  beforeEach(() => {
    writeFileSync(join(scratch, "from"), data);
    files = [openSync(join(scratch, "from"), "r"), openSync(join(scratch, "to"), "w+")];
  });

  afterEach(() => {
    for (const fd of files) {
      closeSync(fd);
    }
  });

  const copied = () => readFileSync(join(scratch, "to"));
  const copy = (sync: 0 | 1, begun = 0): Job => ({
    call: JobCall.copyFile,
    args: [files[0], data.length, files[1], sync, begun],
  });

  test("is brought to its end part by part, without a thread, where nothing is synced", () => {
    const { threads } = start(recorder, 3);
    const before = readdirSync("/proc/self/task").length;
    const results: number[] = [];
    threads.start(copy(0), (result) => results.push(result));
    let parts = 0;
    for (; threads.hasEarlyPart; parts++) {
      threads.copyEarly();
    }
    expect(parts).toBe(4);
    expect(results).toEqual([]);
    drainUntil(threads, () => results.length > 0);
    expect(results).toEqual([0]);
    expect(copied().equals(data)).toBe(true);
    expect(threads.pending).toBe(0);
    expect(readdirSync("/proc/self/task").length).toBe(before);
    threads.stop();
  });

  test("is synced too where it is no large one", () => {
    const { threads } = start(recorder, 3);
    const results: number[] = [];
    threads.start(copy(1), (result) => results.push(result));
    while (threads.hasEarlyPart) {
      threads.copyEarly();
    }
    drainUntil(threads, () => results.length > 0);
    expect(results).toEqual([0]);
    expect(copied().equals(data)).toBe(true);
    threads.stop();
  });

  test("is gone on with by the first thread that is up, from where it has come to", () => {
    const { threads, pool } = start(recorder, 3);
    const results: number[] = [];
    threads.start(copy(1), (result) => results.push(result));
    threads.copyEarly();
    threads.copyEarly();
    letGo(pool);
    drainUntil(threads, () => results.length > 0);
    expect(results).toEqual([2 * MiB + 0.5]);
    expect(threads.hasEarlyPart).toBe(false);
    expect(copied().equals(data.subarray(0, 2 * MiB))).toBe(true);
    // With a thread there is nothing to begin any more.
    threads.start(copy(0), (result) => results.push(result));
    expect(threads.hasEarlyPart).toBe(false);
    drainUntil(threads, () => results.length > 1);
    expect(results.at(-1)).toBe(0);
    threads.stop();
  });

  test("is made by the core alone where no thread can load its code", () => {
    const { threads } = start("(function () { throw new Error('no code'); })", 3);
    const results: number[] = [];
    threads.start(copy(1), (result) => results.push(result));
    threads.copyEarly();
    drainUntil(threads, () => results.length > 0);
    expect(results).toEqual([0]);
    expect(threads.hasEarlyPart).toBe(false);
    expect(copied().equals(data)).toBe(true);
    threads.stop();
  });

  test("tells what goes wrong", () => {
    const { threads } = start(recorder, 3);
    const results: number[] = [];
    const job = copy(0);
    threads.start({ ...job, args: [-1, ...job.args.slice(1)] }, (result) => results.push(result));
    threads.copyEarly();
    expect(threads.hasEarlyPart).toBe(false);
    drainUntil(threads, () => results.length > 0);
    expect(results).toEqual([-Errno.EBADF]);
    threads.stop();
  });

  test("is none of one that may share its data: a thread does it", () => {
    const { threads, pool } = start(recorder, 3);
    threads.start(copy(0, -1), () => undefined);
    expect(threads.hasEarlyPart).toBe(false);
    letGo(pool);
    drainUntil(threads, () => threads.pending === 0);
    expect(threads.pending).toBe(0);
    threads.stop();
  });
});
