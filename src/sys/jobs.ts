/** Runs the slow calls that the serving core hands to its I/O threads. */
import { type Job, JobCall } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import { copyPart, copyRest, shareData } from "./copy.ts";
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
      if (e >= 0 || !shareData(a, c, b)) {
        copyRest(a, c, b, Math.max(0, e), d === 1);
      }
      if (d === 1) {
        sync(c);
      }
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
