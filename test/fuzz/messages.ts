/**
 * Requests as linux/fuse.h lays them out, put together from random choices: mostly such as the kernel could send, on nodes
 * and handles that were given out before, some with hostile values, some damaged as no kernel would.
 */
import fc from "fast-check";
import { Opcode } from "../../src/fuse/protocol/opcodes.ts";

/** What a body consists of, in order; sizes and places as in linux/fuse.h. */
type Field =
  | "zero"
  | "u32"
  | "flags"
  | "fewFlags"
  | "mode"
  | "size"
  | "dataSize"
  | "u64"
  | "offset"
  | "node"
  | "handle"
  | "otherHandle"
  | "unique"
  | "name"
  | "newName"
  | "xattr"
  | "data"
  | "forgets";

const read: readonly Field[] = ["handle", "offset", "size", "flags", "u64", "flags", "zero"];
const create: readonly Field[] = ["fewFlags", "mode", "mode", "flags", "name"];
const copyRange: readonly Field[] = ["handle", "offset", "node", "otherHandle", "offset", "offset", "flags", "zero"];
const setattrTimes: readonly Field[] = ["u64", "u64", "u64", "u32", "u32", "u32"];
const release: readonly Field[] = ["handle", "flags", "flags", "u64"];
const anything: readonly Field[] = ["u64", "u64", "data"];

const layouts: Readonly<Record<keyof typeof Opcode, readonly Field[]>> = {
  Lookup: ["name"],
  Forget: ["u64"],
  Getattr: ["flags", "zero", "handle"],
  Setattr: ["flags", "zero", "handle", "offset", "u64", ...setattrTimes, "mode", "zero", "u32", "u32", "zero"],
  Readlink: [],
  Symlink: ["name", "newName"],
  Mknod: ["mode", "size", "mode", "zero", "name"],
  Mkdir: ["mode", "mode", "name"],
  Unlink: ["name"],
  Rmdir: ["name"],
  Rename: ["node", "name", "newName"],
  Link: ["node", "name"],
  Open: ["fewFlags", "flags"],
  Read: read,
  Write: ["handle", "offset", "dataSize", "flags", "u64", "flags", "zero", "data"],
  Statfs: [],
  Release: release,
  Fsync: ["handle", "flags", "zero"],
  Setxattr: ["dataSize", "fewFlags", "flags", "zero", "xattr", "data"],
  Getxattr: ["size", "zero", "xattr"],
  Listxattr: ["size", "zero"],
  Removexattr: ["xattr"],
  Flush: ["handle", "zero", "zero", "u64"],
  Init: anything,
  Opendir: ["flags", "zero"],
  Readdir: read,
  Releasedir: release,
  Fsyncdir: ["handle", "flags", "zero"],
  Getlk: anything,
  Setlk: anything,
  Setlkw: anything,
  Access: ["flags", "zero"],
  Create: create,
  Interrupt: ["unique"],
  Bmap: anything,
  Destroy: [],
  Ioctl: ["handle", "flags", "size", "u64", "dataSize", "size", "data"],
  Poll: anything,
  NotifyReply: anything,
  BatchForget: ["forgets"],
  Fallocate: ["handle", "offset", "offset", "fewFlags", "zero"],
  Readdirplus: read,
  Rename2: ["node", "fewFlags", "zero", "name", "newName"],
  Lseek: ["handle", "offset", "fewFlags", "zero"],
  CopyFileRange: copyRange,
  SetupMapping: anything,
  RemoveMapping: anything,
  Syncfs: ["u64"],
  Tmpfile: create,
  Statx: ["flags", "zero", "handle", "flags", "u32"],
  CopyFileRange64: copyRange,
  CuseInit: anything,
};

const layoutByNumber: ReadonlyMap<number, readonly Field[]> = new Map(
  Object.entries(Opcode).map(([name, number]) => [number, layouts[name as keyof typeof Opcode]]),
);

/** How a whole message is spoilt; what is undefined is left as it is. */
interface Damage {
  readonly cutTo?: number;
  readonly extendBy?: number;
  readonly lengthField?: number;
  readonly extensions?: number;
  readonly flip?: { readonly at: number; readonly bits: number };
}

