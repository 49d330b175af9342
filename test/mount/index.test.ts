/** index=on: the names that a file has on a lower stay one file when it is changed, and are counted right. */
import { expect, test } from "vitest";
import {
  describeOverlay,
  exchange,
  type Mounted,
  mountOverlay,
  type Overlay,
  refuses,
  unmountOverlay,
  veneerProgram,
} from "../support/overlay.ts";
import { runOk, runProgram } from "../support/programs.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";
import { dir, fifo, file, hardlink, symlink, type Tree } from "../support/tree.ts";

const on = ["index=on"];
const nlinkMark = "trusted.overlay.nlink";
const linked: Tree = { a: "data", b: hardlink("a"), d: { c: hardlink("a"), x: "1" }, other: "2" };

/** What a name shows, but for times. */
async function shown(m: Mounted, name: string) {
  const { ino, mode, nlink, size } = await m.sys.lstat(`${m.mnt}/${name}`);
  return { ino, mode: mode & 0o7777, nlink, size };
}

/** The entries of the index, without the kernel's own unfinished work. */
async function entries(overlay: Overlay, m: Mounted): Promise<string[]> {
  return (await overlay.host.list(`${m.work}/index`)).filter((name) => !name.startsWith("#"));
}

/** The number of names that an index entry notes: its link count and what the mark adds to it. */
async function noted(overlay: Overlay, m: Mounted, lowerLinks: number): Promise<number> {
  const [entry] = await entries(overlay, m);
  const path = `${m.work}/index/${entry}`;
  const mark = await overlay.host.getxattr(path, nlinkMark);
  expect(mark).toMatch(/^[LU][+-]\d+$/);
  const from = mark.startsWith("L") ? lowerLinks : (await overlay.host.lstat(path)).nlink;
  return from + Number(mark.slice(1));
}

