/**
 * Mistakes seen in other overlays, a test each. Numbers 12 and 23 are about mounts without root (their share that
 * concerns root is here); 17, 18, 19 and 25 are about the command, which the kernel's overlay has none of: test/cli
 * has them at length, and here is what of them shows on a mount.
 */
import { expect, test } from "vitest";
import { daemonOf, endsWithin } from "../support/daemon.ts";
import { describeOverlay, refuses, veneerProgram } from "../support/overlay.ts";
import { runProgram } from "../support/programs.ts";
import { makeFileSystem } from "../support/scratch.ts";
import { dir, file, hardlink, sparse, symlink } from "../support/tree.ts";

const page = 4096;

describeOverlay("mistakes of others", (overlay) => {
  test("mistake 1: a handle opened read-only on a lower lets no later write reach the lower", async () => {
    const m = await overlay.mount({ lowers: [{ f: "lower data", g: "lower data" }] });
    const other = await overlay.agent();
    const readers = [await m.sys.open(`${m.mnt}/f`, "O_RDONLY"), await other.open(`${m.mnt}/f`, "O_RDONLY")];
    await m.sys.pread(readers[0] ?? 0, 4, 0);
    const writer = await other.open(`${m.mnt}/f`, "O_RDWR");
    await other.write(writer, "UPPER");
    await other.fsync(writer);
    const mapping = await other.mmap(writer, 10, "PROT_READ|PROT_WRITE");
    await other.mwrite(mapping, 6, "MAP");
    await other.msync(mapping);
    await m.sys.truncate(`${m.mnt}/f`, 9);
    expect(await m.sys.pread(readers[0] ?? 0, 20, 0)).toBe("UPPER MAP");
    expect(await overlay.host.readFile(`${m.lowers[0]}/f`)).toBe("lower data");
    // The other way round: the writer first, then a reader, then another writer.
    await m.sys.appendFile(`${m.mnt}/g`, "!");
    const late = await m.sys.open(`${m.mnt}/g`, "O_RDONLY");
    await other.appendFile(`${m.mnt}/g`, "?");
    expect(await m.sys.pread(late, 20, 0)).toBe("lower data!?");
    expect(await overlay.host.readFile(`${m.lowers[0]}/g`)).toBe("lower data");
  });

  test("mistake 1: reading moves no atime of a lower, however old it is", async () => {
    const m = await overlay.mount({
      lowers: [{ d: dir({ f: file("1", { mtime: 5n, atime: 4n }) }, { mtime: 5n, atime: 4n }) }],
    });
    await m.sys.readFile(`${m.mnt}/d/f`);
    await m.sys.list(`${m.mnt}/d`);
    await m.sys.mread(await m.sys.mmap(await m.sys.open(`${m.mnt}/d/f`, "O_RDONLY"), 1), 0, 1);
    // The kernel's overlay reads lowers with the flags of their own mount; Veneer's clone of it takes no atime.
    if (overlay.kind === "veneer") {
      expect((await overlay.host.lstat(`${m.lowers[0]}/d/f`)).atime).toBe(4n);
    }
    expect((await overlay.host.lstat(`${m.lowers[0]}/d/f`)).mtime).toBe(5n);
  });

  test("mistake 2: writes of odd sizes around a copy-up give neither zero tails nor misplaced pages", async () => {
    const start = "abcdefghij".repeat(1000).slice(0, 2 * page + 777);
    const m = await overlay.mount({ lowers: [{ f: start }] });
    const reader = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    await m.sys.pread(reader, start.length, 0);
    let expected = start;
    const put = (data: string, offset: number) => {
      const base = expected.padEnd(offset, "\0");
      expected = base.slice(0, offset) + data + base.slice(offset + data.length);
    };
    const writer = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    for (const [data, offset] of [
      ["A".repeat(10), start.length],
      ["B".repeat(page + 1), page - 1],
      ["C", 5 * page],
      ["D".repeat(3 * page), 3 * page + 1],
    ] as const) {
      await m.sys.pwrite(writer, data, offset);
      put(data, offset);
      expect(await m.sys.pread(reader, 10 * page, 0)).toBe(expected);
    }
    const size = expected.length;
    const mapping = await m.sys.mmap(writer, size, "PROT_READ|PROT_WRITE");
    await m.sys.mwrite(mapping, size - 3, "end");
    put("end", size - 3);
    await m.sys.appendFile(`${m.mnt}/f`, "tail");
    put("tail", size);
    await m.sys.truncate(writer, size + 1);
    expected = expected.slice(0, size + 1);
    await m.sys.munmap(mapping);
    await m.sys.close(writer);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe(expected);
    await m.sys.close(reader);
    await m.remount();
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe(expected);
    expect(await overlay.host.readFile(`${m.upper}/f`)).toBe(expected);
  });

  test("mistake 3: a directory made anew, and what is nested in it, shows nothing of the lowers", async () => {
    const tree = { d: { a: { b: { f: "old" } }, f: "old" } };
    const m = await overlay.mount({ lowers: [tree, tree] });
    await m.sys.removeTree(`${m.mnt}/d`);
    for (const path of ["d", "d/a", "d/a/b"]) {
      await m.sys.mkdir(`${m.mnt}/${path}`);
      expect(await m.sys.list(`${m.mnt}/${path}`)).toEqual([]);
      await refuses("ENOENT", m.sys.lstat(`${m.mnt}/${path}/f`));
    }
    await m.sys.rename(`${m.mnt}/d/a`, `${m.mnt}/moved`);
    await m.sys.mkdir(`${m.mnt}/d/a`);
    await m.remount();
    expect(Object.keys(await m.view()).sort()).toEqual([".", "d", "d/a", "moved", "moved/b"]);
  });

  test("mistake 4: no whiteout stays inside a directory that is made anew", async () => {
    const m = await overlay.mount({ lowers: [{ d: { f: "1", g: "2", s: { h: "3" } } }] });
    await m.sys.unlink(`${m.mnt}/d/f`);
    await m.sys.unlink(`${m.mnt}/d/g`);
    await m.sys.removeTree(`${m.mnt}/d/s`);
    expect(await m.namesInUpper("d")).toEqual(["f", "g", "s"]);
    await m.sys.rmdir(`${m.mnt}/d`);
    await m.sys.mkdir(`${m.mnt}/d`);
    expect(await m.namesInUpper("d")).toEqual([]);
    await m.sys.writeFile(`${m.mnt}/d/f`, "new");
    await m.sys.unlink(`${m.mnt}/d/f`);
    expect(await m.namesInUpper("d")).toEqual([]);
    expect(await m.isOpaque("d")).toBe(true);
  });

  test("mistake 5: whiteouts are there after rename, create and rmdir where one is due, and nowhere else", async () => {
    const m = await overlay.mount({ lowers: [{ a: "1", b: "2", e: {}, d: { x: "1" } }] });
    await m.sys.rename(`${m.mnt}/a`, `${m.mnt}/new`);
    expect(await m.isWhiteout("a")).toBe(true);
    await m.sys.rename(`${m.mnt}/new`, `${m.mnt}/b`);
    expect(await m.namesInUpper()).toEqual(["a", "b"]);
    await m.sys.rename(`${m.mnt}/b`, `${m.mnt}/a`);
    expect([await m.isWhiteout("a"), await m.isWhiteout("b")]).toEqual([false, true]);
    await m.sys.writeFile(`${m.mnt}/b`, "3");
    expect(await m.isWhiteout("b")).toBe(false);
    await m.sys.rmdir(`${m.mnt}/e`);
    expect(await m.isWhiteout("e")).toBe(true);
    await m.sys.rename(`${m.mnt}/b`, `${m.mnt}/e`);
    expect(await m.sys.list(m.mnt)).toEqual(["a", "d", "e"]);
    await m.remount();
    expect(await m.sys.list(m.mnt)).toEqual(["a", "d", "e"]);
    expect(await m.sys.readFile(`${m.mnt}/e`)).toBe("3");
  });

  test("mistake 6: the umask applies, unless the directory has a default ACL", async () => {
    const m = await overlay.mount({ lowers: [{ plain: {}, acl: {} }] });
    await m.sys.setAcl(
      `${m.mnt}/acl`,
      [
        ["user_obj", null, 7],
        ["group_obj", null, 7],
        ["other", null, 5],
      ],
      true,
    );
    await m.sys.umask(0o077);
    for (const [directory, mode] of [
      ["plain", 0o700],
      ["acl", 0o775],
    ] as const) {
      await m.sys.mkdir(`${m.mnt}/${directory}/d`, 0o777);
      await m.sys.writeFile(`${m.mnt}/${directory}/f`, "1", 0o777);
      expect((await overlay.host.lstat(`${m.upper}/${directory}/d`)).mode).toBe(mode);
      expect((await overlay.host.lstat(`${m.upper}/${directory}/f`)).mode).toBe(mode);
    }
  });

  test("mistake 7: st_nlink is right after linking and unlinking, by name and by handle", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    await m.sys.link(`${m.mnt}/f`, `${m.mnt}/g`);
    for (const where of [`${m.mnt}/f`, `${m.mnt}/g`]) {
      expect((await m.sys.stat(where)).nlink).toBe(2);
    }
    await m.sys.unlink(`${m.mnt}/f`);
    expect((await m.sys.stat(`${m.mnt}/g`)).nlink).toBe(1);
    const late = await m.sys.open(`${m.mnt}/g`, "O_RDONLY");
    await m.sys.unlink(`${m.mnt}/g`);
    expect((await m.sys.stat(late)).nlink).toBe(0);
    expect(await m.sys.pread(fd, 5, 0)).toBe("1");
  });

  test("mistake 8: equal inode numbers on two file systems lose no entry, and stay apart", async () => {
    await makeFileSystem("tmpfs", `${overlay.scratch}/one`);
    await makeFileSystem("tmpfs", `${overlay.scratch}/two`);
    const names = (prefix: string) =>
      Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`${prefix}${index}`, prefix]));
    const lowers = [
      await overlay.buildLower(`${overlay.scratch}/one/l`, { d: names("a") }),
      await overlay.buildLower(`${overlay.scratch}/two/l`, { d: names("b") }),
    ];
    const real = await Promise.all(
      lowers.map(async (lower, index) => (await overlay.host.lstat(`${lower}/d/${"ab"[index]}5`)).ino),
    );
    expect(real[0], "the tmpfs give equal numbers, or this test shows nothing").toBe(real[1]);
    const [upper, work, mountpoint] = ["u", "w", "m"].map((name) => `${overlay.scratch}/${name}`) as [
      string,
      string,
      string,
    ];
    for (const path of [upper, work, mountpoint]) {
      await overlay.host.mkdir(path);
    }
    const m = await overlay.mountPaths({ lowers, upper, work, mountpoint, options: [] });
    expect((await m.sys.list(`${m.mnt}/d`)).length).toBe(40);
    await m.sys.writeFile(`${m.mnt}/d/new`, "1");
    await m.sys.appendFile(`${m.mnt}/d/a3`, "+");
    const entries = await m.sys.getdents(await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY"));
    const seen = new Set<string>();
    for (const { name, ino } of entries.filter((entry) => !entry.name.startsWith("."))) {
      const stat = await m.sys.lstat(`${m.mnt}/d/${name}`);
      seen.add(`${stat.dev} ${stat.ino}`);
      // The kernel can't join numbers of file systems that use all bits of theirs, as tmpfs does.
      if (overlay.kind === "veneer") {
        expect(ino, name).toBe(stat.ino);
      }
    }
    expect(seen.size).toBe(41);
    expect(await m.sys.run(["diff", "-r", `${m.mnt}/d`, `${m.mnt}/d`], {})).toMatchObject({ status: 0 });
  });

  test("mistake 9: neither copy-up nor chown nor chmod changes an mtime", async () => {
    const meta = { mtime: 1_234_567_890_123_456_789n };
    const m = await overlay.mount({
      lowers: [{ d: dir({ f: file("1", meta), g: file("1", meta), s: symlink("f", meta) }, meta) }],
    });
    await m.sys.chown(`${m.mnt}/d/f`, 5, 5);
    await m.sys.chmod(`${m.mnt}/d/g`, 0o600);
    await m.sys.lchown(`${m.mnt}/d/s`, 5, 5);
    await m.sys.chown(`${m.mnt}/d`, 5, 5);
    for (const name of ["d", "d/f", "d/g", "d/s"]) {
      expect((await m.sys.lstat(`${m.mnt}/${name}`)).mtime, name).toBe(meta.mtime);
      expect((await overlay.host.lstat(`${m.upper}/${name}`)).mtime, name).toBe(meta.mtime);
    }
  });

  test("mistake 10: UTIME_OMIT, times of symlinks, and nanoseconds", async () => {
    const meta = { mtime: 77n, atime: 66n };
    const m = await overlay.mount({ lowers: [{ f: file("1", meta), s: symlink("f", meta) }] });
    // Given here, as reading a link moves its atime.
    await m.sys.utimens(`${m.mnt}/s`, 66n, 77n);
    await m.sys.utimens(`${m.mnt}/s`, "omit", 1_000_000_001n);
    expect(await m.sys.lstat(`${m.mnt}/s`)).toMatchObject({ atime: 66n, mtime: 1_000_000_001n });
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject(meta);
    await m.sys.utimens(`${m.mnt}/f`, 1_000_000_003n, "omit");
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject({ atime: 1_000_000_003n, mtime: 77n });
  });

  test("mistake 11: calls go by the handle, also when another file has taken its name", async () => {
    const m = await overlay.mount({ lowers: [{ from: "FROM", to: "to-to-to" }] });
    const from = await m.sys.open(`${m.mnt}/from`, "O_RDONLY");
    const to = await m.sys.open(`${m.mnt}/to`, "O_RDWR");
    for (const name of ["from", "to"]) {
      await m.sys.unlink(`${m.mnt}/${name}`);
      await m.sys.writeFile(`${m.mnt}/${name}`, "an impostor");
    }
    expect(await m.sys.copyFileRange(from, to, 4, 0, 2)).toBe(4);
    expect(await m.sys.pread(to, 20, 0)).toBe("toFROMto");
    expect(await m.sys.stat(to)).toMatchObject({ size: 8, nlink: 0 });
    await m.sys.truncate(to, 3);
    await m.sys.chmod(to, 0o601);
    expect(await m.sys.stat(to)).toMatchObject({ size: 3, mode: 0o601 });
    expect(await m.sys.lstat(`${m.mnt}/to`)).toMatchObject({ size: 11, mode: 0o644 });
    expect(await m.sys.readFile(`${m.mnt}/to`)).toBe("an impostor");
  });

  test("mistake 12: unwritable files and directories are changed by those who may", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          locked: file("1", { mode: 0o000 }),
          closed: dir({ f: "1" }, { mode: 0o555 }),
          mine: dir({ f: file("1", { mode: 0o444, uid: 1000 }) }, { mode: 0o755, uid: 1000 }),
        },
      ],
    });
    await m.sys.appendFile(`${m.mnt}/locked`, "2");
    expect((await m.sys.stat(`${m.mnt}/locked`)).mode).toBe(0);
    await m.sys.writeFile(`${m.mnt}/closed/new`, "1");
    await m.sys.mkdir(`${m.mnt}/made`, 0o555);
    await m.sys.writeFile(`${m.mnt}/made/f`, "1");
    expect((await m.sys.stat(`${m.mnt}/made`)).mode).toBe(0o555);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await user.writeFile(`${m.mnt}/mine/g`, "2");
    await user.rename(`${m.mnt}/mine/g`, `${m.mnt}/mine/f`);
    expect(await m.sys.readFile(`${m.mnt}/mine/f`)).toBe("2");
    await user.mkdir(`${m.mnt}/mine/d`, 0o555);
    await refuses("EACCES", user.writeFile(`${m.mnt}/mine/d/x`, "1"));
  });

  test("mistake 14: layers beneath the mountpoint, and a mountpoint beneath a layer, deadlock nothing", async () => {
    const area = `${overlay.scratch}/area`;
    await overlay.host.build(await overlay.host.mkdir(area).then(() => area), {
      kind: "dir",
      children: Object.fromEntries(
        ["lower", "upper", "work", "mnt"].map((name) => [name, { kind: "dir", children: {} }] as const),
      ),
    });
    await overlay.host.writeFile(`${area}/lower/f`, "1");
    const paths = { lowers: [`${area}/lower`], upper: `${area}/upper`, work: `${area}/work`, options: [] };
    const over = await overlay.mountPaths({ ...paths, mountpoint: area });
    expect(await over.sys.list(area)).toEqual(["f"]);
    await over.sys.appendFile(`${area}/f`, "2");
    await over.sys.mkdir(`${area}/lower`);
    expect(await over.sys.list(area)).toEqual(["f", "lower"]);
    await over.unmount();
    expect(await overlay.host.readFile(`${area}/upper/f`)).toBe("12");
    const within = await overlay.mountPaths({ ...paths, lowers: [area], mountpoint: `${area}/mnt` });
    expect(await within.sys.list(`${area}/mnt`)).toEqual(["f", "lower", "mnt", "upper", "work"]);
    // Neither the mount nor anything else that is mounted below a layer is seen through it.
    expect(await within.sys.list(`${area}/mnt/mnt`)).toEqual([]);
    await within.sys.writeFile(`${area}/mnt/mnt/x`, "1");
    expect(await within.sys.list(`${area}/mnt/mnt`)).toEqual(["x"]);
    // The kernel does not let one look into the upper by way of a lower that holds it; Veneer shows what lies there.
    const inner = within.sys.readFile(`${area}/mnt/upper/f`);
    await (overlay.kind === "kernel" ? refuses("ELOOP", inner) : expect(inner).resolves.toBe("12"));
  });

  test("mistake 15: a copy-up shows in the upper whole or not at all", async () => {
    const size = 48 << 20;
    const m = await overlay.mount({ lowers: [{ big: "0123456789abcdef".repeat(size / 16) }] });
    const change = m.sys.chmod(`${m.mnt}/big`, 0o600);
    const done = change.then(() => true);
    const seen: string[] = [];
    for (;;) {
      const there = await overlay.host.exists(`${m.upper}/big`);
      if (there) {
        const { size: copied, mode } = await overlay.host.lstat(`${m.upper}/big`);
        seen.push(`${copied} ${mode === 0o600 || mode === 0o644}`);
      }
      if (await Promise.race([done, Promise.resolve(false)])) {
        break;
      }
    }
    await change;
    expect(new Set([...seen, `${size} true`])).toEqual(new Set([`${size} true`]));
    expect(await overlay.host.hash(`${m.upper}/big`)).toBe(await overlay.host.hash(`${m.lowers[0]}/big`));
  });

  test("mistake 16: layers by relative paths, through symlinks and `..`, with escaped signs", async () => {
    const base = `${overlay.scratch}/base`;
    await overlay.host.mkdir(base);
    await overlay.buildLower(`${base}/far/away/diff1`, { right: "1" });
    await overlay.buildLower(`${base}/far/away/target`, {});
    await overlay.buildLower(`${base}/l/diff1`, { wrong: "1" });
    await overlay.buildLower(`${base}/odd:name\\with,signs`, { odd: "1" });
    await overlay.host.symlink("../far/away/target", `${base}/l/X`);
    for (const name of ["u", "w", "m"]) {
      await overlay.host.mkdir(`${base}/${name}`);
    }
    const m = await overlay.mountPaths({
      // util-linux takes no comma in an option's value, however escaped: only Veneer is given that layer.
      lowers: ["l/X/../diff1", ...(overlay.kind === "veneer" ? ["odd:name\\with,signs"] : [])],
      upper: "./l/../u",
      work: "w",
      mountpoint: `${base}/m`,
      options: [],
      cwd: base,
    });
    expect(await m.sys.list(m.mnt)).toEqual(overlay.kind === "veneer" ? ["odd", "right"] : ["right"]);
    await m.sys.appendFile(`${m.mnt}/right`, "2");
    expect(await overlay.host.readFile(`${base}/u/right`)).toBe("12");
  });

  test("mistake 20: what the upper's file system can't keep does not stop a copy-up", async () => {
    const area = `${overlay.scratch}/ram`;
    await overlay.host.mkdir(area);
    expect(await overlay.host.run(["mount", "-t", "ramfs", "ram", area], {})).toMatchObject({ status: 0 });
    const m = await overlay.mount({
      lowers: [{ d: { f: file("data", { mode: 0o640, xattrs: { "user.k": "v" } }) } }],
      upperArea: area,
    });
    await m.sys.appendFile(`${m.mnt}/d/f`, "+");
    expect(await m.sys.readFile(`${m.mnt}/d/f`)).toBe("data+");
    expect((await m.sys.stat(`${m.mnt}/d/f`)).mode).toBe(0o640);
    await m.sys.unlink(`${m.mnt}/d/f`);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([]);
  });

  test("mistake 21: holes stay holes", async () => {
    const size = 64 << 20;
    const m = await overlay.mount({ lowers: [{ f: sparse(size, [[32 << 20, "data"]]), empty: sparse(size, []) }] });
    for (const name of ["f", "empty"]) {
      await m.sys.chmod(`${m.mnt}/${name}`, 0o600);
      const { size: copied, blocks } = await overlay.host.lstat(`${m.upper}/${name}`);
      expect(copied).toBe(size);
      expect(blocks * 512).toBeLessThanOrEqual(2 << 20);
      expect((await m.sys.lstat(`${m.mnt}/${name}`)).blocks).toBe(blocks);
    }
  });

  test("mistake 22: other files are served while a large one is copied up", async () => {
    const m = await overlay.mount({ lowers: [{ big: "0123456789abcdef".repeat(8 << 20), d: { f: "1" } }] });
    const other = await overlay.agent();
    let copying = true;
    const copy = m.sys.appendFile(`${m.mnt}/big`, "+").then(() => {
      copying = false;
    });
    let served = 0;
    while (copying) {
      await other.writeFile(`${m.mnt}/d/new${served}`, "1");
      await other.list(`${m.mnt}/d`);
      if (copying) {
        served += 1;
      }
    }
    await copy;
    expect(served).toBeGreaterThan(3);
    expect((await m.sys.stat(`${m.mnt}/big`)).size).toBe((128 << 20) + 1);
  });

  test("mistake 24: files named .wh.* are files as others", async () => {
    const m = await overlay.mount({ lowers: [{ d: { x: "1" } }] });
    for (const name of [".wh.x", ".wh..wh..opq", ".wh."]) {
      await m.sys.writeFile(`${m.mnt}/d/${name}`, name);
    }
    await m.sys.mkdir(`${m.mnt}/d/.wh.dir`);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([".wh.", ".wh..wh..opq", ".wh.dir", ".wh.x", "x"]);
    expect(await m.sys.readFile(`${m.mnt}/d/.wh.x`)).toBe(".wh.x");
    await m.sys.rename(`${m.mnt}/d/.wh.x`, `${m.mnt}/d/.wh.y`);
    await m.sys.unlink(`${m.mnt}/d/.wh.y`);
    expect(await m.sys.exists(`${m.mnt}/d/x`)).toBe(true);
  });

  test("links within a lower, copied up name by name, keep all their data", async () => {
    const m = await overlay.mount({ lowers: [{ a: "data", b: hardlink("a") }] });
    await m.sys.appendFile(`${m.mnt}/a`, "1");
    await m.sys.appendFile(`${m.mnt}/b`, "2");
    await m.sys.rename(`${m.mnt}/a`, `${m.mnt}/c`);
    expect([await m.sys.readFile(`${m.mnt}/c`), await m.sys.readFile(`${m.mnt}/b`)]).toEqual(["data1", "data2"]);
  });

  test("mistakes 17 and 25: the mount is usable when the command returns, and unknown options are named once", async () => {
    // The kernel's overlay has no command of its own, and refuses what it does not know.
    if (overlay.kind === "kernel") {
      await expect(overlay.mount({ lowers: [{}], options: ["no_such_option"] })).rejects.toThrow("no_such_option");
      return;
    }
    const m = await overlay.mount({ lowers: [{ f: "1" }] });
    await m.unmount();
    const options = `lowerdir=${m.lowers[0]},upperdir=${m.upper},workdir=${m.work},no_such_option=3`;
    // runProgram ends when both pipes are closed: a daemon that keeps one open would make it take 20 s and fail.
    const result = await runProgram([veneerProgram, "mount", "-o", options, m.mnt]);
    expect(result.status).toBe(0);
    expect(result.stderr.match(/no_such_option/g)?.length).toBe(1);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("1");
  });

  test("mistake 18: the daemon does not outlive its mount", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }] });
    if (overlay.kind === "kernel") {
      // No daemon: an unmounted overlay lives on only for the handles that are open in it.
      const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
      await overlay.host.run(["umount", "-l", m.mnt], {});
      expect(await m.sys.pread(fd, 1, 0)).toBe("1");
      return;
    }
    const pid = daemonOf(m.upper);
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    await overlay.host.run(["umount", "-l", m.mnt], {});
    expect(await m.sys.pread(fd, 1, 0)).toBe("1");
    expect(await endsWithin(pid, 200)).toBe(false);
    await m.sys.close(fd);
    expect(await endsWithin(pid, 5000)).toBe(true);
  });
});
