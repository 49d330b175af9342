/** metacopy=on: copies of metadata alone, when made, when read, and when their data are brought up. */
import { expect, test } from "vitest";
import { describeOverlay, type Mounted, type Overlay } from "../support/overlay.ts";
import { dir, file, hardlink, opaque, sparse, symlink, type Tree, whiteout } from "../support/tree.ts";

const on = ["redirect_dir=on", "metacopy=on"];
const big = "data ".repeat(20_000);
const lower: Tree = {
  f: file(big, { mtime: 1_000_000_000n }),
  empty: "",
  holes: sparse(1_000_000, [[500_000, "island"]]),
  d: { g: "g".repeat(9000), h: "h".repeat(9000) },
  other: {},
};

/** What the upper says of its files: whether their data are there, and their redirects. */
async function marksIn(m: Mounted): Promise<Record<string, string>> {
  const marks: Record<string, string> = {};
  for (const [path, { type, xattrs = {} }] of Object.entries(await m.inUpper())) {
    if (type === "file") {
      const redirect = xattrs["trusted.overlay.redirect"];
      const data = "trusted.overlay.metacopy" in xattrs ? "metadata" : "data";
      marks[path] = redirect === undefined ? data : `${data}, redirect ${redirect}`;
    }
  }
  return marks;
}

/** The view stays the same over remounts by both overlays. */
async function staysTheSame(overlay: Overlay, m: Mounted): Promise<void> {
  const view = await m.view();
  await m.remount();
  expect(await m.view(), "remounted").toEqual(view);
  await m.remount(overlay.kind === "kernel" ? "veneer" : "kernel");
  expect(await m.view(), "mounted by the other overlay").toEqual(view);
  await m.remount();
}

