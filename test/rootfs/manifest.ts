/** What a tree holds, read by manifest.py, and how two of them differ. */
import { fileURLToPath } from "node:url";
import { run } from "./processes.ts";

interface Item {
  readonly path: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number | null;
  readonly size: number | null;
  readonly rdev: number;
  readonly mtime: string;
  readonly ctime: string;
  readonly xattrs: Readonly<Record<string, string>>;
  readonly content: string | null;
}

export type Manifest = ReadonlyMap<string, Item>;

const reader = fileURLToPath(new URL("manifest.py", import.meta.url));

/** Reads every object beneath `tree`. Throws if anything in it can't be read. */
export async function readManifest(tree: string): Promise<Manifest> {
  const lines = await run("/usr/bin/python3", [reader, tree], 180);
  const items = lines
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Item);
  return new Map(items.map((item) => [item.path, item]));
}

/** Files whose data is never the same twice; everything else about them is compared. */
const variableContent: readonly { readonly path: RegExp; readonly reason: string }[] = [
  { path: /^\/var\/log\/(apt\/.*|dpkg\.log|alternatives\.log)$/, reason: "log lines with the time of day" },
  { path: /^\/var\/cache\/ldconfig\/aux-cache$/, reason: "holds inode numbers and ctimes of libraries" },
  { path: /^\/var\/cache\/apt\/(src)?pkgcache\.bin$/, reason: "holds the mtime of dpkg's status file" },
  { path: /^\/home\/tester\/[^/]*\/\.git\/index$/, reason: "holds inode numbers and ctimes of the work tree" },
  {
    path: /^\/var\/lib\/writers\/data\.db$/,
    reason: "pages in the order in which four writers came; rows are compared",
  },
];

/** How closely two trees have to agree. */
export interface Comparison {
  /** The same objects seen again: every field has to agree, of ctime too if `ctime` says so. */
  readonly same?: { readonly ctime: boolean };
  /** The same work done twice, from this time on (ms since the epoch): only older mtimes have to agree. */
  readonly twice?: { readonly since: number };
}

/** One line for each difference, the first thirty; none if the trees agree. */
export function differences(left: Manifest, right: Manifest, how: Comparison): string[] {
  const found: string[] = [];
  for (const path of new Set([...left.keys(), ...right.keys()])) {
    const [a, b] = [left.get(path), right.get(path)];
    if (a === undefined || b === undefined) {
      found.push(`${path}: only ${a === undefined ? "right" : "left"}`);
      continue;
    }
    for (const field of comparedFields(a, b, how)) {
      const [x, y] = [JSON.stringify(a[field]), JSON.stringify(b[field])];
      if (x !== y) {
        found.push(`${path}: ${field} ${x} | ${y}`);
      }
    }
  }
  return found.slice(0, 30);
}

function comparedFields(a: Item, b: Item, how: Comparison): (keyof Item)[] {
  const fields: (keyof Item)[] = ["mode", "uid", "gid", "nlink", "rdev", "xattrs"];
  const { twice, same } = how;
  if (twice === undefined || !variableContent.some(({ path }) => path.test(a.path))) {
    fields.push("size", "content");
  }
  if (twice === undefined || [a, b].some((item) => Number(BigInt(item.mtime) / 1_000_000n) < twice.since)) {
    fields.push("mtime");
  }
  if (same?.ctime === true) {
    fields.push("ctime");
  }
  return fields;
}
