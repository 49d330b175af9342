/** The whole life of an I/O thread: take a job, run it, answer the request if that is all it is for, tell the result, until the core closes its end of the pipe. */
import { workerData } from "node:worker_threads";
import type { Job } from "../contract/slow.ts";
import { Errno } from "../errno.ts";
import { readPipe, writePipe } from "../sys/device.ts";
import { answerJob } from "./job-answers.ts";
import {
  type IoThreadData,
  JobRecordBuffer,
  jobRecordSize,
  type MemoryRange,
  readyThreadId,
  resultRecordSize,
} from "./job-records.ts";

/**
 * Serves jobs until the pipe ends. Blocks the thread it is called on, which IoThreads has started.
 * @param runJob does what a job says: its result or a negative errno; must not throw
 */
export function serveJobs(runJob: (job: Job, reply?: Buffer, payload?: Buffer) => number): void {
  const { device, jobPipe, resultPipe, memory } = workerData as IoThreadData;
  const record = new JobRecordBuffer();
  const result = new Float64Array(resultRecordSize / 8);
  const resultBytes = Buffer.from(result.buffer);
  const part = (range: MemoryRange) =>
    range.length === 0 ? undefined : Buffer.from(memory, range.offset, range.length);
  result[0] = readyThreadId;
  writePipe(resultPipe, resultBytes, resultRecordSize);
  for (;;) {
    const length = readPipe(jobPipe, record.bytes);
    if (length === -Errno.EINTR) {
      continue;
    }
    if (length !== jobRecordSize) {
      return;
    }
    const { id, job, reply, payload, answers } = record.get();
    const data = part(reply);
    const outcome = runJob(job, data, part(payload));
    if (answers !== undefined) {
      answerJob(device, answers, outcome, data);
    }
    result[0] = id;
    result[1] = outcome;
    if (writePipe(resultPipe, resultBytes, resultRecordSize) !== resultRecordSize) {
      return;
    }
  }
}
