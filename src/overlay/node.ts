/**
 * One object of the merged view, as long as the kernel (or an open file, or a child) holds it.
 *
 * Invariants:
 * - `type` and `id` never change; `upper` goes from false to true once (copy-up) and never back.
 * - A node that is not upper has at least one lower part. Only directories have more than one, topmost first.
 * - An upper file has a lower part as long as its data are not in the upper.
 * - The upper object of a node lies at its merged path, so upper paths follow from names alone. An indexed file lies in
 *   the index; of its names only those are in the upper that were linked there.
 * - A node has a name, or is the root, or is removed; a removed node has an anchor.
 */

import type { BackingId } from "../contract/backing.ts";
import { FileType, type Name, type NodeId } from "../contract/ids.ts";
import type { Gate } from "../contract/slow.ts";
import type { LayerFile, LayerPath, Place, WritableLayer } from "../layer/layer.ts";

/** What a lower has of an object: all of a file, or its share in a directory. */
export interface LowerPart extends Place {
  /** Of a directory: empty files in it may be whiteouts. */
  readonly xattrWhiteouts: boolean;
}

/** Where the data of a file lie: at a place, or at a path in a data-only layer, which is looked for when they are needed. */
export type DataSource =
  | { readonly kind: "found"; readonly place: Place }
  | { readonly kind: "sought"; readonly names: readonly Name[] };

/** A name of a node in a directory. Only files with hard links have more than one. */
export interface Link {
  readonly parent: Node;
  readonly name: Name;
}

/** What only upper files have that have several names on a lower, in a mount with an index. */
export interface Indexed {
  /** Its name in the index, from the user's workdir. */
  readonly path: LayerPath;
  /** The link count of the lower file. */
  readonly lowerLinks: number;
  /** How many names it has beyond its link count: those that are on lowers alone, less the one in the index. */
  surplus: number;
  /** Whether all names that are known are linked in the upper. */
  allLinked: boolean;
}

/** A file that the kernel reads and writes by itself, for all handles of a node until the last goes. */
export interface Backing {
  readonly id: BackingId;
  /** Its data are a lower's: they must not change meanwhile. */
  readonly ofLower: boolean;
}

/** The one descriptor that all open handles of a file share. */
export interface OpenFile {
  readonly file: LayerFile;
  handles: number;
  /** "undecided" until the first handle is told to the kernel; undefined: the kernel asks for all data. */
  backing: Backing | "undecided" | undefined;
  /** Its capabilities were taken away, and no write was announced since. */
  lacksCapabilities: boolean;
}

/** What only directories have. */
export class DirectoryState {
  /** Known nodes by name. */
  readonly children: Map<Name, Node> = new Map();
  /** Whether the upper directory is marked impure; undefined when not yet looked. */
  impure: boolean | undefined;
  /** The default ACL that new objects inherit; null for none, undefined when not yet looked. */
  defaultAcl: Buffer | null | undefined;
  /** The upper path, and the age of the tree at which it was put together. */
  path: LayerPath = "";
  pathAge = -1;
}

export class Node {
  readonly id: NodeId;
  /** The S_IFMT bits. */
  readonly type: number;
  /** How many lookups the kernel holds. */
  lookups = 0;
  /** Its name; undefined for the root and for removed nodes. */
  link: Link | undefined;
  /** Further names of an upper file with hard links. */
  moreLinks: Link[] | undefined;
  /** Its key in the table of inodes with several names, if it is there. */
  inodeKey: string | undefined;
  upper: boolean;
  lowers: readonly LowerPart[];
  /** Of a file whose object has no data of its own (metacopy). */
  data: DataSource | undefined;
  /** The inode number shown. */
  ino: number;
  /** It bears the mark of the lower object that it was copied up from. */
  hasOrigin: boolean;
  /** It could not be marked so: once it is forgotten, its object shows another inode number. */
  isRenumbered = false;
  indexed: Indexed | undefined;
  readonly directory: DirectoryState | undefined;
  /** Bits of Protection; undefined when not yet looked. */
  protection: number | undefined;
  /** The kernel was given the data of this lower file. */
  wasGiven = false;
  /** Keeps a removed object reachable. */
  anchor: WritableLayer | undefined;
  open: OpenFile | undefined;
  /** Past or present handles may have left mappings by which the kernel writes to the file, and its times, by itself. */
  mappedUnseen = false;
  /** The pages that the kernel has of it may be outdated: it was written past them. */
  stalePages = false;
  /** Closed while the data of this file are being copied up. */
  copyingUp: Gate | undefined;

  constructor(id: NodeId, type: number, upper: boolean, lowers: readonly LowerPart[], ino: number, hasOrigin: boolean) {
    this.id = id;
    this.type = type;
    this.upper = upper;
    this.lowers = lowers;
    this.ino = ino;
    this.hasOrigin = hasOrigin;
    this.directory = type === FileType.directory ? new DirectoryState() : undefined;
  }
}

/** A directory that more than one layer contributes to. */
export function isMerged(node: Node): boolean {
  return node.directory !== undefined && node.lowers.length > (node.upper ? 0 : 1);
}

/** An object without a name: unlinked or removed while in use, or never named (O_TMPFILE). */
export function isRemoved(node: Node): boolean {
  return node.anchor !== undefined;
}

/** The path of a name in a directory, which may be the root (""). */
export function joinPath(directory: LayerPath, name: Name): LayerPath {
  return directory === "" ? name : `${directory}/${name}`;
}
