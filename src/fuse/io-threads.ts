/**
 * Slow calls outside the core: a few threads that take jobs from a pipe and tell results over another. They are started
 * when jobs come, the first with the first job. The core learns of results by polling `resultFd`; nothing here waits. Until the first
 * thread is up, which takes as long as the copy of many megabytes, the core may copy part by part itself, and does what is brief.
 */
import { readFileSync } from "node:fs";
import { SHARE_ENV, Worker } from "node:worker_threads";
import type { Job, JobRunner } from "../contract/slow.ts";
import type { Logger } from "../log.ts";
import { makePipe, readPipe, writePipe } from "../sys/device.ts";
import { closeDescriptor } from "../sys/open.ts";
import type { BufferPool, RequestBuffer } from "./buffers.ts";
import { canBeginEarly, EarlyCopy } from "./early-copy.ts";
import { answerJob } from "./job-answers.ts";
import {
  type IoThreadData,
  JobRecordBuffer,
  jobRecordSize,
  lostThreadId,
  type MemoryRange,
  readyThreadId,
  resultRecordSize,
} from "./job-records.ts";
import type { ReplyAddress, ReplyWriter } from "./protocol/reply-writer.ts";

/** What a request lends to its job. */
export interface JobBuffers {
  /** Data to be written. If they lie in a buffer of the pool, that buffer is out of use until the job is done. */
  readonly payload?: Buffer;
  /** Room for this many bytes behind the header of a reply. */
  readonly replySize?: number;
  /** The request that the result is all the reply of, for a thread to answer. */
  readonly answers?: ReplyAddress;
}

/**
 * @param reply holds what a read has read; valid during the call
 * @param answered whether the request has its reply already
 */
export type JobDone = (result: number, reply: ReplyWriter | undefined, answered?: boolean) => void;

interface WaitingJob extends JobBuffers {
  readonly job: Job;
  readonly done: JobDone;
}

interface RunningJob {
  readonly job: Job;
  readonly done: JobDone;
  readonly buffer: RequestBuffer | undefined;
  readonly reply: Buffer | undefined;
  readonly payload: Buffer | undefined;
  readonly answers: ReplyAddress | undefined;
}

/** Does what a job says: its result or a negative errno; never throws. */
export type RunJob = (job: Job, reply?: Buffer, payload?: Buffer) => number;

/** A job whose beginning the core makes itself. */
interface EarlyJob {
  readonly id: number;
  readonly running: RunningJob;
  readonly copy: EarlyCopy;
}

/** More in the pipe would gain nothing, and both pipes hold this many records for sure. */
const maxRunning = 64;
const nowhere: MemoryRange = { offset: 0, length: 0 };

/**
 * What a thread runs: a function that takes Node's `require` and the name of its file. The code is in memory from the start,
 * as its file may be gone, or be another version's, when the first job comes; a package that it needs may be gone too.
 */
const threadCode = (file: string): string => `
const { workerData } = require("node:worker_threads");
try {
  ${readFileSync(file, "utf8")}(require("node:module").createRequire(workerData.file), workerData.file);
} catch {
  require("node:fs").writeSync(workerData.resultPipe, workerData.lostRecord);
}`;
/** The threads only make system calls; the defaults would let each heap grow to gigabytes before it is collected. */
const resourceLimits = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };

export interface IoThreadsOptions {
  readonly device: number;
  readonly pool: BufferPool;
  /** The most threads to start. Jobs that are not for pages leave one of them alone: it takes two at least. */
  readonly limit: number;
  readonly log: Logger;
  /** For the case that threads can't load their code. */
  readonly runJob: RunJob;
  /** The code of a thread, as built. */
  readonly file: string;
  /** Whether `copyEarly` is called, as long as `hasEarlyPart`, when there is nothing else to do. */
  readonly copiesEarly: boolean;
}

export class IoThreads implements JobRunner {
  readonly #device: number;
  readonly #pool: BufferPool;
  readonly #limit: number;
  readonly #log: Logger;
  readonly #file: string;
  readonly #copiesEarly: boolean;
  readonly #code: string;
  readonly #jobs = makePipe();
  readonly #results = makePipe();
  readonly #record = new JobRecordBuffer();
  readonly #resultNumbers = new Float64Array((maxRunning * resultRecordSize) / 8);
  readonly #resultBytes = Buffer.from(this.#resultNumbers.buffer);
  readonly #waiting: WaitingJob[] = [];
  readonly #waitingForPages: WaitingJob[] = [];
  readonly #running = new Map<number, RunningJob>();
  readonly #runJob: RunJob;
  #threads = 0;
  /** A thread has told that it takes jobs. */
  #isUp = false;
  #early: EarlyJob | undefined;
  /** Running jobs that are not for pages. */
  #others = 0;
  /** No thread could be started, or load its code: jobs are run by the core. */
  #withoutThreads = false;
  #lastId = 0;

