/** rename(2) and renameat2(2): every kind of source on every kind of target. */
import { expect, test } from "vitest";
import { describeOverlay, type Mounted, type Overlay, refuses } from "../support/overlay.ts";
import { dir, file, symlink, type Tree, whiteout } from "../support/tree.ts";

type Side = "lower" | "upper" | "merged";
interface Kind {
  readonly name: string;
  readonly type: "file" | "dir" | "symlink" | "absent";
  /** What each layer holds of it; `content` tells source from target. */
  readonly lower?: (content: string) => Tree[string];
  readonly upper?: (content: string) => Tree[string];
  readonly full?: boolean;
}

function kindsOf(side: Side): Kind[] {
  const inLower = side !== "upper";
  const inUpper = side !== "lower";
  const make = (type: Kind["type"], name: string, tree: (content: string) => Tree[string], full = false): Kind => ({
    name: `${side} ${name}`,
    type,
    full,
    ...(inLower ? { lower: tree } : {}),
    ...(inUpper ? { upper: tree } : {}),
  });
  return [
    make("file", "file", (content) => file(content, { mode: 0o640, mtime: 1_000_000_000n })),
    make("symlink", "symlink", (content) => symlink(content)),
    make("dir", "directory", () => ({})),
    make("dir", "full directory", (content) => ({ inner: content }), true),
  ];
}

const existing: readonly Kind[] = [
  ...kindsOf("lower"),
  ...kindsOf("upper"),
  ...kindsOf("merged"),
  // Looks empty: the upper whites out what the lower holds.
  { name: "emptied directory", type: "dir", lower: () => ({ inner: "x" }), upper: () => ({ inner: whiteout() }) },
];
const absent: readonly Kind[] = [
  { name: "absent", type: "absent" },
  { name: "whiteout over a file", type: "absent", lower: () => "old", upper: () => whiteout() },
  { name: "whiteout over a directory", type: "absent", lower: () => ({ old: "old" }), upper: () => whiteout() },
];

interface Pair {
  readonly from: Kind;
  readonly to: Kind;
  readonly fromName: string;
  readonly toName: string;
  readonly title: string;
}

/** One mount that holds a source and a target for every pair. */
async function mountPairs(
  overlay: Overlay,
  sources: readonly Kind[],
  targets: readonly Kind[],
): Promise<[Mounted, Pair[]]> {
  const lower: Record<string, Tree[string]> = {};
  const upper: Record<string, Tree[string]> = {};
  const pairs: Pair[] = [];
  const put = (kind: Kind, name: string, content: string) => {
    if (kind.lower !== undefined) {
      lower[name] = kind.lower(content);
    }
    if (kind.upper !== undefined) {
      upper[name] = kind.upper(content);
    }
  };
  for (const [i, from] of sources.entries()) {
    for (const [j, to] of targets.entries()) {
      const pair = { from, to, fromName: `s${i}-${j}`, toName: `t${i}-${j}`, title: `${from.name} -> ${to.name}` };
      put(from, pair.fromName, "source");
      put(to, pair.toName, "target");
      pairs.push(pair);
    }
  }
  return [await overlay.mount({ lowers: [lower], upper }), pairs];
}

/** A directory that no lower has a part of; others can't be renamed without redirects. */
const movable = (kind: Kind) => kind.type !== "dir" || kind.lower === undefined;

function expectedErrno({ from, to }: Pair): string {
  if (from.type === "dir" && to.type !== "dir" && to.type !== "absent") {
    return "ENOTDIR";
  }
  if (from.type !== "dir" && to.type === "dir") {
    return "EISDIR";
  }
  if (!movable(from)) {
    return "EXDEV";
  }
  return to.type === "dir" && to.full ? "ENOTEMPTY" : "success";
}

async function outcomeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "success",
    (error: { code: string }) => error.code,
  );
}

/** What a name shows: type and content, or "absent". */
async function shown(m: Mounted, name: string): Promise<string> {
  const path = `${m.mnt}/${name}`;
  if (!(await m.sys.exists(path))) {
    return "absent";
  }
  const { type } = await m.sys.lstat(path);
  if (type === "dir") {
    return `dir ${(await m.sys.list(path)).join()}`;
  }
  return `${type} ${type === "symlink" ? await m.sys.readlink(path) : await m.sys.readFile(path)}`;
}

