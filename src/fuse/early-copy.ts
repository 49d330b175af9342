/** The copy of a file that the core makes part by part while no I/O thread is there to take it. */
import { type Job, JobCall } from "../contract/slow.ts";

/** Bytes that are copied in one go: other requests wait for it. */
const partSize = 1024 * 1024;
/** To sync so much takes less time than a thread does to start; other requests wait for it, as they do for small files. */
const syncedHere = 4 * partSize;
/** So much is copied in less time than it takes to start a thread for the rest. */
const copiedAlone = 16 * partSize;

/** Whether a job is one that can be begun so: not where data may be shared, as that is done in one piece. */
export function canBeginEarly({ call, args }: Job): boolean {
  return call === JobCall.copyFile && args[4] === 0;
}

export class EarlyCopy {
  readonly #job: Job;
  readonly #size: number;
  /** What is there. */
  #offset = 0;

  /** @param job that `canBeginEarly` is true of */
  constructor(job: Job) {
    this.#job = job;
    this.#size = job.args[1] ?? 0;
  }

  get hasPart(): boolean {
    return this.#offset < this.#size;
  }

  /** Whether what is left when all is copied is better done here too. */
  get endsHere(): boolean {
    return !this.hasPart && (!this.#isSynced || this.#size <= syncedHere);
  }

  /** Whether a thread is wanted for the rest. */
  get wantsThread(): boolean {
    return this.#isSynced || this.#offset >= copiedAlone;
  }

  /** The job as it is now, for whoever goes on with it. */
  get rest(): Job {
    return { ...this.#job, args: [...this.#job.args.slice(0, 4), this.#offset] };
  }

  /** @returns a negative errno where it fails: nothing more can be done then */
  copyPart(runJob: (job: Job) => number): number {
    const end = runJob({ call: JobCall.copyPart, args: [...this.#job.args.slice(0, 3), this.#offset, partSize] });
    this.#offset = Math.max(this.#offset, end);
    return end;
  }

  get #isSynced(): boolean {
    return this.#job.args[3] === 1;
  }
}