describeOverlay("metacopy=on", (overlay) => {
  test("a change of metadata copies no data, and shows in all of stat", async () => {
    const m = await overlay.mount({ lowers: [lower], options: on });
    const at = (name: string) => `${m.mnt}/${name}`;
    const before = await m.sys.lstat(at("f"));
    await m.sys.chmod(at("f"), 0o600);
    await m.sys.chown(at("holes"), 5, 6);
    await m.sys.setxattr(at("d/g"), "user.k", "v");
    await m.sys.chmod(at("empty"), 0o600);
    expect(await marksIn(m)).toEqual({ "d/g": "metadata", empty: "metadata", f: "metadata", holes: "metadata" });
    expect((await overlay.host.lstat(`${m.upper}/f`)).blocks).toBeLessThan(before.blocks);
    const { mode, ctime: _ctime, ...after } = await m.sys.lstat(at("f"));
    expect(mode).toBe(0o600);
    expect(before).toMatchObject(after);
    expect(await m.sys.readFile(at("f"))).toBe(big);
    const fd = await m.sys.open(at("holes"), "O_RDONLY");
    expect(await m.sys.lseek(fd, 0, "SEEK_DATA")).toBeGreaterThan(100_000);
    await m.sys.fsync(fd);
    await m.sys.close(fd);
    expect(await m.sys.getxattr(at("d/g"), "user.k")).toBe("v");
  });

  test("survives remounts by both overlays", async () => {
    const m = await overlay.mount({ lowers: [lower], options: on });
    for (const name of ["f", "empty", "holes", "d/g"]) {
      await m.sys.chmod(`${m.mnt}/${name}`, 0o640);
    }
    const { ino, blocks } = await m.sys.lstat(`${m.mnt}/f`);
    await staysTheSame(overlay, m);
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject({ ino, blocks });
  });

  test("a rename and a link say where the data are", async () => {
    const m = await overlay.mount({ lowers: [{ ...lower, one: "1111", two: hardlink("one") }], options: on });
    const at = (name: string) => `${m.mnt}/${name}`;
    await m.sys.rename(at("f"), at("f2"));
    await m.sys.rename(at("d/g"), at("other/g2"));
    await m.sys.link(at("d/h"), at("other/h2"));
    await m.sys.rename(at("one"), at("one2"));
    expect(await marksIn(m)).toEqual({
      f2: "metadata, redirect f",
      "other/g2": "metadata, redirect /d/g",
      "d/h": "metadata, redirect /d/h",
      "other/h2": "metadata, redirect /d/h",
      one2: "metadata, redirect /one",
    });
    await m.sys.rename(at("f2"), at("other/f3"));
    await m.sys.rename(at("d"), at("e"));
    expect(await m.sys.readFile(at("e/h"))).toBe("h".repeat(9000));
    await staysTheSame(overlay, m);
    expect(await marksIn(m)).toMatchObject({ "other/f3": "metadata, redirect /f", "e/h": "metadata, redirect /d/h" });
    await m.sys.appendFile(at("other/h2"), "+");
    expect(await m.sys.readFile(at("e/h"))).toBe(`${"h".repeat(9000)}+`);
    expect((await marksIn(m))["e/h"]).toBe("data, redirect /d/h");
    await staysTheSame(overlay, m);
  });

  test("the first change of data brings them up: write, truncation of every kind, fallocate", async () => {
    const names = ["write", "cut", "empty", "O_TRUNC", "longer", "fallocate", "opened", "renamed"];
    const lowers = [Object.fromEntries(names.map((name) => [name, big]))];
    const m = await overlay.mount({ lowers, options: on });
    const at = (name: string) => `${m.mnt}/${name}`;
    for (const name of names) {
      await m.sys.chmod(at(name), 0o640);
    }
    await m.sys.rename(at("renamed"), at("new name"));
    const fd = await m.sys.open(at("write"), "O_RDWR");
    await m.sys.pwrite(fd, "X", 3);
    await m.sys.truncate(at("cut"), 7);
    await m.sys.truncate(at("empty"), 0);
    await m.sys.close(await m.sys.open(at("O_TRUNC"), "O_WRONLY|O_TRUNC"));
    await m.sys.truncate(at("longer"), big.length + 5);
    await m.sys.fallocate(await m.sys.open(at("fallocate"), "O_RDWR"), "", 0, big.length + 100);
    await m.sys.close(await m.sys.open(at("opened"), "O_RDWR"));
    await m.sys.appendFile(at("new name"), "+");
    const { "new name": moved, ...rest } = await marksIn(m);
    expect(moved).toBe("data, redirect renamed");
    expect(new Set(Object.values(rest))).toEqual(new Set(["data"]));
    const contents = await Promise.all(
      ["write", "cut", "empty", "O_TRUNC", "longer", "fallocate", "opened", "new name"].map((name) =>
        m.sys.readFile(at(name)),
      ),
    );
    expect(contents).toEqual([
      `${big.slice(0, 3)}X${big.slice(4)}`,
      big.slice(0, 7),
      "",
      "",
      `${big}\0\0\0\0\0`,
      `${big}${"\0".repeat(100)}`,
      big,
      `${big}+`,
    ]);
    await m.sys.close(fd);
  });

  test("handles that were open before see what is written after it", async () => {
    const m = await overlay.mount({ lowers: [lower], options: on });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    expect(await m.sys.pread(fd, 4, 0)).toBe("data");
    await m.sys.chmod(`${m.mnt}/f`, 0o600);
    const second = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    await m.sys.run(
      ["dd", `of=${m.mnt}/f`, "conv=notrunc", "if=/proc/self/comm", "bs=2", "count=1", "status=none"],
      {},
    );
    expect(await m.sys.pread(fd, 4, 0)).toBe("ddta");
    expect(await m.sys.pread(second, 4, 0)).toBe("ddta");
    expect((await m.sys.readFile(`${m.mnt}/f`)).slice(0, 4)).toBe("ddta");
    await m.sys.close(fd);
    await m.sys.close(second);
  });

  test("holes, owner, mode, xattrs and capabilities are kept when data are brought up", async () => {
    const capability = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const xattrs = { "user.k": "v", "security.capability": capability };
    const meta = { mode: 0o4711, uid: 7, gid: 8, mtime: 123_456_789n, xattrs };
    const m = await overlay.mount({ lowers: [{ f: sparse(1_000_000, [[500_000, "island"]], meta) }], options: on });
    const path = `${m.mnt}/f`;
    await m.sys.setxattr(path, "user.k2", "v2");
    await m.sys.close(await m.sys.open(path, "O_RDWR"));
    expect(await marksIn(m)).toEqual({ f: "data" });
    const { mode, uid, gid, mtime, size, blocks } = await m.sys.lstat(path);
    expect({ mode, uid, gid, size }).toEqual({ mode: 0o4711, uid: 7, gid: 8, size: 1_000_000 });
    expect(await m.sys.getxattr(path, "security.capability")).toBe(capability);
    expect(await m.sys.getxattr(path, "user.k2")).toBe("v2");
    // The kernel's copying counts as a change of the file, and fills the hole at its end.
    expect(mtime === 123_456_789n).toBe(overlay.kind === "veneer");
    expect(blocks < 200).toBe(overlay.kind === "veneer");
  });

  test("an unlinked file, and one that is removed while open", async () => {
    const m = await overlay.mount({ lowers: [lower], options: on });
    await m.sys.chmod(`${m.mnt}/f`, 0o600);
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    await m.sys.unlink(`${m.mnt}/f`);
    expect(await m.sys.pread(fd, 5, 100)).toBe("data ");
    await m.sys.chmod(fd, 0o400);
    const writer = await m.sys.open(`/proc/self/fd/${fd}`, "O_RDWR");
    await m.sys.pwrite(writer, "X", 0);
    expect(await m.sys.pread(writer, 6, 0)).toBe("Xata d");
    await m.sys.close(writer);
    await m.sys.close(fd);
    expect(await m.isWhiteout("f")).toBe(true);
    await staysTheSame(overlay, m);
  });

  test("index=on: a file with several names stays one", async () => {
    const tree: Tree = { a: big, d: { b: hardlink("a") }, c: hardlink("a") };
    const m = await overlay.mount({ lowers: [tree], options: [...on, "index=on"] });
    await m.sys.chmod(`${m.mnt}/a`, 0o600);
    expect((await m.sys.lstat(`${m.mnt}/d/b`)).mode).toBe(0o600);
    expect(await m.sys.readFile(`${m.mnt}/d/b`)).toBe(big);
    await m.remount();
    expect((await m.sys.lstat(`${m.mnt}/c`)).mode).toBe(0o600);
    expect(await m.sys.readFile(`${m.mnt}/c`)).toBe(big);
    await m.sys.appendFile(`${m.mnt}/c`, "+");
    expect(await m.sys.readFile(`${m.mnt}/a`)).toBe(`${big}+`);
    await m.remount(overlay.kind === "kernel" ? "veneer" : "kernel");
    expect(await m.sys.readFile(`${m.mnt}/d/b`)).toBe(`${big}+`);
    expect((await m.sys.lstat(`${m.mnt}/a`)).nlink).toBe(3);
    await m.remount();
  });
});

