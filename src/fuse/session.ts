/**
 * One mount from its first message to its end: the handshake, then read, act, reply, until the kernel says that the mount
 * is gone. All of it on one thread, which blocks in read(2) when there is nothing to do.
 */
import type { BackingFiles } from "../contract/backing.ts";
import type { Filesystem } from "../contract/filesystem.ts";
import type { Notifier } from "../contract/notifier.ts";
import type { JobRunner } from "../contract/slow.ts";
import { Errno, errnoName, FsError } from "../errno.ts";
import type { Logger } from "../log.ts";
import { pollTwo, Ready, readRequest, setNonBlocking } from "../sys/device.ts";
import { ConnectionBackingFiles } from "./backing-files.ts";
import { BufferPool, type RequestBuffer } from "./buffers.ts";
import { Dispatcher } from "./dispatch.ts";
import { IoThreads, type RunJob } from "./io-threads.ts";
import { KernelNotifier } from "./kernel-notifier.ts";
import {
  type Connection,
  decodeInit,
  encodeInit,
  encodeInitMajorOnly,
  negotiate,
  passesThrough,
  protocolMajor,
} from "./protocol/init.ts";
import { Opcode } from "./protocol/opcodes.ts";
import { ReplyWriter } from "./protocol/reply-writer.ts";
import { RequestReader } from "./protocol/request-reader.ts";
import { sendReply } from "./send-reply.ts";
import type { FuseSettings } from "./settings.ts";
import { SplicedReplies } from "./spliced-replies.ts";
import { CoreTurn, turnSize } from "./turn.ts";

export interface SessionOptions {
  /** Descriptor of /dev/fuse that the mount was made with; stays the caller's to close. */
  readonly device: number;
  /** The first message must come within so many milliseconds, unless this descriptor becomes readable before. */
  readonly start: { readonly silence: number; readonly interruption: number };
  makeFilesystem(jobs: JobRunner, notifier: Notifier, backing: BackingFiles): Filesystem;
  readonly settings: FuseSettings;
  readonly log: Logger;
  /** Does a slow call on the core's own thread, should there be no other. */
  readonly runJob: RunJob;
  /** Whether a thread of whatever process is about to end by a signal; false where that can't be told. */
  isBeingKilled(thread: number): boolean;
  /** The built code of an I/O thread: a function that takes Node's `require` and the name of its file. */
  readonly ioThreadFile: string;
  /** Where a standby on another thread serves pages when this one can't: the memory of its turn, and the requests it kept. */
  readonly standby?: { readonly turn: SharedArrayBuffer; nextKept(): Uint8Array<ArrayBuffer> | undefined };
  /** The kernel has got the answer to its first message: the mount is usable. */
  onReady(): void;
}

/** One that requests are read into, the others for jobs under way: reads and writes of up to maxWrite bytes each. */
const bufferCount = 9;

/** Room for headers in front of the largest data. */
const replyRoom = 4096;

/** Errors of read(2) on the device that only mean: read again. */
const readAgain: readonly number[] = [-Errno.EINTR, -Errno.EAGAIN, -Errno.ENOENT];

/**
 * Serves a mount until it is gone, then destroys the file system. Blocks the thread it is called on.
 * Throws what makeFilesystem throws; FsError EPROTO where the kernel is too old, ETIME or EINTR where its first message does not come in
 * time, or the errno of a device that can't be read.
 */
export function serve(options: SessionOptions): void {
  const session = new Session(options);
  session.run();
}

class Session {
  readonly #device: number;
  readonly #log: Logger;
  readonly #settings: FuseSettings;
  readonly #options: SessionOptions;
  readonly #pool: BufferPool;
  readonly #threads: IoThreads;
  readonly #backing: ConnectionBackingFiles;
  readonly #reply: ReplyWriter;
  readonly #spliced: SplicedReplies;
  readonly #turn: CoreTurn;
  #current: RequestBuffer;
  #nonBlocking = false;

