/** The main thread's end of the serving thread: starts it, hears it, tells when it is ready and when it has ended. */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { Standby } from "./fuse/standby.ts";
import { turnSize } from "./fuse/turn.ts";
import type { Logger } from "./log.ts";
import type { LiveMount } from "./mount/mount-direct.ts";
import type { ServeMessage, ServeRequest } from "./serve-messages.ts";
import { runJob } from "./sys/jobs.ts";

/** How serving ended: of itself because the mount went, or by a failure. */
export type ServingEnd = { readonly failure: { readonly code: number | undefined; readonly what: string } | undefined };

/** Whoever serves a mount, by whichever transport. */
export interface Serving {
  /** Resolves when the kernel's INIT has been answered. */
  readonly ready: Promise<void>;
  /** Resolves when nothing is served any more, all log lines being written. */
  readonly ended: Promise<ServingEnd>;
}

export interface UnservedMount {
  readonly live: LiveMount;
  serve(): Serving;
}

/**
 * Young objects of a request are few, and room that was once made for them is never given back: so little of it. How many
 * nodes there are is for the kernel to decide: V8's own limit, which ends the thread, must not be what is met first.
 */
const heapLimits = { maxYoungGenerationSizeMb: 6, maxOldGenerationSizeMb: 16 * 1024 } as const;

/** All of it but what the thread's owner adds. */
export type ThreadRequest = Omit<ServeRequest, "logBacklog" | "turn">;

export class ServingThread implements Serving {
  readonly #worker: Worker;
  readonly #logBacklog = new SharedArrayBuffer(4);
  readonly #turn = new SharedArrayBuffer(turnSize);
  #standby: Standby | undefined;
  #log: Logger | undefined;
  #failure: ServingEnd["failure"];
  readonly ready: Promise<void>;
  /** Resolves when the thread is gone, all its log lines being written. */
  readonly ended: Promise<ServingEnd>;

  /**
   * Starts the thread at once: it loads its code while the main thread loads its own and prepares the request.
   * It ends with what it serves or with the process, and must not be ended before: koffi can't bear that while it is loaded.
   */
  constructor() {
    const worker = new Worker(join(import.meta.dirname, "serve-mount.cjs"), { resourceLimits: heapLimits });
    this.#worker = worker;
    this.ready = new Promise((resolve) => {
      worker.on("message", (message: ServeMessage) => this.#hear(message, resolve));
    });
    worker.on("error", (error) => {
      this.#failure ??= { code: undefined, what: error.stack ?? String(error) };
    });
    this.ended = new Promise((resolve) => {
      worker.on("exit", (code) => {
        const unexplained =
          code === 0 ? undefined : { code: undefined, what: `the serving thread exited with ${code}` };
        this.#standby?.stop();
        resolve({ failure: this.#failure ?? unexplained });
      });
    });
  }

  /** @param log where the thread's lines go */
  serve(request: ThreadRequest, log: Logger): void {
    this.#log = log;
    this.#worker.postMessage({ ...request, logBacklog: this.#logBacklog, turn: this.#turn } satisfies ServeRequest);
    if (request.passthrough !== "off") {
      this.#standby = new Standby({
        device: request.device,
        turn: this.#turn,
        maxWrite: request.settings.maxWrite,
        log,
        keep: (kept) => this.#worker.postMessage(kept, [kept.buffer]),
        runJob,
      });
      this.#standby.start();
    }
  }

  #hear(message: ServeMessage, ready: () => void): void {
    switch (message.kind) {
      case "ready":
        ready();
        break;
      case "log":
        this.#log?.[message.level](message.fields, message.message);
        Atomics.sub(new Int32Array(this.#logBacklog), 0, 1);
        break;
      case "failed":
        this.#failure = { code: message.code, what: message.what };
        break;
    }
  }
}
