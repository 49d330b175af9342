/** Random sequences: layers that hide parts of each other, and steps that mostly go to what is there. */
import fc from "fast-check";
import { Guess, type Wanted } from "./guess.ts";
import type { Entry, EntryMeta, EntryNode, Sequence, Step } from "./sequence.ts";

/** One of these, each as often as its weight says. */
function among<T>(...choices: readonly (readonly [weight: number, arbitrary: fc.Arbitrary<T>])[]): fc.Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

const one = <const T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const below = (limit: number) => fc.noBias(fc.integer({ min: 0, max: limit - 1 }));

const plainName = one("a", "b", "c", "d", "e");
const oddName = one("\xff\xfe", " ", "\n", "-rf *", "\\:,\"'", ".wh", "caf\xc3\xa9", "n".repeat(255));
const name = among([12, plainName], [1, oddName]);
const entryPath = fc.array(name, { minLength: 1, maxLength: 4, size: "max" }).map((names) => names.join("/"));

const mode = one(0o755, 0o644, 0o600, 0o777, 0o4755, 0o2775, 0o1777, 0o700, 0o444, 0o000, 0o2644);
const id = one(0, 0, 1000, 1001, 77);
const time = one<[number, number]>(
  [0, 0],
  [1, 999_999_999],
  [-86_400, 5],
  [1_000_000_000, 123_456_789],
  [4_300_000_000, 1],
);

type AclEntry = readonly [tag: number, id: number, permissions: number];
/** An ACL as the xattr holds it: version 2, then tag, permissions and id of each. */
function acl(entries: readonly AclEntry[]): string {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, who, permissions]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(who, 8 + 8 * index);
  }
  return bytes.toString("latin1");
}
const nobody = 0xffffffff;
const acls = [
  acl([
    [1, nobody, 7],
    [2, 1001, 6],
    [4, nobody, 5],
    [16, nobody, 7],
    [32, nobody, 0],
  ]),
  acl([
    [1, nobody, 6],
    [4, nobody, 4],
    [8, 1000, 7],
    [16, nobody, 4],
    [32, nobody, 4],
  ]),
  acl([
    [1, nobody, 7],
    [4, nobody, 5],
    [32, nobody, 5],
  ]),
];
/** cap_net_raw=ep, revision 2 */
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

/** Those of symlinks and special files can't be of the class user. */
const hiddenXattrs = one<Record<string, string>>({}, {}, {}, { "trusted.t": "1" }, { "security.s": "\x00\xff" });
const directoryXattrs = one<Record<string, string>>(
  {},
  {},
  { "user.u": "v" },
  { "system.posix_acl_default": acls[0] as string },
  { "system.posix_acl_default": acls[1] as string, "system.posix_acl_access": acls[0] as string },
);
const fileXattrs = one<Record<string, string>>(
  {},
  {},
  { "user.u": "v".repeat(300), "trusted.t": "" },
  { "system.posix_acl_access": acls[0] as string },
  { "system.posix_acl_access": acls[1] as string },
  { "security.capability": capability },
);

function withMeta<T extends object>(node: fc.Arbitrary<T>, xattrs: fc.Arbitrary<Record<string, string>>) {
  const meta: fc.Arbitrary<EntryMeta> = fc.record(
    { mode, uid: id, gid: id, mtime: time, xattrs },
    { requiredKeys: [] },
  );
  return fc.tuple(node, meta).map(([what, about]) => ({ ...what, ...about }) as unknown as EntryNode);
}

const sizes = one(0, 1, 10, 100, 4095, 4096, 5000, 20_000, 140_000);
const pattern = one("x", "ab", "0123456789", "\x00", "\xff\n");
const wholeFile = fc
  .tuple(sizes, pattern)
  .map(([size, text]) => ({ kind: "file" as const, size, data: [[0, text, size] as const] }));
const sparseFile = fc
  .tuple(one(9000, 70_000, 3_000_000), one(0, 1, 4096, 50_000), pattern)
  .map(([size, at, text]) => ({ kind: "file" as const, size, data: [[at, text, 100] as const] }));
const target = one("a", "b/c", "../a", "../b", "nowhere", ".", "\xff", "t".repeat(300));
const numbers = one<[number, number]>([1, 3], [240, 1]);

const lowerEntry: fc.Arbitrary<Entry> = fc.tuple(
  entryPath,
  among<EntryNode>(
    [6, withMeta(wholeFile, fileXattrs)],
    [1, withMeta(sparseFile, fileXattrs)],
    [5, withMeta(fc.record({ kind: one("dir" as const) }), directoryXattrs)],
    [1, withMeta(fc.record({ kind: one("dir" as const), opaque: one(true) }), directoryXattrs)],
    [1, withMeta(fc.record({ kind: one("symlink" as const), target }), hiddenXattrs).map(withoutMode)],
    [1, withMeta(fc.record({ kind: one("fifo" as const, "socket" as const) }), hiddenXattrs)],
    [1, withMeta(fc.record({ kind: one("char" as const, "block" as const), device: numbers }), hiddenXattrs)],
    [2, fc.record({ kind: one("hardlink" as const), to: entryPath })],
    [4, one({ kind: "whiteout" as const })],
  ),
);

