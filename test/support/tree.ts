/** Describes trees of files for tests to build, and what a snapshot of a tree tells. agent.py does both. */
import type { Kind } from "./agent.ts";

/** What may be said of any object; what is left out is root's, 0644 or 0755, and of now. */
export interface Meta {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** ns since the epoch; atime is the same unless given. */
  readonly mtime?: bigint;
  readonly atime?: bigint;
  readonly xattrs?: Readonly<Record<string, string>>;
}

interface FileDescription extends Meta {
  readonly kind: "file";
  readonly size: number;
  /** [offset, data]; what lies between is a hole. */
  readonly data: readonly (readonly [number, string])[];
}
export interface TreeDescription extends Meta {
  readonly kind: "dir";
  readonly children: Readonly<Record<string, NodeDescription>>;
}
interface SymlinkDescription extends Meta {
  readonly kind: "symlink";
  readonly target: string;
}
interface SpecialDescription extends Meta {
  readonly kind: "fifo" | "socket" | "char" | "block";
  readonly device?: readonly [major: number, minor: number];
}
interface HardLinkDescription {
  readonly kind: "hardlink";
  readonly to: string;
}
type NodeDescription =
  | FileDescription
  | TreeDescription
  | SymlinkDescription
  | SpecialDescription
  | HardLinkDescription;

export class Described {
  readonly description: NodeDescription;

  constructor(description: NodeDescription) {
    this.description = description;
  }
}

/** Names with what they are: a string is a file with that content, a plain object a directory. */
export interface Tree {
  readonly [name: string]: string | Tree | Described;
}

export function file(data: string, meta: Meta = {}): Described {
  return new Described({ kind: "file", size: data.length, data: [[0, data]], ...meta });
}

/** A file of `size` bytes with holes between the pieces of data. */
export function sparse(size: number, data: readonly (readonly [number, string])[], meta: Meta = {}): Described {
  return new Described({ kind: "file", size, data, ...meta });
}

export function dir(children: Tree, meta: Meta = {}): Described {
  return new Described({ ...describeTree(children), ...meta });
}

export function opaque(children: Tree, meta: Meta = {}): Described {
  return dir(children, { ...meta, xattrs: { ...meta.xattrs, "trusted.overlay.opaque": "y" } });
}

export function symlink(target: string, meta: Meta = {}): Described {
  return new Described({ kind: "symlink", target, ...meta });
}

export function fifo(meta: Meta = {}): Described {
  return new Described({ kind: "fifo", ...meta });
}

export function socket(meta: Meta = {}): Described {
  return new Described({ kind: "socket", ...meta });
}

export function device(kind: "char" | "block", major: number, minor: number, meta: Meta = {}): Described {
  return new Described({ kind, device: [major, minor], ...meta });
}

export function whiteout(): Described {
  return new Described({ kind: "char", device: [0, 0], mode: 0 });
}

/** Another name of the file at `to`, a path from the root of this tree. */
export function hardlink(to: string): Described {
  return new Described({ kind: "hardlink", to });
}

/** The tree as the agent's `build` takes it. */
export function describeTree(tree: Tree | Described): TreeDescription {
  if (tree instanceof Described) {
    if (tree.description.kind !== "dir") {
      throw new Error("the root of a tree is a directory");
    }
    return tree.description;
  }
  const children: Record<string, NodeDescription> = {};
  for (const [name, node] of Object.entries(tree)) {
    if (typeof node === "string") {
      children[name] = file(node).description;
    } else {
      children[name] = node instanceof Described ? node.description : describeTree(node);
    }
  }
  return { kind: "dir", children };
}

export interface SnapshotOptions {
  /** Whether mtimes are told (yes unless said otherwise). */
  readonly times?: boolean;
  /** Prefixes of xattr names to leave out. */
  readonly hideXattrs?: readonly string[];
}

export interface SnapshotEntry {
  readonly type: Kind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime?: bigint;
  /** Not of directories. */
  readonly nlink?: number;
  /** Of a file with several names: the first of them in this snapshot. */
  readonly same?: string;
  readonly rdev?: string;
  readonly target?: string;
  readonly size?: number;
  /** Stands for the content: equal for equal bytes. */
  readonly sha1?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
}

/** Every object by its path; "." is the root. */
export type Snapshot = Readonly<Record<string, SnapshotEntry>>;
