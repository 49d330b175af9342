/**
 * Layers that nobody would make in good faith: a tree in each of four layers, with marks of every kind, well-formed, half
 * well-formed and not at all, wherever they may stand.
 */
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { Errno, isErrno } from "../../src/errno.ts";
import { fileHandleAt, fileSystemUuid } from "../../src/sys/file-handle.ts";
import { makeNode } from "../../src/sys/names.ts";
import { closeDescriptor, OpenFlag, openAt, workingDirectory } from "../../src/sys/open.ts";
import { setXattr } from "../../src/sys/xattr.ts";

/** The topmost first. */
export const layers = ["upper", "low0", "low1", "low2"] as const;
const directories = ["", "d", "e", "d/sub", "e/sub", "pure"];
const files = ["f", "d/f", "e/sub/g", "empty", "d/empty"];
const everything = [...directories, ...files, "link"];

/** What a mark's value is made of, when it is known where the layers lie. */
type Value =
  | { readonly kind: "bytes"; readonly bytes: string }
  | { readonly kind: "origin"; readonly of: string; readonly spoil: number; readonly with: number };

interface Mark {
  readonly layer: (typeof layers)[number];
  readonly path: string;
  readonly name: string;
  readonly value: Value;
}

/** An object of a name that says something to some overlay. */
interface Special {
  readonly layer: (typeof layers)[number];
  readonly directory: string;
  readonly name: string;
  readonly kind: "file" | "directory" | "whiteout" | "symlink";
}

/** An entry of the index: the name is the value of an origin, in hexadecimal. */
interface IndexEntry {
  readonly origin: Value;
  readonly kind: "file" | "directory" | "whiteout";
  /** Whether it bears the xattr that its name says. */
  readonly marked: boolean;
  readonly nlink: string;
}

export interface HostileLayers {
  readonly marks: readonly Mark[];
  readonly specials: readonly Special[];
  readonly index: readonly IndexEntry[];
}

const bytes = (text: string): Value => ({ kind: "bytes", bytes: text });
const anyBytes = fc.uint8Array({ maxLength: 40 }).map((value) => bytes(Buffer.from(value).toString("latin1")));
const huge = fc.constantFrom(256, 4095, 4096, 65536).map((size) => bytes("a/".repeat(size / 2)));

const redirects = [
  ..."d e f /d /e /e/sub /d/sub /pure d/sub sub /link /link/sub link / // . .. ../outside /../outside /../../outside".split(
    " ",
  ),
  ..."a//b /e//sub /d/ d/ /d/../e /./d /d/. //d /absent /absent/x /f/x /empty outside".split(" "),
  ...[
    "",
    "d\0",
    "/d\0/x",
    "\xff\xfe",
    "/\xe9",
    "n".repeat(255),
    "n".repeat(256),
    `/${"n".repeat(300)}`,
    "/proc/self/root",
  ],
];
/** struct ovl_metacopy: version, length, flags, digest algorithm, digest. */
const metacopies = [
  "",
  "\0\x04\0\0",
  "\0\x04\0",
  "\x01\x04\0\0",
  "\0\x24\0\x01".padEnd(36, "x"),
  "\0\x24\0\x01",
  "\0\x05\0\0x",
];

const ofKind = (name: string, values: readonly string[]) =>
  fc.tuple(
    fc.constant(name),
    fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(...values).map(bytes) },
      { weight: 3, arbitrary: anyBytes },
      { weight: 1, arbitrary: huge },
    ),
  );
const anyOrigin: fc.Arbitrary<Value> = fc.record({
  kind: fc.constant("origin" as const),
  of: fc.constantFrom(
    "upper/f",
    "low0/f",
    "low0/d/hard",
    "low1/d/f",
    "low2/f",
    "low0/d",
    "low1/e/sub",
    "low1/link",
    "outside/secret",
  ),
  spoil: fc.integer({ min: -40, max: 40 }),
  with: fc.nat(255),
});

