/**
 * One object of the merged view, as long as the kernel (or an open file, or a child) holds it.
 *
 * Invariants:
 * - `type` and `id` never change; `upper` goes from false to true once (copy-up) and never back.
 * - A node that is not upper has at least one lower part. Only directories have more than one, topmost first.
 * - An upper file has a lower part as long as its data are not in the upper.
 * - The upper object of a node lies at its merged path, so upper paths follow from names alone. An indexed file lies in
 *   the index; of its names only those are in the upper that were linked there.
 * - A node has a name, or is the root, or is removed; a removed node of the upper has an anchor.
 */

import type { BackingId } from "../contract/backing.ts";
import { FileType, type Name, type NodeId, rootNodeId } from "../contract/ids.ts";
import type { Gate } from "../contract/slow.ts";
import type { Layer, LayerFile, LayerPath, Place, WritableLayer } from "../layer/layer.ts";

/** What a lower has of an object: all of a file, or its share in a directory. */
export interface LowerPart extends Place {
  /** Of a directory: empty files in it may be whiteouts. */
  readonly xattrWhiteouts: boolean;
}

/** A file in a directory of a lower. There are many, and most are never asked for their paths: those are put together at need. */
export class LowerFile implements LowerPart {
  readonly #directory: LowerPart;
  readonly #name: Name;

  constructor(directory: LowerPart, name: Name) {
    this.#directory = directory;
    this.#name = name;
  }

  get layer(): Layer {
    return this.#directory.layer;
  }

  get path(): LayerPath {
    return joinPath(this.#directory.path, this.#name);
  }

  get xattrWhiteouts(): boolean {
    return false;
  }
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
  /** How many names were looked for in vain while its names were not kept. */
  misses = 0;
}

/** What is true or not of a node: one bit each, as there are many nodes. */
const Bit = {
  upper: 1,
  hasOrigin: 2,
  isRenumbered: 4,
  wasGiven: 8,
  mappedUnseen: 16,
  stalePages: 32,
  hasNoCapability: 64,
} as const;

/** What few nodes have. */
interface Rarities {
  moreLinks: Link[] | undefined;
  inodeKey: string | undefined;
  data: DataSource | undefined;
  indexed: Indexed | undefined;
  anchor: WritableLayer | undefined;
  copyingUp: Gate | undefined;
}

export class Node {
  readonly id: NodeId;
  /** The S_IFMT bits. */
  readonly type: number;
  /** How many lookups the kernel holds. */
  lookups = 0;
  /** Its name; undefined for the root and for removed nodes. */
  link: Link | undefined;
  lowers: readonly LowerPart[];
  /** The inode number shown. */
  ino: number;
  readonly directory: DirectoryState | undefined;
  /** Bits of Protection; undefined when not yet looked. */
  protection: number | undefined;
  open: OpenFile | undefined;
  #bits: number;
  #rarities: Rarities | undefined;

  constructor(id: NodeId, type: number, upper: boolean, lowers: readonly LowerPart[], ino: number, hasOrigin: boolean) {
    this.id = id;
    this.type = type;
    this.lowers = lowers;
    this.ino = ino;
    this.directory = type === FileType.directory ? new DirectoryState() : undefined;
    this.#bits = (upper ? Bit.upper : 0) | (hasOrigin ? Bit.hasOrigin : 0);
  }

