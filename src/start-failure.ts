/** Why a mount could not be served from the start, in a sentence for the user. */
import { Errno, errnoName } from "./errno.ts";
import type { Logger } from "./log.ts";
import { MountError } from "./mount/mount-error.ts";
import type { MountOptions } from "./mount/options.ts";
import type { ServingEnd } from "./serving.ts";

/** @param failure undefined: serving ended because the mount went */
export function startFailure({ upper, work }: MountOptions, failure: ServingEnd["failure"], log: Logger): MountError {
  if (failure === undefined) {
    return new MountError("refused", "the mount was taken away before it was ready: something unmounts it");
  }
  log.error({ reason: failure.what }, "the mount could not be served");
  const what = failure.what.split("\n", 1)[0]?.replace(/^\w*Error: |: E[A-Z0-9]+$/g, "");
  switch (failure.code) {
    case Errno.ETIME:
      return silentKernel();
    case undefined:
      return new MountError("internal", `the mount could not be served (${what})`);
    case Errno.EROFS:
      return new MountError("layer", `workdir ${work} is on a read-only file system: give one that can be written`);
    case Errno.EACCES:
    case Errno.EPERM:
      return new MountError("layer", `workdir ${work} or upperdir ${upper} may not be written by this user (${what})`);
    case Errno.EBUSY:
      return new MountError("layer", `workdir ${work} can't be used again (${what})`);
    default:
      return new MountError("layer", `the layers could not be set up, ${errnoName(failure.code)} (${what})`);
  }
}

/** Milliseconds within which the kernel must have begun to talk. */
export const silence = 20_000;

/** The mount was made, and its first message does not come. */
export function silentKernel(): MountError {
  return new MountError("refused", "the kernel did not begin to talk to the daemon: see the kernel's log (dmesg)");
}
