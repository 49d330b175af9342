/**
 * The state that all concerns of one overlay share: its layers, its nodes, and where an object lies.
 */
import type { BackingFiles } from "../contract/backing.ts";
import type { Features, PassthroughMode, SyncMode } from "../contract/features.ts";
import type { Attributes, Entry } from "../contract/filesystem.ts";
import { type Caller, FileType, type Name } from "../contract/ids.ts";
import type { Notifier } from "../contract/notifier.ts";
import type { JobRunner } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import type { Layer, Place, Stat, WritableLayer } from "../layer/layer.ts";
import { isOpaqueToOthers, type MarkNames, markNames, readDirectoryMarks } from "../layer/marks.ts";
import type { Logger } from "../log.ts";
import { findData, withDataBlocks } from "./data-source.ts";
import { IndexDir } from "./index-dir.ts";
import { InodeNumbers } from "./inode-numbers.ts";
import { KeptNames } from "./kept-names.ts";
import { isMerged, isRemoved, type LowerPart, type Node } from "./node.ts";
import { NodeTable } from "./node-table.ts";
import { OriginLayers } from "./origin-layers.ts";
import { giveUuid } from "./own-uuid.ts";
import { chooseForms, type UpperForms } from "./upper-forms.ts";
import { WorkDir } from "./work-dir.ts";

export interface OverlayOptions {
  /** Absent: the mount is read-only. */
  readonly upper?: WritableLayer;
  /** The user's workdir; present with `upper`, and on the same mount. */
  readonly work?: WritableLayer;
  /** Topmost first; at least one unless there is an upper. */
  readonly lowers: readonly Layer[];
  /** Layers below all lowers, of which only data show: of files whose metadata lie above. Topmost first. */
  readonly dataLowers: readonly Layer[];
  readonly features: Features;
  readonly fsync: SyncMode;
  /** Whom what the layers are asked to make belongs to. */
  readonly self: Pick<Caller, "uid" | "gid">;
  /** Marks are kept in user.overlay.* instead of trusted.overlay.*. */
  readonly userXattr: boolean;
  /** Whether new objects inherit the default ACL of their directory. */
  readonly inheritsAcls: boolean;
  readonly log: Logger;
  readonly jobs: JobRunner;
  readonly notifier: Notifier;
  readonly passthrough: PassthroughMode;
  readonly backing: BackingFiles;
  /** Called when much of the memory that was in use no longer is. */
  readonly releaseMemory: () => void;
}

/** The upper and what is needed to change it. */
export interface Writable extends UpperForms {
  readonly upper: WritableLayer;
  readonly work: WorkDir;
}

export class Overlay {
  readonly upper: WritableLayer | undefined;
  readonly work: WorkDir | undefined;
  /** Where files with several names on a lower are copied up to; absent unless the feature is on. */
  readonly index: IndexDir | undefined;
  /** How the upper hides what lowers have; present with it. */
  readonly forms: UpperForms | undefined;
  readonly lowers: readonly Layer[];
  readonly dataLowers: readonly Layer[];
  readonly features: Features;
  readonly inheritsAcls: boolean;
  readonly self: Pick<Caller, "uid" | "gid">;
  /** Nothing is ever synced. */
  readonly volatile: boolean;
  readonly marks: MarkNames;
  readonly log: Logger;
  readonly jobs: JobRunner;
  readonly notifier: Notifier;
  readonly passthrough: PassthroughMode;
  readonly backing: BackingFiles;
  readonly nodes: NodeTable;
  readonly inodes: InodeNumbers;
  readonly names: KeptNames = new KeptNames();
  readonly originLayers: OriginLayers;
  /** Absent in a read-only mount, and when the upper could not be brought back to a sound state: nothing is changed any more. */
  #writable: Writable | undefined;
  readonly #dropped = new Set<string>();

  /** @throws FsError when the layers can't be read or the workdir can't be prepared */
  constructor(options: OverlayOptions) {
    const top = options.upper ?? options.lowers[0];
    if (top === undefined) {
      throw new FsError(Errno.EINVAL, "an overlay needs a layer");
    }
    this.upper = options.upper;
    this.lowers = options.lowers;
    this.dataLowers = options.dataLowers;
    this.originLayers = new OriginLayers(options.lowers);
    this.self = options.self;
    this.inheritsAcls = options.inheritsAcls;
    this.volatile = options.fsync === "volatile";
    this.marks = markNames(options.userXattr);
    this.log = options.log;
    this.jobs = options.jobs;
    this.notifier = options.notifier;
    this.passthrough = options.passthrough;
    this.backing = options.backing;
    this.work = options.work === undefined ? undefined : WorkDir.open(options.work, options.fsync, options.self);
    this.forms = this.upper && this.work && chooseForms(this.upper, this.work, this.marks, this.log);
    // As Linux overlayfs falls back: what these features rest on can't be stored.
    const withoutXattrs = this.forms?.opaque.fitsEmptyDirectory === false;
    this.features = withoutXattrs ? { ...options.features, index: false, metacopy: false } : options.features;
    this.index = this.features.index ? this.#openIndex(options) : undefined;
    this.#writable = this.upper && this.work && this.forms && { upper: this.upper, work: this.work, ...this.forms };
    if (this.upper !== undefined) {
      giveUuid(this.upper, this.marks, this.features.uuid, this.log);
    }
    const stat = top.stat("");
    const devices = [stat.dev, ...this.lowers.map((lower) => lower.stat("").dev)];
    this.inodes = new InodeNumbers(devices, this.features.xino);
    this.nodes = new NodeTable(
      {
        upper: this.upper !== undefined,
        lowers: this.forms?.opaque.isSetByFile("") === true ? [] : rootParts(this.marks, this.lowers),
        ino: this.inodes.number(stat.dev, stat.ino),
        hasOrigin: false,
      },
      { dropped: (node) => this.#wasForgotten(node), releaseMemory: options.releaseMemory },
    );
  }

  #wasForgotten(node: Node): void {
    this.names.delete(node);
    if (node.isRenumbered && node.link !== undefined) {
      this.notifier.listingChanged(node.link.parent.id);
    }
  }

