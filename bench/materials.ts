/** What workloads work on: lower trees and archives, made on the file system where they are when first asked for. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Area, FileSystemName } from "./area.ts";
import { makePackages } from "./packages.ts";
import { run } from "./programs.ts";
import type { Scale } from "./scale.ts";
import { makeBigFile, makeEmptyFiles, makeLayers, makeManyFiles, makeSourceTree } from "./trees.ts";

export type MaterialName =
  | "empty"
  | "source"
  | "archive"
  | "repository"
  | "packages"
  | "python"
  | "many"
  | "known"
  | "big"
  | "huge"
  | "layers"
  | "rehearsal";

/** The system's Python, of which a copy is started in a mount. */
export const systemPython = "/usr/bin/python3";

export class Materials {
  readonly scale: Scale;
  readonly #area: Area;
  readonly #made = new Map<string, string>();

  constructor(area: Area, scale: Scale) {
    this.#area = area;
    this.scale = scale;
  }

  /** The directory of a material. */
  async make(name: MaterialName, on: FileSystemName = "ext4"): Promise<string> {
    const path = join(await this.#area.fileSystem(on), "l", name);
    if (!this.#made.has(path)) {
      mkdirSync(path, { recursive: true });
      await this.#fill(name, path);
      this.#made.set(path, name);
    }
    return path;
  }

  /** A directory for what programs keep beside their work. */
  cache(): string {
    return join(this.#area.path, "cache");
  }

  async #fill(name: MaterialName, path: string): Promise<void> {
    const { scale } = this;
    switch (name) {
      case "empty":
        return;
      case "source":
        return makeSourceTree(path, scale.sourceFiles);
      case "archive":
        await run(["tar", "cf", join(path, "source.tar"), "-C", await this.make("source"), "."]);
        return;
      case "repository":
        return makeRepository(path, scale.sourceFiles);
      case "packages":
        return makePackages(path, scale.packages, this.cache());
      case "python":
        return copyPython(path);
      case "many":
        return makeManyFiles(path, scale.files);
      case "known":
        return makeEmptyFiles(path, scale.knownFiles);
      case "big":
        return makeBigFile(path, scale.bigMegabytes);
      case "huge":
        return makeBigFile(path, scale.hugeMegabytes);
      case "layers":
        return makeLayers(path, scale.layers);
      case "rehearsal":
        mkdirSync(join(path, "rehearsal"));
        return makeSourceTree(join(path, "rehearsal"), scale.sourceFiles);
    }
  }
}

async function makeRepository(path: string, files: number): Promise<void> {
  makeSourceTree(path, files);
  // Git reads files again that are not older than its index.
  await sleep(1100);
  for (const step of [
    ["init", "-q"],
    ["add", "-A"],
    ["commit", "-qm", "all"],
  ]) {
    await run(["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0", ...step], {
      cwd: path,
    });
  }
}

/** `bin/python3` and its standard library, laid out so that it finds the latter by itself. */
async function copyPython(path: string): Promise<void> {
  const ask = "import sys, sysconfig; print(sys.executable, sysconfig.get_path('stdlib'), sep='\\n')";
  const [program = "", library = ""] = (await run([systemPython, "-c", ask])).trim().split("\n");
  mkdirSync(join(path, "bin"));
  mkdirSync(join(path, "lib"));
  await run(["cp", "-aL", program, join(path, "bin/python3")]);
  await run(["cp", "-a", library, join(path, "lib")]);
  if (!existsSync(join(path, "lib", library.split("/").at(-1) ?? "", "os.py"))) {
    throw new Error("the standard library of Python is not where it says");
  }
  writeFileSync(join(path, "start.py"), "import http.client, email.message, json\n");
}