function withoutMode(node: EntryNode): EntryNode {
  const { mode: _mode, ...rest } = node;
  return rest as EntryNode;
}

/** A hard link has to lead to a file of its layer that stands before it. */
function linked(entries: readonly Entry[]): Entry[] {
  const files = entries.filter(([, node]) => node.kind === "file").map(([path]) => path);
  return entries.flatMap(([path, node], index): Entry[] => {
    if (node.kind !== "hardlink") {
      return [[path, node]];
    }
    const to = files[index % Math.max(files.length, 1)];
    return to === undefined || to === path ? [] : [[path, { kind: "hardlink", to }]];
  });
}

const layer = (most: number) => fc.array(lowerEntry, { minLength: 0, maxLength: most, size: "max" }).map(linked);
const layersArbitrary = among<Entry[][]>(
  [6, fc.tuple(layer(6), layer(14))],
  [6, fc.tuple(layer(6), layer(12), layer(14))],
  [2, fc.tuple(layer(4), layer(8), layer(8), layer(10))],
  [1, fc.tuple(layer(2), layer(5), layer(5), layer(5), layer(6), layer(6), layer(10))],
);

const newName = among([10, plainName], [2, oddName], [1, one(".wh.a", ".wh..wh..opq", "z".repeat(256))]);
const wanted = (...kinds: readonly Wanted["wanted"][]): fc.Arbitrary<Wanted> =>
  fc.record({ wanted: one(...kinds), index: below(1000), name: newName });
const anyPath = among<unknown>([4, entryPath], [1, newName], [1, one("", ".", "a/.", "b/")]);
const path = among<unknown>([12, wanted("any")], [2, wanted("new")], [1, anyPath]);
const filePath = among<unknown>([12, wanted("file")], [2, wanted("any")], [1, anyPath]);
const directoryPath = among<unknown>([12, wanted("directory")], [2, wanted("any")], [1, anyPath]);
const newPath = among<unknown>([12, wanted("new")], [2, wanted("any")], [1, anyPath]);

const slot = below(2);
const offset = one(0, 1, 10, 100, 4096, 5000, 70_000);
const length = one(0, 1, 10, 100, 4096, 5000, 30_000);
const writeLength = one(0, 1, 10, 100, 4096, 5000, 140_000);
const whichTime = among<unknown>([3, time], [1, one("now", "omit")]);
const xattrName = among(
  [8, one("user.u", "user.v", "trusted.t", "security.s")],
  [2, one("security.capability", "system.posix_acl_access", "system.posix_acl_default")],
  [1, one("trusted.overlay.opaque", "user.overlay.origin", "trusted.overlay.x", "trusted.overlay.overlay.x")],
  [1, one("user.", "other", "system.none", `user.${"n".repeat(251)}`)],
);
const xattrValue = among(
  [6, one("", "v", "\x00\xff", "w".repeat(400))],
  [3, one(...acls, capability)],
  [1, one("y", "W".repeat(5000))],
);
const xattrFlags = one("", "", "", "CREATE", "REPLACE");
const openFlags = one(
  "O_RDONLY",
  "O_RDWR",
  "O_RDWR|O_CREAT",
  "O_RDWR",
  "O_RDONLY",
  "O_RDWR",
  "O_RDWR",
  "O_RDWR|O_CREAT",
  "O_RDWR|O_CREAT|O_EXCL",
  "O_RDWR|O_TRUNC",
  "O_RDWR|O_CREAT|O_TRUNC",
  "O_WRONLY|O_APPEND",
  "O_RDWR|O_CREAT|O_APPEND",
  "O_RDONLY|O_TRUNC",
  "O_RDONLY|O_NOFOLLOW",
  "O_RDONLY|O_DIRECTORY",
  "O_RDONLY|O_NOATIME",
  "O_WRONLY|O_SYNC",
  "O_PATH",
);
const writeFlags = one(
  "O_CREAT|O_TRUNC",
  "O_CREAT",
  "O_CREAT|O_EXCL",
  "O_APPEND",
  "O_TRUNC",
  "O_RDONLY",
  "O_CREAT|O_APPEND",
);
const fallocateMode = one("", "KEEP_SIZE", "PUNCH_HOLE|KEEP_SIZE", "ZERO_RANGE", "ZERO_RANGE|KEEP_SIZE", "PUNCH_HOLE");
const special = one("fifo", "fifo", "socket", "char", "block", "file");
const nodeNumber = one(0, 1, 3, 240);

/** An operation and its arguments, in the order that player.py has them. */
const operation = (...parts: readonly [string, ...fc.Arbitrary<unknown>[]]): fc.Arbitrary<[string, ...unknown[]]> => {
  const [title, ...args] = parts;
  return fc.tuple(...args).map((values) => [title, ...values]);
};