  get upper(): boolean {
    return (this.#bits & Bit.upper) !== 0;
  }

  set upper(value: boolean) {
    this.#set(Bit.upper, value);
  }

  /** It bears the mark of the lower object that it was copied up from. */
  get hasOrigin(): boolean {
    return (this.#bits & Bit.hasOrigin) !== 0;
  }

  set hasOrigin(value: boolean) {
    this.#set(Bit.hasOrigin, value);
  }

  /** It could not be marked so: once it is forgotten, its object shows another inode number. */
  get isRenumbered(): boolean {
    return (this.#bits & Bit.isRenumbered) !== 0;
  }

  set isRenumbered(value: boolean) {
    this.#set(Bit.isRenumbered, value);
  }

  /** The kernel was given the data of this lower file. */
  get wasGiven(): boolean {
    return (this.#bits & Bit.wasGiven) !== 0;
  }

  set wasGiven(value: boolean) {
    this.#set(Bit.wasGiven, value);
  }

  /** Past or present handles may have left mappings by which the kernel writes to the file, and its times, by itself. */
  get mappedUnseen(): boolean {
    return (this.#bits & Bit.mappedUnseen) !== 0;
  }

  set mappedUnseen(value: boolean) {
    this.#set(Bit.mappedUnseen, value);
  }

  /** The pages that the kernel has of it may be outdated: it was written past them. */
  get stalePages(): boolean {
    return (this.#bits & Bit.stalePages) !== 0;
  }

  set stalePages(value: boolean) {
    this.#set(Bit.stalePages, value);
  }

  /** It is known to have no security.capability, which the kernel asks for before it changes owner or data. */
  get hasNoCapability(): boolean {
    return (this.#bits & Bit.hasNoCapability) !== 0;
  }

  set hasNoCapability(value: boolean) {
    this.#set(Bit.hasNoCapability, value);
  }

  /** Further names of an upper file with hard links. */
  get moreLinks(): Link[] | undefined {
    return this.#rarities?.moreLinks;
  }

  set moreLinks(value: Link[] | undefined) {
    this.#setRarity("moreLinks", value);
  }

  /** Its key in the table of inodes with several names, if it is there. */
  get inodeKey(): string | undefined {
    return this.#rarities?.inodeKey;
  }

  set inodeKey(value: string | undefined) {
    this.#setRarity("inodeKey", value);
  }

  /** Of a file whose object has no data of its own (metacopy). */
  get data(): DataSource | undefined {
    return this.#rarities?.data;
  }

  set data(value: DataSource | undefined) {
    this.#setRarity("data", value);
  }

  get indexed(): Indexed | undefined {
    return this.#rarities?.indexed;
  }

  set indexed(value: Indexed | undefined) {
    this.#setRarity("indexed", value);
  }

  /** Keeps a removed object of the upper reachable: one of a lower stays where it is. */
  get anchor(): WritableLayer | undefined {
    return this.#rarities?.anchor;
  }

  set anchor(value: WritableLayer | undefined) {
    this.#setRarity("anchor", value);
  }

  /** Closed while the data of this file are being copied up. */
  get copyingUp(): Gate | undefined {
    return this.#rarities?.copyingUp;
  }

  set copyingUp(value: Gate | undefined) {
    this.#setRarity("copyingUp", value);
  }

  #set(bit: number, value: boolean): void {
    this.#bits = value ? this.#bits | bit : this.#bits & ~bit;
  }

  #setRarity<Key extends keyof Rarities>(key: Key, value: Rarities[Key]): void {
    if (this.#rarities !== undefined) {
      this.#rarities[key] = value;
    } else if (value !== undefined) {
      this.#rarities = {
        moreLinks: undefined,
        inodeKey: undefined,
        data: undefined,
        indexed: undefined,
        anchor: undefined,
        copyingUp: undefined,
        [key]: value,
      };
    }
  }
}

/** A directory that more than one layer contributes to. */
export function isMerged(node: Node): boolean {
  return node.directory !== undefined && node.lowers.length > (node.upper ? 0 : 1);
}

/** An object without a name: unlinked or removed while in use, or never named (O_TMPFILE). */
export function isRemoved(node: Node): boolean {
  return node.link === undefined && node.id !== rootNodeId;
}

/** The path of a name in a directory, which may be the root (""). */
export function joinPath(directory: LayerPath, name: Name): LayerPath {
  return directory === "" ? name : `${directory}/${name}`;
}
