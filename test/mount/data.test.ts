/** File data: every way to read, write and map it, sizes, holes, ranges. */
import { expect, test } from "vitest";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";
import { file, sparse } from "../support/tree.ts";

/** Data in which no two pages are the same. */
function patterned(size: number): string {
  return Array.from({ length: Math.ceil(size / 8) }, (_, index) => String(index).padStart(8))
    .join("")
    .slice(0, size);
}

describeOverlay("data", (overlay) => {
  test.each(["lower", "upper", "new"])("of a %s file: written and read at any offset", async (place) => {
    const tree = { f: "0123456789".repeat(1000) };
    const m = await overlay.mount({ lowers: [place === "lower" ? tree : {}], upper: place === "upper" ? tree : {} });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDWR|O_CREAT");
    if (place === "new") {
      await m.sys.writeAll(fd, "0123456789", 1000);
    }
    for (const [offset, data] of [
      [0, "A"],
      [4095, "BB"],
      [8192, "C".repeat(4096)],
      [20_000, "end"],
    ] as const) {
      await m.sys.pwrite(fd, data, offset);
      expect(await m.sys.pread(fd, data.length, offset)).toBe(data);
    }
    expect((await m.sys.stat(fd)).size).toBe(20_003);
    expect(await m.sys.pread(fd, 100, 19_990)).toBe(`${"\0".repeat(10)}end`);
    expect(await m.sys.pread(fd, 10, 20_003)).toBe("");
    expect(await m.sys.pread(fd, 10, 1 << 30)).toBe("");
    await m.sys.fsync(fd);
    expect(await overlay.host.hash(`${m.upper}/f`)).toBe(await m.sys.hash(`${m.mnt}/f`));
  });

  test.each(["lower", "upper"])("of a large %s file: whole, and from anywhere", async (place) => {
    const sizes = [65_535, 65_536, 65_537, 300_001, 524_288, 524_289, 1_600_001];
    const tree = Object.fromEntries(sizes.map((size) => [size, patterned(size)]));
    const m = await overlay.mount({ lowers: [place === "lower" ? tree : {}], upper: place === "upper" ? tree : {} });
    for (const size of sizes) {
      const fd = await m.sys.open(`${m.mnt}/${size}`, "O_RDONLY");
      for (const [offset, length] of [
        [0, size],
        [4097, 200_000],
        [size - 70_001, 70_002],
        [size - 1, 100_000],
        [size, 100_000],
      ] as const) {
        if (offset >= 0) {
          expect(await m.sys.pread(fd, length, offset)).toBe(tree[size]?.slice(offset, offset + length));
        }
      }
      await m.sys.close(fd);
    }
  });

  test("of a file that gets shorter and longer: only what was there is read", async () => {
    const m = await overlay.mount({ lowers: [{ f: "" }] });
    const [writer, reader] = [await overlay.agent(), await overlay.agent()];
    const fd = await writer.open(`${m.mnt}/f`, "O_RDWR");
    const read = await reader.open(`${m.mnt}/f`, "O_RDONLY");
    for (const letter of "abcdefghijklmnopqrst") {
      const work = async () => {
        await writer.truncate(fd, 0);
        await writer.writeAll(fd, letter.repeat(100_000), 10);
        await writer.truncate(fd, 700_001);
      };
      const [found] = await Promise.all([reader.pread(read, 1_000_000, 0), work()]);
      expect(found.replace(/[\0a-t]/g, "")).toBe("");
      await writer.lseek(fd, 0, "SEEK_SET");
      expect(await reader.pread(read, 1_000_000, 0)).toBe(letter.repeat(700_001));
    }
  });

  test("what one process writes another reads at once", async () => {
    const m = await overlay.mount({ lowers: [{ f: "x".repeat(10_000) }] });
    const other = await overlay.agent();
    const reader = await other.open(`${m.mnt}/f`, "O_RDONLY");
    const mapping = await other.mmap(await other.open(`${m.mnt}/f`, "O_RDWR"), 4096);
    const writer = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    for (const word of ["one", "two", "three"]) {
      await m.sys.pwrite(writer, word, 100);
      expect(await other.pread(reader, word.length, 100)).toBe(word);
      expect(await other.mread(mapping, 100, word.length)).toBe(word);
    }
  });

  test("truncation shortens, lengthens with zeros, and never shows old data again", async () => {
    const m = await overlay.mount({ lowers: [{ f: "0123456789".repeat(1000) }] });
    const f = `${m.mnt}/f`;
    await m.sys.truncate(f, 5);
    expect(await m.sys.readFile(f)).toBe("01234");
    await m.sys.truncate(f, 8192);
    expect(await m.sys.readFile(f)).toBe(`01234${"\0".repeat(8187)}`);
    await m.sys.appendFile(f, "end");
    expect((await m.sys.stat(f)).size).toBe(8195);
    const fd = await m.sys.open(f, "O_RDWR");
    const mapping = await m.sys.mmap(fd, 4096, "PROT_READ|PROT_WRITE");
    await m.sys.mwrite(mapping, 0, "mapped");
    await m.sys.truncate(fd, 3);
    await m.sys.truncate(fd, 10);
    expect(await m.sys.pread(fd, 20, 0)).toBe("map\0\0\0\0\0\0\0");
    expect(await overlay.host.readFile(`${m.upper}/f`)).toBe("map\0\0\0\0\0\0\0");
  });

  test("O_TRUNC empties lower and upper files", async () => {
    const m = await overlay.mount({ lowers: [{ f: "lower", g: "lower" }] });
    await m.sys.close(await m.sys.open(`${m.mnt}/f`, "O_WRONLY|O_TRUNC"));
    expect(await overlay.host.readFile(`${m.upper}/f`)).toBe("");
    await m.sys.writeFile(`${m.mnt}/g`, "new");
    expect(await m.sys.readFile(`${m.mnt}/g`)).toBe("new");
    await m.sys.writeFile(`${m.mnt}/g`, "");
    expect((await m.sys.stat(`${m.mnt}/g`)).size).toBe(0);
  });

  test("O_APPEND from several processes loses and mixes nothing", async () => {
    const m = await overlay.mount({ lowers: [{ log: "" }] });
    const agents = await Promise.all(Array.from({ length: 4 }, () => overlay.agent()));
    await Promise.all(
      agents.map(async (agent, index) => {
        const fd = await agent.open(`${m.mnt}/log`, "O_WRONLY|O_APPEND");
        await Promise.all(
          Array.from({ length: 100 }, (_, line) => agent.write(fd, `${index} ${line} ${"x".repeat(line)}\n`)),
        );
      }),
    );
    const lines = (await m.sys.readFile(`${m.mnt}/log`)).trim().split("\n");
    expect(lines.length).toBe(400);
    for (let index = 0; index < 4; index++) {
      const own = lines.filter((line) => line.startsWith(`${index} `));
      expect(own).toEqual(Array.from({ length: 100 }, (_, line) => `${index} ${line} ${"x".repeat(line)}`));
    }
  });

  test("an append handle writes at the end, wherever others moved it", async () => {
    const m = await overlay.mount({ lowers: [{ f: "12345" }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDWR|O_APPEND");
    await m.sys.write(fd, "6");
    await m.sys.truncate(`${m.mnt}/f`, 2);
    await m.sys.write(fd, "x");
    await m.sys.appendFile(`${m.mnt}/f`, "y");
    await m.sys.pwrite(fd, "z", 0);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("12xyz");
  });

  test("O_EXCL, O_CREAT on what is there, O_NOFOLLOW, O_DIRECTORY", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("data", { mode: 0o604 }), d: {} }] });
    await refuses("EEXIST", m.sys.open(`${m.mnt}/f`, "O_CREAT|O_EXCL|O_WRONLY"));
    await refuses("EISDIR", m.sys.open(`${m.mnt}/d`, "O_CREAT|O_WRONLY"));
    await m.sys.close(await m.sys.open(`${m.mnt}/f`, "O_CREAT|O_RDONLY", 0o777));
    expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(0o604);
    await m.sys.open(`${m.mnt}/n`, "O_CREAT|O_EXCL|O_WRONLY", 0o400);
    await refuses("EEXIST", m.sys.open(`${m.mnt}/n`, "O_CREAT|O_EXCL|O_WRONLY"));
  });

  test("a read-only file made O_RDWR by its maker is written through that handle", async () => {
    const m = await overlay.mount({ lowers: [{}] });
    await m.sys.chmod(m.mnt, 0o777);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    const fd = await user.open(`${m.mnt}/f`, "O_CREAT|O_EXCL|O_RDWR", 0o000);
    await user.write(fd, "data");
    expect(await user.pread(fd, 10, 0)).toBe("data");
    await user.truncate(fd, 2);
    await refuses("EACCES", user.open(`${m.mnt}/f`, "O_RDONLY"));
  });

  test.each(["lower", "upper"])("O_DIRECT on a %s file agrees with the page cache", async (place) => {
    const block = 4096;
    const tree = { f: "a".repeat(4 * block) };
    const m = await overlay.mount({ lowers: [place === "lower" ? tree : {}], upper: place === "upper" ? tree : {} });
    const f = `${m.mnt}/f`;
    expect(await m.sys.directRead(f, "O_RDONLY|O_DIRECT", block, block)).toBe("a".repeat(block));
    expect(await m.sys.directWrite(f, "O_WRONLY|O_DIRECT", "b".repeat(block), block)).toBe(block);
    expect(await m.sys.readFile(f)).toBe(`${"a".repeat(block)}${"b".repeat(block)}${"a".repeat(2 * block)}`);
    const fd = await m.sys.open(f, "O_RDWR");
    await m.sys.pwrite(fd, "cached", 0);
    expect((await m.sys.directRead(f, "O_RDONLY|O_DIRECT", block, 0)).slice(0, 7)).toBe("cacheda");
  });

  test("O_SYNC and O_DSYNC writes, fsync, fdatasync and syncfs", async () => {
    const m = await overlay.mount({ lowers: [{ f: "lower", d: {} }] });
    for (const flag of ["O_SYNC", "O_DSYNC"]) {
      const fd = await m.sys.open(`${m.mnt}/f`, `O_RDWR|${flag}`);
      await m.sys.write(fd, flag);
      await m.sys.fsync(fd);
      await m.sys.fdatasync(fd);
      await m.sys.syncfs(fd);
      expect(await overlay.host.readFile(`${m.upper}/f`)).toContain(flag);
    }
    const lower = await m.sys.open(`${m.mnt}/d`, "O_RDONLY");
    await m.sys.fsync(lower);
  });

  test("mappings: shared ones reach the file, private ones do not", async () => {
    const m = await overlay.mount({ lowers: [{ f: "0123456789".repeat(1000) }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    const shared = await m.sys.mmap(fd, 10_000, "PROT_READ|PROT_WRITE");
    const priv = await m.sys.mmap(fd, 10_000, "PROT_READ|PROT_WRITE", "MAP_PRIVATE");
    await m.sys.mwrite(shared, 5000, "shared");
    await m.sys.mwrite(priv, 9000, "private");
    expect(await m.sys.pread(fd, 6, 5000)).toBe("shared");
    expect(await m.sys.pread(fd, 7, 9000)).toBe("0123456");
    await m.sys.pwrite(fd, "written", 100);
    expect(await m.sys.mread(shared, 100, 7)).toBe("written");
    await m.sys.munmap(shared);
    await m.sys.close(fd);
    expect((await overlay.host.readFile(`${m.upper}/f`)).slice(5000, 5006)).toBe("shared");
    expect((await overlay.host.readFile(`${m.lowers[0]}/f`)).slice(5000, 5006)).toBe("012345");
  });

  test("sendfile and copy_file_range within the mount, in and out of it", async () => {
    const data = "0123456789abcdef".repeat(20_000);
    const m = await overlay.mount({ lowers: [{ from: data, into: "old" }] });
    const from = await m.sys.open(`${m.mnt}/from`, "O_RDONLY");
    const into = await m.sys.open(`${m.mnt}/into`, "O_RDWR");
    let done = 0;
    while (done < data.length) {
      done += await m.sys.copyFileRange(from, into, data.length - done, done, done);
    }
    expect(await m.sys.hash(`${m.mnt}/into`)).toBe(await m.sys.hash(`${m.mnt}/from`));
    expect(await m.sys.copyFileRange(from, into, 100, data.length, 0)).toBe(0);
    expect(await m.sys.copyFileRange(into, into, 16, 1, data.length)).toBe(16);
    expect(await m.sys.pread(into, 32, data.length)).toBe("123456789abcdef0");
    await refuses("EBADF", m.sys.copyFileRange(into, from, 1, 0, 0));
    expect(await m.namesInUpper()).toEqual(["into"]);
    const sink = await m.sys.open(`${m.mnt}/sink`, "O_CREAT|O_RDWR");
    expect(await m.sys.sendfile(sink, from, 16, 32)).toBe(32);
    expect(await m.sys.pread(sink, 100, 0)).toBe("0123456789abcdef".repeat(2));
    expect(await m.sys.run(["cp", `${m.mnt}/from`, `${overlay.scratch}/out`], {})).toMatchObject({ status: 0 });
    expect(await overlay.host.hash(`${overlay.scratch}/out`)).toBe(await m.sys.hash(`${m.mnt}/from`));
    expect(await m.sys.run(["cp", `${overlay.scratch}/out`, `${m.mnt}/in`], {})).toMatchObject({ status: 0 });
    expect(await m.sys.hash(`${m.mnt}/in`)).toBe(await m.sys.hash(`${m.mnt}/from`));
  });

  test("holes are told and kept: of a lower, a copied-up and a new file", async () => {
    // The kernel copies up by the megabyte: smaller holes are filled there.
    const block = 4 << 20;
    const m = await overlay.mount({ lowers: [{ f: sparse(10 * block, [[4 * block, "x".repeat(block)]]) }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    expect(await m.sys.dataRanges(fd)).toEqual([[4 * block, 5 * block]]);
    const writer = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    expect(await m.sys.dataRanges(writer)).toEqual([[4 * block, 5 * block]]);
    await m.sys.pwrite(writer, "y", 8 * block);
    await m.sys.fsync(writer);
    expect((await m.sys.dataRanges(writer)).map(([start]) => start)).toEqual([4 * block, 8 * block]);
    expect(await m.sys.lseek(writer, 0, "SEEK_DATA")).toBe(4 * block);
    expect(await m.sys.lseek(writer, 4 * block, "SEEK_HOLE")).toBe(5 * block);
    expect(await m.sys.lseek(writer, 0, "SEEK_END")).toBe(10 * block);
    await refuses("ENXIO", m.sys.lseek(writer, 10 * block, "SEEK_DATA"));
    await refuses("ENXIO", m.sys.lseek(writer, 9 * block, "SEEK_DATA"));
  });

  test("fallocate: each mode does what it does on the upper's file system", async () => {
    const block = 4096;
    const m = await overlay.mount({ lowers: [{ f: "a".repeat(4 * block) }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    await m.sys.fallocate(fd, "", 0, 6 * block);
    expect((await m.sys.stat(fd)).size).toBe(6 * block);
    await m.sys.fallocate(fd, "KEEP_SIZE", 0, 100 * block);
    expect((await m.sys.stat(fd)).size).toBe(6 * block);
    expect((await m.sys.stat(fd)).blocks * 512).toBeGreaterThanOrEqual(100 * block);
    await m.sys.fallocate(fd, "PUNCH_HOLE|KEEP_SIZE", block, block);
    expect(await m.sys.pread(fd, block + 1, block)).toBe(`${"\0".repeat(block)}a`);
    await m.sys.fallocate(fd, "ZERO_RANGE", 2 * block, 10);
    expect(await m.sys.pread(fd, 11, 2 * block)).toBe(`${"\0".repeat(10)}a`);
    await refuses("EBADF", m.sys.fallocate(await m.sys.open(`${m.mnt}/f`, "O_RDONLY"), "", 0, block));
    await refuses("EINVAL", m.sys.fallocate(fd, "", 0, 0));
    // These never come through FUSE: the kernel refuses them itself.
    for (const mode of ["COLLAPSE_RANGE", "INSERT_RANGE"]) {
      const outcome = await m.sys.fallocate(fd, mode, 0, block).then(
        () => "success",
        (error: { code: string }) => error.code,
      );
      expect(outcome).toBe(overlay.kind === "kernel" ? "success" : "EOPNOTSUPP");
    }
  });

  test("files larger than 4 GiB keep sizes and offsets", async () => {
    const far = 5 * 2 ** 30;
    const m = await overlay.mount({ lowers: [{ f: sparse(far, [[far - 4, "tail"]]) }] });
    expect((await m.sys.stat(`${m.mnt}/f`)).size).toBe(far);
    const lower = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    expect(await m.sys.pread(lower, 10, far - 4)).toBe("tail");
    const fd = await m.sys.open(`${m.mnt}/n`, "O_CREAT|O_RDWR");
    await m.sys.pwrite(fd, "far", far);
    expect(await m.sys.pread(fd, 10, far)).toBe("far");
    expect((await m.sys.stat(fd)).size).toBe(far + 3);
    await m.sys.truncate(fd, 2 ** 40);
    expect((await m.sys.stat(fd)).size).toBe(2 ** 40);
  });

  test("a full upper gives ENOSPC to the writer, and goes on once there is room", async () => {
    const area = `${overlay.scratch}/small`;
    await overlay.host.mkdir(area);
    await overlay.host.run(["mount", "-t", "tmpfs", "-o", "size=4m", "small", area], {});
    const m = await overlay.mount({ lowers: [{ f: "1" }], upperArea: area });
    const fd = await m.sys.open(`${m.mnt}/big`, "O_CREAT|O_WRONLY");
    await refuses("ENOSPC", m.sys.writeAll(fd, "x".repeat(65_536), 100));
    await m.sys.close(fd);
    await m.sys.unlink(`${m.mnt}/big`);
    // The kernel tells a FUSE daemon of the end of a file after its name is gone: the room comes a moment later.
    await expect
      .poll(() => m.sys.writeFile(`${m.mnt}/small`, "fits").then(() => "written", String), { timeout: 5000 })
      .toBe("written");
    expect(await m.sys.readFile(`${m.mnt}/small`)).toBe("fits");
  });

  test("reads and writes go wrong as POSIX says", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", d: {} }] });
    const reader = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    await refuses("EBADF", m.sys.write(reader, "x"));
    await refuses("EINVAL", m.sys.truncate(reader, 0));
    const writer = await m.sys.open(`${m.mnt}/f`, "O_WRONLY");
    await refuses("EBADF", m.sys.read(writer, 1));
    const d = await m.sys.open(`${m.mnt}/d`, "O_RDONLY");
    await refuses("EISDIR", m.sys.read(d, 1));
    await refuses("EISDIR", m.sys.truncate(`${m.mnt}/d`, 0));
    await refuses("EINVAL", m.sys.lseek(reader, -1, "SEEK_SET"));
  });

  test("chattr: flags are told, set and enforced where the layer's file system has them", async () => {
    const [append, immutable, nodump] = [0x20, 0x10, 0x40];
    const m = await overlay.mount({ lowers: [{ f: "1", d: {} }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    const before = await m.sys.getFlags(fd);
    await m.sys.setFlags(fd, before | nodump);
    expect((await m.sys.getFlags(fd)) & nodump).toBe(nodump);
    expect((await m.sys.run(["lsattr", `${m.mnt}/f`], {})).stdout).toMatch(/^-*d/);
    await m.sys.setFlags(fd, before | append);
    const appender = await m.sys.open(`${m.mnt}/f`, "O_WRONLY|O_APPEND");
    await m.sys.write(appender, "2");
    expect((await m.sys.getFlags(fd)) & append).toBe(append);
    const taken = async (call: Promise<unknown>) => refuses("EPERM", call);
    await taken(m.sys.unlink(`${m.mnt}/f`));
    await m.sys.setFlags(fd, before | immutable);
    await taken(m.sys.chmod(`${m.mnt}/f`, 0o600));
    await taken(m.sys.rename(`${m.mnt}/f`, `${m.mnt}/g`));
    await m.sys.setFlags(fd, before);
    await m.sys.chmod(`${m.mnt}/f`, 0o600);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("12");
    await refuses("ENOTTY", m.sys.ioctl(fd, 0x5401, 64));
    // FS_IOC_FSGETXATTR: project id, extent size and flags, as the layer has them.
    const below = await overlay.host.open(`${m.upper}/f`, "O_RDONLY");
    expect(await m.sys.ioctl(fd, 0x801c581f, 28)).toBe(await overlay.host.ioctl(below, 0x801c581f, 28));
    await overlay.host.close(below);
  });

  test("reflinks: FICLONE within an upper that can", async ({ skip }) => {
    const why = whyWithout("xfs");
    skip(why !== undefined, why);
    await makeFileSystem("xfs", `${overlay.scratch}/xfs`);
    const m = await overlay.mount({ lowers: [{}], upperArea: `${overlay.scratch}/xfs` });
    await m.sys.writeFile(`${m.mnt}/a`, "data".repeat(10_000));
    const copy = await m.sys.run(["cp", "--reflink=auto", `${m.mnt}/a`, `${m.mnt}/b`], {});
    expect(copy).toMatchObject({ status: 0 });
    expect(await m.sys.hash(`${m.mnt}/b`)).toBe(await m.sys.hash(`${m.mnt}/a`));
    await overlay.host.run(["sync", "-f", m.upper], {});
    expect((await overlay.host.run(["filefrag", "-v", `${m.upper}/b`], {})).stdout).toMatch(/shared/);
    // Intended difference: the kernel sends no FICLONE to a FUSE daemon; copy_file_range, which cp tries next, shares too.
    const always = await m.sys.run(["cp", "--reflink=always", `${m.mnt}/a`, `${m.mnt}/c`], {});
    expect(always.status).toBe(overlay.kind === "kernel" ? 0 : 1);
  });
});
