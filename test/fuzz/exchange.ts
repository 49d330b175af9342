/**
 * Serves made-up messages by the dispatcher over a file system, as a session does, and holds each reply against the protocol:
 * one for each request that is owed one, well-formed, for the right request, and no exception in the log.
 */
import { expect } from "vitest";
import type { Filesystem } from "../../src/contract/filesystem.ts";
import type { Job } from "../../src/contract/slow.ts";
import { Errno } from "../../src/errno.ts";
import { Dispatcher } from "../../src/fuse/dispatch.ts";
import type { JobBuffers, JobDone } from "../../src/fuse/io-threads.ts";
import { type Connection, wireTimeout } from "../../src/fuse/protocol/init.ts";
import { Opcode } from "../../src/fuse/protocol/opcodes.ts";
import { ReplyWriter } from "../../src/fuse/protocol/reply-writer.ts";
import { RequestReader } from "../../src/fuse/protocol/request-reader.ts";
import type { Logger } from "../../src/log.ts";
import { runJob } from "../../src/sys/jobs.ts";
import { encodeMessage, encodeStep, type Step } from "./messages.ts";

const bufferSize = 132 * 1024;
const maxWrite = 128 * 1024;
const headerSize = 40;
const outHeaderSize = 16;
const maxErrno = 4095;

const connection: Connection = {
  minor: 45,
  generation: 0,
  flags: 0,
  flags2: 0,
  maxReadahead: 0,
  maxWrite,
  setxattrExtended: true,
  entryTimeout: wireTimeout(1),
  attrTimeout: wireTimeout(1),
  negativeTimeout: wireTimeout(1),
};

/** Sizes of bodies by linux/fuse.h: fuse_entry_out, fuse_attr_out, fuse_open_out and so on; those not named have none. */
const bodySizes: Readonly<Record<number, number>> = {
  [Opcode.Lookup]: 128,
  [Opcode.Mknod]: 128,
  [Opcode.Mkdir]: 128,
  [Opcode.Symlink]: 128,
  [Opcode.Link]: 128,
  [Opcode.Getattr]: 104,
  [Opcode.Setattr]: 104,
  [Opcode.Statx]: 288,
  [Opcode.Open]: 16,
  [Opcode.Create]: 144,
  [Opcode.Tmpfile]: 144,
  [Opcode.Write]: 8,
  [Opcode.CopyFileRange]: 8,
  [Opcode.CopyFileRange64]: 8,
  [Opcode.Lseek]: 8,
  [Opcode.Statfs]: 80,
};
/** Bodies of any size up to the one that the request names, at this offset of the message. */
const sizedBodies: Readonly<Record<number, number>> = {
  [Opcode.Read]: headerSize + 16,
  [Opcode.Readdir]: headerSize + 16,
  [Opcode.Readdirplus]: headerSize + 16,
};
const looksUp: readonly number[] = [Opcode.Lookup, Opcode.Mknod, Opcode.Mkdir, Opcode.Symlink, Opcode.Link];
const creates: readonly number[] = [Opcode.Create, Opcode.Tmpfile];
const unanswered: readonly number[] = [Opcode.Forget, Opcode.BatchForget, Opcode.Interrupt, Opcode.NotifyReply];

interface Owed {
  readonly message: Buffer;
  readonly opcode: number;
}

export class Exchange {
  /** Every node and handle that was given out, whether it still holds or not. */
  readonly nodes: number[] = [1];
  readonly handles: { readonly node: number; readonly handle: number }[] = [];
  readonly #dispatcher: Dispatcher;
  readonly #buffer = Buffer.alloc(bufferSize, 0xdd);
  readonly #request = new RequestReader(this.#buffer);
  readonly #owed = new Map<number, Owed>();
  readonly #jobs: (() => void)[] = [];
  #unique = 0;
  #lastErrno = 0;