/** Random choices, from which a message comes once it is known which nodes and handles there are. */
export interface Step {
  readonly opcode: number;
  readonly node: bigint;
  /** Small ones choose among what is known, others stand for themselves. */
  readonly picks: readonly bigint[];
  readonly numbers: readonly bigint[];
  readonly name: string;
  readonly newName: string;
  readonly xattr: string;
  readonly data: Uint8Array;
  readonly uid: number;
  readonly damage: Damage;
  /** Whether jobs under way end before the next message. */
  readonly jobsEnd: boolean;
}

/** What the file system under test has given out so far. */
export interface Known {
  readonly nodes: readonly number[];
  readonly handles: readonly number[];
}

const knownNames = ["a", "b", "d", "f", "low", "both", "sub", "gone"];
const hostileNames = ["", ".", "..", "/", "a/b", "../a", "a\0b", ".wh.a", ".wh..wh..opq", "\xff\xfe", "\n", "#1"];
const longName = fc.constantFrom(254, 255, 256, 4095, 5000).map((length) => "n".repeat(length));
const anyName = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom(...knownNames) },
  { weight: 3, arbitrary: fc.constantFrom(...hostileNames) },
  { weight: 1, arbitrary: longName },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString("latin1")) },
);
const xattrs = ["user.x", "user.y", "trusted.x", "security.capability", "system.posix_acl_access"];
const hostileXattrs = [
  "",
  "user.",
  "x",
  "trusted.overlay.opaque",
  "trusted.overlay.redirect",
  "trusted.overlay.overlay.x",
];
const anyXattr = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...xattrs, "system.posix_acl_default") },
  { weight: 3, arbitrary: fc.constantFrom(...hostileXattrs) },
  { weight: 1, arbitrary: longName.map((name) => `user.${name}`) },
);
const edges = [
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const anyNumber = fc.oneof(
  { weight: 6, arbitrary: fc.bigInt(0n, 16n) },
  { weight: 3, arbitrary: fc.nat(31).map((bit) => 1n << BigInt(bit)) },
  { weight: 3, arbitrary: fc.bigInt(0n, 0xffffn) },
  { weight: 2, arbitrary: fc.constantFrom(...edges) },
  { weight: 1, arbitrary: fc.bigInt(0n, 2n ** 64n - 1n) },
);
/* The first of what is known (the root, of nodes) more often than the rest. */
const pick = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0n) },
  { weight: 12, arbitrary: fc.bigInt(0n, 999n) },
  { weight: 1, arbitrary: fc.constantFrom(...edges) },
);
const anyDamage: fc.Arbitrary<Damage> = fc.oneof(
  { weight: 24, arbitrary: fc.constant({}) },
  { weight: 2, arbitrary: fc.record({ cutTo: fc.nat(120) }) },
  { weight: 1, arbitrary: fc.record({ extendBy: fc.nat(5000) }) },
  { weight: 1, arbitrary: fc.record({ lengthField: fc.nat(0xffff_ffff) }) },
  { weight: 1, arbitrary: fc.record({ extensions: fc.nat(0xffff) }) },
  { weight: 2, arbitrary: fc.record({ flip: fc.record({ at: fc.nat(200), bits: fc.integer({ min: 1, max: 255 }) }) }) },
);
/* Those that change the tree most often come more often than those that only refuse. */
const changing = [
  "Lookup",
  "Create",
  "Mkdir",
  "Rename2",
  "Link",
  "Unlink",
  "Rmdir",
  "Open",
  "Write",
  "Setattr",
] as const;
const anyOpcode = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(...changing).map((name) => Opcode[name] as number) },
  { weight: 14, arbitrary: fc.constantFrom(...Object.values(Opcode)).map((opcode) => opcode as number) },
  { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
);

/** One message's worth of choices. */
export const anyStep: fc.Arbitrary<Step> = fc.record({
  opcode: anyOpcode,
  node: pick,
  picks: fc.array(pick, { minLength: 4, maxLength: 4 }),
  numbers: fc.array(anyNumber, { minLength: 6, maxLength: 6 }),
  name: anyName,
  newName: anyName,
  xattr: anyXattr,
  data: fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.nat(70_000).map((size) => new Uint8Array(size)),
  ),
  uid: fc.constantFrom(0, 0, 0, 1000, 0xffff_ffff),
  damage: anyDamage,
  jobsEnd: fc.boolean(),
});

class Body {
  readonly #parts: Buffer[] = [];

  u32(value: bigint): void {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(Number(value & 0xffff_ffffn));
    this.#parts.push(part);
  }

