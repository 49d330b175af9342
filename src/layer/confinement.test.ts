/** No path leads out of a layer, whatever lies in it: neither where the kernel sees to it, nor where paths are walked. */
import { execFileSync } from "node:child_process";
import { mkdirSync, openSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { FileType } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import { DirectoryLayer, openUpperLayers } from "./directory-layer.ts";

const scratch = makeScratch();
let base: string;
let count = 0;

beforeEach(() => {
  base = `${scratch}/${count++}`;
  for (const directory of ["outside/sub", "outer/upper/real/sub", "outer/work"]) {
    mkdirSync(`${base}/${directory}`, { recursive: true });
  }
  for (const file of ["outside/file", "outside/sub/file", "outer/upper/real/file", "outer/neighbour"]) {
    writeFileSync(`${base}/${file}`, file);
  }
  symlinkSync(`${base}/outside`, `${base}/outer/upper/absolute`);
  symlinkSync("../../outside", `${base}/outer/upper/relative`);
  symlinkSync("real", `${base}/outer/upper/within`);
  symlinkSync(`${base}/outside/file`, `${base}/outer/upper/to-file`);
  symlinkSync("/proc/self/root", `${base}/outer/upper/magic`);
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

function confined(): [DirectoryLayer, DirectoryLayer] {
  const { upper, work } = openUpperLayers(`${base}/outer/upper`, `${base}/outer/work`);
  expect(upper.traits.confined).toBe(true);
  return [upper, work];
}

function walked(): [DirectoryLayer, DirectoryLayer] {
  const open = (name: string) => new DirectoryLayer(openSync(`${base}/outer/${name}`, "r"));
  return [open("upper"), open("work")];
}

/** Everything that a layer can be asked for by a path. */
const calls: Readonly<Record<string, (layer: DirectoryLayer, path: string, work: DirectoryLayer) => unknown>> = {
  stat: (layer, path) => layer.stat(path),
  find: (layer, path) => layer.find(path),
  list: (layer, path) => layer.list(path),
  readLink: (layer, path) => layer.readLink(path),
  getXattr: (layer, path) => layer.getXattr(path, "trusted.x"),
  listXattrs: (layer, path) => layer.listXattrs(path),
  read: (layer, path) => layer.openFile(path, false).close(),
  write: (layer, path) => layer.openFile(path, true).close(),
  openDirectory: (layer, path) => layer.openDirectory(path).close(),
  anchor: (layer, path) => layer.anchor(path).close(),
  fileHandle: (layer, path) => layer.fileHandle(path),
  createFile: (layer, path) => layer.createFile(path, 0o644).close(),
  createUnnamedFile: (layer, path) => layer.createUnnamedFile(path, 0o644).close(),
  makeDirectory: (layer, path) => layer.makeDirectory(path, 0o755),
  makeNode: (layer, path) => layer.makeNode(path, FileType.character, 0, 0),
  makeSymlink: (layer, path) => layer.makeSymlink(path, Buffer.from("x")),
  linkFrom: (layer, path, work) => layer.link(path, work, "linked"),
  linkTo: (layer, path) => layer.link("real/file", layer, path),
  unlink: (layer, path) => layer.unlink(path),
  removeDirectory: (layer, path) => layer.removeDirectory(path),
  renameFrom: (layer, path, work) => layer.rename(path, work, "moved", 0),
  renameTo: (layer, path) => layer.rename("real/file", layer, path, 0),
  chmod: (layer, path) => layer.chmod(path, 0o600),
  chown: (layer, path) => layer.chown(path, 1, 1),
  setTimes: (layer, path) => layer.setTimes(path, { sec: 1, nsec: 1 }, { sec: 1, nsec: 1 }),
  truncate: (layer, path) => layer.truncate(path, 0),
  setXattr: (layer, path) => layer.setXattr(path, "trusted.x", Buffer.from("1"), 0),
  removeXattr: (layer, path) => layer.removeXattr(path, "trusted.x"),
};

/** All that a change outside would move. */
const outside = () =>
  execFileSync("sh", [
    "-c",
    `cd ${base} && find outside outer/neighbour -printf '%p %M %U %s %T@ %C@ %n\\n' | sort; getfattr -dm- -R outside`,
  ]).toString();

function refusals(layers: [DirectoryLayer, DirectoryLayer], paths: readonly string[], codes: readonly number[]): void {
  const [layer, work] = layers;
  const before = outside();
  for (const path of paths) {
    for (const [name, call] of Object.entries(calls)) {
      let outcome: unknown = "success";
      try {
        call(layer, path, work);
      } catch (error) {
        outcome = error instanceof FsError ? error.code : error;
      }
      expect(codes, `${name} of ${path} is ${String(outcome)}`).toContain(outcome);
    }
  }
  expect(outside()).toBe(before);
  for (const each of layers) {
    each.close();
  }
}

describe.each([
  ["a confined layer", confined],
  ["a layer that is walked name by name", walked],
])("%s", (_, open) => {
  test("follows no symlink on the way, not even one that stays within", () => {
    const links = ["absolute", "relative", "within", "magic"];
    const paths = links.flatMap((link) => [`${link}/file`, `${link}/new`, `${link}/sub`, `${link}/sub/file`]);
    refusals(open(), paths, [Errno.ELOOP, Errno.ENOTDIR]);
  });

  test("goes neither upwards nor to the root", () => {
    const paths = ["..", "../neighbour", "real/../../neighbour", "real/..", `${base}/outside/file`, "/"];
    refusals(open(), paths, [Errno.EINVAL]);
    const [layer] = open();
    layer.makeDirectory("..real", 0o755);
    expect(layer.find("..real")).toBeDefined();
    layer.close();
  });

  test("has no empty name in a long path, after which the rest would be absolute", () => {
    const [layer, work] = open();
    const long = `${"d".repeat(250)}/`.repeat(15);
    const padding = "x".repeat(3999 - long.length);
    expect(() => layer.stat(`${long}${padding}/${base}/outside/file`)).toThrow(
      expect.objectContaining({ code: Errno.EINVAL }),
    );
    layer.close();
    work.close();
  });

  test("takes a symlink at the end of a path for itself", () => {
    const [layer, work] = open();
    const before = outside();
    expect(layer.stat("to-file").mode & FileType.mask).toBe(FileType.symlink);
    expect(layer.readLink("to-file").toString()).toBe(`${base}/outside/file`);
    layer.setXattr("to-file", "trusted.x", Buffer.from("1"), 0);
    layer.chown("to-file", 1, 1);
    layer.setTimes("to-file", { sec: 1, nsec: 1 }, { sec: 1, nsec: 1 });
    layer.link("to-file", work, "link");
    for (const call of [
      () => layer.chmod("to-file", 0o600),
      () => layer.openFile("to-file", false),
      () => layer.openFile("to-file", true),
      () => layer.truncate("to-file", 0),
      () => layer.list("absolute"),
      () => layer.createFile("to-file", 0o644),
      () => layer.createUnnamedFile("absolute", 0o644),
    ]) {
      expect(call).toThrow(FsError);
    }
    layer.rename("to-file", work, "moved", 0);
    work.unlink("moved");
    expect(outside()).toBe(before);
    layer.close();
    work.close();
  });

  test("reaches its own objects, and leaves no descriptor behind", () => {
    const [layer, work] = open();
    const descriptors = readdirSync("/proc/self/fd").length;
    const deep = Array.from({ length: 30 }, (_unused, i) => `${i}-${"d".repeat(200)}`);
    for (const [i] of deep.entries()) {
      layer.makeDirectory(deep.slice(0, i + 1).join("/"), 0o755);
    }
    const path = `${deep.join("/")}/file`;
    layer.createFile(path, 0o644).close();
    layer.chmod(path, 0o640);
    expect(layer.stat(path).mode & 0o777).toBe(0o640);
    expect(() => layer.stat(`${path}/x`)).toThrow(expect.objectContaining({ code: Errno.ENOTDIR }));
    expect(layer.find(`${deep.join("/")}/absent/x`)).toBeUndefined();
    const anchor = layer.anchor("real/file");
    anchor.chmod("", 0o611);
    anchor.setXattr("", "trusted.x", Buffer.from("1"), 0);
    anchor.close();
    expect(layer.getXattr("real/file", "trusted.x")?.toString()).toBe("1");
    expect(readdirSync("/proc/self/fd")).toHaveLength(descriptors);
    layer.close();
    work.close();
  });
});
