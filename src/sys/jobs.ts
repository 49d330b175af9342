/** Runs the slow calls that the serving core hands to its I/O threads. */
import { type Job, JobCall } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import { copyPart, copyRest, copyRestDurably, shareData } from "./copy.ts";
import { allocate, copyRange, readFully, sync, syncData, syncFileSystem, writeFully } from "./file-data.ts";
import { changeMode } from "./names.ts";
import { statAt } from "./stat.ts";

const setIdBits = 0o6000;

function run(job: Job, reply: Buffer | undefined, payload: Buffer | undefined): number {
  const [a = -1, b = 0, c = 0, d = 0, e = 0] = job.args;
  switch (job.call) {
    case JobCall.sync:
      sync(a);
      return 0;
    case JobCall.syncData:
      syncData(a);
      return 0;
    case JobCall.syncFileSystem:
      syncFileSystem(a);
      return 0;
    case JobCall.allocate:
      allocate(a, b, c, d);
      return 0;
    case JobCall.copyRange:
      return copyRange(a, b, c, d, e);
    case JobCall.copyFile:
      copyWhole(a, c, b, { begun: e, syncs: d === 1 });
      return 0;
    case JobCall.copyPart:
      return copyPart(a, c, b, d, e);
    case JobCall.read:
      return reply === undefined ? -Errno.EINVAL : readFully(a, reply, b);
    case JobCall.write:
      return payload === undefined ? -Errno.EINVAL : writeFully(a, payload, b, c);
    case JobCall.killSetIds:
      killSetIds(a);
      return 0;
    default:
      return -Errno.ENOSYS;
  }
}

/** @param how `begun`: so many bytes are there; negative: none, and data may be shared */
function copyWhole(from: number, to: number, size: number, how: { begun: number; syncs: boolean }): void {
  const shared = how.begun < 0 && shareData(from, to, size);
  if (shared && how.syncs) {
    sync(to);
  } else if (!shared) {
    const copy = how.syncs ? copyRestDurably : copyRest;
    copy(from, to, size, Math.max(0, how.begun));
  }
}

function killSetIds(fd: number): void {
  const { mode } = statAt(fd, "");
  if ((mode & setIdBits) !== 0) {
    changeMode(fd, "", mode & 0o7777 & ~setIdBits);
  }
}

/**
 * Does what `job` says; answers the result of the call or a negative errno, and never throws.
 * @param reply where JobCall.read puts the data: all of it is filled, but for the end of the file
 * @param payload the data of JobCall.write
 */
export function runJob(job: Job, reply?: Buffer, payload?: Buffer): number {
  try {
    return run(job, reply, payload);
  } catch (error) {
    /* Whatever else may go wrong here has no caller who could make use of it. */
    return error instanceof FsError ? -error.code : -Errno.EIO;
  }
}