describeOverlay("rename", (overlay) => {
  test.each(existing.map((kind) => [kind.name, kind] as const))("of: %s, onto everything", async (_name, source) => {
    const [m, pairs] = await mountPairs(overlay, [source], [...absent, ...existing]);
    for (const pair of pairs) {
      const from = await shown(m, pair.fromName);
      const to = await shown(m, pair.toName);
      const outcome = await outcomeOf(m.sys.rename(`${m.mnt}/${pair.fromName}`, `${m.mnt}/${pair.toName}`));
      expect(outcome, pair.title).toBe(expectedErrno(pair));
      const moved = outcome === "success";
      expect(await shown(m, pair.fromName), pair.title).toBe(moved ? "absent" : from);
      expect(await shown(m, pair.toName), pair.title).toBe(moved ? from : to);
      if (moved) {
        expect(await m.isWhiteout(pair.fromName), `${pair.title}: whiteout`).toBe(pair.from.lower !== undefined);
        if (pair.from.type === "dir" && pair.to.lower !== undefined) {
          expect(await m.isOpaque(pair.toName), `${pair.title}: opaque`).toBe(true);
        }
      }
    }
    const view = await m.view();
    await m.remount();
    expect(await m.view(), "after a remount").toEqual(view);
    await m.remount("kernel");
    expect(await m.view(), "by the kernel's overlayfs").toEqual(view);
  });

  test("EXCHANGE swaps any two that can move", async () => {
    const [m, pairs] = await mountPairs(overlay, existing, existing);
    for (const pair of pairs) {
      const from = await shown(m, pair.fromName);
      const to = await shown(m, pair.toName);
      const call = m.sys.renameat2(`${m.mnt}/${pair.fromName}`, `${m.mnt}/${pair.toName}`, "EXCHANGE");
      const can = movable(pair.from) && movable(pair.to);
      expect(await outcomeOf(call), pair.title).toBe(can ? "success" : "EXDEV");
      expect(await shown(m, pair.fromName), pair.title).toBe(can ? to : from);
      expect(await shown(m, pair.toName), pair.title).toBe(can ? from : to);
    }
    const view = await m.view();
    await m.remount();
    expect(await m.view()).toEqual(view);
  });

  test("NOREPLACE moves onto nothing, and refuses everything else", async () => {
    const [m, pairs] = await mountPairs(overlay, existing, [...absent, ...existing]);
    for (const pair of pairs) {
      const from = await shown(m, pair.fromName);
      const to = await shown(m, pair.toName);
      const call = m.sys.renameat2(`${m.mnt}/${pair.fromName}`, `${m.mnt}/${pair.toName}`, "NOREPLACE");
      const expected = pair.to.type !== "absent" ? "EEXIST" : movable(pair.from) ? "success" : "EXDEV";
      expect(await outcomeOf(call), pair.title).toBe(expected);
      expect(await shown(m, pair.toName), pair.title).toBe(expected === "success" ? from : to);
      expect(await shown(m, pair.fromName), pair.title).toBe(expected === "success" ? "absent" : from);
    }
  });

  test("refuses what no file system allows", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }], upper: { d: { e: {} } } });
    await refuses("EINVAL", m.sys.rename(`${m.mnt}/d`, `${m.mnt}/d/e/x`));
    await refuses("ENOTEMPTY", m.sys.rename(`${m.mnt}/d/e`, `${m.mnt}/d`));
    await refuses("ENOENT", m.sys.rename(`${m.mnt}/absent`, `${m.mnt}/x`));
    await refuses("ENOENT", m.sys.renameat2(`${m.mnt}/f`, `${m.mnt}/absent`, "EXCHANGE"));
    await refuses("EINVAL", m.sys.renameat2(`${m.mnt}/f`, `${m.mnt}/x`, "NOREPLACE|EXCHANGE"));
    // Whiteouts are the overlay's own: nobody makes them from inside.
    await refuses("EINVAL", m.sys.renameat2(`${m.mnt}/f`, `${m.mnt}/x`, "WHITEOUT"));
    await refuses("EXDEV", m.sys.rename(`${m.mnt}/f`, `${overlay.scratch}/x`));
    await m.sys.rename(`${m.mnt}/f`, `${m.mnt}/f`);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("1");
  });

  test("onto another name of the same file does nothing", async () => {
    const m = await overlay.mount({ lowers: [{}], upper: { a: "1" } });
    await m.sys.link(`${m.mnt}/a`, `${m.mnt}/b`);
    await m.sys.rename(`${m.mnt}/a`, `${m.mnt}/b`);
    expect(await m.sys.list(m.mnt)).toEqual(["a", "b"]);
  });

  test("between directories copies their parents up, and keeps inode, times and xattrs of the file", async () => {
    const meta = { mode: 0o4711, uid: 7, mtime: 123_456_789n, xattrs: { "user.k": "v" } };
    const m = await overlay.mount({ lowers: [{ a: { f: file("data", meta) }, b: { c: { x: "1" } } }] });
    const before = await m.sys.lstat(`${m.mnt}/a/f`);
    await m.sys.rename(`${m.mnt}/a/f`, `${m.mnt}/b/c/g`);
    const after = await m.sys.lstat(`${m.mnt}/b/c/g`);
    expect(after).toMatchObject({ mode: 0o4711, uid: 7, mtime: 123_456_789n, ino: before.ino, nlink: 1 });
    expect(await m.sys.getxattr(`${m.mnt}/b/c/g`, "user.k")).toBe("v");
    expect(await m.isWhiteout("a/f")).toBe(true);
    expect(await m.sys.list(`${m.mnt}/b/c`)).toEqual(["g", "x"]);
    expect(await m.sys.list(`${m.mnt}/a`)).toEqual([]);
  });

  test("of a directory carries its tree, open files and working directories along", async () => {
    const m = await overlay.mount({ lowers: [{ to: {} }], upper: { d: { e: { f: "1" } } } });
    const fd = await m.sys.open(`${m.mnt}/d/e/f`, "O_RDWR");
    await m.sys.chdir(`${m.mnt}/d/e`);
    await m.sys.rename(`${m.mnt}/d`, `${m.mnt}/to/moved`);
    expect(await m.sys.getcwd()).toBe(`${m.mnt}/to/moved/e`);
    await m.sys.write(fd, "2");
    await m.sys.writeFile("g", "3");
    expect(await m.sys.readFile(`${m.mnt}/to/moved/e/f`)).toBe("2");
    expect(await m.sys.list(`${m.mnt}/to/moved/e`)).toEqual(["f", "g"]);
    expect((await m.sys.lstat("../..")).ino).toBe((await m.sys.lstat(`${m.mnt}/to`)).ino);
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/d`));
  });

  test("a lower file renamed in, then its old name made anew, are two files", async () => {
    const m = await overlay.mount({ lowers: [{ f: "old", d: { x: "1" } }] });
    await m.sys.rename(`${m.mnt}/f`, `${m.mnt}/g`);
    await m.sys.writeFile(`${m.mnt}/f`, "new");
    expect(await m.sys.readFile(`${m.mnt}/g`)).toBe("old");
    expect((await m.sys.lstat(`${m.mnt}/f`)).ino).not.toBe((await m.sys.lstat(`${m.mnt}/g`)).ino);
    await m.remount();
    expect(await m.sys.readFile(`${m.mnt}/g`)).toBe("old");
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("new");
    expect((await m.sys.lstat(`${m.mnt}/f`)).ino).not.toBe((await m.sys.lstat(`${m.mnt}/g`)).ino);
  });

  test("mv falls back to a copy for a lower directory", async () => {
    const m = await overlay.mount({ lowers: [{ d: dir({ e: { f: "1" }, s: symlink("e") }, { mode: 0o711 }) }] });
    expect(await m.sys.run(["mv", `${m.mnt}/d`, `${m.mnt}/moved`], {})).toMatchObject({ status: 0, stderr: "" });
    expect(await m.sys.readFile(`${m.mnt}/moved/e/f`)).toBe("1");
    expect((await m.sys.stat(`${m.mnt}/moved`)).mode).toBe(0o711);
    expect(await m.sys.list(m.mnt)).toEqual(["moved"]);
    expect(await m.isWhiteout("d")).toBe(true);
  });
});
