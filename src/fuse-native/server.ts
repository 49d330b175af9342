/**
 * A mount by way of fuse-native, from libfuse's mount to its end. libfuse reads requests on threads of its own, each of which
 * waits while the loop of the main thread, for which the addon is made, answers its call. So the main thread is the serving
 * thread here, and must never wait for the mount.
 */
import type { Filesystem } from "../contract/filesystem.ts";
import type { JobRunner } from "../contract/slow.ts";
import { Parked } from "../contract/slow.ts";
import { Errno, errnoName, FsError } from "../errno.ts";
import type { RunJob } from "../fuse/io-threads.ts";
import { OwnXattrs } from "../fuse/own-xattrs.ts";
import type { Logger } from "../log.ts";
import { Awaited, whenReady } from "../sys/foreign.ts";
import { type Addon, type Handler, operationCount } from "./addon.ts";
import { LoopJobs } from "./loop-jobs.ts";
import { type Answer, Operations } from "./operations.ts";

export interface ServerOptions {
  readonly log: Logger;
  makeFilesystem(jobs: JobRunner): Filesystem;
  /** Users besides root have the mount. */
  readonly forOthers: boolean;
  readonly runJob: RunJob;
  /** The built code of an I/O thread. */
  readonly ioThreadFile: string;
  /** libfuse has answered the kernel's first message. */
  onReady(): void;
  /** The mount is gone, and the file system destroyed. */
  onEnd(): void;
}

/** Operations whose signals take the memory of an argument with them, which the addon lent. */
const lending: Readonly<Record<string, number>> = { read: 2, write: 2, getxattr: 2, setxattr: 2, listxattr: 1 };

export class NativeServer {
  readonly #options: ServerOptions;
  readonly #addon: Addon;
  readonly #jobs: LoopJobs;
  readonly #filesystem: Filesystem;
  readonly #operations: Operations;
  readonly #names = new Map<number, string>();
  readonly #ownXattrs = new OwnXattrs("fuse-native", operationCount, (number) =>
    this.#names.get(number)?.toUpperCase(),
  );
  #isOver = false;

  /** @throws what makeFilesystem throws */
  constructor(addon: Addon, options: ServerOptions) {
    this.#addon = addon;
    this.#options = options;
    this.#jobs = new LoopJobs(options.log, options.runJob, options.ioThreadFile);
    this.#filesystem = options.makeFilesystem(this.#jobs);
    this.#operations = new Operations(this.#filesystem, this.#ownXattrs, options.log, options.forOthers);
  }

  /**
   * Mounts, and serves from then on.
   * @param options of libfuse, separated by commas
   * @throws Error where libfuse could not mount; the file system is destroyed then
   */
  mount(mountpoint: string, options: string): void {
    const handlers: Handler[] = [];
    for (const name of this.#operations.names) {
      const number = this.#addon.operation(name);
      this.#names.set(number, name);
      handlers[number] = this.#handler(name);
    }
    try {
      this.#addon.mount(mountpoint, options, handlers);
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /** @param device another descriptor of the /dev/fuse that libfuse has opened: it tells of the end of the mount */
  watch(device: number): void {
    whenReady(device, Awaited.end, () => {
      this.#end();
      this.#options.onEnd();
    });
  }

  #end(): void {
    this.#isOver = true;
    this.#jobs.finish();
    try {
      this.#operations.finish();
    } catch (error) {
      this.#options.log.error({ err: error }, "what was removed while it was open is still there");
    }
    this.#filesystem.destroy();
  }

  #handler(name: string): Handler {
    const lent = lending[name];
    const signal = this.#addon.signal(lent === undefined ? "flush" : name);
    return (call, number, ...args) => {
      this.#ownXattrs.count(number);
      this.#serve(name, call, args, (result) => {
        this.#logReply(name, result);
        if (lent === undefined) {
          signal(call, result);
          return;
        }
        const memory = (args[lent] as Buffer).buffer;
        const rest = name === "read" || name === "write" ? [result, memory] : [memory];
        signal(call, result, ...rest);
      });
      if (name === "init") {
        this.#options.onReady();
      }
    };
  }

  /** Answers at once, or later where it has to wait; never throws. */
  #serve(name: string, call: Buffer, args: readonly unknown[], reply: (result: number) => void): void {
    const { log } = this.#options;
    if (log.debugEnabled) {
      log.debug({ op: name, args: args.filter((arg) => typeof arg !== "object") }, "rx");
    }
    try {
      if (this.#isOver) {
        throw new FsError(Errno.ENOTCONN, "the mount is gone");
      }
      this.#answer(name, this.#operations.answer(name, call, args), reply);
    } catch (error) {
      if (error instanceof Parked) {
        error.gate.whenOpen((failure) => {
          // Served from the loop: whoever opens the gate is in the middle of something.
          setImmediate(() =>
            failure === undefined ? this.#serve(name, call, args, reply) : reply(this.#failure(name, failure)),
          );
        });
      } else {
        reply(this.#failure(name, error));
      }
    }
  }

  #answer(name: string, answer: Answer, reply: (result: number) => void): void {
    if (typeof answer === "number") {
      reply(answer);
      return;
    }
    const { deferred, payload, into, end } = answer;
    const buffers = { ...(payload && { payload }), ...(into && { replySize: into.length }) };
    this.#jobs.startWithBuffers(deferred.job, buffers, (result, filled) => {
      let outcome: number;
      try {
        if (into !== undefined && filled !== undefined) {
          filled.area(into.length).copy(into);
        }
        outcome = answer.answer(deferred.finish(result));
      } catch (error) {
        outcome = this.#failure(name, error);
      }
      end?.();
      reply(outcome);
    });
  }

  #failure(name: string, error: unknown): number {
    const { log } = this.#options;
    if (!(error instanceof FsError)) {
      log.error({ err: error, op: name }, "an exception in a request");
      return -Errno.EIO;
    }
    if (error.code === Errno.EIO) {
      log.warn({ err: error, op: name }, "input/output error");
    }
    return -error.code;
  }

  #logReply(name: string, result: number): void {
    const { log } = this.#options;
    if (log.debugEnabled) {
      log.debug({ op: name, result: result < 0 ? errnoName(-result) : result }, "tx");
    }
  }
}