const forDirectories = fc.oneof(
  { weight: 6, arbitrary: ofKind("redirect", redirects) },
  { weight: 2, arbitrary: ofKind("opaque", ["y", "x", "n", "", "yy", "y\0", "Y"]) },
  { weight: 1, arbitrary: ofKind("impure", ["y", "n", ""]) },
  { weight: 1, arbitrary: ofKind("uuid", ["0123456789abcdef", "short", ""]) },
);
const nlinks = ["U+0", "U-1", "L+1", "L-9", "U+2147483648", "U+99999999999999999999", "", "X+1", "U"];
const forFiles = fc.oneof(
  { weight: 5, arbitrary: ofKind("metacopy", metacopies) },
  { weight: 3, arbitrary: ofKind("redirect", redirects) },
  { weight: 1, arbitrary: ofKind("nlink", nlinks) },
  { weight: 1, arbitrary: ofKind("whiteout", ["", "y"]) },
);
const forAll = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant("origin"), anyOrigin) },
  { weight: 1, arbitrary: ofKind("origin", [""]) },
  { weight: 1, arbitrary: ofKind("protattr", ["i", "a", "ai", "x", ""]) },
  { weight: 1, arbitrary: ofKind("upper", [""]) },
  { weight: 1, arbitrary: ofKind("overlay.opaque", ["y"]) },
);
const engineMark = fc.oneof(
  ofKind("user.fuseoverlayfs.opaque", ["y", "n", ""]),
  ofKind("user.fuseoverlayfs.origin", ["d", "../outside", ""]),
  ofKind("user.containers.override_stat", ["0:0:0755:file", "0:0:0755:block-1-1", "::", "-1:99999999999:9:dir", ""]),
);
const anyLayer = fc.constantFrom(...layers);

type Named = readonly [name: string, value: Value];

const placed = (paths: readonly string[], named: fc.Arbitrary<Named>): fc.Arbitrary<Mark> =>
  fc
    .record({ layer: anyLayer, path: fc.constantFrom(...paths), named })
    .map(({ layer, path, named: [name, value] }) => ({
      layer,
      path,
      name,
      value,
    }));

function overlayMark(prefix: string): fc.Arbitrary<Mark> {
  const named = (marks: fc.Arbitrary<Named>) =>
    marks.map(([name, value]) => [`${prefix}overlay.${name}`, value] as const);
  return fc.oneof(
    { weight: 10, arbitrary: placed(directories, named(forDirectories)) },
    { weight: 6, arbitrary: placed(files, named(forFiles)) },
    { weight: 6, arbitrary: placed(everything, named(forAll)) },
    // And where they mean nothing.
    { weight: 2, arbitrary: placed(everything, named(fc.oneof(forDirectories, forFiles))) },
  );
}

const wh = [
  ".wh.d",
  ".wh.f",
  ".wh..wh..opq",
  ".wh.",
  ".wh..",
  ".wh..wh.x",
  ".wh...",
  ".wh..wh.",
  ".wh.\xff",
  ".wh.absent",
];
const specials = (names: readonly string[]): fc.Arbitrary<readonly Special[]> =>
  fc.array(
    fc.record({
      layer: anyLayer,
      directory: fc.constantFrom(...directories),
      name: fc.constantFrom(...names),
      kind: fc.constantFrom("file", "directory", "whiteout", "symlink"),
    }),
    { maxLength: 3, size: "max" },
  );
const plainNames = ["new", "g", "f", "sub", "absent", "\xe9\xff", "n".repeat(255)];

/** Names that may stand in any directory, for those who can't rely on a listing. */
export const allNames: readonly string[] = [
  ...new Set([...everything.flatMap((path) => path.split("/")), ...plainNames, "hard"]),
].filter((name) => name !== "");

const indexEntry: fc.Arbitrary<IndexEntry> = fc.record({
  origin: fc.oneof(
    { weight: 4, arbitrary: anyOrigin },
    { weight: 1, arbitrary: fc.constantFrom("", "\0", "\0\xfb\x15", "no").map(bytes) },
  ),
  kind: fc.constantFrom("file", "directory", "whiteout"),
  marked: fc.boolean(),
  nlink: fc.constantFrom(...nlinks),
});

/** @param prefix of the marks: `trusted.` or `user.` */
export function hostileLayers(prefix: string): fc.Arbitrary<HostileLayers> {
  const some = { minLength: 1, maxLength: 8, size: "max" } as const;
  const forKernel = fc.record({
    marks: fc.array(overlayMark(prefix), some),
    specials: specials(plainNames),
    index: fc.array(indexEntry, { maxLength: 2, size: "max" }),
  });
  const forEngines = fc.record({
    index: fc.constant([]),
    marks: fc.array(fc.oneof(overlayMark(prefix), placed(everything, engineMark)), some),
    specials: specials([...wh, ...plainNames]),
  });
  return fc.oneof({ weight: 5, arbitrary: forKernel }, { weight: 1, arbitrary: forEngines });
}

