/**
 * From a request in a buffer to its reply, whatever happens in between. This is the only place that catches everything:
 * an FsError becomes its errno, a Parked waits for its gate, anything else is logged with its stack and becomes EIO.
 * Nothing is thrown out of here, as the mount goes on whatever one request meets.
 */
import { FileRange } from "../contract/file-range.ts";
import type { Filesystem } from "../contract/filesystem.ts";
import { Deferred, type Gate, type Job, JobCall, Parked } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import type { Logger } from "../log.ts";
import type { JobBuffers, JobDone } from "./io-threads.ts";
import { type AnyOperation, type OperationContext, operations } from "./operations.ts";
import { OwnXattrs } from "./own-xattrs.ts";
import { describeReply, describeRequest } from "./protocol/describe.ts";
import type { Connection } from "./protocol/init.ts";
import type { ReplyAddress, ReplyWriter } from "./protocol/reply-writer.ts";
import type { RequestReader } from "./protocol/request-reader.ts";

/** What the dispatcher needs of the session. */
export interface DispatchParts {
  readonly filesystem: Filesystem;
  readonly connection: Connection;
  readonly log: Logger;
  /** The writer of all replies but those that are read by a job. */
  readonly reply: ReplyWriter;
  /** Hands a finished reply to the kernel; must not throw. */
  send(reply: ReplyWriter, operation: string): void;
  /** Answers with data that lie in a file; false where that can't be done, and there is no answer yet. */
  spliceReply(to: ReplyAddress, range: FileRange): boolean;
  startJob(job: Job, buffers: JobBuffers, done: JobDone): void;
  /** Whether a thread, by its number in the header of a request, is about to end by a signal. */
  isBeingKilled(thread: number): boolean;
}

interface ParkedRequest {
  readonly operation: AnyOperation;
  /** A copy: the buffer it came in serves others by now. */
  readonly request: RequestReader;
  readonly gate: Gate;
  readonly resume: (failure: unknown) => void;
}

const highestOpcode = Math.max(...operations.keys());
const unknownOperation = { name: "unknown" };

export class Dispatcher {
  readonly #parts: DispatchParts;
  readonly #ownXattrs = new OwnXattrs("direct", highestOpcode + 1, (opcode) => operations.get(opcode)?.name);
  readonly #parked = new Map<number, ParkedRequest>();
  #resumed: { readonly parked: ParkedRequest; readonly failure: unknown }[] = [];

  constructor(parts: DispatchParts) {
    this.#parts = parts;
  }

  /** Requests that wait at a gate. */
  get parked(): number {
    return this.#parked.size;
  }

  /** Serves the message of `length` bytes in the reader's buffer: at once, or later where it has to wait. */
  serve(request: RequestReader, length: number): void {
    if (!request.begin(length)) {
      this.#parts.log.error({ length, opcode: request.opcode }, "a request with a broken header");
      if (length >= 16) {
        this.#fail(unknownOperation, request, new FsError(Errno.EIO, "broken request header"));
      }
      return;
    }
    const operation = operations.get(request.opcode);
    if (operation === undefined) {
      this.#fail(unknownOperation, request, new FsError(Errno.ENOSYS, `opcode ${request.opcode}`));
      return;
    }
    this.#ownXattrs.count(request.opcode);
    this.#act(operation, request);
  }

  /** Serves the requests whose gates have opened since the last call; they may park again. */
  serveResumed(): void {
    while (this.#resumed.length > 0) {
      const resumed = this.#resumed;
      this.#resumed = [];
      for (const { parked, failure } of resumed) {
        if (failure === undefined) {
          this.#act(parked.operation, parked.request);
        } else {
          this.#fail(parked.operation, parked.request, failure);
        }
      }
    }
  }

  #act(operation: AnyOperation, request: RequestReader): void {
    const { filesystem, connection, log, reply } = this.#parts;
    reply.begin();
    try {
      const body = operation.decode(request, connection);
      if (log.debugEnabled) {
        log.debug(describeRequest(operation.name, request, body), "rx");
      }
      let result = operation.handle(filesystem, body, this.#context(request));
      if (result instanceof FileRange) {
        if (this.#splice(operation, request, result)) {
          return;
        }
        result = result.read();
      }
      if (result instanceof Deferred) {
        this.#defer(operation, request, body, result);
      } else {
        this.#answer(operation, request, result, reply);
      }
    } catch (error) {
      if (error instanceof Parked) {
        this.#park(operation, request, error.gate);
      } else {
        this.#fail(operation, request, error);
      }
    }
  }

