/** Runs a mount in this process, from the checks to its end: for the foreground and for the daemon alike. */
import { openSync } from "node:fs";
import { runMount } from "../daemon.ts";
import type { Logger } from "../log.ts";
import { MountError } from "../mount/mount-error.ts";
import { type MountPlan, withoutTrustedXattrs } from "../mount/plan.ts";
import type { ServingThread } from "../serving-thread.ts";
import { Capability, hasInitialCapability } from "../sys/process.ts";
import { SyslogPriority, writeSyslog } from "../sys/syslog.ts";
import type { MountCommand } from "./command-line.ts";
import { type LogSink, makeLogger } from "./logger.ts";
import { done, type Outcome, outcomeOf } from "./outcome.ts";
import { printSentence } from "./terminal.ts";

/**
 * @param thread started by the caller before this file was loaded, as both take their time
 * @param onReady called when the mount is usable; what it throws takes the mount down again
 * @returns when the mount is gone
 */
export async function serveMount(command: MountCommand, thread: ServingThread, onReady: () => void): Promise<Outcome> {
  let log: Logger | undefined;
  let isReady = false;
  try {
    log = makeLogger(command.logLevel, openSink(command));
    const plan = settledPlan(command.plan);
    for (const remark of plan.remarks) {
      printSentence(remark);
    }
    await runMount(plan, thread, {
      log,
      stop: stopSignal(command.foreground, log),
      onReady: () => {
        onReady();
        isReady = true;
      },
    });
    return done;
  } catch (error) {
    const outcome = outcomeOf(error);
    // Else the caller gets the sentence, and that is enough.
    if (command.logFile !== undefined || (isReady && !command.foreground)) {
      log?.error({ error }, outcome.sentence ?? "");
    }
    return outcome;
  }
}

/** What the plan comes to for this user. */
function settledPlan(plan: MountPlan): MountPlan {
  return hasInitialCapability(Capability.sysAdmin) ? plan : withoutTrustedXattrs(plan);
}

function openSink({ logFile, foreground }: MountCommand): LogSink {
  if (logFile !== undefined) {
    return { kind: "descriptor", fd: openLogFile(logFile) };
  }
  if (foreground) {
    return { kind: "descriptor", fd: 2 };
  }
  return {
    kind: "syslog",
    write: (severity, line) => writeSyslog(severity === "error" ? SyslogPriority.error : SyslogPriority.warning, line),
  };
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

/** Resolves with the name of the first signal that asks for the end; later ones change nothing. */
function stopSignal(foreground: boolean, log: Logger): Promise<string> {
  return new Promise((resolve) => {
    process.on("SIGTERM", resolve);
    process.on("SIGINT", resolve);
    process.on("SIGHUP", foreground ? resolve : () => log.debug({}, "SIGHUP has no meaning for a daemon"));
    process.on("uncaughtException", (error) => {
      log.error({ error }, "something unforeseen went wrong: the mount is taken down");
      resolve("an unforeseen error");
    });
  });
}