/** Makes the workdir anew, with the index that a mount with index=on finds in it. */
export function buildWork(base: string, { index }: HostileLayers): void {
  execFileSync("rm", ["-rf", `${base}/work`]);
  mkdirSync(`${base}/work/index`, { recursive: true });
  for (const { origin, kind, marked, nlink } of index) {
    const value = bytesOf(base, origin);
    const name = value.toString("hex") || "#1";
    // The same name twice, or one that is too long.
    ignoring([Errno.EEXIST, Errno.ENAMETOOLONG, Errno.EPERM], () => {
      makeSpecial(`${base}/work/index`, name, kind);
      if (marked) {
        setXattr(workingDirectory, `${base}/work/index/${name}`, "trusted.overlay.origin", value, 0);
      }
      setXattr(workingDirectory, `${base}/work/index/${name}`, "trusted.overlay.nlink", Buffer.from(nlink), 0);
    });
  }
}

/** Whether only such marks are among them that the kernel's overlayfs understands. */
export function isForKernel({ marks, specials }: HostileLayers): boolean {
  return specials.every(({ name }) => !name.startsWith(".wh.")) && marks.every(({ name }) => name.includes("overlay."));
}

/** Builds the layers, and beside them `outside`, of which nothing may ever show. */
export function buildLayers(base: string, { marks, specials }: HostileLayers): void {
  for (const layer of [...layers, "outside"]) {
    const content = layer === "outside" ? "SECRET" : layer;
    for (const directory of layer === "outside" ? ["", "sub"] : directories) {
      // A part of the tree in each layer, so that there are merged directories and pure ones.
      mkdirSync(`${base}/${layer}/${directory}`, { recursive: true });
    }
    for (const file of layer === "outside" ? ["secret", "sub/g", "f"] : files) {
      writeFileSync(`${base}/${layer}/${file}`, file.endsWith("empty") ? "" : content.repeat(3));
    }
    symlinkSync("e", `${base}/${layer}/link`);
  }
  // Names that only some layers have.
  execFileSync("rm", [
    "-r",
    `${base}/low0/e`,
    `${base}/low1/f`,
    `${base}/low2/d/sub`,
    `${base}/upper/pure`,
    `${base}/upper/d/f`,
  ]);
  linkSync(`${base}/low0/f`, `${base}/low0/d/hard`);
  for (const { layer, directory, name, kind } of specials) {
    ignoring([Errno.EEXIST, Errno.ENOENT, Errno.ENOTDIR], () =>
      makeSpecial(`${base}/${layer}/${directory}`, name, kind),
    );
  }
  for (const each of marks) {
    // A directory that this layer has not, a user. xattr of a symlink, a value that the file system does not take.
    const codes = [Errno.ENOENT, Errno.ENOTDIR, Errno.EPERM, Errno.E2BIG, Errno.ENOSPC, Errno.ERANGE, Errno.EOPNOTSUPP];
    ignoring(codes, () => {
      setXattr(workingDirectory, `${base}/${each.layer}/${each.path}`, each.name, bytesOf(base, each.value), 0);
    });
  }
}

function ignoring(codes: readonly number[], act: () => void): void {
  try {
    act();
  } catch (error) {
    const { code } = error as { code?: unknown };
    const ofNode: readonly unknown[] = ["ENOENT", "EEXIST", "ENOTDIR"];
    if (!isErrno(error, ...codes) && !ofNode.includes(code)) {
      throw error;
    }
  }
}

function makeSpecial(directory: string, name: string, kind: Special["kind"]): void {
  const path = Buffer.from(`${directory}/${name}`, "latin1");
  if (kind === "file") {
    writeFileSync(path, "", { flag: "wx" });
  } else if (kind === "directory") {
    mkdirSync(path);
  } else if (kind === "symlink") {
    symlinkSync("../outside", path);
  } else {
    makeNode(workingDirectory, path.toString("latin1"), 0o020000, 0, 0);
  }
}

function bytesOf(base: string, value: Value): Buffer {
  if (value.kind === "bytes") {
    return Buffer.from(value.bytes, "latin1");
  }
  const handle = fileHandleAt(workingDirectory, `${base}/${value.of}`);
  const root = openAt(workingDirectory, base, OpenFlag.readOnly);
  const uuid = fileSystemUuid(root) ?? Buffer.alloc(16);
  closeDescriptor(root);
  const head = [0, 0xfb, 21 + (handle?.bytes.length ?? 0), 0, handle?.type ?? 0];
  const whole = Buffer.concat([Buffer.from(head), uuid, handle?.bytes ?? Buffer.alloc(0)]);
  if (value.spoil < 0) {
    return whole.subarray(0, -value.spoil);
  }
  if (value.spoil < whole.length) {
    whole[value.spoil] = value.with;
  }
  return whole;
}
