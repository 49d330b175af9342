/** What the differential tester plays: layers and steps as plain JSON, so that a sequence can be kept in a file. */
import { Described, describeTree, type Tree, type TreeDescription } from "../support/tree.ts";

/** Seconds and nanoseconds. */
type Time = readonly [seconds: number, nanoseconds: number];

export interface EntryMeta {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: Time;
  readonly xattrs?: Readonly<Record<string, string>>;
}

export type EntryNode = EntryMeta &
  (
    | { readonly kind: "file"; readonly size: number; readonly data: readonly (readonly [number, string, number])[] }
    | { readonly kind: "dir"; readonly opaque?: boolean }
    | { readonly kind: "symlink"; readonly target: string }
    | { readonly kind: "fifo" | "socket" }
    | { readonly kind: "char" | "block"; readonly device: readonly [number, number] }
    | { readonly kind: "whiteout" }
    | { readonly kind: "hardlink"; readonly to: string }
  );

/** A path below the directory of the sequence, and what lies there. Data are [offset, pattern, length]. */
export type Entry = readonly [path: string, node: EntryNode];

/** [actor, operation, arguments...]; the operations are in player.py. */
export type Step = readonly [actor: number, operation: string, ...args: unknown[]];

export interface Sequence {
  /** The upper first, then the lowers from the top. */
  readonly layers: readonly (readonly Entry[])[];
  readonly steps: readonly Step[];
}

/** How lowers hide names: by device nodes, by the xattr forms of the kernel, or by the files of AUFS and OCI layers. */
export type MarkFormat = "native" | "xattr" | "files";

interface Directory {
  readonly kind: "dir";
  meta: EntryMeta;
  opaque: boolean;
  readonly children: Map<string, Directory | Exclude<EntryNode, { kind: "dir" }>>;
}

const newDirectory = (): Directory => ({ kind: "dir", meta: {}, opaque: false, children: new Map() });

/** The entries as a tree; those whose path leads through something else than a directory are left out, and links to no file. */
function treeOf(entries: readonly Entry[]): Directory {
  const root = newDirectory();
  const links = entries.filter(([, node]) => node.kind === "hardlink");
  for (const [path, node] of [...entries.filter((entry) => !links.includes(entry)), ...links]) {
    if (node.kind === "hardlink" && nodeAt(root, node.to)?.kind !== "file") {
      continue;
    }
    const names = path.split("/");
    const last = names.pop() as string;
    const parent = names.reduce<Directory | undefined>((directory, name) => {
      const child = directory?.children.get(name) ?? newDirectory();
      directory?.children.set(name, child);
      return child.kind === "dir" ? child : undefined;
    }, root);
    const before = parent?.children.get(last);
    if (node.kind === "dir") {
      const made = before?.kind === "dir" ? before : newDirectory();
      if (before === undefined || before.kind === "dir") {
        made.meta = node;
        made.opaque = node.opaque ?? false;
        parent?.children.set(last, made);
      }
    } else if (before === undefined) {
      parent?.children.set(last, node);
    }
  }
  return root;
}

function nodeAt(root: Directory, path: string): Directory | EntryNode | undefined {
  return path
    .split("/")
    .reduce<Directory | EntryNode | undefined>(
      (node, name) => (node?.kind === "dir" && "children" in node ? node.children.get(name) : undefined),
      root,
    );
}

/**
 * Leaves whiteouts only where they hide something: the kernel lists those in directories of one layer alone.
 * @param below what the layers below show; answers what shows with this one
 */
function settle(directory: Directory, below: Directory | undefined): Directory {
  const shown: Directory = { ...directory, children: new Map(directory.opaque ? [] : below?.children) };
  for (const [name, node] of directory.children) {
    const hidden = directory.opaque ? undefined : below?.children.get(name);
    if (node.kind === "whiteout") {
      hidden === undefined && directory.children.delete(name);
      shown.children.delete(name);
    } else {
      shown.children.set(name, node.kind === "dir" ? settle(node, hidden?.kind === "dir" ? hidden : undefined) : node);
    }
  }
  return shown;
}

