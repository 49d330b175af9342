/** Renamed directories of lowers: redirects when written, when read, and across the two overlays. */
import { expect, test } from "vitest";
import { describeOverlay, type Mounted, type Overlay, refuses } from "../support/overlay.ts";
import { dir, opaque, type Tree, whiteout } from "../support/tree.ts";

const on = ["redirect_dir=on"];

/** What the upper says of its directories: redirects and opaque marks, and where whiteouts are. */
async function marksIn(m: Mounted): Promise<Record<string, string>> {
  const marks: Record<string, string> = {};
  for (const [path, { type, rdev, xattrs = {} }] of Object.entries(await m.inUpper())) {
    if (type === "char" && rdev === "0:0") {
      marks[path] = "whiteout";
    }
    const redirect = xattrs["trusted.overlay.redirect"];
    if (redirect !== undefined) {
      marks[path] = `redirect ${redirect}`;
    } else if (xattrs["trusted.overlay.opaque"] === "y") {
      marks[path] = "opaque";
    }
  }
  return marks;
}

/** The view and the inode numbers in it stay the same over remounts by both overlays. */
async function staysTheSame(overlay: Overlay, m: Mounted): Promise<void> {
  const view = await m.view();
  const numbers = await inodes(m, Object.keys(view));
  await m.remount();
  expect(await m.view(), "remounted").toEqual(view);
  expect(await inodes(m, Object.keys(view)), "inode numbers").toEqual(numbers);
  await m.remount(overlay.kind === "kernel" ? "veneer" : "kernel");
  expect(await m.view(), "mounted by the other overlay").toEqual(view);
}

async function inodes(m: Mounted, paths: readonly string[]): Promise<unknown> {
  return Promise.all(paths.map(async (path) => [path, (await m.sys.lstat(`${m.mnt}/${path}`)).ino]));
}

const trees: Tree[] = [
  { d: { f: "top", sub: { x: "1" } } },
  { d: { g: "bottom", sub: { y: "2" } }, other: { z: "3" } },
];