describeOverlay("index=on", (overlay) => {
  const other = overlay.kind === "kernel" ? "veneer" : "kernel";

  test("all names show a change by one of them, and one inode; so after remounts by both overlays", async () => {
    const m = await overlay.mount({ lowers: [linked], options: on });
    const before = await shown(m, "a");
    expect(before.nlink).toBe(3);
    await m.sys.chmod(`${m.mnt}/d/c`, 0o600);
    const handle = await m.sys.open(`${m.mnt}/b`, "O_RDONLY");
    await m.sys.appendFile(`${m.mnt}/a`, "+");
    await m.sys.setxattr(`${m.mnt}/b`, "user.x", "1");
    expect(await m.sys.read(handle, 9)).toBe("data+");
    await m.sys.close(handle);
    for (const kind of [undefined, other, overlay.kind] as const) {
      if (kind !== undefined) {
        await m.remount(kind);
      }
      for (const name of ["a", "b", "d/c"]) {
        expect(await shown(m, name), name).toEqual({ ...before, mode: 0o600, size: 5 });
        expect(await m.sys.readFile(`${m.mnt}/${name}`)).toBe("data+");
        expect(await m.sys.getxattr(`${m.mnt}/${name}`, "user.x")).toBe("1");
      }
      expect(await noted(overlay, m, 3)).toBe(3);
      const directory = await m.sys.open(m.mnt, "O_RDONLY|O_DIRECTORY");
      const listed = (await m.sys.getdents(directory)).filter(({ name }) => name === "a" || name === "b");
      expect(listed.map(({ ino }) => ino)).toEqual([before.ino, before.ino]);
      await m.sys.close(directory);
    }
  });

  test("the count follows names of the upper and of the lower that come and go", async () => {
    const m = await overlay.mount({ lowers: [linked], options: on });
    const counts = async (expected: number, ...names: string[]) => {
      for (const name of names) {
        expect((await shown(m, name)).nlink, name).toBe(expected);
      }
      expect(await noted(overlay, m, 3)).toBe(expected);
    };
    await m.sys.link(`${m.mnt}/b`, `${m.mnt}/n`);
    await counts(4, "a", "b", "d/c", "n");
    await m.sys.unlink(`${m.mnt}/a`);
    await counts(3, "b", "d/c", "n");
    await m.sys.rename(`${m.mnt}/d/c`, `${m.mnt}/moved`);
    await counts(3, "b", "moved", "n");
    await m.remount();
    await counts(3, "b", "moved", "n");
    await m.sys.link(`${m.mnt}/moved`, `${m.mnt}/a`);
    await counts(4, "a", "b", "moved", "n");
    await m.sys.rename(`${m.mnt}/other`, `${m.mnt}/b`);
    await counts(3, "a", "moved", "n");
    await exchange(m.sys, `${m.mnt}/a`, `${m.mnt}/d/x`);
    await counts(3, "d/x", "moved", "n");
    // Two names of one file: nothing happens.
    await m.sys.rename(`${m.mnt}/moved`, `${m.mnt}/n`);
    await counts(3, "d/x", "moved", "n");
    await m.remount(other);
    await counts(3, "d/x", "moved", "n");
    await m.sys.unlink(`${m.mnt}/n`);
    await m.sys.unlink(`${m.mnt}/moved`);
    await counts(1, "d/x");
    await m.remount();
    expect(await m.sys.readFile(`${m.mnt}/d/x`)).toBe("data");
    expect(await m.sys.readFile(`${m.mnt}/a`)).toBe("1");
    expect(await m.sys.list(m.mnt)).toEqual(["a", "b", "d"]);
  });

  test("removed unchanged, a name leaves the others; with the last one the file leaves the index", async () => {
    const m = await overlay.mount({ lowers: [linked], options: on });
    const handle = await m.sys.open(`${m.mnt}/a`, "O_RDWR");
    for (const [name, left] of [
      ["a", 2],
      ["d/c", 1],
      ["b", 0],
    ] as const) {
      expect((await entries(overlay, m)).length).toBe(1);
      await m.sys.unlink(`${m.mnt}/${name}`);
      expect((await m.sys.stat(handle)).nlink).toBe(left);
    }
    expect(await entries(overlay, m)).toEqual([]);
    await m.sys.pwrite(handle, "X", 0);
    expect(await m.sys.pread(handle, 9, 0)).toBe("Xata");
    await m.sys.close(handle);
    await m.remount(other);
    expect(await m.sys.list(m.mnt)).toEqual(["d", "other"]);
  });

  test("a rename over the last name empties the index", async () => {
    const m = await overlay.mount({ lowers: [{ a: "1", b: hardlink("a"), c: "2" }], options: on });
    await m.sys.unlink(`${m.mnt}/a`);
    await m.sys.rename(`${m.mnt}/c`, `${m.mnt}/b`);
    expect(await entries(overlay, m)).toEqual([]);
    expect(await shown(m, "b")).toMatchObject({ nlink: 1, size: 1 });
  });

  test("symlinks, FIFOs and files of several lowers", async () => {
    const top: Tree = { s: symlink("to"), s2: hardlink("s"), p: fifo(), p2: hardlink("p"), d: { f: "top" } };
    const bottom: Tree = { d: { f: "hidden", g: hardlink("d/f"), h: hardlink("d/f") } };
    const m = await overlay.mount({ lowers: [top, bottom], options: on });
    for (const [one, two] of [
      ["s", "s2"],
      ["p", "p2"],
      ["d/g", "d/h"],
    ] as const) {
      await m.sys.lchown(`${m.mnt}/${one}`, 5, 5);
      const [first, second] = [await m.sys.lstat(`${m.mnt}/${one}`), await m.sys.lstat(`${m.mnt}/${two}`)];
      expect(second, two).toEqual(first);
      expect(second.uid).toBe(5);
      // d/f is one more name of the lower file, though it can't be seen.
      expect(second.nlink).toBe(one === "d/g" ? 3 : 2);
    }
    expect(await m.sys.readFile(`${m.mnt}/d/f`)).toBe("top");
    expect((await entries(overlay, m)).length).toBe(3);
    await m.remount(other);
    expect((await m.sys.lstat(`${m.mnt}/s2`)).uid).toBe(5);
    expect(await m.sys.readlink(`${m.mnt}/s2`)).toBe("to");
  });

  test("a copy that no name was linked to yet is what all names show", async () => {
    const m = await overlay.mount({ lowers: [linked], options: on });
    await m.sys.appendFile(`${m.mnt}/a`, "+");
    await m.unmount();
    // As a kill after the commit point of the copy-up leaves it.
    const [entry] = await entries(overlay, m);
    await overlay.host.setxattr(`${m.work}/index/${entry}`, nlinkMark, "L+0");
    await overlay.host.removeTree(m.upper);
    await overlay.host.mkdir(m.upper);
    await overlay.host.removexattr(`${m.work}/index`, "trusted.overlay.upper");
    const paths = { lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt, options: on };
    await mountOverlay(overlay.kind, paths);
    const { ino } = await overlay.host.lstat(`${m.lowers[0]}/a`);
    for (const name of ["a", "b", "d/c"]) {
      expect(await shown(m, name)).toEqual({ ino, mode: 0o644, nlink: 3, size: 5 });
    }
    await m.sys.unlink(`${m.mnt}/b`);
    expect(await m.sys.readFile(`${m.mnt}/d/c`)).toBe("data+");
    expect((await shown(m, "d/c")).nlink).toBe(2);
  });

  test("the directory of a name that is linked keeps its times", async () => {
    const m = await overlay.mount({ lowers: [{ a: "1", d: dir({ b: hardlink("a") }, { mtime: 5n }) }], options: on });
    await m.sys.appendFile(`${m.mnt}/d/b`, "+");
    expect((await m.sys.lstat(`${m.mnt}/d`)).mtime).toBe(5n);
    await m.sys.link(`${m.mnt}/a`, `${m.mnt}/new`);
    expect((await m.sys.lstat(`${m.mnt}/d`)).mtime).toBe(5n);
  });

  test("with index=off names part: what was changed by a name is found by that name", async () => {
    const m = await overlay.mount({ lowers: [linked], options: on });
    await m.sys.appendFile(`${m.mnt}/b`, "+");
    await m.sys.link(`${m.mnt}/d/c`, `${m.mnt}/new`);
    await m.unmount();
    const paths = { lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt };
    await mountOverlay(overlay.kind, { ...paths, options: ["index=off"] });
    const copy = await shown(m, "b");
    expect(copy.ino).toBe((await overlay.host.lstat(`${m.upper}/b`)).ino);
    expect(copy.nlink).toBe((await overlay.host.lstat(`${m.upper}/b`)).nlink);
    expect(await shown(m, "new")).toEqual(copy);
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("data+");
    await m.sys.rename(`${m.mnt}/new`, `${m.mnt}/d/new`);
    await m.unmount();
    // The kernel then leaves a new directory without the mark that there are copies in it.
    await mountOverlay("kernel", { ...paths, options: ["index=off"] });
    await m.sys.mkdir(`${m.mnt}/pure`);
    await m.sys.rename(`${m.mnt}/d/new`, `${m.mnt}/pure/new`);
    expect(await overlay.host.listxattr(`${m.upper}/pure`)).not.toContain("trusted.overlay.impure");
    await unmountOverlay("kernel", m.mnt);
    await mountOverlay(overlay.kind, { ...paths, options: on });
    const again = await shown(m, "pure/new");
    expect(again).toEqual(await shown(m, "b"));
    expect(again.ino).toBe((await overlay.host.lstat(`${m.lowers[0]}/a`)).ino);
    expect(again.nlink).toBe(4);
  });

  test("an upper of another lower, and the index of another upper, are refused", async () => {
    const m = await overlay.mount({ lowers: [linked], options: on });
    await m.sys.chmod(`${m.mnt}/a`, 0o600);
    await m.unmount();
    for (const name of ["lower", "upper"]) {
      await overlay.host.mkdir(`${overlay.scratch}/${name}`);
    }
    const paths = { lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt, options: on };
    const options = (lower: string, upper: string) => `lowerdir=${lower},upperdir=${upper},workdir=${m.work},index=on`;
    const [lower = ""] = m.lowers;
    for (const wrong of [options(`${overlay.scratch}/lower`, m.upper), options(lower, `${overlay.scratch}/upper`)]) {
      const { status, stderr } = await mountProgram(overlay, ["-o", wrong, m.mnt]);
      expect(status).toBe(overlay.kind === "kernel" ? 32 : 33);
      expect(stderr).toMatch(/Stale file handle|ESTALE/);
    }
    await mountOverlay(overlay.kind, paths);
    expect((await shown(m, "b")).mode).toBe(0o600);
    await m.remount(other);
    expect((await shown(m, "b")).mode).toBe(0o600);
  });

  test("what is left over in an index goes, what belongs to other features stays, what is foreign is refused", async () => {
    const m = await overlay.mount({ lowers: [linked], options: on });
    await m.sys.chmod(`${m.mnt}/a`, 0o600);
    await m.sys.unlink(`${m.mnt}/a`);
    await m.unmount();
    const [entry = ""] = await entries(overlay, m);
    const index = `${m.work}/index`;
    const otherName = (digits: string) => entry.slice(0, -digits.length) + digits;
    await overlay.host.mkdir(`${index}/${otherName("01")}`);
    await overlay.host.mknod(`${index}/${otherName("02")}`, "char", 0, 0, 0);
    await overlay.host.writeFile(`${index}/#1`, "");
    // Its origin is another than its name says; and one whose file has no name any more.
    await overlay.host.writeFile(`${index}/${otherName("03")}`, "");
    const origin = await overlay.host.getxattr(`${index}/${entry}`, "trusted.overlay.origin");
    await overlay.host.setxattr(`${index}/${otherName("03")}`, "trusted.overlay.origin", origin);
    const paths = { lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt, options: on };
    await mountOverlay(overlay.kind, paths);
    expect((await entries(overlay, m)).sort()).toEqual([entry, otherName("01"), otherName("02")].sort());
    expect(await overlay.host.exists(`${index}/#1`)).toBe(false);
    expect(await shown(m, "b")).toMatchObject({ nlink: 2, mode: 0o600 });
    await m.unmount();
    for (const [name, errno] of [
      ["foreign", /wrong fs type|EINVAL/],
      [otherName("04"), /No data available|ENODATA/],
    ] as const) {
      await overlay.host.writeFile(`${index}/${name}`, "");
      const layers = `lowerdir=${m.lowers[0]},upperdir=${m.upper},workdir=${m.work},index=on`;
      const { status, stderr } = await mountProgram(overlay, ["-o", layers, m.mnt]);
      expect(status, name).toBe(overlay.kind === "kernel" ? 32 : 33);
      expect(stderr).toMatch(errno);
      await overlay.host.unlink(`${index}/${name}`);
    }
    // Without a name in the upper, and with none on the lower: noted as the last, and then with its lower gone.
    const [lower = ""] = m.lowers;
    await overlay.host.setxattr(`${index}/${entry}`, nlinkMark, "U-1");
    await mountOverlay(overlay.kind, paths);
    expect((await entries(overlay, m)).sort()).toEqual([otherName("01"), otherName("02")].sort());
    await m.sys.chmod(`${m.mnt}/b`, 0o640);
    expect((await entries(overlay, m)).includes(entry)).toBe(true);
    await m.unmount();
    overlay.forgetLower(lower);
    for (const path of [`${m.upper}/b`, `${m.upper}/d`, `${lower}/a`, `${lower}/b`, `${lower}/d/c`]) {
      await overlay.host.run(["rm", "-r", path], {});
    }
    await mountOverlay(overlay.kind, paths);
    expect((await entries(overlay, m)).sort()).toEqual([otherName("01"), otherName("02")].sort());
  });

  test("a lower without file handles has no index: its names part", async () => {
    const at = (name: string) => `${overlay.scratch}/${name}`;
    for (const name of ["empty", "lower", "upper", "work", "mnt"]) {
      await overlay.host.mkdir(at(name));
    }
    const inner = await overlay.buildLower(at("inner"), linked);
    await runOk(["mount", "-t", "overlay", "overlay", "-o", `lowerdir=${inner}:${at("empty")}`, at("lower")]);
    const paths = { lowers: [at("lower")], upper: at("upper"), work: at("work"), mountpoint: at("mnt"), options: on };
    const m = await overlay.mountPaths(paths);
    await m.sys.chmod(`${m.mnt}/a`, 0o600);
    expect(await shown(m, "a")).toMatchObject({ nlink: 1, mode: 0o600 });
    expect(await shown(m, "b")).toMatchObject({ nlink: 3, mode: 0o644 });
  });

  test.for(["xfs", "tmpfs"] as const)(
    "lowers on %s: the names in the index are the kernel's",
    async (type, { skip }) => {
      const reason = whyWithout(type);
      skip(reason !== undefined, reason);
      const area = `${overlay.scratch}/${type}`;
      await makeFileSystem(type, area);
      const m = await overlay.mount({ lowers: [linked], lowerArea: area, options: on });
      const { ino } = await shown(m, "d/c");
      await m.sys.chmod(`${m.mnt}/a`, 0o600);
      const before = await entries(overlay, m);
      expect(before.length).toBe(1);
      await m.remount(other);
      await m.sys.chmod(`${m.mnt}/b`, 0o640);
      expect(await entries(overlay, m)).toEqual(before);
      await m.remount();
      expect(await shown(m, "d/c")).toEqual({ ino, mode: 0o640, nlink: 3, size: 4 });
    },
  );

  test("in a read-only mount the names are one file, too", async () => {
    const m = await overlay.mount({ lowers: [linked, {}], upper: null, options: [] });
    expect(await shown(m, "d/c")).toEqual(await shown(m, "a"));
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("data");
    await refuses("EROFS", m.sys.chmod(`${m.mnt}/b`, 0o600));
  });

  test("a file with several names on a lower, copied up without data: setuid and size stay", async () => {
    const m = await overlay.mount({
      lowers: [{ a: file("x".repeat(300_000), { mode: 0o4755 }), b: hardlink("a") }],
      options: on,
    });
    const fd = await m.sys.open(`${m.mnt}/b`, "O_RDONLY");
    await m.sys.truncate(`${m.mnt}/a`, 0);
    expect((await m.sys.stat(fd)).size).toBe(0);
    expect(await shown(m, "b")).toMatchObject({ size: 0, nlink: 2 });
  });
});

function mountProgram(overlay: Overlay, args: readonly string[]) {
  return overlay.kind === "kernel"
    ? runProgram(["mount", "-t", "overlay", "overlay", ...args])
    : runProgram([veneerProgram, "mount", ...args]);
}
