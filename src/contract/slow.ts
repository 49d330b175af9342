/**
 * System calls that may take long are not made by the serving core: it hands a Job to a JobRunner and
 * goes on with other requests. A Job is plain numbers, so that it can cross to another thread.
 */

/** What an I/O thread can do. Results are what the call returned, or a negative errno. */
export const JobCall = {
  /** fsync(a) */
  sync: 1,
  /** fdatasync(a) */
  syncData: 2,
  /** syncfs(a) */
  syncFileSystem: 3,
  /** fallocate(a, mode b, offset c, length d) */
  allocate: 4,
  /** copy_file_range(from a, offset b, to c, offset d, length e): bytes copied */
  copyRange: 5,
  /**
   * All data of a (size b) to the file c, holes kept; fsync(c) if d is 1: 0. The first e bytes are there already; e is -1 for an empty
   * file that may share its data with a (reflink).
   */
  copyFile: 6,
  /** pread(a, offset b) into the reply buffer of the request that waits: bytes read */
  read: 7,
  /** pwritev2(a, offset b, flags c) from the payload of the request that waits: bytes written */
  write: 8,
  /** Takes setuid and setgid from the file a: 0 */
  killSetIds: 9,
  /** A part of copyFile, the next of a (size b) to c from offset d on, up to e bytes: the offset behind it */
  copyPart: 10,
} as const;

export type JobCallNumber = (typeof JobCall)[keyof typeof JobCall];

export interface Job {
  readonly call: JobCallNumber;
  /** Up to five numbers, as JobCall says. */
  readonly args: readonly number[];
  /** Somebody who waits for a page may hold a lock that other jobs wait for: this one never waits for those. */
  readonly forPages?: boolean;
  /** It waits for a disk at most, and not for long: where there is no thread yet, the core may as well do it itself. */
  readonly brief?: boolean;
}

/** Runs jobs elsewhere; `done` is called on the core, between two requests. */
export interface JobRunner {
  start(job: Job, done: (result: number) => void): void;
}

/** A reply that a job has to come before. `finish` runs on the core; it returns the reply or throws FsError. */
export class Deferred<Reply> {
  readonly job: Job;
  readonly finish: (result: number) => Reply;

  constructor(job: Job, finish: (result: number) => Reply) {
    this.job = job;
    this.finish = finish;
  }
}

/** Something that several requests may have to wait for; it opens once, well or with an error. */
export class Gate {
  #waiting: ((failure: unknown) => void)[] = [];

  /** `resume` is called when the gate opens: with undefined if all went well, else with what went wrong. */
  whenOpen(resume: (failure: unknown) => void): void {
    this.#waiting.push(resume);
  }

  /** Drops a waiter, for a caller that was killed. */
  leave(resume: (failure: unknown) => void): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting !== resume);
  }

  open(failure?: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) {
      resume(failure);
    }
  }
}

/**
 * Thrown by a file system method that can't go on before `gate` opens and that has changed nothing:
 * the transport serves the request anew then, or answers the failure that the gate opened with.
 */
export class Parked {
  readonly gate: Gate;

  constructor(gate: Gate) {
    this.gate = gate;
  }
}