describeOverlay("redirect_dir=on: renames of lower directories", (overlay) => {
  test("within a directory leave a relative redirect, which stays through further renames", async () => {
    const m = await overlay.mount({ lowers: trees, options: on });
    const { ino } = await m.sys.lstat(`${m.mnt}/d`);
    await m.sys.rename(`${m.mnt}/d`, `${m.mnt}/e`);
    expect(await m.sys.list(`${m.mnt}/e`)).toEqual(["f", "g", "sub"]);
    expect(await m.sys.list(`${m.mnt}/e/sub`)).toEqual(["x", "y"]);
    expect((await m.sys.lstat(`${m.mnt}/e`)).ino).toBe(ino);
    expect(await marksIn(m)).toEqual({ d: "whiteout", e: "redirect d" });
    await m.sys.rename(`${m.mnt}/e`, `${m.mnt}/h`);
    expect(await marksIn(m)).toEqual({ d: "whiteout", h: "redirect d" });
    await staysTheSame(overlay, m);
    expect(await m.sys.readFile(`${m.mnt}/h/sub/y`)).toBe("2");
  });

  test("to another directory leave an absolute one, which counts the redirects above", async () => {
    const m = await overlay.mount({ lowers: trees, options: on });
    await m.sys.rename(`${m.mnt}/d`, `${m.mnt}/e`);
    await m.sys.rename(`${m.mnt}/e/sub`, `${m.mnt}/other/moved`);
    expect(await marksIn(m)).toEqual({
      d: "whiteout",
      e: "redirect d",
      "e/sub": "whiteout",
      "other/moved": "redirect /d/sub",
    });
    await m.sys.rename(`${m.mnt}/other/moved`, `${m.mnt}/other/again`);
    await m.sys.mkdir(`${m.mnt}/new`);
    await m.sys.rename(`${m.mnt}/other/again`, `${m.mnt}/new/last`);
    expect(await m.sys.list(`${m.mnt}/new/last`)).toEqual(["x", "y"]);
    expect(await marksIn(m)).toEqual({
      d: "whiteout",
      e: "redirect d",
      "e/sub": "whiteout",
      new: "opaque",
      "new/last": "redirect /d/sub",
    });
    await staysTheSame(overlay, m);
  });

  test("carry known nodes, open files and changes along", async () => {
    const m = await overlay.mount({ lowers: trees, options: on });
    const fd = await m.sys.open(`${m.mnt}/d/sub/x`, "O_RDONLY");
    await m.sys.chdir(`${m.mnt}/d/sub`);
    await m.sys.rename(`${m.mnt}/d`, `${m.mnt}/other/e`);
    expect(await m.sys.getcwd()).toBe(`${m.mnt}/other/e/sub`);
    await m.sys.writeFile("x", "changed");
    expect(await m.sys.read(fd, 100)).toBe("changed");
    await m.sys.writeFile("../new", "n");
    await m.sys.unlink("../g");
    await m.sys.chdir("/");
    await m.sys.close(fd);
    expect(await m.sys.list(`${m.mnt}/other/e`)).toEqual(["f", "new", "sub"]);
    expect(await marksIn(m)).toEqual({ d: "whiteout", "other/e": "redirect /d", "other/e/g": "whiteout" });
    await staysTheSame(overlay, m);
  });

  test("free the old name for another directory, and the new one on rmdir", async () => {
    const m = await overlay.mount({ lowers: trees, options: on });
    await m.sys.rename(`${m.mnt}/d`, `${m.mnt}/e`);
    await m.sys.mkdir(`${m.mnt}/d`);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([]);
    await m.sys.writeFile(`${m.mnt}/d/mine`, "1");
    await staysTheSame(overlay, m);
    expect(await marksIn(m)).toEqual({ d: "opaque", e: "redirect d" });
    await m.sys.run(["rm", "-r", `${m.mnt}/e`, `${m.mnt}/d`], {});
    expect(await marksIn(m)).toEqual({ d: "whiteout" });
    expect(await m.sys.list(m.mnt)).toEqual(["other"]);
    await m.sys.mkdir(`${m.mnt}/e`);
    expect(await m.sys.list(`${m.mnt}/e`)).toEqual([]);
    await staysTheSame(overlay, m);
  });

  test("and back to the old name", async () => {
    const m = await overlay.mount({ lowers: trees, options: on });
    await m.sys.rename(`${m.mnt}/d`, `${m.mnt}/e`);
    await m.sys.rename(`${m.mnt}/e`, `${m.mnt}/d`);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["f", "g", "sub"]);
    await staysTheSame(overlay, m);
    expect(await marksIn(m)).toEqual({ d: "redirect d" });
  });

  test("exchange two of them, and one with a file or a new directory", async () => {
    const m = await overlay.mount({ lowers: [{ a: { x: "1", s: { y: "2" } }, b: { z: "3" }, f: "4" }], options: on });
    const exchange = (a: string, b: string) => m.sys.renameat2(`${m.mnt}/${a}`, `${m.mnt}/${b}`, "EXCHANGE");
    await exchange("a", "b");
    expect(await marksIn(m)).toEqual({ a: "redirect b", b: "redirect a" });
    await exchange("b/s", "a");
    expect(await marksIn(m)).toEqual({ a: "redirect /a/s", b: "redirect a", "b/s": "redirect /b" });
    await exchange("a", "f");
    await m.sys.mkdir(`${m.mnt}/new`);
    await exchange("new", "b/s");
    expect(await m.sys.list(`${m.mnt}/f`)).toEqual(["y"]);
    expect(await m.sys.list(`${m.mnt}/new`)).toEqual(["z"]);
    expect(await m.sys.list(`${m.mnt}/b`)).toEqual(["s", "x"]);
    expect(await m.sys.list(`${m.mnt}/b/s`)).toEqual([]);
    expect(await marksIn(m)).toEqual({
      b: "redirect a",
      "b/s": "opaque",
      f: "redirect /a/s",
      new: "redirect /b",
    });
    await staysTheSame(overlay, m);
  });

  test("onto an empty directory of either layer, an emptied one, a whiteout", async () => {
    const targets = { t0: {}, t1: { x: "1" }, t2: { y: "2" } };
    const sources = { s0: { a: "0" }, s1: { a: "1" }, s2: { a: "2" }, s3: { a: "3" } };
    const m = await overlay.mount({
      lowers: [{ ...targets, ...sources }],
      upper: { t1: { x: whiteout() }, t2: whiteout(), t3: {}, s3: { b: "+" } },
      options: on,
    });
    for (const i of [0, 1, 2, 3]) {
      await m.sys.rename(`${m.mnt}/s${i}`, `${m.mnt}/t${i}`);
      expect(await m.sys.readFile(`${m.mnt}/t${i}/a`)).toBe(`${i}`);
    }
    expect(await m.sys.list(m.mnt)).toEqual(["t0", "t1", "t2", "t3"]);
    expect(await m.sys.list(`${m.mnt}/t3`)).toEqual(["a", "b"]);
    await staysTheSame(overlay, m);
  });

  test("answer EXDEV where the redirect would be longer than 256 bytes", async () => {
    const [a, b] = ["a".repeat(150), "b".repeat(105)];
    const m = await overlay.mount({ lowers: [{ [a]: { [b]: { f: "1" }, [b.slice(1)]: { g: "2" } } }], options: on });
    await refuses("EXDEV", m.sys.rename(`${m.mnt}/${a}/${b}`, `${m.mnt}/moved`));
    expect(await m.sys.list(`${m.mnt}/${a}/${b}`)).toEqual(["f"]);
    await m.sys.rename(`${m.mnt}/${a}/${b.slice(1)}`, `${m.mnt}/moved`);
    expect(await m.sys.list(`${m.mnt}/moved`)).toEqual(["g"]);
    await m.sys.rename(`${m.mnt}/${a}/${b}`, `${m.mnt}/${a}/other`);
    expect(await m.sys.list(`${m.mnt}/${a}/other`)).toEqual(["f"]);
    await staysTheSame(overlay, m);
  });
});

