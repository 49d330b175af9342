/** What becomes of a request whose handling fails, waits, or goes on elsewhere. */
import { describe, expect, test } from "vitest";
import { FileRange } from "../contract/file-range.ts";
import type { Filesystem } from "../contract/filesystem.ts";
import { Deferred, Gate, type Job, JobCall, Parked } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import type { Logger } from "../log.ts";
import { Dispatcher } from "./dispatch.ts";
import type { JobBuffers, JobDone } from "./io-threads.ts";
import { type Connection, wireTimeout } from "./protocol/init.ts";
import { Opcode } from "./protocol/opcodes.ts";
import { ReplyWriter } from "./protocol/reply-writer.ts";
import { RequestReader } from "./protocol/request-reader.ts";

const connection: Connection = {
  minor: 45,
  flags: 0,
  flags2: 0,
  maxReadahead: 0,
  maxWrite: 4096,
  generation: 0,
  setxattrExtended: true,
  entryTimeout: wireTimeout(1),
  attrTimeout: wireTimeout(1),
  negativeTimeout: wireTimeout(1),
};

interface Answer {
  readonly unique: number;
  readonly errno: number;
  readonly body: Buffer;
}

const liveThread = 500;
const killedThread = 501;
/** The file that can be spliced from. */
const splicedFd = 70;

