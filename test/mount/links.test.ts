/** Hard links, link counts, symlinks. */
import { expect, test } from "vitest";
import { describeOverlay, exchange, refuses } from "../support/overlay.ts";
import { hardlink, symlink } from "../support/tree.ts";

describeOverlay("links", (overlay) => {
  test("a link to a lower file copies it up; both names are one file, counted", async () => {
    const m = await overlay.mount({ lowers: [{ a: "data", d: {} }] });
    await m.sys.link(`${m.mnt}/a`, `${m.mnt}/d/b`);
    const a = await m.sys.lstat(`${m.mnt}/a`);
    const b = await m.sys.lstat(`${m.mnt}/d/b`);
    expect(a.nlink).toBe(2);
    expect(b).toEqual(a);
    await m.sys.appendFile(`${m.mnt}/d/b`, "+");
    expect(await m.sys.readFile(`${m.mnt}/a`)).toBe("data+");
    expect((await overlay.host.lstat(`${m.upper}/a`)).ino).toBe((await overlay.host.lstat(`${m.upper}/d/b`)).ino);
    await m.sys.chmod(`${m.mnt}/a`, 0o600);
    expect((await m.sys.lstat(`${m.mnt}/d/b`)).mode).toBe(0o600);
  });

  test("the count follows link, unlink, and rename over a name", async () => {
    const m = await overlay.mount({ lowers: [{ x: "1" }], upper: { a: "1" } });
    const fd = await m.sys.open(`${m.mnt}/a`, "O_RDONLY");
    const count = async () => (await m.sys.stat(fd)).nlink;
    for (let index = 2; index <= 5; index++) {
      await m.sys.link(`${m.mnt}/a`, `${m.mnt}/n${index}`);
      expect(await count()).toBe(index);
      expect((await m.sys.lstat(`${m.mnt}/n${index}`)).nlink).toBe(index);
    }
    await m.sys.unlink(`${m.mnt}/a`);
    expect(await count()).toBe(4);
    expect((await m.sys.lstat(`${m.mnt}/n5`)).nlink).toBe(4);
    await m.sys.rename(`${m.mnt}/x`, `${m.mnt}/n2`);
    expect(await count()).toBe(3);
    await exchange(m.sys, `${m.mnt}/n2`, `${m.mnt}/n3`);
    expect(await count()).toBe(3);
    for (const name of ["n2", "n4", "n5"]) {
      await m.sys.unlink(`${m.mnt}/${name}`);
    }
    expect(await count()).toBe(0);
    expect((await m.sys.lstat(`${m.mnt}/n3`)).nlink).toBe(1);
  });

  test("the name that is left of two is the file that is still open by the other", async () => {
    const m = await overlay.mount({ lowers: [{}], upper: { a: "1", b: hardlink("a") } });
    const fd = await m.sys.open(`${m.mnt}/a`, "O_RDONLY");
    await m.sys.unlink(`${m.mnt}/a`);
    await m.sys.appendFile(`${m.mnt}/b`, "+");
    expect(await m.sys.pread(fd, 9, 0)).toBe("1+");
    await m.sys.chmod(`${m.mnt}/b`, 0o600);
    expect(await m.sys.stat(fd)).toEqual(await m.sys.lstat(`${m.mnt}/b`));
  });

  test("link refuses directories, existing names and other file systems", async () => {
    const m = await overlay.mount({ lowers: [{ a: "1", d: {}, b: "2" }] });
    await refuses("EPERM", m.sys.link(`${m.mnt}/d`, `${m.mnt}/e`));
    await refuses("EEXIST", m.sys.link(`${m.mnt}/a`, `${m.mnt}/b`));
    await refuses("EXDEV", m.sys.link(`${m.mnt}/a`, `${overlay.scratch}/x`));
    await refuses("ENOENT", m.sys.link(`${m.mnt}/absent`, `${m.mnt}/x`));
    await refuses("ENOENT", m.sys.link(`${m.mnt}/a`, `${m.mnt}/absent/x`));
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("2");
  });

  test("links of symlinks, FIFOs and devices", async () => {
    const m = await overlay.mount({ lowers: [{ s: symlink("to") }] });
    await m.sys.mknod(`${m.mnt}/p`, "fifo", 0o600);
    await m.sys.mknod(`${m.mnt}/c`, "char", 0o600, 1, 3);
    for (const name of ["s", "p", "c"]) {
      await m.sys.link(`${m.mnt}/${name}`, `${m.mnt}/${name}2`);
      const [one, two] = [await m.sys.lstat(`${m.mnt}/${name}`), await m.sys.lstat(`${m.mnt}/${name}2`)];
      expect(one.nlink).toBe(2);
      expect(two).toEqual(one);
    }
    expect(await m.sys.readlink(`${m.mnt}/s2`)).toBe("to");
  });

  test("hard links within a lower show their count and one inode", async () => {
    const m = await overlay.mount({ lowers: [{ a: "data", d: { b: hardlink("a") }, c: hardlink("a") }] });
    const stats = await Promise.all(["a", "d/b", "c"].map((name) => m.sys.lstat(`${m.mnt}/${name}`)));
    expect(stats.map(({ nlink }) => nlink)).toEqual([3, 3, 3]);
    expect(new Set(stats.map(({ ino }) => ino)).size).toBe(1);
  });

  test("hard links in the upper stay links over a remount", async () => {
    const m = await overlay.mount({ lowers: [{ a: "data" }] });
    await m.sys.link(`${m.mnt}/a`, `${m.mnt}/b`);
    await m.remount();
    const [a, b] = [await m.sys.lstat(`${m.mnt}/a`), await m.sys.lstat(`${m.mnt}/b`)];
    expect(a.nlink).toBe(2);
    expect(b.ino).toBe(a.ino);
    await m.sys.appendFile(`${m.mnt}/a`, "+");
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("data+");
    await m.sys.unlink(`${m.mnt}/a`);
    expect((await m.sys.lstat(`${m.mnt}/b`)).nlink).toBe(1);
    expect(await m.isWhiteout("a")).toBe(true);
  });

  test("a removed name of a link leaves the others, with their data", async () => {
    const m = await overlay.mount({ lowers: [{ a: "data", b: hardlink("a") }] });
    await m.sys.unlink(`${m.mnt}/a`);
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("data");
    expect(await m.isWhiteout("a")).toBe(true);
    expect(await m.isWhiteout("b")).toBe(false);
  });

  test("st_nlink of a directory is 1 or counts its subdirectories, as find expects", async () => {
    const m = await overlay.mount({ lowers: [{ d: { a: {}, b: {}, f: "1" } }], upper: { d: { c: {} } } });
    await m.sys.mkdir(`${m.mnt}/d/e`);
    await m.sys.mkdir(`${m.mnt}/new`);
    for (const [path, subdirectories] of [
      ["d", 4],
      ["new", 0],
      [".", 2],
    ] as const) {
      const { nlink } = await m.sys.lstat(`${m.mnt}/${path}`);
      expect([1, 2 + subdirectories], path).toContain(nlink);
    }
    const found = await m.sys.run(["find", m.mnt, "-mindepth", "1", "-type", "d"], {});
    expect(found.stdout.trim().split("\n").length).toBe(6);
  });

  test("symlinks hold any bytes, up to 4095 of them", async () => {
    const targets = ["x", "/absolute", "../..", "\xff\x01\n", "t".repeat(4095), "a/".repeat(2000)];
    const m = await overlay.mount({
      lowers: [Object.fromEntries(targets.map((target, index) => [`l${index}`, symlink(target)]))],
    });
    for (const [index, target] of targets.entries()) {
      expect(await m.sys.readlink(`${m.mnt}/l${index}`)).toBe(target);
      expect((await m.sys.lstat(`${m.mnt}/l${index}`)).size).toBe(target.length);
      await m.sys.symlink(target, `${m.mnt}/u${index}`);
      expect(await m.sys.readlink(`${m.mnt}/u${index}`)).toBe(target);
      expect(await overlay.host.readlink(`${m.upper}/u${index}`)).toBe(target);
    }
    await refuses("ENAMETOOLONG", m.sys.symlink("t".repeat(4096), `${m.mnt}/x`));
    await refuses("ENOENT", m.sys.symlink("", `${m.mnt}/x`));
    await refuses("EINVAL", m.sys.readlink(m.mnt));
  });

  test("a symlink that is replaced is read anew", async () => {
    const m = await overlay.mount({ lowers: [{ l: symlink("one"), one: "1", two: "2" }] });
    expect(await m.sys.readFile(`${m.mnt}/l`)).toBe("1");
    await m.sys.symlink("two", `${m.mnt}/new`);
    await m.sys.rename(`${m.mnt}/new`, `${m.mnt}/l`);
    expect(await m.sys.readlink(`${m.mnt}/l`)).toBe("two");
    expect(await m.sys.readFile(`${m.mnt}/l`)).toBe("2");
  });
});
