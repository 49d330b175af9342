/**
 * All nodes in use: by id, by name in their directory, and files with hard links by inode.
 * A node is dropped when nothing holds it any more: no lookup of the kernel, no child, no open file, no copy-up.
 */

import { FileType, type Name, type NodeId, rootNodeId } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerPath, Stat } from "../layer/layer.ts";
import { type DataSource, type Indexed, joinPath, type Link, type LowerPart, Node } from "./node.ts";

/** What a lookup on disk brought to light of an object that has no node yet. */
export interface Discovery {
  readonly stat: Stat;
  readonly upper: boolean;
  readonly lowers: readonly LowerPart[];
  readonly ino: number;
  readonly hasOrigin: boolean;
  /** Of an object on a lower: all names that it has there are this one file. */
  readonly isOneFile?: boolean;
  readonly indexed?: Indexed;
  readonly data?: DataSource;
}

export interface NodeEvents {
  /** A node is no longer in use. */
  dropped(node: Node): void;
  /** Half of all nodes, and many, went: what they took can be given back. */
  releaseMemory(): void;
}

/** Fewer nodes than these are not worth a search for their memory. */
const manyNodes = 20_000;

export class NodeTable {
  readonly root: Node;
  readonly #byId = new Map<NodeId, Node>();
  /** Files that have, or had, more than one name: their names must be one node. */
  readonly #byInode = new Map<string, Node>();
  #nextId: NodeId = rootNodeId + 1;
  /** Goes up when a directory is renamed: cached paths of an earlier age are void. */
  #pathAge = 0;

  readonly #events: NodeEvents;
  /** The most nodes there were since memory was last released. */
  #peak = 0;

  constructor(root: Omit<Discovery, "stat">, events: NodeEvents) {
    this.#events = events;
    this.root = new Node(rootNodeId, FileType.directory, root.upper, root.lowers, root.ino, root.hasOrigin);
    this.#byId.set(rootNodeId, this.root);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** @throws ESTALE for an id that is not in use */
  get(id: NodeId): Node {
    const node = this.#byId.get(id);
    if (node === undefined) {
      throw new FsError(Errno.ESTALE, `node ${id} is not known`);
    }
    return node;
  }

  find(id: NodeId): Node | undefined {
    return this.#byId.get(id);
  }

  /** The node of a discovered object under that name: a known one for a further hard link, else a new one. */
  add(parent: Node, name: Name, discovery: Discovery): Node {
    const type = discovery.stat.mode & FileType.mask;
    const mayBeKnown = type !== FileType.directory && (discovery.upper || discovery.isOneFile === true);
    const linked = mayBeKnown && (discovery.stat.nlink > 1 || discovery.indexed !== undefined);
    // With one name left it may have had others by which it is known.
    const known =
      mayBeKnown && this.#byInode.size > 0 ? this.#byInode.get(inodeKey(discovery.upper, discovery.stat)) : undefined;
    const node = known ?? this.#create(type, discovery);
    if (linked && known === undefined) {
      this.#remember(node, inodeKey(discovery.upper, discovery.stat));
    }
    if (node.indexed !== undefined) {
      // The name may be one of a lower alone.
      node.indexed.allLinked = false;
    }
    this.addLink(node, parent, name);
    return node;
  }

  /** A node without a name: it lives by its anchor. */
  addUnnamed(discovery: Discovery): Node {
    return this.#create(discovery.stat.mode & FileType.mask, discovery);
  }

  /** An upper file has a further name: from now on it is found by its inode. */
  rememberInode(node: Node, stat: Stat): void {
    this.#remember(node, inodeKey(true, stat));
  }

  #remember(node: Node, key: string): void {
    this.forgetInode(node);
    node.inodeKey = key;
    this.#byInode.set(key, node);
  }

  /** The last name of an upper file went: its inode may come to be used for another file. */
  forgetInode(node: Node): void {
    if (node.inodeKey !== undefined) {
      this.#byInode.delete(node.inodeKey);
      node.inodeKey = undefined;
    }
  }

  addLink(node: Node, parent: Node, name: Name): void {
    childrenOf(parent).set(name, node);
    // A name makes it reachable again: that of a further hard link, or the first of an unnamed file.
    node.anchor?.close();
    node.anchor = undefined;
    const link: Link = { parent, name };
    if (node.link === undefined) {
      node.link = link;
    } else {
      node.moreLinks ??= [];
      node.moreLinks.push(link);
    }
  }

