/** Marks that container engines leave in the layers they unpack: files that hide names. The kernel takes them for files. */
import { expect, test } from "vitest";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { dir } from "../support/tree.ts";

const layers = [
  {
    d: { ".wh.a": "", b: "new", ".wh.dir": "" },
    o: { ".wh..wh..opq": "", n: "1" },
    p: dir({ q: "1" }, { xattrs: { "user.fuseoverlayfs.opaque": "y" } }),
    ".wh.gone": "",
    ".wh..wh.plnk": {},
  },
  {
    d: { a: "1", b: "old", c: "2", dir: { x: "1" } },
    o: { h: "1", sub: {} },
    p: { r: "1" },
    gone: { x: "1" },
    kept: "1",
    alone: { ".wh.z": "", y: "1" },
  },
];

describeOverlay("marks of container engines in lowers", (overlay) => {
  const marked = overlay.kind === "veneer";

  test("hide what lies below them, and are not shown", async () => {
    const m = await overlay.mount({ lowers: layers });
    const shown = async (path: string) => await m.sys.list(`${m.mnt}/${path}`);
    const all = {
      ".": [".wh..wh.plnk", ".wh.gone", "alone", "d", "gone", "kept", "o", "p"],
      d: [".wh.a", ".wh.dir", "a", "b", "c", "dir"],
      o: [".wh..wh..opq", "h", "n", "sub"],
      p: ["q", "r"],
      alone: [".wh.z", "y"],
    };
    const merged = { ".": ["alone", "d", "kept", "o", "p"], d: ["b", "c"], o: ["n"], p: ["q"], alone: ["y"] };
    for (const [path, names] of Object.entries(marked ? merged : all)) {
      expect(await shown(path), path).toEqual(names);
    }
    for (const name of ["gone", "d/a", "d/.wh.a", "d/dir", "o/h", "o/.wh..wh..opq", "p/r", "alone/.wh.z"]) {
      expect(await m.sys.exists(`${m.mnt}/${name}`), name).toBe(!marked);
    }
    expect(await m.sys.readFile(`${m.mnt}/d/b`)).toBe("new");
  });

  test("stay so when names are made and removed", async () => {
    const m = await overlay.mount({ lowers: layers });
    if (!marked) {
      // To the kernel they are files: what follows is about names that it does not hide.
      await refuses("EEXIST", m.sys.mkdir(`${m.mnt}/gone`));
      return;
    }
    await m.sys.mkdir(`${m.mnt}/gone`);
    expect(await m.sys.list(`${m.mnt}/gone`)).toEqual([]);
    await m.sys.writeFile(`${m.mnt}/d/a`, "anew");
    await m.sys.unlink(`${m.mnt}/d/c`);
    await m.sys.unlink(`${m.mnt}/o/n`);
    await m.sys.rmdir(`${m.mnt}/o`);
    await m.sys.writeFile(`${m.mnt}/alone/.wh.y`, "a file as others, in the upper");
    await m.remount();
    expect(await m.sys.list(m.mnt)).toEqual(["alone", "d", "gone", "kept", "p"]);
    expect(await m.sys.list(`${m.mnt}/gone`)).toEqual([]);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["a", "b"]);
    expect(await m.sys.list(`${m.mnt}/alone`)).toEqual([".wh.y", "y"]);
    expect(await m.isWhiteout("d/c")).toBe(true);
    await m.sys.unlink(`${m.mnt}/d/a`);
    expect(await m.sys.exists(`${m.mnt}/d/a`)).toBe(false);
  });
});
