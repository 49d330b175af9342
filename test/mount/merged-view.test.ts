/** What lookup finds: layers, whiteouts, opaque directories, names. */
import { expect, test } from "vitest";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { device, dir, file, opaque, symlink, type Tree, whiteout } from "../support/tree.ts";

describeOverlay("merged view", (overlay) => {
  test("the upper covers the lowers, the first lower covers the next", async () => {
    const m = await overlay.mount({
      lowers: [
        { a: "l1", b: "l1" },
        { a: "l2", b: "l2", c: "l2" },
      ],
      upper: { a: "upper" },
    });
    for (const [name, content] of [
      ["a", "upper"],
      ["b", "l1"],
      ["c", "l2"],
    ]) {
      expect(await m.sys.readFile(`${m.mnt}/${name}`)).toBe(content);
    }
    expect(await m.sys.list(m.mnt)).toEqual(["a", "b", "c"]);
  });

  test("directories merge at every depth, and take their attributes from the topmost layer", async () => {
    const m = await overlay.mount({
      lowers: [
        { d: dir({ e: { two: "2" } }, { mode: 0o711, uid: 5, mtime: 1_000n }) },
        { d: dir({ e: dir({ three: "3" }, { mode: 0o700 }), g: "g" }, { mode: 0o777 }) },
      ],
      upper: { d: dir({ e: { one: "1" } }, { mode: 0o750, uid: 6, mtime: 2_000n }) },
    });
    expect(await m.sys.list(`${m.mnt}/d/e`)).toEqual(["one", "three", "two"]);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["e", "g"]);
    expect(await m.sys.stat(`${m.mnt}/d`)).toMatchObject({ mode: 0o750, uid: 6, mtime: 2_000n });
  });

  test("a file over a directory, and a directory over a file, end the merge", async () => {
    const m = await overlay.mount({
      lowers: [
        { a: "file", b: { x: "1" } },
        { a: { hidden: "1" }, b: "file" },
        { a: { deeper: "1" }, b: { hidden: "1" } },
      ],
    });
    expect(await m.sys.readFile(`${m.mnt}/a`)).toBe("file");
    expect(await m.sys.list(`${m.mnt}/b`)).toEqual(["x"]);
  });

  test("whiteouts hide names of all layers below, not of those above", async () => {
    const m = await overlay.mount({
      lowers: [
        { b: "again" },
        { a: whiteout(), b: whiteout(), d: { x: whiteout() } },
        { a: "1", b: "1", d: { x: "1", y: "1" } },
      ],
      upper: { y: whiteout() },
    });
    expect(await m.sys.list(m.mnt)).toEqual(["b", "d"]);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["y"]);
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/a`));
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/d/x`));
    await refuses("ENOENT", m.sys.open(`${m.mnt}/y`, "O_RDONLY"));
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("again");
  });

  test("a whiteout over a directory hides it, and a directory above starts afresh", async () => {
    const m = await overlay.mount({
      lowers: [{ d: { new: "1" }, e: whiteout() }, { d: whiteout() }, { d: { old: "1" }, e: { old: "1" } }],
    });
    expect(await m.sys.list(m.mnt)).toEqual(["d"]);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["new"]);
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/d/old`));
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/e/old`));
  });

  test("an opaque directory ends the merge for all that lies below it", async () => {
    const m = await overlay.mount({
      lowers: [{ d: opaque({ s: { one: "1" } }) }, { d: { s: { hidden: "1" }, hidden: "1" } }],
      upper: { d: { s: { zero: "0" } } },
    });
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["s"]);
    expect(await m.sys.list(`${m.mnt}/d/s`)).toEqual(["one", "zero"]);
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/d/s/hidden`));
  });

  test("only 0:0 is a whiteout: other character devices show", async () => {
    const m = await overlay.mount({
      lowers: [{ null: device("char", 1, 3), zero: device("char", 0, 1) }, { null: "x" }],
    });
    expect(await m.sys.lstat(`${m.mnt}/null`)).toMatchObject({ type: "char", rdev: "1:3" });
    expect(await m.sys.lstat(`${m.mnt}/zero`)).toMatchObject({ type: "char", rdev: "0:1" });
  });

  test("names are bytes", async () => {
    const odd = Array.from({ length: 255 }, (_, index) => String.fromCharCode(index + 1)).filter(
      (byte) => byte !== "/",
    );
    const names = [...odd.filter((byte) => byte !== "."), "\xc3\xa9", "e\xcc\x81", "\xff".repeat(255), "a b", "..a"];
    const lower: Tree = Object.fromEntries(names.slice(0, 120).map((name) => [name, file(`<${name}>`)]));
    const upper: Tree = Object.fromEntries(names.slice(120).map((name) => [name, file(`<${name}>`)]));
    const m = await overlay.mount({ lowers: [lower], upper });
    expect(await m.sys.list(m.mnt)).toEqual([...names].sort());
    for (const name of names) {
      expect(await m.sys.readFile(`${m.mnt}/${name}`)).toBe(`<${name}>`);
    }
    for (const name of names) {
      await m.sys.unlink(`${m.mnt}/${name}`);
      await m.sys.mkdir(`${m.mnt}/${name}`);
    }
    expect(await m.sys.list(m.mnt)).toEqual([...names].sort());
    expect(await m.namesInUpper()).toEqual([...names].sort());
  });

  test("names of 255 bytes are taken, of 256 refused with ENAMETOOLONG", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }] });
    const longest = "n".repeat(255);
    await m.sys.writeFile(`${m.mnt}/${longest}`, "x");
    await m.sys.rename(`${m.mnt}/f`, `${m.mnt}/${"m".repeat(255)}`);
    await refuses("ENAMETOOLONG", m.sys.writeFile(`${m.mnt}/${longest}n`, "x"));
    await refuses("ENAMETOOLONG", m.sys.lstat(`${m.mnt}/${longest}n`));
    await refuses("ENAMETOOLONG", m.sys.mkdir(`${m.mnt}/${longest}n`));
    await refuses("ENAMETOOLONG", m.sys.rename(`${m.mnt}/${longest}`, `${m.mnt}/${longest}n`));
    expect(await m.sys.list(m.mnt)).toEqual(["m".repeat(255), longest]);
  });

  test("trees deeper than PATH_MAX are made, used and removed by steps", async () => {
    const m = await overlay.mount({ lowers: [{ top: { lower: "1" } }] });
    const name = "d".repeat(200);
    await m.sys.chdir(`${m.mnt}/top`);
    for (let depth = 0; depth < 30; depth++) {
      await m.sys.mkdir(name);
      await m.sys.chdir(name);
    }
    await m.sys.writeFile("deep", "data");
    await m.sys.chmod("deep", 0o600);
    await m.sys.rename("deep", "deeper");
    await m.sys.symlink("deeper", "link");
    await m.sys.link("deeper", "other");
    await m.sys.setxattr("deeper", "user.k", "v");
    expect(await m.sys.getxattr("deeper", "user.k")).toBe("v");
    expect(await m.sys.readFile("link")).toBe("data");
    expect((await m.sys.stat("other")).nlink).toBe(2);
    expect(await m.sys.list(".")).toEqual(["deeper", "link", "other"]);
    await m.sys.chdir("/");
    await m.sys.removeTree(`${m.mnt}/top`);
    expect(await m.sys.list(m.mnt)).toEqual([]);
    expect(await m.isWhiteout("top")).toBe(true);
  });

  test("a lower tree deeper than PATH_MAX is read and changed", async () => {
    const name = "d".repeat(200);
    const m = await overlay.mount({ lowers: [{}] });
    await m.unmount();
    const lower = `${overlay.scratch}/deep`;
    await overlay.host.mkdir(lower);
    await overlay.host.chdir(lower);
    for (let depth = 0; depth < 30; depth++) {
      await overlay.host.mkdir(name);
      await overlay.host.chdir(name);
    }
    await overlay.host.writeFile("deep", "data");
    await overlay.host.chdir("/");
    const deep = await overlay.mountPaths({
      lowers: [lower],
      upper: m.upper,
      work: m.work,
      mountpoint: m.mnt,
      options: [],
    });
    await deep.sys.chdir(m.mnt);
    for (let depth = 0; depth < 30; depth++) {
      await deep.sys.chdir(name);
    }
    expect(await deep.sys.readFile("deep")).toBe("data");
    await deep.sys.appendFile("deep", "+");
    expect(await deep.sys.readFile("deep")).toBe("data+");
    await deep.sys.unlink("deep");
    expect(await deep.sys.list(".")).toEqual([]);
  });

  test("paths go through files and symlinks as POSIX says", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", d: { g: "2" }, to: symlink("d"), loop: symlink("loop") }] });
    await refuses("ENOTDIR", m.sys.lstat(`${m.mnt}/f/x`));
    await refuses("ENOTDIR", m.sys.open(`${m.mnt}/f`, "O_RDONLY|O_DIRECTORY"));
    await refuses("EISDIR", m.sys.open(`${m.mnt}/d`, "O_WRONLY"));
    await refuses("ELOOP", m.sys.stat(`${m.mnt}/loop`));
    await refuses("ELOOP", m.sys.open(`${m.mnt}/to`, "O_RDONLY|O_NOFOLLOW"));
    expect(await m.sys.readFile(`${m.mnt}/to/g`)).toBe("2");
    expect(await m.sys.readFile(`${m.mnt}/d/../f`)).toBe("1");
  });

  test("an absent name that comes to be is seen by those who asked before", async () => {
    const m = await overlay.mount({ lowers: [{ d: {} }] });
    const other = await overlay.agent();
    for (const name of ["f", "d/g"]) {
      await refuses("ENOENT", other.lstat(`${m.mnt}/${name}`));
      await m.sys.writeFile(`${m.mnt}/${name}`, "1");
      expect(await other.readFile(`${m.mnt}/${name}`)).toBe("1");
      await m.sys.rename(`${m.mnt}/${name}`, `${m.mnt}/${name}2`);
      await refuses("ENOENT", other.lstat(`${m.mnt}/${name}`));
      expect(await other.readFile(`${m.mnt}/${name}2`)).toBe("1");
    }
  });

  test("an empty lower, and an empty lower file", async () => {
    const m = await overlay.mount({ lowers: [{}, { empty: "" }] });
    expect(await m.sys.readFile(`${m.mnt}/empty`)).toBe("");
    await m.sys.appendFile(`${m.mnt}/empty`, "x");
    expect(await overlay.host.readFile(`${m.upper}/empty`)).toBe("x");
  });

  test("five hundred lowers, by relative paths", async () => {
    const base = `${overlay.scratch}/many`;
    await overlay.host.mkdir(base);
    const count = 500;
    const lowers = Array.from({ length: count }, (_, index) => `${index}`);
    for (const name of lowers) {
      await overlay.host.mkdir(`${base}/${name}`);
      await overlay.host.mkdir(`${base}/${name}/d`);
      await overlay.host.writeFile(`${base}/${name}/d/${name}`, name);
      await overlay.host.writeFile(`${base}/${name}/same`, name);
    }
    for (const name of ["upper", "work", "mnt"]) {
      await overlay.host.mkdir(`${overlay.scratch}/${name}`);
    }
    const m = await overlay.mountPaths({
      lowers,
      upper: "../upper",
      work: "../work",
      mountpoint: `${overlay.scratch}/mnt`,
      options: [],
      cwd: base,
    });
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([...lowers].sort());
    expect(await m.sys.readFile(`${m.mnt}/same`)).toBe("0");
    for (const name of ["0", "250", "499"]) {
      expect(await m.sys.readFile(`${m.mnt}/d/${name}`)).toBe(name);
    }
    await m.sys.appendFile(`${m.mnt}/d/499`, "+");
    await m.sys.unlink(`${m.mnt}/same`);
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/same`));
    expect(await overlay.host.readFile(`${overlay.scratch}/upper/d/499`)).toBe("499+");
    expect(await overlay.host.readFile(`${base}/499/d/499`)).toBe("499");
  });

  test("a mounted overlay is a lower like any other", async () => {
    const inner = await overlay.mount({ lowers: [{ d: { f: "1", g: "2" }, gone: "3" }] });
    await inner.sys.appendFile(`${inner.mnt}/d/f`, "+");
    await inner.sys.unlink(`${inner.mnt}/gone`);
    const paths = ["u", "w", "m"].map((name) => `${overlay.scratch}/${name}`) as [string, string, string];
    for (const path of paths) {
      await overlay.host.mkdir(path);
    }
    const [upper, work, mountpoint] = paths;
    const outer = await overlay.mountPaths({ lowers: [inner.mnt], upper, work, mountpoint, options: [] });
    expect(await outer.sys.list(mountpoint)).toEqual(["d"]);
    await outer.sys.appendFile(`${mountpoint}/d/f`, "!");
    await outer.sys.unlink(`${mountpoint}/d/g`);
    expect(await outer.sys.readFile(`${mountpoint}/d/f`)).toBe("1+!");
    expect(await inner.sys.readFile(`${inner.mnt}/d/f`)).toBe("1+");
    expect(await inner.sys.list(`${inner.mnt}/d`)).toEqual(["f", "g"]);
    await outer.unmount();
  });

  test("two mounts over one lower know nothing of each other", async () => {
    const one = await overlay.mount({ lowers: [{ d: { f: "1" } }] });
    const paths = ["u", "w", "m"].map((name) => `${overlay.scratch}/${name}`) as [string, string, string];
    for (const path of paths) {
      await overlay.host.mkdir(path);
    }
    const [upper, work, mountpoint] = paths;
    const two = await overlay.mountPaths({ lowers: one.lowers, upper, work, mountpoint, options: [] });
    const reader = await two.sys.open(`${two.mnt}/d/f`, "O_RDONLY");
    await one.sys.appendFile(`${one.mnt}/d/f`, "one");
    await two.sys.writeFile(`${two.mnt}/d/new`, "two");
    expect(await two.sys.pread(reader, 10, 0)).toBe("1");
    await one.sys.removeTree(`${one.mnt}/d`);
    expect(await two.sys.list(`${two.mnt}/d`)).toEqual(["f", "new"]);
    expect(await one.sys.list(one.mnt)).toEqual([]);
  });

  test("whiteouts by xattr, in directories that say they hold them", async () => {
    const hidden = file("", { xattrs: { "trusted.overlay.whiteout": "y" } });
    const m = await overlay.mount({
      lowers: [
        { d: dir({ f: hidden, kept: "1" }, { xattrs: { "trusted.overlay.opaque": "x" } }) },
        { d: { f: "1", g: "2" } },
      ],
    });
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["g", "kept"]);
    await m.sys.writeFile(`${m.mnt}/d/f`, "new");
    expect(await m.sys.readFile(`${m.mnt}/d/f`)).toBe("new");
  });
});