/** What the layers show, the topmost first: every path with its kind. */
export function shownBy(layers: Sequence["layers"]): Map<string, EntryNode["kind"]> {
  const shown = layers.map(treeOf).reduceRight<Directory | undefined>((below, tree) => settle(tree, below), undefined);
  const kinds = new Map<string, EntryNode["kind"]>();
  const visit = (directory: Directory, at: string): void => {
    for (const [name, node] of directory.children) {
      kinds.set(at + name, node.kind);
      node.kind === "dir" && visit(node, `${at}${name}/`);
    }
  };
  visit(shown ?? newDirectory(), "");
  return kinds;
}

/** How the trees of one layer are written: the prefix of its marks, and the form of its whiteouts. */
export interface Writing {
  readonly marks: string;
  readonly format: MarkFormat;
}

/** The trees of the layers, the upper first, ready to be built where the directory `t` of the sequence is to be. */
export function treesOf(sequence: Sequence, writing: Writing): TreeDescription[] {
  const trees = sequence.layers.map(treeOf);
  trees.reduceRight<Directory | undefined>((below, tree) => settle(tree, below), undefined);
  // Marks of other forms are for lowers; of device nodes alone the kernel knows what they mean in an upper.
  return trees.map((tree, index) =>
    describeTree(
      everyones({ t: everyones(described(tree, index === 0 ? { ...writing, format: "native" } : writing)) }),
    ),
  );
}

/** A directory that all users may change. */
function everyones(tree: Tree | Described): Described {
  return new Described({ ...describeTree(tree), mode: 0o777 });
}

function described(directory: Directory, writing: Writing): Described {
  const children: Record<string, Tree[string]> = {};
  const marks: Record<string, string> = {};
  let hides = false;
  for (const [name, node] of directory.children) {
    if (node.kind === "whiteout") {
      hides = true;
      Object.assign(children, whiteoutOf(name, writing));
    } else {
      children[name] = node.kind === "dir" ? described(node, writing) : leaf(node);
    }
  }
  if (directory.opaque && writing.format === "files") {
    children[".wh..wh..opq"] = "";
  } else if (directory.opaque) {
    marks[`${writing.marks}opaque`] = "y";
  } else if (hides && writing.format === "xattr") {
    marks[`${writing.marks}opaque`] = "x";
  }
  const { kind: _kind, ...meta } = timed(directory.meta as EntryMeta & { kind?: string });
  return new Described({
    ...describeTree(children),
    ...meta,
    xattrs: { ...directory.meta.xattrs, ...marks },
  });
}

function whiteoutOf(name: string, { marks, format }: Writing): Tree {
  switch (format) {
    case "native":
      return { [name]: new Described({ kind: "char", device: [0, 0], mode: 0 }) };
    case "xattr":
      return { [name]: new Described({ kind: "file", size: 0, data: [], xattrs: { [`${marks}whiteout`]: "y" } }) };
    case "files":
      return { [`.wh.${name}`]: "" };
  }
}

function leaf(node: Exclude<EntryNode, { kind: "dir" | "whiteout" }>): Described {
  if (node.kind === "file") {
    const data = node.data.map(([at, pattern, length]) => [at, pattern.repeat(length).slice(0, length)] as const);
    return new Described({ ...timed(node), kind: "file", data: data.filter(([at]) => at < node.size) });
  }
  const { kind } = node;
  const what = kind === "hardlink" ? { ...node, to: `t/${node.to}` } : node;
  return new Described(timed(what) as Described["description"]);
}

function timed<T extends EntryMeta>(node: T): Omit<T, "mtime" | "opaque"> & { mtime?: bigint } {
  const { mtime, opaque: _opaque, ...rest } = node as T & { opaque?: boolean };
  return mtime === undefined ? rest : { ...rest, mtime: BigInt(mtime[0]) * 1_000_000_000n + BigInt(mtime[1]) };
}
