/** The I/O threads of the other transport, for a core whose loop turns: results are taken when the loop learns of them. */
import type { Job, JobRunner } from "../contract/slow.ts";
import { BufferPool } from "../fuse/buffers.ts";
import { IoThreads, type JobBuffers, type JobDone, type RunJob } from "../fuse/io-threads.ts";
import type { Logger } from "../log.ts";
import { Awaited, whenReady } from "../sys/foreign.ts";

/** It is the addon that answers, never an I/O thread. */
const noDevice = -1;
const threadLimit = 4;
const bufferCount = 8;
/** The most that libfuse 2 reads or writes at once. */
const largestData = 128 * 1024;

export class LoopJobs implements JobRunner {
  readonly #threads: IoThreads;
  #isWaiting = false;

  /** @param file the code of an I/O thread, as built */
  constructor(log: Logger, runJob: RunJob, file: string) {
    const pool = new BufferPool(bufferCount, largestData);
    this.#threads = new IoThreads({
      device: noDevice,
      pool,
      limit: threadLimit,
      log,
      runJob,
      file,
      copiesEarly: false,
    });
  }

  start(job: Job, done: (result: number) => void): void {
    this.startWithBuffers(job, {}, done);
  }

  /** As IoThreads has it. */
  startWithBuffers(job: Job, buffers: JobBuffers, done: JobDone): void {
    this.#threads.startWithBuffers(job, buffers, done);
    this.#wait();
  }

  /** Brings what was begun to its end, and ends the threads. */
  finish(): void {
    while (this.#threads.pending > 0) {
      this.#threads.drain();
    }
    this.#threads.stop();
  }

  #wait(): void {
    if (this.#isWaiting || this.#threads.pending === 0) {
      return;
    }
    this.#isWaiting = true;
    whenReady(this.#threads.resultFd, Awaited.input, () => {
      this.#isWaiting = false;
      // Who finishes takes all results.
      if (this.#threads.pending > 0) {
        this.#threads.drain();
      }
      this.#wait();
    });
  }
}
