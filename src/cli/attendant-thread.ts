/** The entry of the thread that attends a mount while the main thread serves it: writes the log, and ends the process. */
import { parentPort, workerData } from "node:worker_threads";
import { attendMount } from "../attend.ts";
import type { AttendantData, AttendMessage } from "../attend-messages.ts";
import { Standby } from "../fuse/standby.ts";
import type { ServingEnd } from "../serving.ts";
import { exitNow } from "../sys/exit.ts";
import { runJob } from "../sys/jobs.ts";
import { type AttendantHost, makeHostLogger, stderr } from "./attendant-host.ts";
import { done, type Outcome, outcomeOf } from "./outcome.ts";
import { stopSignal } from "./stop-signal.ts";
import { printSentence } from "./terminal.ts";

const { request, host, logBacklog } = workerData as AttendantData<AttendantHost>;
const { live, facts, signals } = request;
const log = makeHostLogger(host);

/** Hears the main thread, to its last word. */
function endOfServing(): Promise<ServingEnd> {
  const backlog = new Int32Array(logBacklog);
  return new Promise((resolve) => {
    parentPort?.on("message", (message: AttendMessage) => {
      if (message.kind === "ended") {
        resolve(message.end);
      } else {
        log[message.level](message.fields, message.message);
        Atomics.sub(backlog, 0, 1);
      }
    });
  });
}

function startStandby(ended: Promise<ServingEnd>): void {
  const { standby } = request;
  if (standby !== undefined) {
    const { kept, ...rest } = standby;
    const keep = (message: Uint8Array<ArrayBuffer>) => kept.postMessage(message, [message.buffer]);
    const pages = new Standby({ device: live.device, log, keep, runJob, ...rest });
    pages.start();
    void ended.then(() => pages.stop());
  }
}

async function run(): Promise<Outcome> {
  const ended = endOfServing();
  startStandby(ended);
  try {
    await attendMount({ live, facts, ended, stop: stopSignal(signals, host.foreground, log) }, log);
    return done;
  } catch (error) {
    const outcome = outcomeOf(error);
    // Else the user gets the sentence, and that is enough.
    if (host.logDescriptor !== stderr) {
      log.error({ error }, outcome.sentence ?? "");
    }
    if (host.foreground && outcome.sentence !== undefined) {
      printSentence(outcome.sentence);
    }
    return outcome;
  }
}

// The main thread may be stuck.
void run().then(({ exitCode }) => exitNow(exitCode));