  u64(value: bigint): void {
    this.u32(value);
    this.u32(value >> 32n);
  }

  bytes(part: Uint8Array): void {
    this.#parts.push(Buffer.from(part));
  }

  text(text: string): void {
    this.bytes(Buffer.from(`${text}\0`, "latin1"));
  }

  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** An element of `known` (-1n: the last), or the number itself where it is a hostile one. */
function choose(known: readonly number[], choice: bigint): bigint {
  if (choice === -1n) {
    return BigInt(known.at(-1) ?? 0);
  }
  return choice < 1000n && known.length > 0 ? BigInt(known[Number(choice) % known.length] as number) : choice;
}

function putField(body: Body, field: Field, step: Step, known: Known, at: number): void {
  const number = step.numbers[at % step.numbers.length] as bigint;
  const choice = step.picks[at % step.picks.length] as bigint;
  const words: Partial<Record<Field, bigint>> = {
    zero: 0n,
    u32: number,
    flags: number,
    // Mostly such as are known of open(2), renameat2(2), setxattr(2) and so on: 0 to 4, and O_TRUNC.
    fewFlags: choice < 400n ? choice % 5n : choice < 500n ? 0o1001n : number,
    mode: number,
    size: number,
    // One that is wrong now and then.
    dataSize: choice % 50n === 0n ? number : BigInt(step.data.length),
  };
  const longWords: Partial<Record<Field, bigint>> = {
    u64: number,
    offset: number,
    node: choose(known.nodes, choice),
    handle: choose(known.handles, choice),
    otherHandle: choose(known.handles, choice),
    unique: number * 2n,
  };
  const texts: Partial<Record<Field, string>> = { name: step.name, newName: step.newName, xattr: step.xattr };
  const [word, longWord, text] = [words[field], longWords[field], texts[field]];
  if (word !== undefined) {
    body.u32(word);
  } else if (longWord !== undefined) {
    body.u64(longWord);
  } else if (text !== undefined) {
    body.text(text);
  } else if (field === "data") {
    body.bytes(step.data);
  } else {
    putForgets(body, step, known);
  }
}

function putForgets(body: Body, step: Step, known: Known): void {
  body.u32(step.uid === 1000 ? (step.numbers[0] as bigint) : BigInt(step.picks.length));
  body.u32(0n);
  for (const [index, choice] of step.picks.entries()) {
    body.u64(choose(known.nodes, choice));
    body.u64(step.numbers[index] as bigint);
  }
}

const headerSize = 40;

/** The bytes that stand for a step, as they would be read from /dev/fuse. */
export function encodeStep(step: Step, unique: number, known: Known): Buffer {
  const body = new Body();
  for (const [at, field] of (layoutByNumber.get(step.opcode) ?? anything).entries()) {
    putField(body, field, step, known, at);
  }
  return damaged(
    encodeMessage(step.opcode, unique, choose(known.nodes, step.node), body.done(), step.uid),
    step.damage,
  );
}

/** struct fuse_in_header and a body. */
export function encodeMessage(opcode: number, unique: number, node: bigint, body: Buffer, uid = 0): Buffer {
  const header = Buffer.alloc(headerSize);
  header.writeUInt32LE(headerSize + body.length, 0);
  header.writeUInt32LE(opcode >>> 0, 4);
  header.writeUInt32LE(unique, 8);
  header.writeBigUInt64LE(node, 16);
  header.writeUInt32LE(uid, 24);
  header.writeUInt32LE(uid, 28);
  header.writeUInt32LE(1, 32);
  return Buffer.concat([header, body]);
}

function damaged(whole: Buffer, { cutTo, extendBy, lengthField, extensions, flip }: Damage): Buffer {
  let message = cutTo === undefined ? whole : whole.subarray(0, Math.max(16, cutTo));
  message = extendBy === undefined ? message : Buffer.concat([message, Buffer.alloc(extendBy, 0x41)]);
  // The kernel's count of what it hands over is right: a damaged one would only be refused. So it is damaged alone.
  message.writeUInt32LE(lengthField ?? message.length, 0);
  if (extensions !== undefined && message.length >= headerSize) {
    message.writeUInt16LE(extensions, 36);
  }
  // Not the length, nor the unique, by which the reply is known.
  if (flip !== undefined && flip.at >= 16 && flip.at < message.length) {
    message[flip.at] = (message[flip.at] as number) ^ flip.bits;
  }
  return message;
}