  /** All names that a node is known by. */
  links(node: Node): readonly Link[] {
    return node.link === undefined ? [] : [node.link, ...(node.moreLinks ?? [])];
  }

  /** The name no longer stands for the node; another name it is known by, if any, takes its place. */
  removeLink(node: Node, parent: Node, name: Name): void {
    childrenOf(parent).delete(name);
    const isThis = (link: Link) => link.parent === parent && link.name === name;
    if (node.link !== undefined && isThis(node.link)) {
      node.link = node.moreLinks?.pop();
    } else {
      node.moreLinks = node.moreLinks?.filter((link) => !isThis(link));
    }
    if (node.moreLinks?.length === 0) {
      node.moreLinks = undefined;
    }
    this.dropIfUnused(parent);
  }

  /** Every cached path may be wrong now. */
  directoryWasRenamed(): void {
    this.#pathAge += 1;
  }

  /** Where the upper object of a named node lies, or will lie after its copy-up. */
  upperPath(node: Node): LayerPath {
    if (node === this.root) {
      return "";
    }
    if (node.link === undefined) {
      throw new FsError(Errno.ENOENT, `node ${node.id} has no name`);
    }
    const parentPath = this.#directoryPath(node.link.parent);
    return joinPath(parentPath, node.link.name);
  }

  /** The path of a name in a directory's upper object. */
  upperPathOf(parent: Node, name: Name): LayerPath {
    return joinPath(this.#directoryPath(parent), name);
  }

  forget(node: Node, count: number): void {
    node.lookups = Math.max(0, node.lookups - count);
    this.dropIfUnused(node);
    if (this.size <= this.#peak / 2 && this.#peak - this.size >= manyNodes) {
      this.#peak = this.size;
      this.#events.releaseMemory();
    }
  }

  dropIfUnused(node: Node): void {
    let candidate: Node | undefined = node;
    while (candidate !== undefined && !this.#isHeld(candidate)) {
      candidate = this.#drop(candidate);
    }
  }

  /** Every node in use. */
  values(): Iterable<Node> {
    return this.#byId.values();
  }

  #isHeld(node: Node): boolean {
    return (
      node === this.root ||
      node.lookups > 0 ||
      node.open !== undefined ||
      node.copyingUp !== undefined ||
      (node.directory !== undefined && node.directory.children.size > 0)
    );
  }

  /** @returns the parent, which may be unused now too */
  #drop(node: Node): Node | undefined {
    this.#byId.delete(node.id);
    this.forgetInode(node);
    this.#events.dropped(node);
    node.anchor?.close();
    for (const link of node.moreLinks ?? []) {
      childrenOf(link.parent).delete(link.name);
      this.dropIfUnused(link.parent);
    }
    const parent = node.link?.parent;
    if (node.link !== undefined) {
      childrenOf(node.link.parent).delete(node.link.name);
    }
    return parent;
  }

  #create(type: number, { upper, lowers, ino, hasOrigin, indexed, data }: Discovery): Node {
    const node = new Node(this.#nextId, type, upper, lowers, ino, hasOrigin);
    node.indexed = indexed;
    node.data = data;
    this.#nextId += 1;
    this.#byId.set(node.id, node);
    this.#peak = Math.max(this.#peak, this.size);
    return node;
  }

  #directoryPath(node: Node): LayerPath {
    const state = node.directory;
    if (state === undefined) {
      throw new FsError(Errno.ENOTDIR, `node ${node.id} is not a directory`);
    }
    if (state.pathAge !== this.#pathAge) {
      state.path = this.upperPath(node);
      state.pathAge = this.#pathAge;
    }
    return state.path;
  }
}

function inodeKey(upper: boolean, stat: Stat): string {
  return `${upper ? "upper" : "lower"}:${stat.dev}:${stat.ino}`;
}

function childrenOf(node: Node): Map<Name, Node> {
  if (node.directory === undefined) {
    throw new FsError(Errno.ENOTDIR, `node ${node.id} is not a directory`);
  }
  return node.directory.children;
}
