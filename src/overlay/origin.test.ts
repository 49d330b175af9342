/** The format of overlay.origin, against what the kernel's overlayfs writes in a real copy-up. */
import { lstatSync, lutimesSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { plainOverlay } from "../../test/support/plain-overlay.ts";
import { runOk } from "../../test/support/programs.ts";
import { type FileSystemKind, makeFileSystem, makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { type DirectoryLayer, openLowerLayer, openUpperLayers } from "../layer/directory-layer.ts";
import { originOf } from "./origin.ts";
import { Overlay } from "./overlay.ts";
import { encodeOrigin } from "./stored-handle.ts";

let scratch: string;

beforeAll(() => {
  scratch = makeScratch();
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

describe.each<FileSystemKind>(["ext4", "xfs"])("on %s", (kind) => {
  const names = ["file", "symlink", "directory", "fifo", "device"];
  let base: string;
  let lower: DirectoryLayer;
  let upper: DirectoryLayer;
  let overlay: Overlay;

  beforeAll(async () => {
    base = `${scratch}/${kind}`;
    await makeFileSystem(kind, base);
    for (const name of ["lower", "upper", "kernel-work", "work", "merged"]) {
      mkdirSync(`${base}/${name}`);
    }
    writeFileSync(`${base}/lower/file`, "data");
    symlinkSync("file", `${base}/lower/symlink`);
    mkdirSync(`${base}/lower/directory`);
    await runOk(["mkfifo", `${base}/lower/fifo`]);
    await runOk(["mknod", `${base}/lower/device`, "c", "1", "3"]);
    const merged = `${base}/merged`;
    const layers = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/kernel-work`;
    await runOk(["mount", "-t", "overlay", "overlay", "-o", layers, merged]);
    for (const name of names) {
      // The slightest change that copies up.
      lutimesSync(`${merged}/${name}`, 1, 2);
    }
    await runOk(["umount", merged]);
    lower = openLowerLayer(`${base}/lower`);
    const pair = openUpperLayers(`${base}/upper`, `${base}/work`);
    upper = pair.upper;
    overlay = new Overlay({
      ...plainOverlay,
      upper,
      work: pair.work,
      lowers: [lower],
    });
  });

  beforeEach(({ skip }) => {
    skip(lower.uuid() === null, "this kernel can't be asked for the UUID of a file system: that takes Linux 6.9");
  });

  afterAll(() => {
    overlay.close();
  });

  test.each(names)("what is written for a %s is what the kernel writes", (name) => {
    const kernels = upper.getXattr(name, "trusted.overlay.origin");
    expect(kernels?.length).toBeGreaterThan(21);
    expect(encodeOrigin({ layer: lower, path: name }).toString("hex")).toBe(kernels?.toString("hex"));
  });

  test.each(names)("the kernel's mark on a %s leads to the lower object", (name) => {
    const origin = originOf(overlay, name, upper.stat(name));
    expect(origin?.ino).toBe(lstatSync(`${base}/lower/${name}`).ino);
    expect(origin?.dev).toBe(lower.stat(name).dev);
  });

  describe("nothing is claimed", () => {
    const claimed = (value: Buffer) => {
      upper.setXattr("file", "trusted.overlay.origin", value, 0);
      return originOf(overlay, "file", upper.stat("file"));
    };
    const good = () => encodeOrigin({ layer: lower, path: "file" });
    const changed = (at: number, byte: number) => {
      const value = good();
      value[at] = byte;
      return value;
    };

    test("unless the mark is whole", () => {
      expect(claimed(good())).toBeDefined();
      for (let length = 0; length < good().length; length++) {
        expect(claimed(good().subarray(0, length))).toBeUndefined();
      }
    });

    test("of another version, magic, length, byte order or handle type", () => {
      for (const [at, byte] of [
        [0, 1],
        [1, 0xfa],
        [2, good().length - 1],
        [3, 1],
        [4, 0xfe],
      ] as const) {
        expect(claimed(changed(at, byte))).toBeUndefined();
      }
    });

    test("of another file system", () => {
      expect(claimed(changed(5, (good()[5] as number) ^ 0xff))).toBeUndefined();
    });

    test("of an object of another type", () => {
      expect(claimed(encodeOrigin({ layer: lower, path: "directory" }))).toBeUndefined();
    });

    test("of one that is gone", () => {
      writeFileSync(`${base}/lower/gone`, "");
      const mark = encodeOrigin({ layer: lower, path: "gone" });
      expect(claimed(mark)).toBeDefined();
      rmSync(`${base}/lower/gone`);
      expect(claimed(mark)).toBeUndefined();
    });
  });
});