function metacopy(size: number, redirect?: string, value = ""): Tree[string] {
  const marks = { "trusted.overlay.metacopy": value, ...(redirect && { "trusted.overlay.redirect": redirect }) };
  return sparse(size, [], { mode: 0o640, xattrs: marks });
}

describeOverlay("metacopy files, read", (overlay) => {
  const lowers: Tree[] = [
    { gone: whiteout(), meta: metacopy(4), sub: { far: metacopy(5, "/step") } },
    {
      directory: {},
      gone: "real",
      symlink: symlink("v0"),
      v0: "v0..",
      version: "ver.",
      digest: "dig.",
      short: "shrt",
      meta: "meta",
      chain: metacopy(5),
      step: metacopy(5, "final"),
      place: { to: "place" },
      plain: "under",
    },
    { chain: "chain", final: "final", bottom: metacopy(4), pure: "pure1" },
  ];
  const upper: Tree = {
    nothing: metacopy(4),
    directory: metacopy(4),
    gone: metacopy(4),
    symlink: metacopy(4),
    v0: metacopy(4, undefined, "\0\x04\0\0"),
    version: metacopy(4, undefined, "\x01\x04\0\0"),
    digest: metacopy(4, undefined, `\0\x24\0\x01${"d".repeat(32)}`),
    short: metacopy(4, undefined, "\0\x04\0"),
    chain: metacopy(5),
    moved: metacopy(5, "/place/to"),
    bad: metacopy(5, "a/b"),
    out: metacopy(5, "/place/../place/to"),
    opaque: opaque({ in: metacopy(5, "/pure"), lost: metacopy(5) }),
    plain: file("plain", { mode: 0o640, xattrs: { "trusted.overlay.redirect": "v0" } }),
  };
  /** Content, or errno. */
  const expected: Record<string, string> = {
    nothing: "EIO",
    directory: "EIO",
    gone: "EIO",
    symlink: "EIO",
    v0: "v0..",
    version: "ver.",
    digest: "dig.",
    short: "EIO",
    chain: "chain",
    moved: "place",
    bad: "EINVAL",
    out: "EACCES",
    "opaque/in": "pure1",
    "opaque/lost": "EIO",
    plain: "plain",
    meta: "meta",
    "sub/far": "final",
    bottom: "EIO",
  };

  async function contents(m: Mounted): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const name of Object.keys(expected)) {
      const path = `${m.mnt}/${name}`;
      found[name] = await m.sys.lstat(path).then(
        async ({ mode }) => (mode === 0o640 ? m.sys.readFile(path) : `mode ${mode.toString(8)}`),
        (error: { code: string }) => error.code,
      );
    }
    return found;
  }

  test("their data are found by name and by redirect, or not", async () => {
    const m = await overlay.mount({ lowers, upper, options: on });
    expect(await contents(m)).toEqual(expected);
  });

  test("without the feature all that have the mark are refused", async () => {
    const m = await overlay.mount({ lowers, upper, options: ["redirect_dir=follow", "metacopy=off"] });
    const refused = Object.entries(expected).map(([name, content]) => {
      const code = name === "short" ? "EIO" : name === "bad" ? "EINVAL" : name === "plain" ? content : "EPERM";
      return [name, code];
    });
    expect(await contents(m)).toEqual(Object.fromEntries(refused));
    await overlay.mount({ lowers: [dir({})], options: on });
  });
});