const operations = among<[string, ...unknown[]]>(
  // Names
  [10, operation("writeFile", among([1, filePath], [1, newPath]), writeFlags, mode, pattern, writeLength)],
  [6, operation("mkdir", newPath, mode)],
  [5, operation("rmdir", directoryPath)],
  [7, operation("unlink", filePath)],
  [1, operation("removeTree", directoryPath)],
  [9, operation("rename", path, newPath, one("", "", "", "NOREPLACE", "WHITEOUT"))],
  [4, operation("rename", path, path, one("EXCHANGE", "EXCHANGE", "", "NOREPLACE|EXCHANGE"))],
  [3, operation("rename", filePath, filePath, one("", "", "EXCHANGE", "NOREPLACE"))],
  [2, operation("rename", directoryPath, directoryPath, one("", "EXCHANGE"))],
  [7, operation("link", filePath, newPath, one(false, false, true))],
  [3, operation("symlink", target, newPath)],
  [2, operation("readlink", path)],
  [3, operation("mknod", newPath, special, mode, nodeNumber, nodeNumber)],
  // Attributes
  [5, operation("chmod", path, mode)],
  [2, operation("chown", path, id, id)],
  [3, operation("lchown", path, id, id)],
  [4, operation("utimens", path, whichTime, whichTime)],
  [3, operation("truncate", filePath, one(0, 5, 4096, 100_000))],
  [7, operation("setxattr", path, xattrName, xattrValue, xattrFlags)],
  [3, operation("getxattr", path, xattrName)],
  [3, operation("removexattr", path, xattrName)],
  [2, operation("listxattr", path)],
  [2, operation("access", path, one(0, 1, 2, 4, 6))],
  [4, operation("lstat", path)],
  [2, operation("stat", path)],
  [1, operation("statfs", path)],
  [6, operation("list", directoryPath, one(300, 512, 32_768), one(null, 0, 1, 3))],
  [4, operation("readFile", filePath)],
  [2, operation("mmapRead", filePath, one("MAP_SHARED", "MAP_PRIVATE"))],
  [1, operation("umask", one(0, 0o022, 0o077, 0o777))],
  // Handles
  [24, operation("open", slot, among([5, filePath], [1, directoryPath], [1, newPath]), openFlags, mode)],
  [2, operation("unnamed", slot, directoryPath, one("O_RDWR", "O_WRONLY", "O_RDWR|O_EXCL"), mode)],
  [2, operation("close", slot)],
  [2, operation("read", slot, length)],
  [3, operation("pread", slot, length, offset)],
  [4, operation("write", slot, pattern, writeLength)],
  [4, operation("pwrite", slot, pattern, writeLength, offset)],
  [2, operation("ftruncate", slot, one(0, 5, 4096, 100_000))],
  [3, operation("fallocate", slot, fallocateMode, offset, length)],
  [2, operation("lseek", slot, offset, one("SEEK_SET", "SEEK_CUR", "SEEK_END"))],
  [2, operation("holes", slot, offset)],
  [3, operation("copyRange", slot, slot, length, offset, offset)],
  [3, operation("mmapWrite", slot, offset, pattern, length)],
  [1, operation("fsync", slot)],
  [1, operation("fdatasync", slot)],
  [3, operation("fstat", slot)],
  [2, operation("fchmod", slot, mode)],
  [2, operation("fchown", slot, id, id)],
  [2, operation("futimens", slot, whichTime, whichTime)],
  [2, operation("fsetxattr", slot, xattrName, xattrValue, xattrFlags)],
  [1, operation("fgetxattr", slot, xattrName)],
  [1, operation("flistxattr", slot)],
  [1, operation("fremovexattr", slot, xattrName)],
  [1, operation("getFlags", slot)],
  [1, operation("setFlags", slot, one(0, 0x40, 0x80, 0xc0))],
  [3, operation("linkHandle", slot, newPath)],
  [1, operation("flock", slot, one("shared", "exclusive", "none"))],
  [1, operation("lock", slot, one("shared", "exclusive", "none"), offset, length)],
  [2, operation("flist", slot, one(300, 32_768))],
);

/** Root does most; what users may do depends on owners and modes. */
const actor = one(0, 0, 0, 0, 0, 0, 1, 1, 2, 3);

/** File systems store any value as a capability; no overlay can do with what is none. */
function validCapability(args: readonly unknown[]): unknown[] {
  return args.map((arg, index) => (args[index - 1] === "security.capability" ? capability : arg));
}

/** A sequence of `count` steps; the same seed gives the same one. */
export function sequences(count: number): fc.Arbitrary<Sequence> {
  const steps = fc.array(fc.tuple(actor, operations), { minLength: count, maxLength: count, size: "max" });
  return fc.tuple(layersArbitrary, steps).map(([layers, raw]) => {
    const guess = new Guess(layers);
    return {
      layers,
      steps: raw.map(([who, [title, ...args]]): Step => {
        const step = guess.withHandle([who, title, ...validCapability(args.map((arg) => guess.resolve(arg)))]);
        guess.follow(step);
        return step;
      }),
    };
  });
}
