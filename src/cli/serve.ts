/** Runs a mount in this process, from the checks to its end: for the foreground and for the daemon alike. */
import { openSync } from "node:fs";
import { Attendant } from "../attendant.ts";
import { runMount } from "../daemon.ts";
import type { Logger } from "../log.ts";
import { MountError } from "../mount/mount-error.ts";
import { type MountPlan, withoutTrustedXattrs } from "../mount/plan.ts";
import { Capability, hasInitialCapability } from "../sys/process.ts";
import { catchSignals } from "../sys/signals.ts";
import { type AttendantHost, makeHostLogger, stderr } from "./attendant-host.ts";
import type { MountCommand } from "./command-line.ts";
import { done, type Outcome, outcomeOf } from "./outcome.ts";
import { caughtNames, stopSignal, stopSoFar } from "./stop-signal.ts";
import { printSentence } from "./terminal.ts";

/**
 * @param onReady called when the mount is usable; what it throws takes the mount down again
 * @returns when the mount is gone, or could not be made. Another thread may end the process before
 */
export async function serveMount(command: MountCommand, onReady: () => void): Promise<Outcome> {
  const { foreground } = command;
  let log: Logger | undefined;
  let isReady = false;
  try {
    const host = attendantHost(command);
    log = makeHostLogger(host);
    const logger = log;
    const signals = catchSignals(caughtNames);
    const plan = settledPlan(command.plan);
    for (const remark of plan.remarks) {
      printSentence(remark);
    }
    await runMount(plan, {
      log,
      signals,
      stopSoFar: () => stopSoFar(signals, foreground),
      stop: () => stopSignal(signals, foreground, logger),
      startAttendant: (request) => new Attendant("attendant-thread.js", request, host, logger.debugEnabled),
      onReady: () => {
        onReady();
        isReady = true;
      },
    });
    return done;
  } catch (error) {
    const outcome = outcomeOf(error);
    // Else the caller gets the sentence, and that is enough.
    if (command.logFile !== undefined || (isReady && !foreground)) {
      log?.error({ error }, outcome.sentence ?? "");
    }
    return outcome;
  }
}

/** What the plan comes to for this user. */
function settledPlan(plan: MountPlan): MountPlan {
  return hasInitialCapability(Capability.sysAdmin) ? plan : withoutTrustedXattrs(plan);
}

function attendantHost({ logLevel, logFile, foreground }: MountCommand): AttendantHost {
  const logDescriptor = logFile === undefined ? (foreground ? stderr : undefined) : openLogFile(logFile);
  return { logLevel, logDescriptor, foreground };
}

function openLogFile(path: string): number {
  try {
    return openSync(Buffer.from(path, "latin1"), "a", 0o640);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new MountError("usage", `the log file ${path} can't be opened (${code}): give a path that can be written`, {
      cause: error,
    });
  }
}
