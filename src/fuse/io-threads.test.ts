import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { JobCall } from "../contract/slow.ts";
import type { Logger } from "../log.ts";
import { pollTwo } from "../sys/device.ts";
import { BufferPool } from "./buffers.ts";
import { IoThreads } from "./io-threads.ts";

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

test("jobs for pages never wait for others, which leave a thread to them", () => {
  const scratch = mkdtempSync(join(tmpdir(), "veneer-io-threads-"));
  const file = join(scratch, "thread.js");
  writeFileSync(file, code);
  const pool = new BufferPool(2, 4096);
  const threads = new IoThreads({ device: -1, pool, limit: 3, log, runJob: () => 0, file });
  rmSync(scratch, { recursive: true });
  const done: string[] = [];
  for (let at = 0; at < 8; at++) {
    threads.start({ call: JobCall.sync, args: [-1] }, () => done.push("other"));
  }
  for (let at = 0; at < 3; at++) {
    threads.start({ call: JobCall.syncData, args: [-1], forPages: true }, () => done.push("page"));
  }
  const drainUntil = (count: number) => {
    while (done.length < count && pollTwo(threads.resultFd, -1, 10_000) !== 0) {
      threads.drain();
    }
  };
  drainUntil(3);
  expect(done).toEqual(["page", "page", "page"]);
  expect(threads.pending).toBe(8);
  const free = new Int32Array(pool.memory);
  Atomics.store(free, 0, 1);
  Atomics.notify(free, 0);
  drainUntil(11);
  expect(done.length).toBe(11);
  threads.stop();
});
