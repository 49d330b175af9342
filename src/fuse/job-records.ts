/**
 * Jobs and their results as they pass between the core and the I/O threads: fixed-size records of doubles over pipes.
 * A write of at most 4096 bytes to a pipe is one piece, and a size that divides 4096 never straddles a pipe buffer:
 * so several threads may read jobs from one pipe, and write results to one.
 */
import type { Job, JobCallNumber } from "../contract/slow.ts";
import type { ReplyAddress } from "./protocol/reply-writer.ts";

export const jobRecordSize = 128;
export const resultRecordSize = 16;

/** In place of the id of a job, in what a thread writes to the result pipe: it takes jobs from now on. */
export const readyThreadId = -2;
/** In the same place: it could not load its code. */
export const lostThreadId = -1;

/** A part of the shared memory; empty means none. */
export interface MemoryRange {
  readonly offset: number;
  readonly length: number;
}

export interface JobRecord {
  readonly id: number;
  readonly job: Job;
  /** Where a read puts its data. */
  readonly reply: MemoryRange;
  /** Where a write finds its data. */
  readonly payload: MemoryRange;
  /** The READ or WRITE whose reply is the result. */
  readonly answers: ReplyAddress | undefined;
}

/** One record in a buffer of its own, which is written anew for each job. */
export class JobRecordBuffer {
  readonly bytes = Buffer.alloc(jobRecordSize);
  readonly #numbers = new Float64Array(this.bytes.buffer, this.bytes.byteOffset, jobRecordSize / 8);

  set(record: JobRecord): void {
    const args = record.job.args;
    this.#numbers.set([record.id, record.job.call, record.reply.offset, record.reply.length]);
    this.#numbers.set([record.payload.offset, record.payload.length, args.length], 4);
    this.#numbers.set(args, 7);
    // No request has 0.
    this.#numbers.set([record.answers?.uniqueLow ?? 0, record.answers?.uniqueHigh ?? 0], 12);
  }

  get(): JobRecord {
    const number = (at: number) => this.#numbers[at] as number;
    return {
      id: number(0),
      job: { call: number(1) as JobCallNumber, args: Array.from(this.#numbers.subarray(7, 7 + number(6))) },
      reply: { offset: number(2), length: number(3) },
      payload: { offset: number(4), length: number(5) },
      answers: number(12) + number(13) === 0 ? undefined : { uniqueLow: number(12), uniqueHigh: number(13) },
    };
  }
}

/** What an I/O thread is given at its start. */
export interface IoThreadData {
  readonly device: number;
  readonly jobPipe: number;
  readonly resultPipe: number;
  readonly memory: SharedArrayBuffer;
  /** Where its code was read from, and packages are looked for. */
  readonly file: string;
  /** What to write to the result pipe if it can't. */
  readonly lostRecord: Uint8Array;
}
