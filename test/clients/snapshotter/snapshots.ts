/**
 * Owns the snapshots of the fixture: which there are, and the directories of each, `N/fs` and `N/work`. What is to be mounted for
 * one is what containerd's own overlayfs snapshotter says, but for the type of the mount.
 */
import { execFileSync } from "node:child_process";
import { chownSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type ServiceError, status } from "@grpc/grpc-js";

export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface Info {
  readonly name: string;
  readonly parent: string;
  readonly kind: "VIEW" | "ACTIVE" | "COMMITTED";
  readonly created_at: Time;
  readonly updated_at: Time;
  readonly labels: Labels;
}

export type Labels = Readonly<Record<string, string>>;

interface Time {
  readonly seconds: number;
}

interface Snapshot {
  readonly directory: string;
  readonly info: Info;
}

export class Snapshots {
  readonly #root: string;
  readonly #type: string;
  readonly #byName = new Map<string, Snapshot>();
  #made = 0;

  /**
   * @param root where the directories are made
   * @param type of the mounts
   */
  constructor(root: string, type: string) {
    this.#root = root;
    this.#type = type;
  }

  /** Makes a snapshot on a committed one, or on nothing where `parent` is empty. */
  create(kind: "VIEW" | "ACTIVE", name: string, parent: string, labels: Labels): readonly Mount[] {
    this.#requireFree(name);
    const below = parent === "" ? undefined : this.#find(parent);
    if (below !== undefined && below.info.kind !== "COMMITTED") {
      throw failure(status.INVALID_ARGUMENT, `${parent} is not committed`);
    }
    this.#made += 1;
    const directory = join(this.#root, String(this.#made));
    mkdirSync(join(directory, "fs"), { recursive: true });
    mkdirSync(join(directory, "work"));
    if (below !== undefined) {
      const { uid, gid } = lstatSync(join(below.directory, "fs"));
      chownSync(join(directory, "fs"), uid, gid);
    }
    const time = now();
    this.#byName.set(name, { directory, info: { name, parent, kind, created_at: time, updated_at: time, labels } });
    return this.mounts(name);
  }

  mounts(name: string): readonly Mount[] {
    const { directory, info } = this.#find(name);
    const readOnly = info.kind === "VIEW";
    if (info.parent === "") {
      return [{ type: "bind", source: join(directory, "fs"), options: [readOnly ? "ro" : "rw", "rbind"] }];
    }
    const own = readOnly ? [] : [`workdir=${join(directory, "work")}`, `upperdir=${join(directory, "fs")}`];
    const lower = this.#ancestors(info.parent).map((ancestor) => join(ancestor.directory, "fs"));
    return [{ type: this.#type, source: "overlay", options: ["index=off", ...own, `lowerdir=${lower.join(":")}`] }];
  }

  commit(name: string, key: string, labels: Labels): void {
    this.#requireFree(name);
    const { directory, info } = this.#find(key);
    if (info.kind !== "ACTIVE") {
      throw failure(status.FAILED_PRECONDITION, `${key} is not active`);
    }
    this.#byName.delete(key);
    this.#byName.set(name, { directory, info: { ...info, name, kind: "COMMITTED", updated_at: now(), labels } });
  }

  remove(name: string): void {
    const { directory } = this.#find(name);
    if (this.list().some((other) => other.parent === name)) {
      throw failure(status.FAILED_PRECONDITION, `${name} has others on it`);
    }
    // Node itself takes several times as long.
    execFileSync("rm", ["-rf", directory]);
    this.#byName.delete(name);
  }

  info(name: string): Info {
    return this.#find(name).info;
  }

  list(): readonly Info[] {
    return [...this.#byName.values()].map((snapshot) => snapshot.info);
  }

  relabel(name: string, labels: Labels): Info {
    const { directory, info } = this.#find(name);
    const changed = { ...info, updated_at: now(), labels };
    this.#byName.set(name, { directory, info: changed });
    return changed;
  }

  /** What the upper takes on the disk, in bytes and inodes. */
  usage(name: string): { readonly size: number; readonly inodes: number } {
    const { directory } = this.#find(name);
    const blocks = new Map<number, number>();
    for (const entry of readdirSync(join(directory, "fs"), { recursive: true, withFileTypes: true })) {
      const { ino, blocks: count } = lstatSync(join(entry.parentPath, entry.name));
      blocks.set(ino, count);
    }
    return { size: 512 * [...blocks.values()].reduce((sum, count) => sum + count, 0), inodes: blocks.size };
  }

  #ancestors(name: string): Snapshot[] {
    const snapshot = this.#find(name);
    return snapshot.info.parent === "" ? [snapshot] : [snapshot, ...this.#ancestors(snapshot.info.parent)];
  }

  #find(name: string): Snapshot {
    const snapshot = this.#byName.get(name);
    if (snapshot === undefined) {
      throw failure(status.NOT_FOUND, `there is no ${name}`);
    }
    return snapshot;
  }

  #requireFree(name: string): void {
    if (this.#byName.has(name)) {
      throw failure(status.ALREADY_EXISTS, `there is a ${name}`);
    }
  }
}

function now(): Time {
  return { seconds: Math.floor(Date.now() / 1000) };
}

function failure(code: status, details: string): Partial<ServiceError> {
  return Object.assign(new Error(details), { code, details });
}
