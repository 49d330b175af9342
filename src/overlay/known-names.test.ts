/** When a name is known to be absent without asking a layer, and that nothing is taken for absent that is there. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { plainOverlay } from "../../test/support/plain-overlay.ts";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { type Caller, FileType, rootNodeId } from "../contract/ids.ts";
import { DirectoryLayer, openLowerLayer, openUpperLayers } from "../layer/directory-layer.ts";
import type { LayerPath, Stat } from "../layer/layer.ts";
import { OverlayFilesystem } from "./filesystem.ts";

const root: Caller = { uid: 0, gid: 0, pid: 1 };
const plain = { mode: 0o755, umask: 0 };
const enoughMisses = 256;

/** Counts how often it is asked for a name. */
class CountingLayer extends DirectoryLayer {
  asked = 0;

  override find(path: LayerPath): Stat | undefined {
    this.asked += 1;
    return super.find(path);
  }
}

const counting = ({ fd, traits }: DirectoryLayer) => new CountingLayer(fd, traits);

let scratch: string;
let lower: CountingLayer;
let upper: CountingLayer;
let filesystem: OverlayFilesystem;

beforeEach(() => {
  scratch = makeScratch();
  for (const name of ["lower/directory", "upper/old", "work"]) {
    mkdirSync(`${scratch}/${name}`, { recursive: true });
  }
  for (const name of ["a", "b", "c"]) {
    writeFileSync(`${scratch}/lower/directory/${name}`, name);
  }
  // Hides nothing, as no lower has such a directory, but stands at the name.
  execFileSync("mknod", [`${scratch}/upper/old/whiteout`, "c", "0", "0"]);
  const layers = openUpperLayers(`${scratch}/upper`, `${scratch}/work`);
  lower = counting(openLowerLayer(`${scratch}/lower`));
  upper = counting(layers.upper);
  filesystem = new OverlayFilesystem({
    ...plainOverlay,
    upper,
    work: layers.work,
    lowers: [lower],
  });
});

afterEach(async () => {
  filesystem.destroy();
  expect(await removeScratch(scratch)).toEqual([]);
});

function nodeOf(parent: number, name: string): number {
  const entry = filesystem.lookup(parent, name);
  if (entry === undefined) {
    throw new Error(`${name} is absent`);
  }
  return entry.node;
}

function miss(parent: number, times: number): void {
  for (let index = 0; index < times; index++) {
    expect(filesystem.lookup(parent, `absent${index}`)).toBeUndefined();
  }
}

/** How often a layer is asked in the meantime. */
function askedBy(layer: CountingLayer, act: () => void): number {
  const before = layer.asked;
  act();
  return layer.asked - before;
}

const makeFile = (parent: number, name: string) =>
  filesystem.makeNode(parent, name, { mode: FileType.regular | 0o644, umask: 0 }, { major: 0, minor: 0 }, root).node;

test("after many absent names in a directory of one lower it is asked for no more of them", () => {
  const node = nodeOf(rootNodeId, "directory");
  expect(askedBy(lower, () => miss(node, 5))).toBe(5);
  miss(node, enoughMisses);
  expect(askedBy(lower, () => miss(node, enoughMisses))).toBe(0);
  expect(["a", "b", "c"].map((name) => nodeOf(node, name))).not.toContain(0);
});

test("names that come and go afterwards, by copy-up of the directory too, are known", () => {
  const node = nodeOf(rootNodeId, "directory");
  miss(node, 2 * enoughMisses);
  makeFile(node, "new");
  filesystem.removeFile(node, "a");
  filesystem.rename(node, "b", node, "moved", 0);
  expect(["new", "moved", "c"].map((name) => nodeOf(node, name))).not.toContain(0);
  for (const gone of ["a", "b"]) {
    expect(filesystem.lookup(node, gone)).toBeUndefined();
  }
  expect(readdirSync(`${scratch}/upper/directory`).sort()).toEqual(["a", "b", "moved", "new"]);
});

test("a directory that was just made is known to be empty, whatever is made in it and goes", () => {
  const node = filesystem.makeDirectory(rootNodeId, "made", plain, root).node;
  const asked = askedBy(upper, () => {
    miss(node, 3);
    makeFile(node, "file");
    filesystem.rename(node, "file", node, "moved", 0);
    miss(node, 3);
  });
  expect(asked).toBe(0);
  expect(filesystem.lookup(node, "file")).toBeUndefined();
  expect(nodeOf(node, "moved")).toBeGreaterThan(0);
  filesystem.makeSymlink(node, "link", Buffer.from("moved"), root);
  expect(() => makeFile(node, "link")).toThrow("create");
  filesystem.removeFile(node, "moved");
  filesystem.removeFile(node, "link");
  filesystem.removeDirectory(rootNodeId, "made");
  expect(existsSync(`${scratch}/upper/made`)).toBe(false);
});

test("a whiteout in a directory of the upper alone is replaced, once its names are known too", () => {
  const node = nodeOf(rootNodeId, "old");
  miss(node, 2 * enoughMisses);
  expect(askedBy(upper, () => miss(node, 10))).toBe(0);
  expect(filesystem.lookup(node, "whiteout")).toBeUndefined();
  expect(makeFile(node, "whiteout")).toBeGreaterThan(0);
  expect(nodeOf(node, "whiteout")).toBeGreaterThan(0);
});

test("what is looked for in vain where the directory can't be read is absent all the same", () => {
  const node = nodeOf(rootNodeId, "directory");
  miss(node, 5);
  renameSync(`${scratch}/lower/directory`, `${scratch}/lower/elsewhere`);
  miss(node, enoughMisses);
  renameSync(`${scratch}/lower/elsewhere`, `${scratch}/lower/directory`);
  expect(nodeOf(node, "a")).toBeGreaterThan(0);
});
