/**
 * Real messages of Linux 6.18 (protocol 7.45), as they were read from /dev/fuse, through the whole table of operations:
 * what the file system is asked, and the bytes that go back. Those that this kernel no longer sends are made by linux/fuse.h.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Attributes, DirectorySink, Filesystem } from "../contract/filesystem.ts";
import { Errno, FsError } from "../errno.ts";
import type { Logger } from "../log.ts";
import { Dispatcher } from "./dispatch.ts";
import { operations } from "./operations.ts";
import { decodeDevice, encodeDevice } from "./protocol/attributes.ts";
import {
  type Connection,
  decodeInit,
  encodeInit,
  encodeInitMajorOnly,
  negotiate,
  wireTimeout,
} from "./protocol/init.ts";
import { Opcode } from "./protocol/opcodes.ts";
import { ReplyWriter } from "./protocol/reply-writer.ts";
import { RequestReader } from "./protocol/request-reader.ts";
import { defaultFuseSettings } from "./settings.ts";

/** Hex with blanks and `// comments`. */
function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\/\/.*$/gm, "").replace(/\s/g, ""), "hex");
}

const initMessage = hex(`
  68000000 1a000000 0200000000000000 0000000000000000  // length 104, INIT, unique 2, node 0
  00000000 00000000 00000000 0000 0000                 // uid, gid, pid, extensions, padding
  07000000 2d000000 00000200 fbffff73                  // 7.45, max_readahead 128 KiB, flags
  fd050000                                             // flags2
  0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 // unused
`);

function connectionFor(offer: Buffer): Connection {
  const request = new RequestReader(Buffer.concat([offer, Buffer.alloc(64)]));
  expect(request.begin(offer.length)).toBe(true);
  return negotiate(decodeInit(request), { ...defaultFuseSettings, generation: 0x89 });
}