  #openIndex({ upper, work }: OverlayOptions): IndexDir | undefined {
    const { lowers, marks, log, originLayers: origins } = this;
    return upper && work && IndexDir.open({ upper, work, lowers, origins, marks, log });
  }

  /** The upper and what is needed to change it. @throws EROFS */
  writable(): Writable {
    if (this.#writable === undefined) {
      throw new FsError(Errno.EROFS, "the overlay is read-only");
    }
    return this.#writable;
  }

  /** A name that stands for a mark in the upper: no object can have it. */
  isReserved(name: Name): boolean {
    return this.forms !== undefined && (this.forms.whiteouts.isReserved(name) || this.forms.opaque.isReserved(name));
  }

  /** A change could be neither completed nor taken back: refuse further ones rather than make it worse. */
  becomeReadOnly(reason: string, cause: unknown): void {
    this.#writable = undefined;
    this.log.error({ err: cause }, `the mount is read-only from now on: ${reason}`);
  }

  /** An xattr, or the file flags, could not be kept in a copy-up as the upper's file system has none of the kind. */
  wasDropped(name: string): void {
    if (!this.#dropped.has(name)) {
      this.#dropped.add(name);
      this.log.warn({ name }, "the upper's file system can't keep this: copy-up drops it");
    }
  }

  /** Where the object that a node shows lies. */
  place(node: Node): Place {
    if (node.anchor !== undefined) {
      return { layer: node.anchor, path: "" };
    }
    if (node.indexed !== undefined && this.index !== undefined) {
      return this.index.place(node.indexed);
    }
    if (node.upper && this.upper !== undefined) {
      return { layer: this.upper, path: this.nodes.upperPath(node) };
    }
    return node.lowers[0] as Place;
  }

  /** Where the upper object of a node lies, which must have been copied up. */
  upperPlace(node: Node): Place<WritableLayer> {
    const { upper } = this.writable();
    if (!node.upper) {
      throw new Error(`node ${node.id} is not on the upper`);
    }
    if (node.anchor !== undefined) {
      return { layer: node.anchor, path: "" };
    }
    return node.indexed !== undefined && this.index !== undefined
      ? this.index.place(node.indexed)
      : { layer: upper, path: this.nodes.upperPath(node) };
  }

  /** Where the data of a file lie. @throws ENOENT where they are on no data-only layer */
  dataPlace(node: Node): Place {
    if (node.data === undefined) {
      return this.place(node);
    }
    if (node.data.kind === "sought") {
      node.data = { kind: "found", place: findData(this.dataLowers, node.data.names) };
    }
    return node.data.place;
  }

  stat(node: Node): Stat {
    if (node.open !== undefined && node.data === undefined) {
      return node.open.file.stat();
    }
    const { layer, path } = this.place(node);
    const stat = layer.stat(path);
    return node.data === undefined ? stat : withDataBlocks(stat, node.data);
  }

  /** Lets go of everything on disk; the staging area is removed. */
  close(): void {
    for (const node of this.nodes.values()) {
      node.anchor?.close();
    }
    this.work?.close();
    this.upper?.close();
    for (const lower of [...this.lowers, ...this.dataLowers]) {
      lower.close();
    }
  }

  /**
   * What is shown of an object: its own attributes but for the inode number and the link count. One by one, as a spread
   * takes V8 longer than all else that a lookup does.
   */
  attributes(node: Node, stat: Stat): Attributes {
    return {
      ino: node.ino,
      mode: stat.mode,
      nlink: linkCount(node, stat),
      uid: stat.uid,
      gid: stat.gid,
      rdevMajor: stat.rdevMajor,
      rdevMinor: stat.rdevMinor,
      size: stat.size,
      blocks: stat.blocks,
      blksize: stat.blksize,
      atime: stat.atime,
      mtime: stat.mtime,
      ctime: stat.ctime,
      btime: stat.btime,
      attributes: stat.attributes,
      attributesMask: stat.attributesMask,
      unsteady: node.mappedUnseen,
    };
  }

  /** Counts a lookup and answers the entry that the kernel gets for it. */
  entry(node: Node, stat: Stat): Entry {
    node.lookups += 1;
    return { node: node.id, attributes: this.attributes(node, stat) };
  }
}

/**
 * A merged directory has 1, which programs take as "not counted", as with Linux overlayfs; all others what their layer
 * says, an indexed file with the names that only lowers have. A removed object of a lower is still there, with the link that the overlay took away.
 */
function linkCount(node: Node, stat: Stat): number {
  if (isRemoved(node) && !node.upper) {
    return node.type === FileType.directory ? 0 : Math.max(0, stat.nlink - 1);
  }
  return isMerged(node) && !isRemoved(node) ? 1 : Math.max(0, stat.nlink + (node.indexed?.surplus ?? 0));
}

/** The roots of the lowers, down to the first that hides those below it. */
function rootParts(marks: MarkNames, lowers: readonly Layer[]): LowerPart[] {
  const opaque = lowers.findIndex((layer) => isOpaqueToOthers(layer, ""));
  return (opaque < 0 ? lowers : lowers.slice(0, opaque + 1)).map((layer) => ({
    layer,
    path: "",
    xattrWhiteouts: readDirectoryMarks(marks, layer, "").xattrWhiteouts,
  }));
}
