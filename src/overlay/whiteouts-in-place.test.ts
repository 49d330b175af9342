/** What a change that needs a whiteout leaves on disk when it fails half-way. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { Errno, FsError } from "../errno.ts";
import { type DirectoryLayer, openUpperLayers } from "../layer/directory-layer.ts";
import { markNames } from "../layer/marks.ts";
import { WhiteoutsInPlace } from "./whiteouts-in-place.ts";
import { WorkDir } from "./work-dir.ts";

let scratch: string;
let upper: DirectoryLayer;
let work: DirectoryLayer;

beforeEach(() => {
  scratch = makeScratch();
  mkdirSync(`${scratch}/upper`);
  mkdirSync(`${scratch}/work`);
  writeFileSync(`${scratch}/upper/f`, "upper");
  ({ upper, work } = openUpperLayers(`${scratch}/upper`, `${scratch}/work`));
});

afterEach(async () => {
  upper.close();
  work.close();
  expect(await removeScratch(scratch)).toEqual([]);
});

test("a file that can't be marked as a whiteout does not stay in the workdir", () => {
  const whiteouts = new WhiteoutsInPlace(
    upper,
    WorkDir.open(work, "auto", { uid: 0, gid: 0 }),
    markNames(false),
    "xattr",
  );
  const setXattr = work.setXattr.bind(work);
  work.setXattr = () => {
    throw new FsError(Errno.ENOSPC, "setxattr");
  };
  for (const hide of [() => whiteouts.hide("lower"), () => whiteouts.replaceFile("f")]) {
    expect(hide).toThrow(expect.objectContaining({ code: Errno.ENOSPC }));
    expect(readdirSync(`${scratch}/work/work`)).toEqual([]);
    expect(readdirSync(`${scratch}/upper`)).toEqual(["f"]);
  }
  work.setXattr = setXattr;
  whiteouts.replaceFile("f");
  expect(whiteouts.find("f")).toBe("whiteout");
});

test("a whiteout that was to change places with an object goes again when that fails", () => {
  const whiteouts = new WhiteoutsInPlace(
    upper,
    WorkDir.open(work, "auto", { uid: 0, gid: 0 }),
    markNames(false),
    "xattr",
  );
  const rename = upper.rename.bind(upper);
  upper.rename = () => {
    throw new FsError(Errno.EIO, "rename");
  };
  const move = { isDirectory: false, hidesOld: true, replaces: false };
  expect(() => whiteouts.move("f", "g", move)).toThrow(expect.objectContaining({ code: Errno.EIO }));
  expect(readdirSync(`${scratch}/upper`)).toEqual(["f"]);
  upper.rename = rename;
  whiteouts.move("f", "g", move);
  expect(whiteouts.find("f")).toBe("whiteout");
});
