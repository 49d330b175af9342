/** Replies that a slow call has to come before: its errno becomes the caller's. */
import { Deferred, type Job } from "../contract/slow.ts";
import { FsError } from "../errno.ts";

/** The reply is what the call answered. */
export function deferred(job: Job): Deferred<number> {
  return new Deferred(job, succeed);
}

/** The call answers nothing but that it went well. @param after is done when it has ended, well or not */
export function deferredVoid(job: Job, after?: () => void): Deferred<undefined> {
  return new Deferred(job, (result) => {
    after?.();
    succeed(result);
    return undefined;
  });
}

function succeed(result: number): number {
  if (result < 0) {
    throw new FsError(-result, "slow call");
  }
  return result;
}