  /** @param eio whether the file system may answer EIO: hostile layers may have it so */
  constructor(filesystem: Filesystem, eio: "EIO is a failure" | "EIO is an answer" = "EIO is a failure") {
    this.#dispatcher = new Dispatcher({
      filesystem,
      connection,
      log: { ...strictLog, ...(eio === "EIO is an answer" && { warn: () => undefined }) },
      reply: new ReplyWriter(Buffer.alloc(maxWrite + 4096, 0xee)),
      send: ({ bytes, length }) => this.#take(Buffer.from(bytes.subarray(0, length))),
      spliceReply: () => false,
      startJob: (job, buffers, done) => this.#jobs.push(() => this.#run(job, buffers, done)),
      isBeingKilled: () => true,
    });
  }

  /** For a file system whose jobs are not those of requests. */
  startJob(job: Job, done: (result: number) => void): void {
    this.#jobs.push(() => done(runJob(job)));
  }

  serve(step: Step): void {
    const known = { nodes: this.nodes, handles: this.handles.map(({ handle }) => handle) };
    this.#unique += 2;
    this.#send(encodeStep(step, this.#unique, known));
    if (step.jobsEnd) {
      this.endJobs();
    }
  }

  /** A request that is as it should be. @returns the errno of its reply, 0 for none */
  ask(opcode: number, node: number, body: Buffer): number {
    this.#unique += 2;
    this.#send(encodeMessage(opcode, this.#unique, BigInt(node), body));
    this.endJobs();
    return this.#lastErrno;
  }

  /** Runs all jobs, and what waits for them; then no request may be left without its reply. */
  endJobs(): void {
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
      job();
      this.#dispatcher.serveResumed();
    }
    expect(this.#dispatcher.parked, "requests still parked").toBe(0);
    expect([...this.#owed.values()], "requests without a reply").toEqual([]);
  }

  #send(message: Buffer): void {
    const opcode = message.readUInt32LE(4);
    const whole = message.length >= headerSize && message.readUInt32LE(0) === message.length;
    // Where the header is broken it is not known what the request was: whoever waits for it is told EIO.
    if (!unanswered.includes(opcode) || !whole || message.readUInt16LE(36) * 8 > message.length - headerSize) {
      this.#owed.set(message.readUInt32LE(8), { message, opcode });
    }
    // What an older message left behind must not be taken for part of this one.
    this.#buffer.fill(0x61);
    message.copy(this.#buffer);
    this.#dispatcher.serve(this.#request, message.length);
    this.#dispatcher.serveResumed();
  }

  #run(job: Job, { payload, replySize }: JobBuffers, done: JobDone): void {
    const reply = replySize === undefined ? undefined : new ReplyWriter(Buffer.alloc(replySize + outHeaderSize));
    done(runJob(job, reply?.area(replySize ?? 0), payload), reply);
  }

  #take(reply: Buffer): void {
    const unique = reply.readUInt32LE(8);
    const owed = this.#owed.get(unique);
    expect(owed, `a second reply, or one to nobody: ${reply.toString("hex", 0, 32)}`).toBeDefined();
    this.#owed.delete(unique);
    expect(reply.readUInt32LE(0)).toBe(reply.length);
    expect(reply.readUInt32LE(12)).toBe(0);
    const errno = 0 - reply.readInt32LE(4);
    this.#lastErrno = errno;
    expect(errno >= 0 && errno <= maxErrno, `error ${-errno}`).toBe(true);
    if (errno !== 0) {
      expect(reply.length).toBe(outHeaderSize);
    } else if (owed !== undefined) {
      this.#check(owed, reply.subarray(outHeaderSize));
    }
  }

  #check({ message, opcode }: Owed, body: Buffer): void {
    const limitAt = sizedBodies[opcode];
    if (limitAt !== undefined) {
      expect(body.length).toBeLessThanOrEqual(message.readUInt32LE(limitAt));
    } else if (opcode === Opcode.Getxattr || opcode === Opcode.Listxattr) {
      const size = message.readUInt32LE(headerSize);
      expect(body.length === 8 || (size !== 0 && body.length <= size)).toBe(true);
    } else if (opcode === Opcode.Ioctl) {
      expect(body.length).toBeGreaterThanOrEqual(16);
    } else if (opcode !== Opcode.Readlink) {
      expect(body.length, `a reply to opcode ${opcode}`).toBe(bodySizes[opcode] ?? 0);
    }
    this.#learn(opcode, message, body);
  }

  #learn(opcode: number, message: Buffer, body: Buffer): void {
    if (looksUp.includes(opcode) || creates.includes(opcode)) {
      const node = Number(body.readBigUInt64LE(0));
      if (node !== 0 && !this.nodes.includes(node)) {
        this.nodes.push(node);
      }
      if (creates.includes(opcode)) {
        this.handles.push({ node, handle: Number(body.readBigUInt64LE(128)) });
      }
    } else if (opcode === Opcode.Open) {
      this.handles.push({ node: Number(message.readBigUInt64LE(16)), handle: Number(body.readBigUInt64LE(0)) });
    } else if (opcode === Opcode.Readdir || opcode === Opcode.Readdirplus) {
      this.#learnListing(body, opcode === Opcode.Readdirplus ? 128 : 0);
    }
  }

  /** struct fuse_dirent, with a struct fuse_entry_out before it for READDIRPLUS, each padded to 8 bytes. */
  #learnListing(body: Buffer, head: number): void {
    let at = 0;
    while (at < body.length) {
      const length = body.readUInt32LE(at + head + 16);
      const name = body.toString("latin1", at + head + 24, at + head + 24 + length);
      expect(length > 0 && !/[/\0]/.test(name), "a name in a listing").toBe(true);
      const node = head === 0 ? 0 : Number(body.readBigUInt64LE(at));
      if (node !== 0 && !this.nodes.includes(node)) {
        this.nodes.push(node);
      }
      at += head + ((24 + length + 7) & ~7);
    }
    expect(at).toBe(body.length);
  }
}

/** What may be logged while nonsense is served: that it is nonsense. Whatever else is a failure of the test. */
const strictLog: Logger = {
  debugEnabled: false,
  debug: () => undefined,
  info: () => undefined,
  warn: complain,
  error: complain,
};

function complain(fields: object, message: string): void {
  const { op, err } = fields as { op?: string; err?: { code?: number; stack?: string } };
  const expected =
    message === "a request with a broken header" || (op === "INIT" && err?.code === Errno.EIO) || op === "unknown";
  if (!expected) {
    throw new Error(`${message}: ${op} ${err?.stack ?? JSON.stringify(fields)}`);
  }
}
