import { expect, test } from "vitest";
import { JobCall } from "../contract/slow.ts";
import { BufferPool, type RequestBuffer } from "./buffers.ts";
import { JobRecordBuffer, jobRecordSize, resultRecordSize } from "./job-records.ts";

test("a job crosses a pipe as it was, whatever the record held before", () => {
  const longest = {
    id: 2 ** 40,
    job: { call: JobCall.copyRange, args: [5, 2 ** 52, 6, Number.MAX_SAFE_INTEGER, 1] },
    reply: { offset: 16, length: 1 << 20 },
    payload: { offset: 2 ** 23, length: 1 },
    answers: { uniqueLow: 2, uniqueHigh: 2 ** 32 - 1 },
  };
  const none = { offset: 0, length: 0 };
  const shortest = { id: 1, job: { call: JobCall.sync, args: [-1] }, reply: none, payload: none, answers: undefined };
  const sender = new JobRecordBuffer();
  const receiver = new JobRecordBuffer();
  for (const record of [longest, shortest]) {
    sender.set(record);
    sender.bytes.copy(receiver.bytes);
    expect(receiver.get()).toEqual(record);
  }
});

test("records are whole in a pipe: their sizes divide a page", () => {
  expect([4096 % jobRecordSize, 4096 % resultRecordSize]).toEqual([0, 0]);
});

test("a pool knows which of its buffers holds data, and gives none out twice", () => {
  const pool = new BufferPool(2, 8192);
  const first = pool.take() as RequestBuffer;
  const second = pool.take() as RequestBuffer;
  expect(pool.take()).toBeUndefined();
  expect(pool.holderOf(first.bytes.subarray(80, 90))).toBe(first);
  expect(pool.holderOf(second.bytes.subarray(second.bytes.length - 1))).toBe(second);
  expect(pool.holderOf(Buffer.alloc(10))).toBeUndefined();
  pool.lend(first);
  expect([first.lent, second.lent]).toEqual([true, false]);
  pool.giveBack(first);
  expect(first.lent).toBe(false);
  expect(pool.take()).toBe(first);
});