const silentLog: Logger = {
  debugEnabled: false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Answers every method with `result`, or throws it if it is an error; keeps what was called. */
function fakeFilesystem(result: unknown) {
  const calls: unknown[][] = [];
  const filesystem = new Proxy({} as Filesystem, {
    get:
      (_, method) =>
      (...args: unknown[]) => {
        // Data are valid during the call only.
        calls.push([method, ...args.map((arg) => (Buffer.isBuffer(arg) ? arg.toString("latin1") : structured(arg)))]);
        if (result instanceof Error) {
          throw result;
        }
        return typeof result === "function" ? result(...args) : result;
      },
  });
  return { filesystem, calls };
}

function structured(arg: unknown): unknown {
  if (typeof arg !== "object" || arg === null) {
    return arg;
  }
  return Object.fromEntries(
    Object.entries(arg).map(([key, value]) => [key, Buffer.isBuffer(value) ? value.toString("latin1") : value]),
  );
}

/** Serves one message, and gives back the replies that were sent. */
function exchange(message: Buffer, filesystem: Filesystem, log = silentLog, connection = connectionFor(initMessage)) {
  const replies: Buffer[] = [];
  const dispatcher = new Dispatcher({
    filesystem,
    connection,
    log,
    // Filled with what must not shine through the paddings.
    reply: new ReplyWriter(Buffer.alloc(70_000, 0xee)),
    send: (reply) => {
      replies.push(Buffer.from(reply.bytes.subarray(0, reply.length)));
      reply.bytes.fill(0xee);
    },
    spliceReply: () => false,
    startJob: () => {
      throw new Error("no job was expected");
    },
    isBeingKilled: () => false,
  });
  const buffer = Buffer.alloc(80_000, 0xdd);
  message.copy(buffer);
  dispatcher.serve(new RequestReader(buffer), message.length);
  return replies;
}

const device: Attributes = {
  ino: 4,
  mode: 0o20644,
  nlink: 1,
  uid: 0,
  gid: 0,
  rdevMajor: 259,
  rdevMinor: 70000,
  size: 0,
  blocks: 0,
  blksize: 4096,
  atime: { sec: 0x6b020628, nsec: 0x1f87e640 },
  mtime: { sec: 0x6b020628, nsec: 0x1f87e640 },
  ctime: { sec: 0x6b020628, nsec: 0x1f87e640 },
  btime: undefined,
  attributes: 0,
  attributesMask: 0,
};

const file: Attributes = {
  ...device,
  ino: 5,
  mode: 0o100644,
  nlink: 2,
  uid: 1000,
  gid: 1001,
  rdevMajor: 0,
  rdevMinor: 0,
  size: 8192,
  blocks: 16,
  atime: { sec: -5, nsec: 7 },
  mtime: { sec: 2 ** 33, nsec: 123456789 },
  ctime: { sec: 0x6b020629, nsec: 0x0dacc0 },
};

const deviceEntryHex = `
  0400000000000000 8900000000000000                    // node 4, generation 0x89
  8033e10100000000 8033e10100000000 00000000 00000000  // entry and attributes hold a year
  0400000000000000 0000000000000000 0000000000000000   // ino, size, blocks
  2806026b00000000 2806026b00000000 2806026b00000000   // atime, mtime, ctime
  40e6871f 40e6871f 40e6871f a4210000                  // nanoseconds, mode 020644
  01000000 00000000 00000000 70031111 00100000 00000000 // nlink, uid, gid, rdev 259:70000, blksize, flags
`;

const fileAttrHex = `
  0500000000000000 0020000000000000 1000000000000000   // ino, size, blocks
  fbffffffffffffff 0000000002000000 2906026b00000000   // atime -5, mtime 2^33, ctime
  07000000 15cd5b07 c0ac0d00 a4810000                  // nanoseconds, mode 0100644
  02000000 e8030000 e9030000 00000000 00100000 00000000 // nlink, uid, gid, rdev, blksize, flags
`;

const root = { uid: 0, gid: 0 };
const caller = (pid: number) => ({ ...root, pid });

interface Case {
  readonly name: string;
  readonly request: string;
  /** What the file system is asked; undefined: nothing. */
  readonly call: readonly unknown[] | undefined;
  readonly returns?: unknown;
  /** Undefined: there is no reply. */
  readonly reply: string | undefined;
}

const cases: Case[] = [
  {
    name: "LOOKUP of a name that is absent",
    request: `
      2a000000 01000000 1a00000000000000 0200000000000000  // length 42, LOOKUP, unique 26, node 2
      00000000 00000000 1c080000 0000 0000                 // uid, gid, pid 2076
      66 00                                                // "f"`,
    call: ["lookup", 2, "f"],
    returns: undefined,
    reply: `
      90000000 00000000 1a00000000000000                   // length 144, no error, unique 26
      0000000000000000 0000000000000000                    // node 0: absent
      8033e10100000000 0000000000000000 00000000 00000000  // for a year
      ${"00".repeat(88)}`,
  },
  {
    name: "FORGET",
    request: `
      30000000 02000000 c000000000000000 0800000000000000  // length 48, FORGET, unique 192, node 8
      00000000 00000000 00000000 0000 0000
      0100000000000000                                     // one lookup`,
    call: ["forget", 8, 1],
    reply: undefined,
  },
  {
    name: "GETATTR",
    request: `
      38000000 03000000 cc00000000000000 0500000000000000  // length 56, GETATTR, unique 204, node 5
      00000000 00000000 4c080000 0000 0000
      00000000 00000000 0000000000000000                   // no handle`,
    call: ["getAttributes", 5, undefined],
    returns: file,
    reply: `
      78000000 00000000 cc00000000000000                   // length 120
      8033e10100000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "GETATTR of what may change unseen",
    request: `
      38000000 03000000 cc00000000000000 0500000000000000
      00000000 00000000 4c080000 0000 0000
      00000000 00000000 0000000000000000`,
    call: ["getAttributes", 5, undefined],
    returns: { ...file, unsteady: true },
    reply: `
      78000000 00000000 cc00000000000000
      0000000000000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "GETATTR of an open file",
    request: `
      38000000 03000000 cc00000000000000 0500000000000000
      00000000 00000000 4c080000 0000 0000
      01000000 00000000 0900000000000000                   // GETATTR_FH, handle 9`,
    call: ["getAttributes", 5, 9],
    returns: file,
    reply: `
      78000000 00000000 cc00000000000000
      8033e10100000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "SETATTR by touch: both times now",
    request: `
      80000000 04000000 2000000000000000 0500000000000000  // length 128, SETATTR, unique 32, node 5
      00000000 00000000 1c080000 0000 0000
      b0010000 00000000 0000000000000000                   // ATIME MTIME ATIME_NOW MTIME_NOW, handle
      0000000000000000 0000000000000000                    // size, lock owner
      2806026b00000000 2806026b00000000 0000000000000000   // atime, mtime, ctime
      c1815a20 c1815a20 00000000                           // nanoseconds
      00000000 00000000 00000000 00000000 00000000         // mode, unused, uid, gid, unused`,
    call: ["setAttributes", 5, undefined, { atime: "now", mtime: "now" }, caller(2076)],
    returns: file,
    reply: `78000000 00000000 2000000000000000 8033e10100000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "SETATTR by utimensat: -5 s and 2^33 s",
    request: `
      80000000 04000000 3600000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      30000000 00000000 0000000000000000                   // ATIME MTIME
      0000000000000000 0000000000000000
      fbffffffffffffff 0000000002000000 0000000000000000
      07000000 15cd5b07 00000000
      00000000 00000000 00000000 00000000 00000000`,
    call: [
      "setAttributes",
      5,
      undefined,
      { atime: { sec: -5, nsec: 7 }, mtime: { sec: 2 ** 33, nsec: 123456789 } },
      caller(2077),
    ],
    returns: file,
    reply: `78000000 00000000 3600000000000000 8033e10100000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "SETATTR by truncate to 11",
    request: `
      80000000 04000000 3a00000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      08020000 00000000 0000000000000000                   // SIZE LOCKOWNER
      0b00000000000000 732106bf79dbd083
      0000000000000000 0000000000000000 0000000000000000
      00000000 00000000 00000000
      00000000 00000000 00000000 00000000 00000000`,
    call: ["setAttributes", 5, undefined, { size: 11 }, caller(2077)],
    returns: file,
    reply: `78000000 00000000 3a00000000000000 8033e10100000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "SETATTR by chown",
    request: `
      80000000 04000000 7800000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      06080000 00000000 0000000000000000                   // UID GID KILL_SUIDGID
      0000000000000000 0000000000000000
      0000000000000000 0000000000000000 0000000000000000
      00000000 00000000 00000000
      00000000 00000000 e8030000 e9030000 00000000         // uid 1000, gid 1001`,
    call: ["setAttributes", 5, undefined, { uid: 1000, gid: 1001, killSetIds: true }, caller(2077)],
    returns: file,
    reply: `78000000 00000000 7800000000000000 8033e10100000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "SETATTR by fchmod",
    request: `
      80000000 04000000 3a00000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      41000000 00000000 0900000000000000                   // MODE FH, handle 9
      0000000000000000 0000000000000000
      0000000000000000 0000000000000000 0000000000000000
      00000000 00000000 00000000
      ed890000 00000000 00000000 00000000 00000000         // 0104755`,
    call: ["setAttributes", 5, 9, { mode: 0o4755 }, caller(2077)],
    returns: file,
    reply: `78000000 00000000 3a00000000000000 8033e10100000000 00000000 00000000 ${fileAttrHex}`,
  },
  {
    name: "STATX",
    request: `
      40000000 34000000 ce00000000000000 0600000000000000  // length 64, STATX, unique 206, node 6
      00000000 00000000 4c080000 0000 0000
      00000000 00000000 0000000000000000 00000000 ff0f0000 // no handle, flags 0, mask 0xfff`,
    call: ["getAttributes", 6, undefined],
    returns: {
      ...file,
      ino: 6,
      rdevMajor: 259,
      rdevMinor: 70000,
      btime: { sec: 0x6b020629, nsec: 12 },
      attributes: 0x10,
      attributesMask: 0x70,
    },
    reply: `
      30010000 00000000 ce00000000000000                   // length 304
      8033e10100000000 00000000 00000000                   // a year
      0000000000000000 0000000000000000
      ff0f0000 00100000 1000000000000000                   // mask with BTIME, blksize, attributes
      02000000 e8030000 e9030000 a481 0000                 // nlink, uid, gid, mode
      0600000000000000 0020000000000000 1000000000000000   // ino, size, blocks
      7000000000000000                                     // attributes_mask
      fbffffffffffffff 07000000 00000000                   // atime
      2906026b00000000 0c000000 00000000                   // btime
      2906026b00000000 c0ac0d00 00000000                   // ctime
      0000000002000000 15cd5b07 00000000                   // mtime
      03010000 70110100 00000000 00000000                  // rdev 259:70000, dev
      ${"00".repeat(112)}`,
  },
  {
    name: "READLINK",
    request: `
      28000000 05000000 9c00000000000000 0300000000000000  // length 40, READLINK, unique 156, node 3
      00000000 00000000 46080000 0000 0000`,
    call: ["readLink", 3],
    returns: Buffer.from("../target"),
    reply: "19000000 00000000 9c00000000000000 2e2e2f746172676574",
  },
  {
    name: "SYMLINK",
    request: `
      37000000 06000000 0e00000000000000 0200000000000000  // length 55, SYMLINK, unique 14, node 2
      00000000 00000000 19080000 0000 0000
      6c696e6b00 2e2e2f74617267657400                      // "link", "../target"`,
    call: ["makeSymlink", 2, "link", "../target", caller(2073)],
    returns: { node: 4, attributes: device },
    reply: `90000000 00000000 0e00000000000000 ${deviceEntryHex}`,
  },
  {
    name: "MKNOD",
    request: `
      3a000000 08000000 1600000000000000 0200000000000000  // length 58, MKNOD, unique 22, node 2
      00000000 00000000 1b080000 0000 0000
      b6210000 70031111 12000000 00000000                  // mode 020666, rdev 259:70000, umask 022
      6e00                                                 // "n"`,
    call: ["makeNode", 2, "n", { mode: 0o20666, umask: 0o22 }, { major: 259, minor: 70000 }, caller(2075)],
    returns: { node: 4, attributes: device },
    reply: `90000000 00000000 1600000000000000 ${deviceEntryHex}`,
  },
  {
    name: "MKDIR",
    request: `
      32000000 09000000 ba00000000000000 0100000000000000  // length 50, MKDIR, unique 186, node 1
      00000000 00000000 4a080000 0000 0000
      ff010000 12000000 6500                               // mode 0777, umask 022, "e"`,
    call: ["makeDirectory", 1, "e", { mode: 0o777, umask: 0o22 }, caller(2122)],
    returns: { node: 4, attributes: device },
    reply: `90000000 00000000 ba00000000000000 ${deviceEntryHex}`,
  },
  {
    name: "UNLINK",
    request: `
      2a000000 0a000000 b600000000000000 0200000000000000  // length 42, UNLINK, unique 182, node 2
      00000000 00000000 49080000 0000 0000
      6800`,
    call: ["removeFile", 2, "h"],
    reply: "10000000 00000000 b600000000000000",
  },
  {
    name: "RMDIR",
    request: `
      2a000000 0b000000 be00000000000000 0100000000000000
      00000000 00000000 4b080000 0000 0000
      6500`,
    call: ["removeDirectory", 1, "e"],
    reply: "10000000 00000000 be00000000000000",
  },
  {
    name: "RENAME",
    request: `
      34000000 0c000000 6600000000000000 0200000000000000  // length 52, RENAME, unique 102, node 2
      00000000 00000000 1d080000 0000 0000
      0200000000000000 6700 6800                           // to node 2: "g", "h"`,
    call: ["rename", 2, "g", 2, "h", 0],
    reply: "10000000 00000000 6600000000000000",
  },
  {
    name: "RENAME2",
    request: `
      3c000000 2d000000 6000000000000000 0200000000000000  // length 60, RENAME2, unique 96, node 2
      00000000 00000000 1d080000 0000 0000
      0300000000000000 02000000 00000000 6600 6700         // to node 3, EXCHANGE: "f", "g"`,
    call: ["rename", 2, "f", 3, "g", 2],
    reply: "10000000 00000000 6000000000000000",
  },
  {
    name: "LINK",
    request: `
      32000000 0d000000 6c00000000000000 0200000000000000  // length 50, LINK, unique 108, node 2
      00000000 00000000 1d080000 0000 0000
      0500000000000000 6b00                                // of node 5: "k"`,
    call: ["link", 5, 2, "k"],
    returns: { node: 4, attributes: device },
    reply: `90000000 00000000 6c00000000000000 ${deviceEntryHex}`,
  },
  {
    name: "OPEN",
    request: `
      30000000 0e000000 ae00000000000000 0600000000000000  // length 48, OPEN, unique 174, node 6
      00000000 00000000 47080000 0000 0000
      00800000 00000000                                    // O_LARGEFILE`,
    call: ["open", 6, { flags: 0o100000, killSetIds: false }],
    returns: { handle: 7, cache: "keep" },
    reply: "20000000 00000000 ae00000000000000 0700000000000000 02000000 00000000",
  },
  {
    name: "OPEN that truncates, by a caller without CAP_FSETID",
    request: `
      30000000 0e000000 ae00000000000000 0600000000000000
      e8030000 e8030000 47080000 0000 0000
      01820000 01000000                                    // O_WRONLY O_TRUNC O_LARGEFILE, KILL_SUIDGID`,
    call: ["open", 6, { flags: 0o101001, killSetIds: true }],
    returns: { handle: 7, cache: "bypass" },
    reply: "20000000 00000000 ae00000000000000 0700000000000000 01000000 00000000",
  },
  {
    name: "OPEN of a file that the kernel reads and writes by itself",
    request: `
      30000000 0e000000 ae00000000000000 0600000000000000
      00000000 00000000 47080000 0000 0000
      00800000 00000000`,
    call: ["open", 6, { flags: 0o100000, killSetIds: false }],
    returns: { handle: 7, cache: "drop", backing: 5 },
    reply: "20000000 00000000 ae00000000000000 0700000000000000 80000000 05000000",
  },
  {
    name: "OPEN of a file that the kernel maps by itself, and does not read or write",
    request: `
      30000000 0e000000 ae00000000000000 0600000000000000
      00000000 00000000 47080000 0000 0000
      00800000 00000000`,
    call: ["open", 6, { flags: 0o100000, killSetIds: false }],
    returns: { handle: 7, cache: "bypass", backing: 5 },
    reply: "20000000 00000000 ae00000000000000 0700000000000000 81000000 05000000",
  },
  {
    name: "OPEN of a file whose cached pages are outdated",
    request: `
      30000000 0e000000 ae00000000000000 0600000000000000
      00000000 00000000 47080000 0000 0000
      00800000 00000000`,
    call: ["open", 6, { flags: 0o100000, killSetIds: false }],
    returns: { handle: 7, cache: "drop" },
    reply: "20000000 00000000 ae00000000000000 0700000000000000 00000000 00000000",
  },
  {
    name: "CREATE",
    request: `
      3a000000 23000000 4800000000000000 0200000000000000  // length 58, CREATE, unique 72, node 2
      00000000 00000000 1d080000 0000 0000
      c2800000 a0810000 12000000 00000000 6700             // O_RDWR O_CREAT O_EXCL, 0100640, umask 022, "g"`,
    call: ["create", 2, "g", { mode: 0o640, umask: 0o22 }, { flags: 0o100302, killSetIds: false }, caller(2077)],
    returns: { node: 4, attributes: device, handle: 3, cache: "keep" },
    reply: `a0000000 00000000 4800000000000000 ${deviceEntryHex} 0300000000000000 02000000 00000000`,
  },
  {
    name: "TMPFILE",
    request: `
      3a000000 33000000 7000000000000000 0200000000000000  // length 58, TMPFILE, unique 112, node 2
      00000000 00000000 1d080000 0000 0000
      02804100 80810000 12000000 00000000 2f00             // O_TMPFILE O_RDWR, 0100600, umask 022, "/"`,
    call: ["createUnnamed", 2, { mode: 0o600, umask: 0o22 }, { flags: 0o20300002, killSetIds: false }, caller(2077)],
    returns: { node: 4, attributes: device, handle: 5, cache: "keep" },
    reply: `a0000000 00000000 7000000000000000 ${deviceEntryHex} 0500000000000000 02000000 00000000`,
  },
  {
    name: "READ",
    request: `
      50000000 0f000000 b000000000000000 0600000000000000  // length 80, READ, unique 176, node 6
      00000000 00000000 47080000 0000 0000
      0700000000000000 0010000000000000 0010000000000000   // handle 7, offset 4096, size 4096
      0000000000000000 00800000 00000000                   // lock owner, flags`,
    call: ["read", 6, 7, 4096, "\xee".repeat(4096)],
    returns: (_node: number, _handle: number, _offset: number, into: Buffer) => into.write("hello"),
    reply: "15000000 00000000 b000000000000000 68656c6c6f",
  },
  {
    name: "WRITE",
    request: `
      5b000000 10000000 3400000000000000 0500000000000000  // length 91, WRITE, unique 52, node 5
      00000000 00000000 1d080000 0000 0000
      0200000000000000 0000000000000000 0b000000 00000000  // handle 2, offset 0, 11 bytes, no flags
      0000000000000000 02840000 00000000                   // lock owner, O_RDWR O_APPEND
      68656c6c6f2c2077697265`,
    call: ["write", 5, 2, { handle: 2, offset: 0, data: "hello, wire", flags: 0o102002, killSetIds: false }],
    returns: 11,
    reply: "18000000 00000000 3400000000000000 0b000000 00000000",
  },
  {
    name: "STATFS",
    request: `
      28000000 11000000 d000000000000000 0100000000000000
      00000000 00000000 75080000 0000 0000`,
    call: ["statistics", 1],
    returns: {
      blocks: 1000,
      blocksFree: 600,
      blocksAvailable: 500,
      files: 100,
      filesFree: 90,
      bsize: 4096,
      frsize: 1024,
      nameMax: 255,
    },
    reply: `
      60000000 00000000 d000000000000000
      e803000000000000 5802000000000000 f401000000000000 6400000000000000 5a00000000000000
      00100000 ff000000 00040000 00000000 ${"00".repeat(24)}`,
  },
  {
    name: "RELEASE",
    request: `
      40000000 12000000 b200000000000000 0600000000000000  // length 64, RELEASE, unique 178, node 6
      00000000 00000000 00000000 0000 0000
      0700000000000000 00800000 00000000 0000000000000000  // handle 7`,
    call: ["release", 6, 7],
    reply: "10000000 00000000 b200000000000000",
  },
  {
    name: "FSYNC, data only",
    request: `
      38000000 14000000 3e00000000000000 0500000000000000  // length 56, FSYNC, unique 62, node 5
      00000000 00000000 1d080000 0000 0000
      0200000000000000 01000000 00000000                   // handle 2, FDATASYNC`,
    call: ["sync", 5, 2, true],
    reply: "10000000 00000000 3e00000000000000",
  },
  {
    name: "SETXATTR",
    request: `
      46000000 15000000 5600000000000000 0500000000000000  // length 70, SETXATTR, unique 86, node 5
      00000000 00000000 1d080000 0000 0000
      05000000 01000000 00000000 00000000                  // 5 bytes, XATTR_CREATE, no flags
      757365722e6b657900 76616c7565                        // "user.key", "value"`,
    call: ["setXattr", 5, "user.key", "value", 1, false],
    reply: "10000000 00000000 5600000000000000",
  },
  {
    name: "GETXATTR",
    request: `
      41000000 16000000 aa00000000000000 0500000000000000  // length 65, GETXATTR, unique 170, node 5
      00000000 00000000 46080000 0000 0000
      ff000000 00000000 73656375726974792e73656c696e757800 // 255 bytes, "security.selinux"`,
    call: ["getXattr", 5, "security.selinux"],
    returns: Buffer.from("label"),
    reply: "15000000 00000000 aa00000000000000 6c6162656c",
  },
  {
    name: "GETXATTR of what is not there",
    request: `
      41000000 16000000 aa00000000000000 0500000000000000
      00000000 00000000 46080000 0000 0000
      ff000000 00000000 73656375726974792e73656c696e757800`,
    call: ["getXattr", 5, "security.selinux"],
    returns: undefined,
    reply: "10000000 c3ffffff aa00000000000000", // -ENODATA
  },
  {
    name: "GETXATTR that asks for the size",
    request: `
      41000000 16000000 aa00000000000000 0500000000000000
      00000000 00000000 46080000 0000 0000
      00000000 00000000 73656375726974792e73656c696e757800`,
    call: ["getXattr", 5, "security.selinux"],
    returns: Buffer.from("label"),
    reply: "18000000 00000000 aa00000000000000 05000000 00000000",
  },
  {
    name: "GETXATTR with too little room",
    request: `
      41000000 16000000 aa00000000000000 0500000000000000
      00000000 00000000 46080000 0000 0000
      04000000 00000000 73656375726974792e73656c696e757800`,
    call: ["getXattr", 5, "security.selinux"],
    returns: Buffer.from("label"),
    reply: "10000000 deffffff aa00000000000000",
  },
  {
    name: "LISTXATTR",
    request: `
      30000000 17000000 5a00000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      00010000 00000000                                    // 256 bytes`,
    call: ["listXattrs", 5, caller(2077)],
    returns: ["user.key", "user.\xff"],
    reply: "20000000 00000000 5a00000000000000 757365722e6b657900 757365722eff00",
  },
  {
    name: "REMOVEXATTR",
    request: `
      31000000 18000000 5c00000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      757365722e6b657900`,
    call: ["removeXattr", 5, "user.key"],
    reply: "10000000 00000000 5c00000000000000",
  },
  {
    name: "FLUSH",
    request: `
      40000000 19000000 1e00000000000000 0500000000000000
      00000000 00000000 1c080000 0000 0000
      0100000000000000 0000000000000000 732106bf79dbd083`,
    call: undefined,
    reply: "10000000 daffffff 1e00000000000000 // ENOSYS",
  },
  {
    name: "OPENDIR",
    request: `
      30000000 1b000000 2800000000000000 0100000000000000
      00000000 00000000 1d080000 0000 0000
      00880100 00000000`,
    call: undefined,
    reply: "10000000 daffffff 2800000000000000",
  },
  {
    name: "READDIR",
    request: `
      50000000 1c000000 ca00000000000000 0100000000000000  // length 80, READDIR, unique 202, node 1
      00000000 00000000 4c080000 0000 0000
      0000000000000000 0300000000000000 0080000000000000   // no handle, offset 3, 32 KiB
      0000000000000000 00880100 00000000`,
    call: ["readDirectory", 1, 3, false, expect.anything()],
    returns: (_node: number, _offset: number, _with: boolean, sink: DirectorySink) => {
      sink.add("d", 2, 0o040000, 4);
      sink.add("12345678", 2 ** 40 + 7, 0o100000, 5);
    },
    reply: `
      50000000 00000000 ca00000000000000
      0200000000000000 0400000000000000 01000000 04000000 6400000000000000 // ino, next, length, DT_DIR, "d"
      0700000000010000 0500000000000000 08000000 08000000 3132333435363738 // DT_REG, without padding`,
  },
  {
    name: "READDIRPLUS",
    request: `
      50000000 2c000000 c800000000000000 0100000000000000  // length 80, READDIRPLUS, unique 200, node 1
      00000000 00000000 4c080000 0000 0000
      0000000000000000 0000000000000000 0080000000000000   // no handle, offset 0, 32 KiB
      0000000000000000 00880100 00000000`,
    call: ["readDirectory", 1, 0, true, expect.anything()],
    returns: (_node: number, _offset: number, _with: boolean, sink: DirectorySink) => {
      sink.addWithEntry(".", 1, 0o040000, 1, undefined);
      sink.addWithEntry("n", 4, 0o020000, 2, { node: 4, attributes: device });
    },
    reply: `
      50010000 00000000 c800000000000000                   // length 336
      ${"00".repeat(128)}                                  // no entry for "."
      0100000000000000 0100000000000000 01000000 04000000 2e00000000000000
      ${deviceEntryHex}
      0400000000000000 0200000000000000 01000000 02000000 6e00000000000000`,
  },
  {
    name: "FSYNCDIR",
    request: `
      38000000 1e000000 8000000000000000 0200000000000000
      00000000 00000000 1d080000 0000 0000
      0000000000000000 00000000 00000000`,
    call: ["syncDirectory", 2],
    reply: "10000000 00000000 8000000000000000",
  },
  {
    name: "ACCESS",
    request: `
      30000000 22000000 8000000000000000 0200000000000000
      00000000 00000000 1d080000 0000 0000
      04000000 00000000`,
    call: undefined,
    reply: "10000000 daffffff 8000000000000000",
  },
  {
    name: "IOCTL: FS_IOC_GETFLAGS",
    request: `
      48000000 27000000 5000000000000000 0500000000000000  // length 72, IOCTL, unique 80, node 5
      00000000 00000000 1d080000 0000 0000
      0400000000000000 00000000 01660880                   // handle 4, no flags, command
      0000000000000000 00000000 04000000                   // argument, 0 bytes in, 4 out`,
    call: ["ioctl", 5, 0x80086601, "", 4],
    returns: Buffer.from([0x60, 0, 0, 0]),
    reply: "24000000 00000000 5000000000000000 00000000 00000000 00000000 00000000 60000000",
  },
  {
    name: "BATCH_FORGET",
    request: `
      70000000 2a000000 8e00000000000000 0000000000000000  // length 112, BATCH_FORGET, unique 142
      00000000 00000000 00000000 0000 0000
      04000000 00000000                                    // four nodes
      0300000000000000 0100000000000000 0500000000000000 0200000000000000
      0600000000000000 0100000000000000 0200000000000000 0200000000000000`,
    call: ["forget", 3, 1],
    reply: undefined,
  },
  {
    name: "FALLOCATE",
    request: `
      48000000 2b000000 4200000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      0200000000000000 0010000000000000 0020000000000000 03000000 00000000 // handle, offset, length, mode`,
    call: ["allocate", 5, 2, { mode: 3, offset: 4096, length: 8192 }, caller(2077)],
    reply: "10000000 00000000 4200000000000000",
  },
  {
    name: "LSEEK",
    request: `
      40000000 2e000000 4400000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      0200000000000000 0500000000000000 03000000 00000000  // handle 2, offset 5, SEEK_DATA`,
    call: ["seek", 5, 2, 5, 3],
    returns: 2 ** 40 + 1,
    reply: "18000000 00000000 4400000000000000 0100000000010000",
  },
  {
    name: "COPY_FILE_RANGE",
    request: `
      60000000 2f000000 4c00000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      0200000000000000 0100000000000000 0600000000000000   // handle 2, offset 1, to node 6
      0300000000000000 0400000000000000 0500000000000000 0000000000000000 // handle 3, offset 4, 5 bytes`,
    call: ["copyRange", { node: 5, handle: 2, offset: 1 }, { node: 6, handle: 3, offset: 4 }, 5, caller(2077)],
    returns: 5,
    reply: "18000000 00000000 4c00000000000000 05000000 00000000",
  },
  {
    name: "COPY_FILE_RANGE_64",
    request: `
      60000000 35000000 4c00000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      0200000000000000 0100000000000000 0600000000000000
      0300000000000000 0400000000000000 0000000002000000 0000000000000000`,
    call: ["copyRange", { node: 5, handle: 2, offset: 1 }, { node: 6, handle: 3, offset: 4 }, 2 ** 33, caller(2077)],
    returns: 2 ** 33,
    reply: "18000000 00000000 4c00000000000000 0000000002000000",
  },
  {
    name: "SYNCFS",
    request: `
      30000000 32000000 4c00000000000000 0100000000000000
      00000000 00000000 1d080000 0000 0000
      0000000000000000`,
    call: ["syncAll"],
    reply: "10000000 00000000 4c00000000000000",
  },
  {
    name: "INTERRUPT of a request that is not waiting",
    request: `
      30000000 24000000 4d00000000000000 0000000000000000
      00000000 00000000 00000000 0000 0000
      4c00000000000000`,
    call: undefined,
    reply: undefined,
  },
  {
    name: "DESTROY",
    request: `
      28000000 26000000 4c00000000000000 0000000000000000
      00000000 00000000 00000000 0000 0000`,
    call: undefined,
    reply: "10000000 00000000 4c00000000000000",
  },
];

describe("messages of the kernel, and what is answered", () => {
  test.each(cases)("$name", ({ request, call, returns, reply }) => {
    const { filesystem, calls } = fakeFilesystem(returns);
    const replies = exchange(hex(request), filesystem);
    expect(calls[0]).toEqual(call);
    expect(replies.map((bytes) => bytes.toString("hex"))).toEqual(
      reply === undefined ? [] : [hex(reply).toString("hex")],
    );
  });

  test("BATCH_FORGET drops each of its nodes", () => {
    const { filesystem, calls } = fakeFilesystem(undefined);
    const message = cases.find(({ name }) => name === "BATCH_FORGET") as Case;
    exchange(hex(message.request), filesystem);
    expect(calls).toEqual([
      ["forget", 3, 1],
      ["forget", 5, 2],
      ["forget", 6, 1],
      ["forget", 2, 2],
    ]);
  });

  test("before 7.33 SETXATTR is shorter", () => {
    const old = Buffer.from(initMessage);
    old.writeUInt32LE(31, 44);
    old.writeUInt32LE(0x03fffffb, 52);
    const connection = connectionFor(old);
    expect(connection).toMatchObject({ minor: 31, setxattrExtended: false });
    const { filesystem, calls } = fakeFilesystem(undefined);
    const message = hex(`
      3e000000 15000000 5600000000000000 0500000000000000
      00000000 00000000 1d080000 0000 0000
      05000000 01000000 757365722e6b657900 76616c7565`);
    exchange(message, filesystem, silentLog, connection);
    expect(calls).toEqual([["setXattr", 5, "user.key", "value", 1, false]]);
  });

  test("extensions behind the body are no part of it", () => {
    const { filesystem, calls } = fakeFilesystem(undefined);
    exchange(
      hex(`
        32000000 0a000000 b600000000000000 0200000000000000
        00000000 00000000 49080000 0100 0000               // 8 bytes of extensions
        6800 0800000020000000`),
      filesystem,
    );
    expect(calls).toEqual([["removeFile", 2, "h"]]);
  });
});

describe("INIT", () => {
  test("takes of the offer what it can honour", () => {
    const connection = connectionFor(initMessage);
    const reply = new ReplyWriter(Buffer.alloc(4096, 0xee));
    encodeInit(connection, reply);
    reply.finish(0, 2, 0);
    expect(reply.bytes.subarray(0, reply.length).toString("hex")).toBe(
      hex(`
        50000000 00000000 0200000000000000                 // length 80
        07000000 2d000000 00000200 6920d473                // 7.45, max_readahead, flags
        4000 3000 00000800 01000000 8000 0000              // background 64 and 48, 512 KiB, 1 ns, 128 pages
        00000000 ${"00".repeat(28)}                        // flags2`).toString("hex"),
    );
  });

  const negotiated = (offer: Buffer) => {
    const request = new RequestReader(Buffer.from(offer));
    request.begin(offer.length);
    const reply = new ReplyWriter(Buffer.alloc(4096, 0xee));
    encodeInit(negotiate(decodeInit(request), { ...defaultFuseSettings, passthrough: true }), reply);
    return { flags2: reply.area(64).readUInt32LE(32), maxStackDepth: reply.area(64).readUInt32LE(36) };
  };

  test("takes passthrough, over file systems that are no stack, where it is wanted and offered", () => {
    expect(negotiated(initMessage)).toEqual({ flags2: 0x20, maxStackDepth: 1 });
    const without = Buffer.from(initMessage);
    without.writeUInt32LE(0x5dd, 56);
    expect(negotiated(without)).toEqual({ flags2: 0, maxStackDepth: 0 });
  });

  test("reads flags2 only where the kernel says that it is there", () => {
    const older = Buffer.from(initMessage);
    older.writeUInt32LE(0x33fffffb, 52);
    expect(negotiated(older)).toEqual({ flags2: 0, maxStackDepth: 0 });
  });

  test("tells a kernel of a newer major protocol to come again with 7", () => {
    const reply = new ReplyWriter(Buffer.alloc(4096, 0xee));
    encodeInitMajorOnly(reply);
    expect(reply.area(64).toString("hex")).toBe(hex(`07000000 2d000000 ${"00".repeat(56)}`).toString("hex"));
    expect(reply.length).toBe(80);
  });

  test("asks for nothing that was not offered", () => {
    const bare = Buffer.from(initMessage);
    bare.writeUInt32LE(0, 52);
    expect(connectionFor(bare).flags).toBe(0);
  });

  test("lets the kernel re-check its pages where a finite timeout says that layers may change", () => {
    const request = new RequestReader(initMessage);
    request.begin(initMessage.length);
    const { flags } = negotiate(decodeInit(request), { ...defaultFuseSettings, attrTimeout: 1 });
    expect(flags & (1 << 12)).not.toBe(0);
    expect(flags & (1 << 25)).toBe(0);
  });

  test.each([6, 7])("refuses %i.30", (major) => {
    const request = new RequestReader(initMessage);
    request.begin(initMessage.length);
    expect(() => negotiate({ ...decodeInit(request), major, minor: 30 }, defaultFuseSettings)).toThrow("EPROTO");
  });
});

describe("malformed messages", () => {
  /** Operations whose bodies hold nothing that is looked at. */
  const bodiless = new Set(["READLINK", "STATFS", "FLUSH", "OPENDIR", "ACCESS", "SYNCFS", "DESTROY"]);

  test.each(cases)("$name cut at every length is refused", ({ name, request }) => {
    const whole = hex(request);
    const noReply = operations.get(whole.readUInt32LE(4))?.noReply;
    for (let length = 0; length < whole.length; length++) {
      const { filesystem, calls } = fakeFilesystem(new Error("must not be asked"));
      const cut = Buffer.from(whole.subarray(0, length));
      if (length >= 4 && length >= 40) {
        cut.writeUInt32LE(length, 0);
      }
      const replies = exchange(cut, filesystem);
      if (length >= 40 && bodiless.has(name)) {
        continue;
      }
      expect(calls, `${length} bytes`).toEqual([]);
      const errors = replies.map((reply) => -reply.readInt32LE(4));
      const expected = length < 16 || (length >= 40 && noReply) ? [] : [length < 40 ? Errno.EIO : Errno.EINVAL];
      expect(errors, `${length} bytes`).toEqual(expected);
    }
  });

  test("a length in the header that is not the message's is refused", () => {
    const { filesystem, calls } = fakeFilesystem(undefined);
    const message = hex((cases[0] as Case).request);
    message.writeUInt32LE(41, 0);
    expect(exchange(message, filesystem).map((reply) => -reply.readInt32LE(4))).toEqual([Errno.EIO]);
    expect(calls).toEqual([]);
  });

  test.each(["", ".", "..", "a/b"])("the name %j is refused", (name) => {
    const { filesystem, calls } = fakeFilesystem(undefined);
    const message = Buffer.concat([hex((cases[0] as Case).request).subarray(0, 40), Buffer.from(`${name}\0`)]);
    message.writeUInt32LE(message.length, 0);
    expect(exchange(message, filesystem).map((reply) => -reply.readInt32LE(4))).toEqual([Errno.EINVAL]);
    expect(calls).toEqual([]);
  });

  test("a READ of more than a reply can hold is refused, not shortened", () => {
    const { filesystem, calls } = fakeFilesystem(0);
    const message = hex((cases.find(({ name }) => name === "READ") as Case).request);
    message.writeUInt32LE(0xffffffff, 56);
    expect(exchange(message, filesystem).map((reply) => -reply.readInt32LE(4))).toEqual([Errno.EINVAL]);
    expect(calls).toEqual([]);
  });

  test("an xattr that no reply can hold is an error of its own", () => {
    const { filesystem } = fakeFilesystem(Buffer.alloc(100_000));
    const message = hex((cases.find(({ name }) => name === "GETXATTR") as Case).request);
    message.writeUInt32LE(0xffffffff, 40);
    expect(exchange(message, filesystem).map((reply) => -reply.readInt32LE(4))).toEqual([Errno.EOVERFLOW]);
  });

  test("whatever a body holds, there is one answer and no exception", () => {
    const opcodes = [...Object.values(Opcode), 0, 7, 19, 54, 4097, 0xffffffff];
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.constantFrom(0, 0xff, 1, 0x80, 0x7f), { maxLength: 200 }).map((bytes) => Uint8Array.from(bytes)),
    );
    fc.assert(
      fc.property(fc.constantFrom(...opcodes), body, (opcode, bytes) => {
        const message = Buffer.concat([Buffer.alloc(40), bytes]);
        message.writeUInt32LE(message.length, 0);
        message.writeUInt32LE(opcode, 4);
        message.writeUInt32LE(77, 8);
        const { filesystem } = fakeFilesystem(new FsError(Errno.ESTALE, "any"));
        const replies = exchange(message, filesystem);
        expect(replies).toHaveLength(operations.get(opcode)?.noReply ? 0 : 1);
        for (const reply of replies) {
          expect(reply.readUInt32LE(0)).toBe(reply.length);
          expect(reply.readUInt32LE(8)).toBe(77);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

test("every opcode has its row, and an unknown one gets ENOSYS", () => {
  expect([...operations.keys()].sort()).toEqual([...Object.values(Opcode)].sort());
  const message = hex(`
    28000000 ff000000 0700000000000000 0100000000000000
    00000000 00000000 00000000 0000 0000`);
  const { filesystem } = fakeFilesystem(undefined);
  expect(exchange(message, filesystem).map((reply) => reply.toString("hex"))).toEqual([
    hex("10000000 daffffff 0700000000000000").toString("hex"),
  ]);
});

test("device numbers keep their 12 and 20 bits", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4095 }), fc.integer({ min: 0, max: 1048575 }), (major, minor) => {
      expect(decodeDevice(encodeDevice(major, minor))).toEqual({ major, minor });
    }),
  );
});

test("timeouts may have fractions", () => {
  expect([0, 1, 1.5, 0.9999999999].map(wireTimeout)).toEqual([
    { sec: 0, nsec: 0 },
    { sec: 1, nsec: 0 },
    { sec: 1, nsec: 500_000_000 },
    { sec: 0, nsec: 999_999_999 },
  ]);
});

test("each request is one rx and one tx line at debug, with data only counted", () => {
  const lines: [string, object][] = [];
  const log: Logger = {
    ...silentLog,
    debugEnabled: true,
    debug: (fields, message) => void lines.push([message, fields]),
  };
  const { filesystem } = fakeFilesystem(11);
  exchange(hex((cases.find(({ name }) => name === "WRITE") as Case).request), filesystem, log);
  expect(lines).toEqual([
    [
      "rx",
      {
        op: "WRITE",
        unique: 52,
        node: 5,
        caller: caller(2077),
        body: { handle: 2, offset: 0, data: "11 bytes", flags: 0o102002, killSetIds: false },
      },
    ],
    ["tx", { op: "WRITE", unique: 52, body: 11 }],
  ]);
});
