/**
 * The core's end of the thread that attends the mount: starts it, and tells it what is for the log, and the end. Messages
 * to another thread never block: a slow or stuck log does not hold up the mount.
 */
import { join } from "node:path";
import { type Transferable, Worker } from "node:worker_threads";
import type { AttendantData, AttendMessage, AttendRequest, LogLevelName } from "./attend-messages.ts";
import { readBuiltCode } from "./built-code.ts";
import { describe } from "./describe.ts";
import type { Logger } from "./log.ts";
import type { ServingEnd } from "./serving.ts";

/** Debug lines beyond so many that the log has not taken yet are dropped, and counted. */
const backlogLimit = 10_000;

/** It has little to remember, but for the lines of a log that is stuck. */
const heapLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 512 } as const;

/** Runs the code that it is given, as `runBuiltCode` does: its file may be gone, or be another version's, when the thread is up. */
const start = `
const { workerData: { code: { file, text, cachedData } } } = require("node:worker_threads");
const script = new (require("node:vm").Script)(text, { filename: file, cachedData: cachedData && Buffer.from(cachedData) });
script.runInThisContext()(require("node:module").createRequire(file), file, require("node:path").dirname(file));`;

export class Attendant {
  readonly #worker: Worker;
  readonly #backlog = new Int32Array(new SharedArrayBuffer(4));
  #dropped = 0;
  readonly log: Logger;
  /** Resolves if the thread is gone, with what became of it: it should end the process instead. Only where this thread's loop turns. */
  readonly lost: Promise<string>;

  /**
   * @param file the thread's entry in dist
   * @param host what the entry has to know beside the request
   * @throws Error where no thread can be had
   */
  constructor(file: string, request: AttendRequest, host: object, debugEnabled: boolean) {
    const workerData: AttendantData<object> = {
      code: readBuiltCode(join(import.meta.dirname, file)),
      request,
      host,
      logBacklog: this.#backlog.buffer as SharedArrayBuffer,
    };
    const transferList: Transferable[] = request.standby === undefined ? [] : [request.standby.kept];
    this.#worker = new Worker(start, { eval: true, workerData, transferList, resourceLimits: heapLimits });
    this.lost = new Promise((resolve) => {
      this.#worker.on("error", (error) => resolve(error.stack ?? String(error)));
      this.#worker.on("exit", (code) => resolve(`it exited with ${code}`));
    });
    this.log = {
      debugEnabled,
      debug: debugEnabled ? (fields, message) => this.#logDebug(fields, message) : () => undefined,
      info: (fields, message) => this.#log("info", fields, message),
      warn: (fields, message) => this.#log("warn", fields, message),
      error: (fields, message) => this.#log("error", fields, message),
    };
  }

  /** The last word: it does what is left to do, and ends the process. */
  tellEnd(end: ServingEnd): void {
    this.#tell({ kind: "ended", end });
  }

  #tell(message: AttendMessage): void {
    this.#worker.postMessage(message);
  }

  #logDebug(fields: object, message: string): void {
    if (Atomics.load(this.#backlog, 0) < backlogLimit) {
      this.#log("debug", fields, message);
    } else {
      this.#dropped += 1;
    }
  }

  #log(level: LogLevelName, fields: object, message: string): void {
    Atomics.add(this.#backlog, 0, 1);
    const counted = this.#dropped === 0 ? fields : { ...fields, droppedBefore: this.#dropped };
    this.#dropped = 0;
    this.#tell({ kind: "log", level, fields: plainFields(counted), message });
  }
}

/** Errors cross as their stacks, causes included: a clone of an error loses its class and its code. */
function plainFields(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? describe(value) : value]),
  );
}