/** A dispatcher with a buffer of its own, as a session has it. */
function setUp(methods: Partial<Filesystem>) {
  const answers: Answer[] = [];
  const lines: { level: string; fields: Record<string, unknown> }[] = [];
  const at = (level: string) => (fields: object) =>
    void lines.push({ level, fields: fields as Record<string, unknown> });
  const log: Logger = {
    debugEnabled: false,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
  const jobs: { job: Job; buffers: JobBuffers; done: JobDone }[] = [];
  const dispatcher = new Dispatcher({
    filesystem: methods as Filesystem,
    connection,
    log,
    reply: new ReplyWriter(Buffer.alloc(8192)),
    send: ({ bytes, length }) => {
      const reply = Buffer.from(bytes.subarray(0, length));
      answers.push({ unique: reply.readUInt32LE(8), errno: Math.abs(reply.readInt32LE(4)), body: reply.subarray(16) });
    },
    spliceReply: (to, { fd, offset, length }) => {
      const isTaken = fd === splicedFd;
      if (isTaken) {
        answers.push({ unique: to.uniqueLow, errno: 0, body: Buffer.from(`${length} bytes from ${offset}`) });
      }
      return isTaken;
    },
    startJob: (job, buffers, done) => void jobs.push({ job, buffers, done }),
    isBeingKilled: (thread) => thread === killedThread,
  });
  const buffer = Buffer.alloc(8192);
  const request = new RequestReader(buffer);
  const serve = (opcode: number, unique: number, body: Buffer, thread = liveThread) => {
    buffer.fill(0);
    buffer.writeUInt32LE(40 + body.length, 0);
    buffer.writeUInt32LE(opcode, 4);
    buffer.writeUInt32LE(unique, 8);
    buffer.writeUInt32LE(1, 16);
    buffer.writeUInt32LE(thread, 32);
    body.copy(buffer, 40);
    dispatcher.serve(request, 40 + body.length);
  };
  return { dispatcher, serve, answers, lines, jobs };
}

const unlink = (name: string) => Buffer.from(`${name}\0`);
const interrupt = (unique: number) => {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(unique);
  return body;
};

describe("failures", () => {
  test("an FsError is answered as its errno and not logged", () => {
    const { serve, answers, lines } = setUp({
      removeFile: () => {
        throw new FsError(Errno.ENOTEMPTY, "unlink");
      },
    });
    serve(Opcode.Unlink, 2, unlink("f"));
    expect(answers).toMatchObject([{ unique: 2, errno: Errno.ENOTEMPTY }]);
    expect(lines).toEqual([]);
  });

  test("a message that ends within its header is answered to its own request", () => {
    const { dispatcher, serve, answers } = setUp({ removeFile: () => undefined });
    serve(Opcode.Unlink, 2, unlink("f"));
    const bytes = Buffer.alloc(100);
    bytes.writeUInt32LE(20, 0);
    bytes.writeUInt32LE(Opcode.Unlink, 4);
    bytes.writeUInt32LE(4, 8);
    dispatcher.serve(new RequestReader(bytes), 20);
    expect(answers).toMatchObject([{ unique: 2 }, { unique: 4, errno: Errno.EIO }]);
  });

  test("an FsError with EIO is logged as a warning", () => {
    const { serve, lines } = setUp({
      removeFile: () => {
        throw new FsError(Errno.EIO, "unlink");
      },
    });
    serve(Opcode.Unlink, 2, unlink("f"));
    expect(lines).toMatchObject([{ level: "warn", fields: { op: "UNLINK", unique: 2 } }]);
  });

  test.each([new TypeError("a mistake"), "a string", undefined, null])(
    "%s thrown is EIO, with a log line",
    (thrown) => {
      const { serve, answers, lines } = setUp({
        removeFile: () => {
          throw thrown;
        },
      });
      serve(Opcode.Unlink, 2, unlink("f"));
      serve(Opcode.Destroy, 4, Buffer.alloc(0));
      expect(answers).toMatchObject([
        { unique: 2, errno: Errno.EIO },
        { unique: 4, errno: 0 },
      ]);
      expect(lines).toMatchObject([{ level: "error", fields: { op: "UNLINK", unique: 2, err: thrown } }]);
    },
  );

  test("an exception in FORGET is logged and answered to nobody", () => {
    const { serve, answers, lines } = setUp({
      forget: () => {
        throw new RangeError("count");
      },
    });
    serve(Opcode.Forget, 2, Buffer.alloc(8, 1));
    expect(answers).toEqual([]);
    expect(lines).toMatchObject([{ level: "error", fields: { op: "FORGET" } }]);
  });

  test("a result that can't be encoded is EIO", () => {
    const { serve, answers } = setUp({ lookup: () => ({ node: 2 }) as never });
    serve(Opcode.Lookup, 2, unlink("f"));
    expect(answers).toMatchObject([{ unique: 2, errno: Errno.EIO }]);
    expect(answers[0]?.body).toHaveLength(0);
  });

  test("a listing that fails half-way gives what it has; one that fails at once fails", () => {
    const body = Buffer.alloc(40);
    body.writeUInt32LE(4096, 16);
    let entries = 1;
    const { serve, answers } = setUp({
      readDirectory: (_node, _offset, _withEntries, sink) => {
        for (let i = 0; i < entries; i++) {
          sink.add("name", 5, 0o100000, i + 1);
        }
        throw new FsError(Errno.ESTALE, "listing");
      },
    });
    serve(Opcode.Readdir, 2, body);
    entries = 0;
    serve(Opcode.Readdir, 4, body);
    expect(answers).toMatchObject([
      { unique: 2, errno: 0 },
      { unique: 4, errno: Errno.ESTALE },
    ]);
    expect(answers[0]?.body).toHaveLength(32);
  });

  test("an entry put into a full listing is a mistake of the file system", () => {
    const body = Buffer.alloc(40);
    body.writeUInt32LE(64, 16);
    const { serve, answers, lines } = setUp({
      readDirectory: (_node, _offset, _withEntries, sink) => {
        expect(sink.hasRoom("x".repeat(40))).toBe(true);
        expect(sink.hasRoom("x".repeat(41))).toBe(false);
        sink.add("x".repeat(41), 5, 0o100000, 1);
      },
    });
    serve(Opcode.Readdir, 2, body);
    expect(answers).toMatchObject([{ errno: Errno.EIO }]);
    expect(lines).toHaveLength(1);
  });
});

describe("parked requests", () => {
  function parking() {
    const gate = new Gate();
    const names: string[] = [];
    let open = false;
    const set = setUp({
      removeFile: (_parent, name) => {
        names.push(name);
        if (!open) {
          throw new Parked(gate);
        }
      },
    });
    const openGate = (failure?: unknown) => {
      open = true;
      gate.open(failure);
    };
    return { ...set, names, openGate };
  }

  test("are served anew when the gate has opened, from bytes of their own", () => {
    const { dispatcher, serve, answers, names, openGate } = parking();
    serve(Opcode.Unlink, 2, unlink("first"));
    serve(Opcode.Unlink, 4, unlink("second"));
    serve(Opcode.Destroy, 6, Buffer.alloc(0));
    expect(answers).toMatchObject([{ unique: 6 }]);
    expect(dispatcher.parked).toBe(2);
    openGate();
    expect(answers).toHaveLength(1); // not in the middle of whoever opened it
    dispatcher.serveResumed();
    expect(answers.slice(1)).toMatchObject([
      { unique: 2, errno: 0 },
      { unique: 4, errno: 0 },
    ]);
    expect(names).toEqual(["first", "second", "first", "second"]);
    expect(dispatcher.parked).toBe(0);
  });

  test("are answered with the failure that the gate opens with", () => {
    const { dispatcher, serve, answers, lines, openGate } = parking();
    serve(Opcode.Unlink, 2, unlink("f"));
    openGate(new FsError(Errno.ENOSPC, "copy-up"));
    dispatcher.serveResumed();
    expect(answers).toMatchObject([{ unique: 2, errno: Errno.ENOSPC }]);
    expect(lines).toEqual([]);
  });

  test("are answered EINTR when their caller is killed, and not again later", () => {
    const { dispatcher, serve, answers, names, openGate } = parking();
    serve(Opcode.Unlink, 2, unlink("f"), killedThread);
    serve(Opcode.Interrupt, 3, interrupt(2));
    expect(answers).toMatchObject([{ unique: 2, errno: Errno.EINTR }]);
    openGate();
    dispatcher.serveResumed();
    expect(answers).toHaveLength(1);
    expect(names).toEqual(["f"]);
  });

  test("go on waiting when their caller gets a signal that does not end it", () => {
    const { dispatcher, serve, answers, openGate } = parking();
    serve(Opcode.Unlink, 2, unlink("f"));
    serve(Opcode.Interrupt, 3, interrupt(2));
    expect(answers).toEqual([]);
    openGate();
    dispatcher.serveResumed();
    expect(answers).toMatchObject([{ unique: 2, errno: 0 }]);
  });

  test("that are on their way again are not interrupted any more", () => {
    const { dispatcher, serve, answers, openGate } = parking();
    serve(Opcode.Unlink, 2, unlink("f"), killedThread);
    openGate();
    serve(Opcode.Interrupt, 3, interrupt(2));
    dispatcher.serveResumed();
    expect(answers).toMatchObject([{ unique: 2, errno: 0 }]);
  });
});

describe("deferred requests", () => {
  const write = Buffer.concat([Buffer.alloc(40), Buffer.from("data")]);
  write.writeUInt32LE(4, 16);

  test("are answered by what finish makes of the result", () => {
    const job: Job = { call: JobCall.write, args: [9, 0, 0] };
    const { serve, answers, jobs } = setUp({ write: () => new Deferred(job, (result) => result - 1) });
    serve(Opcode.Write, 2, write);
    expect(answers).toEqual([]);
    expect(jobs).toMatchObject([{ job, buffers: { payload: Buffer.from("data") } }]);
    serve(Opcode.Destroy, 4, Buffer.alloc(0));
    jobs[0]?.done(4, undefined);
    expect(answers).toMatchObject([
      { unique: 4 },
      { unique: 2, errno: 0, body: Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]) },
    ]);
  });

  test("are answered by the errno, or EIO, that finish throws", () => {
    const failures = [new FsError(Errno.ENOSPC, "write"), new TypeError("a mistake")];
    const { serve, answers, jobs, lines } = setUp({
      syncAll: () =>
        new Deferred({ call: JobCall.syncFileSystem, args: [9] }, () => {
          throw failures.shift();
        }),
    });
    serve(Opcode.Syncfs, 2, Buffer.alloc(8));
    serve(Opcode.Syncfs, 4, Buffer.alloc(8));
    jobs[0]?.done(0, undefined);
    jobs[1]?.done(0, undefined);
    expect(answers).toMatchObject([
      { unique: 2, errno: Errno.ENOSPC },
      { unique: 4, errno: Errno.EIO },
    ]);
    expect(lines).toMatchObject([{ level: "error", fields: { op: "SYNCFS", unique: 4 } }]);
  });

  test("a read is answered from the buffer that the job has filled", () => {
    const { serve, answers, jobs } = setUp({
      read: () => new Deferred({ call: JobCall.read, args: [9, 0] }, (result) => result),
    });
    const body = Buffer.alloc(40);
    body.writeUInt32LE(100, 16);
    serve(Opcode.Read, 2, body);
    expect(jobs[0]?.buffers).toEqual({ replySize: 100, answers: { uniqueLow: 2, uniqueHigh: 0 } });
    const filled = new ReplyWriter(Buffer.alloc(200));
    filled.area(5).write("hello");
    jobs[0]?.done(5, filled);
    expect(answers).toMatchObject([{ unique: 2, errno: 0, body: Buffer.from("hello") }]);
  });

  test("a read of data that lie in a file is spliced, or else read as any other", () => {
    const rangeOf = (fd: number, read: FileRange["read"]) => new FileRange(fd, 4096, 100, read);
    const unread = () => {
      throw new Error("it has been answered");
    };
    const job = { call: JobCall.read, args: [9, 0] } as const;
    const ranges = [
      rangeOf(splicedFd, unread),
      rangeOf(9, () => 7),
      rangeOf(9, () => new Deferred(job, (result) => result)),
      rangeOf(9, () => {
        throw new FsError(Errno.EIO, "read");
      }),
    ];
    const { serve, answers, jobs } = setUp({ read: () => ranges.shift() as FileRange });
    const body = Buffer.alloc(40);
    body.writeUInt32LE(100, 16);
    for (const unique of [2, 4, 6, 8]) {
      serve(Opcode.Read, unique, body);
    }
    expect(jobs).toMatchObject([{ job, buffers: { replySize: 100, answers: { uniqueLow: 6 } } }]);
    expect(answers).toMatchObject([
      { unique: 2, errno: 0, body: Buffer.from("100 bytes from 4096") },
      { unique: 4, errno: 0, body: { length: 7 } },
      { unique: 8, errno: Errno.EIO },
    ]);
  });

  test("a read that its thread has answered is not answered again, and a failure is logged all the same", () => {
    const { serve, answers, lines, jobs } = setUp({
      read: () =>
        new Deferred({ call: JobCall.read, args: [9, 0] }, (result) => {
          throw new FsError(-result, "read");
        }),
    });
    const body = Buffer.alloc(40);
    body.writeUInt32LE(100, 16);
    serve(Opcode.Read, 2, body);
    jobs[0]?.done(-Errno.EIO, undefined, true);
    expect(answers).toEqual([]);
    expect(lines).toMatchObject([{ level: "warn", fields: { op: "READ", unique: 2 } }]);
  });
});