  constructor(options: SessionOptions) {
    const { device, settings, log } = options;
    this.#options = options;
    this.#device = device;
    this.#log = log;
    this.#settings = settings;
    this.#pool = new BufferPool(bufferCount, settings.maxWrite);
    this.#threads = new IoThreads({
      device,
      pool: this.#pool,
      limit: settings.ioThreads,
      log,
      runJob: options.runJob,
      file: options.ioThreadFile,
      copiesEarly: true,
    });
    this.#turn = new CoreTurn(options.standby?.turn ?? new SharedArrayBuffer(turnSize));
    this.#backing = new ConnectionBackingFiles(device, log);
    this.#spliced = new SplicedReplies(device, log);
    this.#reply = new ReplyWriter(Buffer.alloc(replyRoom + settings.maxWrite));
    this.#current = this.#pool.take() as RequestBuffer;
  }

  run(): void {
    const notifier = new KernelNotifier(this.#device, this.#log);
    const filesystem = this.#options.makeFilesystem(this.#threads, notifier, this.#backing);
    try {
      const connection = this.#handshake();
      if (connection !== undefined) {
        this.#options.onReady();
        this.#loop(this.#dispatcher(filesystem, connection));
      }
    } finally {
      this.#finishJobs();
      this.#threads.stop();
      this.#spliced.close();
      filesystem.destroy();
      if (this.#backing.count > 0) {
        this.#log.error({ count: this.#backing.count }, "files that were passed through were not given back");
      }
    }
  }

  /** Answers INIT. Undefined: the mount went before it came. */
  #handshake(): Connection | undefined {
    for (;;) {
      this.#awaitFirst();
      const length = this.#read();
      if (length === undefined) {
        return undefined;
      }
      const request = this.#current.request;
      if (!request.begin(length) || request.opcode !== Opcode.Init) {
        throw new FsError(Errno.EPROTO, `the first message of the kernel is not INIT but opcode ${request.opcode}`);
      }
      const offer = decodeInit(request);
      this.#log.debug(offer, "INIT offered");
      this.#reply.begin();
      if (offer.major > protocolMajor) {
        encodeInitMajorOnly(this.#reply);
        this.#reply.finish(0, request.uniqueLow, request.uniqueHigh);
        this.#send(this.#reply, "INIT");
        continue;
      }
      const connection = negotiate(offer, this.#settings);
      encodeInit(connection, this.#reply);
      this.#reply.finish(0, request.uniqueLow, request.uniqueHigh);
      this.#send(this.#reply, "INIT");
      if (passesThrough(connection)) {
        this.#backing.enable();
      } else if (this.#settings.passthrough) {
        this.#log.debug({}, "the kernel has no passthrough");
      }
      this.#log.debug(connection, "INIT answered");
      return connection;
    }
  }

  #awaitFirst(): void {
    const { silence, interruption } = this.#options.start;
    let ready: number;
    do {
      ready = pollTwo(this.#device, interruption, silence);
    } while (ready === -Errno.EINTR);
    if (ready === 0 || ready === Ready.second) {
      throw new FsError(ready === 0 ? Errno.ETIME : Errno.EINTR, "wait for the kernel's first message");
    }
  }

  #dispatcher(filesystem: Filesystem, connection: Connection): Dispatcher {
    return new Dispatcher({
      filesystem,
      connection,
      log: this.#log,
      reply: this.#reply,
      send: (reply, operation) => this.#send(reply, operation),
      spliceReply: (to, range) => this.#spliced.send(to, range),
      startJob: (job, buffers, done) => this.#threads.startWithBuffers(job, buffers, done),
      isBeingKilled: this.#options.isBeingKilled,
    });
  }

  #loop(dispatcher: Dispatcher): void {
    for (;;) {
      this.#replaceLentBuffer();
      dispatcher.serveResumed();
      if (!this.#turn.rest()) {
        this.#takeBack(dispatcher);
        continue;
      }
      const length = this.#next();
      if (length === undefined) {
        return;
      }
      if (length > 0) {
        dispatcher.serve(this.#current.request, length);
      }
    }
  }

  /** The standby has had the device: serves what it left. */
  #takeBack(dispatcher: Dispatcher): void {
    this.#turn.takeBack();
    this.#nonBlocking = false;
    setNonBlocking(this.#device, false);
    for (let kept = this.#nextKept(); kept !== undefined; kept = this.#nextKept()) {
      this.#turn.begin();
      dispatcher.serve(new RequestReader(kept), kept.length);
    }
  }

  #nextKept(): Buffer | undefined {
    const kept = this.#options.standby?.nextKept();
    return kept && Buffer.from(kept.buffer, kept.byteOffset, kept.length);
  }

  /** The next request's length; 0 where a job was finished instead; undefined when the mount is gone. */
  #next(): number | undefined {
    if (this.#threads.pending === 0) {
      const length = this.#read();
      this.#turn.begin();
      return length;
    }
    if (!this.#nonBlocking) {
      /* What poll has seen may be taken back before it is read (its caller was killed): a read that blocks then would
         keep the core from the results of its jobs. */
      this.#nonBlocking = true;
      setNonBlocking(this.#device, true);
    }
    const ready = pollTwo(this.#device, this.#threads.resultFd, this.#threads.hasEarlyPart ? 0 : -1);
    this.#turn.begin();
    if (ready === 0) {
      this.#threads.copyEarly();
    }
    if (ready > 0 && ready & Ready.second) {
      this.#threads.drain();
    }
    return ready > 0 && ready & Ready.first ? this.#readOnce() : 0;
  }

  /** Reads until there is a request, or the mount is gone. */
  #read(): number | undefined {
    for (;;) {
      const length = this.#readOnce();
      if (length !== 0) {
        return length;
      }
      if (this.#nonBlocking) {
        this.#nonBlocking = false;
        setNonBlocking(this.#device, false);
      }
    }
  }

  /** As #read, but 0 where there is nothing to read after all. */
  #readOnce(): number | undefined {
    const result = readRequest(this.#device, this.#current.bytes);
    if (result > 0) {
      return result;
    }
    if (readAgain.includes(result)) {
      return 0;
    }
    if (result !== -Errno.ENODEV) {
      throw new FsError(-result, "read of /dev/fuse");
    }
    return undefined;
  }

  /** Waits for a job to end where all buffers are with jobs. */
  #replaceLentBuffer(): void {
    while (this.#current.lent) {
      const free = this.#pool.take();
      if (free === undefined) {
        this.#threads.drain();
      } else {
        this.#current = free;
      }
    }
  }

  /** What was begun is brought to its end, so that the file system is whole when it is destroyed. */
  #finishJobs(): void {
    while (this.#threads.pending > 0) {
      if (this.#threads.hasEarlyPart) {
        this.#threads.copyEarly();
      } else {
        this.#threads.drain();
      }
    }
  }

  #send(reply: ReplyWriter, operation: string): void {
    const { length } = reply;
    const code = sendReply(this.#device, reply);
    if (code !== 0) {
      this.#log.error({ op: operation, error: errnoName(code), length }, "a reply was not taken");
    }
  }
}
