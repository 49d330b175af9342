/** What workloads work on: lower trees, archives and loop devices, made when they are first asked for. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./programs.ts";
import type { Stand } from "./stand.ts";
import { makeBigFile, makeManyFiles, makeSourceTree } from "./trees.ts";

/** Sizes; the small ones show that the benchmark works, the full ones are worth comparing. */
export interface Scale {
  /** Of the sequentially read and written file. */
  readonly bigMegabytes: number;
  /** Of the file that is copied up for one write. */
  readonly hugeMegabytes: number;
  readonly sourceFiles: number;
  readonly files: number;
  readonly copyUps: number;
  readonly appends: number;
  readonly randomCalls: number;
  readonly layers: number;
}

export const fullScale: Scale = {
  bigMegabytes: 256,
  hugeMegabytes: 1024,
  sourceFiles: 7000,
  files: 3000,
  copyUps: 1000,
  appends: 20_000,
  randomCalls: 40_000,
  layers: 60,
};

export const smokeScale: Scale = {
  bigMegabytes: 8,
  hugeMegabytes: 16,
  sourceFiles: 300,
  files: 100,
  copyUps: 50,
  appends: 200,
  randomCalls: 500,
  layers: 10,
};

export type MaterialName =
  | "empty"
  | "source"
  | "archive"
  | "repository"
  | "packages"
  | "many"
  | "big"
  | "huge"
  | "layers"
  | "xfs"
  | "xfs-huge";

export class Materials {
  readonly scale: Scale;
  readonly stand: Stand;
  readonly #made = new Map<MaterialName, string>();
  readonly #loops: string[] = [];

  constructor(stand: Stand, scale: Scale) {
    this.stand = stand;
    this.scale = scale;
  }

  /** Makes a material unless it is there. */
  async make(name: MaterialName): Promise<string> {
    const path = this.#made.get(name) ?? (await this.#make(name));
    this.#made.set(name, path);
    return path;
  }

  /** The path of a material that was made. */
  path(name: MaterialName): string {
    const path = this.#made.get(name);
    if (path === undefined) {
      throw new Error(`${name} has not been made`);
    }
    return path;
  }

  /** Unmounts the loop devices. The stand removes the rest. */
  end(): void {
    for (const mountpoint of this.#loops.splice(0).reverse()) {
      run(["umount", mountpoint]);
    }
  }

  async #make(name: MaterialName): Promise<string> {
    const { stand, scale } = this;
    const path = stand.directory(name);
    switch (name) {
      case "source":
        makeSourceTree(path, this.scale.sourceFiles);
        break;
      case "many":
        makeManyFiles(path, scale.files);
        break;
      case "big":
        await makeBigFile(path, scale.bigMegabytes);
        break;
      case "huge":
        await makeBigFile(path, scale.hugeMegabytes);
        break;
      case "empty":
        break;
      case "archive":
        return this.#archive(path);
      case "repository":
        this.#repository(path);
        break;
      case "packages":
        this.#packages(path);
        break;
      case "layers":
        this.#layers(path);
        break;
      case "xfs":
        return this.#loop(path, ["mkfs.xfs", "-q", "-m", "reflink=1"]);
      case "xfs-huge":
        return this.#onXfs();
    }
    return path;
  }

  async #archive(path: string): Promise<string> {
    const archive = join(path, "source.tar");
    run(["tar", "cf", archive, "-C", await this.make("source"), "."]);
    return archive;
  }

  #repository(path: string): void {
    makeSourceTree(path, this.scale.sourceFiles);
    const git = (...args: string[]) =>
      run(["git", "-c", "user.name=bench", "-c", "user.email=b@example.org", ...args], path);
    git("init", "-q");
    git("add", "-A");
    git("commit", "-qm", "all");
  }

  /** A project whose dependencies are archives beside it, so that npm needs no network. */
  #packages(path: string): void {
    const dependencies: Record<string, string> = {};
    for (let index = 0; index < 20; index++) {
      const name = `dependency-${index}`;
      const source = join(path, "sources", name);
      mkdirSync(source, { recursive: true });
      makeManyFiles(source, 50);
      writeFileSync(join(source, "package.json"), JSON.stringify({ name, version: "1.0.0" }));
      run(["npm", "pack", "--silent", "--pack-destination", path], source);
      dependencies[name] = `file:${name}-1.0.0.tgz`;
    }
    const project = { name: "project", version: "1.0.0", dependencies };
    writeFileSync(join(path, "package.json"), JSON.stringify(project));
    run(["npm", "install", "--silent", "--package-lock-only", "--offline", "--no-audit", "--no-fund"], path);
  }

  /** `0`, `1`, ...: layers with a directory that they share and one of their own. */
  #layers(path: string): void {
    for (let index = 0; index < this.scale.layers; index++) {
      const layer = join(path, String(index));
      mkdirSync(join(layer, "many", `own-${index}`), { recursive: true });
      for (let file = 0; file < 20; file++) {
        writeFileSync(join(layer, "many", `${index}-${file}`), "shared");
        writeFileSync(join(layer, "many", `own-${index}`, String(file)), "own");
      }
    }
  }

  #loop(path: string, mkfs: readonly string[]): string {
    const image = `${path}.img`;
    run(["truncate", "-s", `${Math.max(512, 3 * this.scale.hugeMegabytes)}M`, image]);
    run([...mkfs, image]);
    run(["mount", "-o", "loop", image, path]);
    this.#loops.push(path);
    return path;
  }

  async #onXfs(): Promise<string> {
    const xfs = await this.make("xfs");
    const path = join(xfs, "lower");
    mkdirSync(path);
    copyFileSync(join(await this.make("huge"), "big"), join(path, "big"));
    return path;
  }
}