function redirected(to: string, children: Tree = {}): ReturnType<typeof dir> {
  return dir(children, { xattrs: { "trusted.overlay.redirect": to } });
}

/** The names in a directory, or why there are none. */
async function listed(m: Mounted, path: string): Promise<string> {
  return m.sys.list(`${m.mnt}/${path}`).then(
    (names) => names.join(" "),
    (error: { code: string }) => error.code,
  );
}

describeOverlay("redirects, read", (overlay) => {
  test("in the upper and in middle lowers, relative and absolute, through one another", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          p: redirected("q", { l0: "" }),
          mid: redirected("/deep/c", { l0: "" }),
          deep: { a: redirected("b", { d0: "" }), c: { not: "" } },
          shut: opaque({ in: redirected("/r", { s0: "" }), out: { s0: "" } }),
          hidden: whiteout(),
          twice: redirected("second", { t0: "" }),
        },
        {
          q: { l1: "" },
          deep: redirected("/depth", { b: { d1: "" }, a: { wrong: "" }, c: { c1: "" } }),
          r: { r1: "" },
          shut: { in: { wrong: "" }, out: { wrong: "" } },
          hidden: { h1: "" },
          onlyfile: "",
          second: redirected("third", { t1: "" }),
        },
        {
          q: { l2: "" },
          deep: { b: { wrong: "" }, a: { wrong: "" } },
          depth: { b: { d2: "" }, c: { c2: "" } },
          r: { r2: "" },
          s: { s2: "" },
          hidden: { h2: "" },
          onlyfile: { o2: "" },
          second: { wrong: "" },
          third: { t2: "" },
        },
      ],
      upper: {
        up: redirected("p", { u: "" }),
        abs: redirected("/deep/a", { u: "" }),
        in: redirected("/shut/in", { u: "" }),
        out: redirected("/shut/out", { u: "" }),
        gone: redirected("hidden", { u: "" }),
        nowhere: redirected("/no/such/path", { u: "" }),
        file: redirected("onlyfile", { u: "" }),
        through: redirected("/onlyfile/o2", { u: "" }),
        pure: opaque({ rel: redirected("p", { u: "" }), abs: redirected("/s", { u: "" }) }),
        both: dir({ u: "" }, { xattrs: { "trusted.overlay.redirect": "q", "trusted.overlay.opaque": "y" } }),
      },
      options: on,
    });
    // Each lower directory is led to once: the kernel takes a second way to one for an error (ESTALE).
    const expected: Record<string, string> = {
      up: "l0 l1 l2 u",
      mid: "c1 c2 l0",
      abs: "d0 d1 d2 u",
      in: "r1 r2 s0 u",
      out: "s0 u",
      gone: "u",
      nowhere: "u",
      file: "u",
      through: "u",
      "pure/rel": "u",
      "pure/abs": "s2 u",
      both: "u",
      twice: "t0 t1 t2",
    };
    for (const [path, names] of Object.entries(expected)) {
      expect(await listed(m, path), path).toBe(names);
    }
  });

  test("with values that are none", async () => {
    const values: Record<string, string> = {
      "": "EINVAL",
      "/": "EINVAL",
      "//q": "EINVAL",
      "/q/": "EINVAL",
      "q/l": "EINVAL",
      ".": "EACCES",
      "..": "EACCES",
      "/q/..": "EACCES",
      "/./q": "EACCES",
      "/../q": "EACCES",
      "q\0junk": "l u",
      "/r\0/": "m u",
      [`/${"q".repeat(300)}`]: "u",
      [`/${"x/".repeat(1500)}q`]: "u",
      [`/q/${"y".repeat(2000)}`]: "u",
    };
    const upper: Record<string, Tree[string]> = {};
    for (const [index, value] of Object.keys(values).entries()) {
      upper[`n${index}`] = redirected(value, { u: "" });
    }
    const m = await overlay.mount({ lowers: [{ q: { l: "" }, r: { m: "" } }, { z: "" }], upper, options: on });
    for (const [index, [value, names]] of Object.entries(values).entries()) {
      expect(await listed(m, `n${index}`), JSON.stringify(value.slice(0, 20))).toBe(names);
    }
  });

  test("not in the lowest layer, nor with nofollow", async () => {
    const lowers = [{ d: { a: "" } }, { d: redirected("q", { b: "" }), q: { l: "" } }];
    const upper = { up: redirected("q", { u: "" }) };
    const m = await overlay.mount({ lowers, upper, options: ["redirect_dir=follow"] });
    expect(await listed(m, "d")).toBe("a b");
    expect(await listed(m, "up")).toBe("l u");
    await refuses("EXDEV", m.sys.rename(`${m.mnt}/d`, `${m.mnt}/e`));
    const not = await overlay.mount({ lowers, upper, options: ["redirect_dir=nofollow"] });
    expect(await listed(not, "d")).toBe("a b");
    expect(await listed(not, "up")).toBe("EPERM");
    await refuses("EXDEV", not.sys.rename(`${not.mnt}/d`, `${not.mnt}/e`));
  });
});
