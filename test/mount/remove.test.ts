/** Removal and re-creation: whiteouts where a lower holds the name, opaque directories, nothing resurrected. */
import { expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { dir, file, opaque, symlink, whiteout } from "../support/tree.ts";

/** Ways to make something of a name that a whiteout hides. */
const makers: [name: string, type: string, make: (sys: Agent, path: string, mnt: string) => Promise<unknown>][] = [
  ["open O_CREAT", "file", (sys, path) => sys.writeFile(path, "new")],
  ["open O_CREAT|O_EXCL", "file", (sys, path) => sys.open(path, "O_CREAT|O_EXCL|O_RDWR")],
  ["mkdir", "dir", (sys, path) => sys.mkdir(path)],
  ["symlink", "symlink", (sys, path) => sys.symlink("to", path)],
  ["mknod", "char", (sys, path) => sys.mknod(path, "char", 0o600, 1, 3)],
  ["mkfifo", "fifo", (sys, path) => sys.mknod(path, "fifo", 0o600)],
  ["bind", "socket", (sys, path) => sys.listen(path)],
  ["link", "file", (sys, path, mnt) => sys.link(`${mnt}/other`, path)],
  ["rename of a file", "file", (sys, path, mnt) => sys.rename(`${mnt}/other`, path)],
  [
    "rename of a directory",
    "dir",
    (sys, path, mnt) => sys.mkdir(`${mnt}/d2`).then(() => sys.rename(`${mnt}/d2`, path)),
  ],
];

describeOverlay("removal", (overlay) => {
  test("unlink leaves a whiteout if and only if a lower holds the name", async () => {
    const m = await overlay.mount({
      lowers: [{ lower: "1", both: "1", d: { f: "1" } }, { deep: "1" }],
      upper: { both: "2", upper: "2" },
    });
    for (const name of ["lower", "both", "deep", "upper", "d/f"]) {
      await m.sys.unlink(`${m.mnt}/${name}`);
      await refuses("ENOENT", m.sys.lstat(`${m.mnt}/${name}`));
    }
    expect(await m.namesInUpper()).toEqual(["both", "d", "deep", "lower"]);
    for (const name of ["lower", "both", "deep", "d/f"]) {
      expect(await m.isWhiteout(name), name).toBe(true);
    }
    expect(await m.sys.list(m.mnt)).toEqual(["d"]);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([]);
  });

  test("a name made and removed over a whiteout leaves the whiteout", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", d: { x: "1" } }] });
    for (let round = 0; round < 3; round++) {
      await m.sys.unlink(`${m.mnt}/f`);
      expect(await m.isWhiteout("f")).toBe(true);
      await m.sys.writeFile(`${m.mnt}/f`, `new ${round}`);
      expect(await overlay.host.readFile(`${m.upper}/f`)).toBe(`new ${round}`);
    }
  });

  test("no whiteout is left in a directory that the upper made or that is opaque", async () => {
    const m = await overlay.mount({ lowers: [{ o: { f: "1" } }], upper: { o: opaque({ f: "2" }) } });
    await m.sys.mkdir(`${m.mnt}/new`);
    await m.sys.writeFile(`${m.mnt}/new/f`, "1");
    await m.sys.unlink(`${m.mnt}/new/f`);
    await m.sys.unlink(`${m.mnt}/o/f`);
    expect(await m.namesInUpper("new")).toEqual([]);
    expect(await m.namesInUpper("o")).toEqual([]);
    expect(await m.sys.list(`${m.mnt}/o`)).toEqual([]);
  });

  test("rmdir: an empty lower, upper and merged directory, and one of whiteouts only", async () => {
    const m = await overlay.mount({
      lowers: [{ lower: {}, merged: {}, whited: { a: "1", b: { c: "1" } }, hand: { a: "1" } }],
      upper: { upper: {}, merged: {}, hand: { a: whiteout() } },
    });
    await m.sys.unlink(`${m.mnt}/whited/a`);
    await refuses("ENOTEMPTY", m.sys.rmdir(`${m.mnt}/whited`));
    await m.sys.unlink(`${m.mnt}/whited/b/c`);
    await m.sys.rmdir(`${m.mnt}/whited/b`);
    for (const name of ["lower", "upper", "merged", "whited", "hand"]) {
      await m.sys.rmdir(`${m.mnt}/${name}`);
      await refuses("ENOENT", m.sys.lstat(`${m.mnt}/${name}`));
      expect(await m.isWhiteout(name), name).toBe(name !== "upper");
    }
    expect(await m.namesInUpper()).toEqual(["hand", "lower", "merged", "whited"]);
  });

  test("rmdir and unlink refuse what they are not for", async () => {
    const m = await overlay.mount({
      lowers: [{ f: "1", full: { x: "1" }, merged: { x: "1" } }],
      upper: { up: { x: "1" }, merged: {} },
    });
    for (const name of ["full", "merged", "up"]) {
      await refuses("ENOTEMPTY", m.sys.rmdir(`${m.mnt}/${name}`));
      await refuses("EISDIR", m.sys.unlink(`${m.mnt}/${name}`));
    }
    await refuses("ENOTDIR", m.sys.rmdir(`${m.mnt}/f`));
    await refuses("ENOENT", m.sys.unlink(`${m.mnt}/absent`));
    await refuses("ENOENT", m.sys.rmdir(`${m.mnt}/absent`));
    await refuses("EBUSY", m.sys.rmdir(m.mnt));
    await refuses("EEXIST", m.sys.mkdir(`${m.mnt}/f`));
    await refuses("EEXIST", m.sys.symlink("x", `${m.mnt}/full`));
    await refuses("EEXIST", m.sys.mknod(`${m.mnt}/f`, "fifo", 0o600));
    expect(await m.namesInUpper()).toEqual(["merged", "up"]);
  });

  test.each(makers)("%s over a whiteout gives a new object, and nothing of the old one", async (_name, type, make) => {
    const old = { f: file("old", { mode: 0o7777, uid: 9, xattrs: { "user.old": "1" } }), d: { old: { older: "1" } } };
    const m = await overlay.mount({ lowers: [{ ...old, other: "other" }] });
    await m.sys.unlink(`${m.mnt}/f`);
    await m.sys.removeTree(`${m.mnt}/d`);
    for (const name of ["f", "d"]) {
      const path = `${m.mnt}/${name}`;
      if (!(await m.sys.exists(`${m.mnt}/other`))) {
        await m.sys.writeFile(`${m.mnt}/other`, "again");
      }
      await make(m.sys, path, m.mnt);
      const stat = await m.sys.lstat(path);
      expect(stat).toMatchObject({ type, uid: 0, gid: 0 });
      expect(await m.sys.listxattr(path)).toEqual([]);
      expect(await m.isWhiteout(name)).toBe(false);
      expect((await overlay.host.lstat(`${m.upper}/${name}`)).type).toBe(type);
      if (type === "dir") {
        expect(await m.isOpaque(name)).toBe(true);
        expect(await m.sys.list(path)).toEqual([]);
        await refuses("ENOENT", m.sys.lstat(`${path}/old`));
        await m.sys.mkdir(`${path}/old`);
        expect(await m.sys.list(`${path}/old`)).toEqual([]);
      }
    }
  });

  test("rm -rf of a lower tree leaves one whiteout, and making it anew shows nothing old, also after a remount", async () => {
    const old = { a: { b: { c: { f: "1", g: "2" }, h: "3" }, s: symlink("b") }, i: "4" };
    const m = await overlay.mount({ lowers: [{ top: old, stay: "1" }, { top: { a: { b: { z: "5" } } } }] });
    await m.sys.removeTree(`${m.mnt}/top`);
    expect(await m.namesInUpper()).toEqual(["top"]);
    expect(await m.isWhiteout("top")).toBe(true);
    await m.sys.mkdir(`${m.mnt}/top`);
    await m.sys.mkdir(`${m.mnt}/top/a`);
    await m.sys.mkdir(`${m.mnt}/top/a/b`);
    await m.sys.writeFile(`${m.mnt}/top/a/b/new`, "6");
    const view = await m.view();
    expect(Object.keys(view)).toEqual([".", "stay", "top", "top/a", "top/a/b", "top/a/b/new"]);
    await m.remount();
    expect(await m.view()).toEqual(view);
  });

  test("the parent's times change with its names; its other attributes stay", async () => {
    const m = await overlay.mount({
      lowers: [{ d: dir({ f: "1", g: "1" }, { mode: 0o2775, uid: 3, gid: 4, mtime: 5n }) }],
    });
    await m.sys.unlink(`${m.mnt}/d/f`);
    const after = await m.sys.stat(`${m.mnt}/d`);
    expect(after).toMatchObject({ mode: 0o2775, uid: 3, gid: 4 });
    expect(after.mtime).toBeGreaterThan(1_000_000_000_000_000_000n);
    expect((await overlay.host.lstat(`${m.upper}/d`)).mtime).toBe(after.mtime);
  });

  test("sticky directories and permissions of the parent decide who may remove", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          sticky: dir({ theirs: "1", mine: file("1", { uid: 1000 }) }, { mode: 0o1777 }),
          closed: dir({ mine: file("1", { uid: 1000 }) }, { mode: 0o755 }),
          open: dir({ theirs: "1" }, { mode: 0o777 }),
        },
      ],
    });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await refuses("EPERM", user.unlink(`${m.mnt}/sticky/theirs`));
    await refuses("EPERM", user.rename(`${m.mnt}/sticky/theirs`, `${m.mnt}/open/x`));
    await refuses("EACCES", user.unlink(`${m.mnt}/closed/mine`));
    expect(await m.namesInUpper()).toEqual([]);
    await user.unlink(`${m.mnt}/sticky/mine`);
    await user.unlink(`${m.mnt}/open/theirs`);
    expect(await m.isWhiteout("sticky/mine")).toBe(true);
    expect(await m.isWhiteout("open/theirs")).toBe(true);
    await user.writeFile(`${m.mnt}/open/theirs`, "mine");
    expect(await m.sys.stat(`${m.mnt}/open/theirs`)).toMatchObject({ uid: 1000, gid: 1000 });
  });
});