  constructor({ device, pool, limit, log, runJob, file, copiesEarly }: IoThreadsOptions) {
    this.#device = device;
    this.#runJob = runJob;
    this.#file = file;
    this.#code = threadCode(file);
    this.#pool = pool;
    this.#limit = limit;
    this.#log = log;
    this.#copiesEarly = copiesEarly;
  }

  /** Readable when a job is done. */
  get resultFd(): number {
    return this.#results.readFd;
  }

  /** Jobs that are not done yet. */
  get pending(): number {
    return this.#running.size + this.#waiting.length + this.#waitingForPages.length;
  }

  start(job: Job, done: (result: number) => void): void {
    this.startWithBuffers(job, {}, done);
  }

  /** As `start`, for a job that reads into or writes from memory. */
  startWithBuffers(job: Job, buffers: JobBuffers, done: JobDone): void {
    const waiting = { job, done, ...buffers };
    const queue = job.forPages ? this.#waitingForPages : this.#waiting;
    if (queue.length > 0 || !this.#submit(waiting)) {
      queue.push({ ...waiting, ...ownPayload(this.#pool, buffers.payload) });
    }
  }

  /** Takes results that have come and calls back for each. Blocks where none has: poll first. */
  drain(): void {
    const length = readPipe(this.#results.readFd, this.#resultBytes);
    for (let at = 0; at + resultRecordSize <= length; at += resultRecordSize) {
      const id = this.#resultNumbers[at / 8] as number;
      const result = this.#resultNumbers[at / 8 + 1] as number;
      const running = this.#running.get(id);
      if (id === lostThreadId) {
        this.#loseThread();
      } else if (id === readyThreadId) {
        this.#isUp = true;
        this.#handOver();
      } else if (running !== undefined) {
        this.#running.delete(id);
        this.#others -= running.job.forPages ? 0 : 1;
        this.#finish(running, result);
      }
    }
    for (const queue of [this.#waitingForPages, this.#waiting]) {
      while (queue.length > 0 && this.#submit(queue[0] as WaitingJob)) {
        queue.shift();
      }
    }
  }

  /** Ends the threads; to be called when nothing is pending. */
  stop(): void {
    // The other ends stay open, as a thread that is still starting up knows them by number.
    closeDescriptor(this.#jobs.writeFd);
  }

  #finish(running: RunningJob, result: number): void {
    try {
      running.done(result, running.buffer?.reply, running.answers !== undefined);
    } catch (error) {
      this.#log.error({ err: error }, "an exception after a slow call");
    } finally {
      if (running.buffer !== undefined) {
        this.#pool.giveBack(running.buffer);
      }
    }
  }

  /** False where it has to wait: for a buffer, or for others to end. */
  #submit(waiting: WaitingJob): boolean {
    const isOther = waiting.job.forPages !== true;
    if (this.#running.size >= maxRunning || (isOther && this.#others >= this.#limit - 1)) {
      return false;
    }
    const { job } = waiting;
    const isDoneHere = job.brief === true && !this.#isUp;
    const early = this.#mayBegin(job) ? new EarlyCopy(job) : undefined;
    if (!isDoneHere && early?.wantsThread !== false) {
      this.#startThread();
    }
    const { payload, replySize } = waiting;
    const buffer = payload || replySize ? this.#bufferFor(payload) : undefined;
    if (buffer === null) {
      return false;
    }
    if (buffer !== undefined) {
      this.#pool.lend(buffer);
    }
    this.#lastId++;
    this.#others += isOther ? 1 : 0;
    const running: RunningJob = {
      job,
      done: waiting.done,
      buffer,
      reply: buffer && replySize ? buffer.reply.area(replySize) : undefined,
      payload: buffer && payload ? placeIn(buffer, payload) : undefined,
      answers: waiting.answers,
    };
    this.#running.set(this.#lastId, running);
    if (this.#withoutThreads) {
      this.#runHere(this.#lastId, running);
    } else if (isDoneHere) {
      this.#runHere(this.#lastId, running);
      if (this.#threads === 0) {
        this.#startThread();
      }
    } else if (early !== undefined) {
      this.#early = { id: this.#lastId, running, copy: early };
    } else {
      this.#handOut(this.#lastId, running);
    }
    return true;
  }

  /** Whether `copyEarly` has something to do. */
  get hasEarlyPart(): boolean {
    return this.#early?.copy.hasPart === true;
  }

  /** Copies a part of a file while no thread is there for it. */
  copyEarly(): void {
    const early = this.#early;
    if (early === undefined) {
      return;
    }
    const { id, running, copy } = early;
    const code = copy.copyPart(this.#runJob);
    if (code < 0) {
      this.#early = undefined;
      this.#tell(id, code);
      return;
    }
    if (copy.wantsThread && !copy.endsHere && this.#threads === 0) {
      this.#startThread();
    }
    if (copy.endsHere || (this.#withoutThreads && !copy.hasPart)) {
      this.#early = undefined;
      this.#runHere(id, { ...running, job: copy.rest });
    }
  }

  /** A thread goes on with what the core has begun. */
  #handOver(): void {
    const early = this.#early;
    if (early !== undefined) {
      this.#early = undefined;
      this.#handOut(early.id, { ...early.running, job: early.copy.rest });
    }
  }

  #handOut(id: number, { job, reply, payload, answers }: RunningJob): void {
    this.#record.set({
      id,
      job,
      reply: reply ? rangeOf(reply) : nowhere,
      payload: payload ? rangeOf(payload) : nowhere,
      answers,
    });
    writePipe(this.#jobs.writeFd, this.#record.bytes, jobRecordSize);
  }

  /** The result goes by the pipe all the same: nobody expects it before this call returns. */
  #runHere(id: number, { job, reply, payload, answers }: RunningJob): void {
    const result = this.#runJob(job, reply, payload);
    if (answers !== undefined) {
      answerJob(this.#device, answers, result, reply);
    }
    this.#tell(id, result);
  }

  /** As a thread tells a result. */
  #tell(id: number, result: number): void {
    const record = resultRecord(id, result);
    writePipe(this.#results.writeFd, record, record.length);
  }

  /** With the last thread gone, what waits in the pipe for it is done here, and all that comes. */
  #loseThread(): void {
    this.#threads--;
    if (this.#threads === 0 && !this.#withoutThreads) {
      this.#withoutThreads = true;
      this.#log.error({}, "I/O threads can't load their code: slow calls hold up the mount from now on");
      this.#early = undefined;
      for (const [id, running] of this.#running) {
        this.#runHere(id, running);
      }
    }
  }

  /** The one that holds the payload already, else a free one; null where none is. */
  #bufferFor(payload: Buffer | undefined): RequestBuffer | null {
    return (payload && this.#pool.holderOf(payload)) ?? this.#pool.take() ?? null;
  }

  /** Whether the core may begin with a job. */
  #mayBegin(job: Job): boolean {
    const isFree = this.#copiesEarly && !this.#isUp && !this.#withoutThreads && this.#early === undefined;
    return isFree && canBeginEarly(job);
  }

  /** Starts one thread more if all are busy and the limit allows it. */
  #startThread(): void {
    if (this.#withoutThreads || this.#threads >= this.#limit || this.#running.size < this.#threads) {
      return;
    }
    const workerData: IoThreadData = {
      device: this.#device,
      jobPipe: this.#jobs.readFd,
      resultPipe: this.#results.writeFd,
      memory: this.#pool.memory,
      file: this.#file,
      lostRecord: resultRecord(lostThreadId, 0),
    };
    try {
      // Nothing listens to the worker's events: the loop of the thread that starts it never turns.
      new Worker(this.#code, { eval: true, workerData, env: SHARE_ENV, execArgv: [], resourceLimits }).unref();
      this.#threads++;
    } catch (error) {
      this.#log.warn({ err: error, running: this.#threads }, "no further I/O thread could be started");
      this.#withoutThreads = this.#threads === 0;
    }
  }
}

function resultRecord(id: number, result: number): Buffer {
  return Buffer.from(new Float64Array([id, result]).buffer);
}

/** Data that wait for their job must not lie in a buffer that the next request is read into. */
function ownPayload(pool: BufferPool, payload: Buffer | undefined): JobBuffers {
  return payload !== undefined && pool.holderOf(payload) !== undefined ? { payload: Buffer.from(payload) } : {};
}

function rangeOf(data: Buffer): MemoryRange {
  return { offset: data.byteOffset, length: data.length };
}

/** The payload within `buffer`, where it may lie already. */
function placeIn(buffer: RequestBuffer, payload: Buffer): Buffer {
  if (payload.buffer === buffer.bytes.buffer) {
    return payload;
  }
  const placed = buffer.bytes.subarray(0, payload.length);
  payload.copy(placed);
  return placed;
}