  /** @returns whether the kernel has its reply */
  #splice(operation: AnyOperation, to: ReplyAddress, range: FileRange): boolean {
    const { log, spliceReply } = this.#parts;
    const isSent = spliceReply(to, range);
    if (isSent && log.debugEnabled) {
      log.debug(describeReply(operation.name, to, 0, range.length), "tx");
    }
    return isSent;
  }

  #context(header: RequestReader): OperationContext {
    const { connection, reply } = this.#parts;
    return { header, reply, connection, ownXattrs: this.#ownXattrs, interrupt: this.#interrupt };
  }

  #defer(operation: AnyOperation, request: RequestReader, body: unknown, deferred: Deferred<unknown>): void {
    const { job, finish } = deferred;
    const address: ReplyAddress = { uniqueLow: request.uniqueLow, uniqueHigh: request.uniqueHigh };
    const buffers: JobBuffers = {
      ...(job.call === JobCall.write && operation.payload && { payload: operation.payload(body), answers: address }),
      ...(job.call === JobCall.read &&
        operation.replySize && { replySize: operation.replySize(body), answers: address }),
    };
    this.#parts.startJob(job, buffers, (result, filled, answered) => {
      if (answered === true) {
        this.#finishAnswered(operation, address, () => finish(result));
        return;
      }
      const reply = filled ?? this.#parts.reply;
      reply.begin();
      try {
        this.#answer(operation, address, finish(result), reply);
      } catch (error) {
        this.#fail(operation, address, error);
      }
    });
  }

  /** The kernel has its reply: what is left is the file system's own end of it, and the log. */
  #finishAnswered(operation: AnyOperation, to: ReplyAddress, finish: () => unknown): void {
    const { log } = this.#parts;
    let errno = 0;
    let body: unknown;
    try {
      body = finish();
    } catch (error) {
      errno = this.#errnoOf(operation, to, error);
      body = error;
    }
    if (log.debugEnabled) {
      log.debug(describeReply(operation.name, to, errno, body), "tx");
    }
  }

  #park(operation: AnyOperation, request: RequestReader, gate: Gate): void {
    const kept = request.keep();
    const resume = (failure: unknown) => {
      this.#parked.delete(kept.key);
      // Served between requests: whoever opens the gate is in the middle of something.
      this.#resumed.push({ parked, failure });
    };
    const parked: ParkedRequest = { operation, request: kept, gate, resume };
    this.#parked.set(kept.key, parked);
    gate.whenOpen(resume);
  }

  /**
   * The kernel sends this once for the first signal of whatever kind. A caller that goes on after it, in a handler or not at all,
   * must not see its call fail for what other file systems do in no time; nobody waits for the call of one that is being killed.
   */
  readonly #interrupt = (key: number): void => {
    const parked = this.#parked.get(key);
    if (parked !== undefined && this.#parts.isBeingKilled(parked.request.caller.pid)) {
      this.#parked.delete(key);
      parked.gate.leave(parked.resume);
      this.#fail(parked.operation, parked.request, new FsError(Errno.EINTR, "killed while it waited"));
    }
  };

  #answer(operation: AnyOperation, address: ReplyAddress, result: unknown, reply: ReplyWriter): void {
    if (operation.noReply) {
      return;
    }
    if (result === undefined && operation.absent !== undefined) {
      this.#send(operation, address, operation.absent, reply, undefined);
      return;
    }
    operation.encode(result, reply, this.#parts.connection);
    this.#send(operation, address, 0, reply, result);
  }

  #fail(operation: Pick<AnyOperation, "name" | "noReply">, address: ReplyAddress, error: unknown): void {
    const errno = this.#errnoOf(operation, address, error);
    if (!operation.noReply) {
      this.#send(operation, address, errno, this.#parts.reply, error);
    }
  }

  /** What the caller is told of an error; what hints at a fault is logged. */
  #errnoOf(operation: { readonly name: string }, address: ReplyAddress, error: unknown): number {
    const { log } = this.#parts;
    const unique = address.uniqueHigh * 4294967296 + address.uniqueLow;
    if (!(error instanceof FsError)) {
      log.error({ err: error, op: operation.name, unique }, "an exception in a request");
    } else if (error.code === Errno.EIO) {
      log.warn({ err: error, op: operation.name, unique }, "input/output error");
    }
    return error instanceof FsError ? error.code : Errno.EIO;
  }

  #send(
    operation: { readonly name: string },
    to: ReplyAddress,
    errno: number,
    reply: ReplyWriter,
    body: unknown,
  ): void {
    const { log } = this.#parts;
    reply.finish(errno, to.uniqueLow, to.uniqueHigh);
    if (log.debugEnabled) {
      log.debug(describeReply(operation.name, to, errno, body), "tx");
    }
    this.#parts.send(reply, operation.name);
  }
}
