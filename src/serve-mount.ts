/**
 * The entry of the serving thread: waits for its request, builds the overlay over the layers' descriptors and serves
 * it until the mount goes. Blocks its thread all the while; speaks to the main thread by messages alone.
 */
import { join } from "node:path";
import { parentPort, receiveMessageOnPort } from "node:worker_threads";
import { FsError } from "./errno.ts";
import { serve } from "./fuse/session.ts";
import type { Logger } from "./log.ts";
import { makeOverlay } from "./make-overlay.ts";
import type { LogLevelName, ServeMessage, ServeRequest } from "./serve-messages.ts";
import { runJob } from "./sys/jobs.ts";
import { isBeingKilled } from "./sys/proc.ts";

const port = parentPort;
if (port === null) {
  throw new Error("this file is the entry of a thread, not a program");
}

function tell(message: ServeMessage): void {
  port?.postMessage(message);
}

/** Debug lines beyond so many that the log has not taken yet are dropped, and counted. */
const backlogLimit = 10_000;

/** Messages to another thread never block: a slow or stuck log does not hold up the mount. */
function remoteLogger(debugEnabled: boolean, logBacklog: SharedArrayBuffer): Logger {
  const backlog = new Int32Array(logBacklog);
  let dropped = 0;
  const at =
    (level: LogLevelName) =>
    (fields: object, message: string): void => {
      if (level === "debug" && Atomics.load(backlog, 0) >= backlogLimit) {
        dropped += 1;
        return;
      }
      Atomics.add(backlog, 0, 1);
      const counted = dropped === 0 ? fields : { ...fields, droppedBefore: dropped };
      dropped = 0;
      tell({ kind: "log", level, fields: plainFields(counted), message });
    };
  return {
    debugEnabled,
    debug: debugEnabled ? at("debug") : () => undefined,
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
}

/** Errors cross as their stacks, causes included: a clone of an error loses its class and its code. */
function plainFields(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? describe(value) : value]),
  );
}

function describe(error: Error): string {
  const stack = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause instanceof Error ? `${stack}\ncaused by ${describe(error.cause)}` : stack;
}

/** What the main thread has posted beside the request to serve, in order; this thread hears no events while it serves. */
function nextKept(): Uint8Array<ArrayBuffer> | undefined {
  return port === null ? undefined : receiveMessageOnPort(port)?.message;
}

function run(request: ServeRequest): void {
  const log = remoteLogger(request.debug, request.logBacklog);
  serve({
    device: request.device,
    makeFilesystem: (jobs, notifier, backing) => makeOverlay(request, log, { jobs, notifier, backing }),
    standby: { turn: request.turn, nextKept },
    runJob,
    isBeingKilled,
    ioThreadFile: join(import.meta.dirname, "io-thread.js"),
    settings: request.settings,
    log,
    onReady: () => tell({ kind: "ready" }),
  });
}

port.once("message", (request: ServeRequest) => {
  try {
    run(request);
  } catch (error) {
    const what = error instanceof Error ? describe(error) : String(error);
    tell({ kind: "failed", code: error instanceof FsError ? error.code : undefined, what });
  }
});
