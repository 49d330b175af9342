/** A full upper, a quota that is used up, an upper that became read-only: who is told, what is left, and that it goes on. */
import { expect, test } from "vitest";
import { describeOverlay, type Mounted, type Overlay, outcomeOf, passthrough, refuses } from "../support/overlay.ts";
import { runOk, runProgram } from "../support/programs.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";

/** An upper with room for 2 MB and a few inodes. */
async function mountSmall(overlay: Overlay, inodes = 200, options: readonly string[] = []): Promise<Mounted> {
  const area = `${overlay.scratch}/small`;
  await overlay.host.mkdir(area);
  await runOk(["mount", "-t", "tmpfs", "-o", `size=2m,nr_inodes=${inodes}`, "small", area]);
  return overlay.mount({
    lowers: [{ d: { f: "x".repeat(3000) }, big: "y".repeat(3 << 20), gone: "1", e: { g: "2" } }],
    upperArea: area,
    options,
  });
}

/** What is staged in the workdir, but for the whiteout that both overlays keep there to link to. */
async function staged(overlay: Overlay, m: Mounted): Promise<string[]> {
  const names = await overlay.host.list(`${m.work}/work`);
  const types = await Promise.all(names.map((name) => overlay.host.lstat(`${m.work}/work/${name}`)));
  return names.filter((_, index) => types[index]?.type !== "char");
}

async function fill(m: Mounted): Promise<number> {
  const fd = await m.sys.open(`${m.mnt}/fill`, "O_CREAT|O_RDWR");
  await refuses("ENOSPC", m.sys.writeAll(fd, "z".repeat(65_536), 64));
  await outcomeOf(m.sys.writeAll(fd, "z".repeat(512), 200));
  return fd;
}

describeOverlay("an upper without room", (overlay) => {
  test("blocks: each call that needs one is ENOSPC, the others work, nothing is left half-done", async () => {
    const m = await mountSmall(overlay);
    const fd = await fill(m);
    const { size } = await m.sys.stat(fd);
    const before = await m.inUpper();
    await refuses("ENOSPC", m.sys.pwrite(fd, "q", 1 << 30));
    await refuses("ENOSPC", m.sys.fallocate(fd, "", 1 << 30, 8 << 20));
    await refuses("ENOSPC", m.sys.fallocate(fd, "KEEP_SIZE", 1 << 30, 8 << 20));
    expect((await m.sys.stat(fd)).size).toBe(size);
    for (const path of ["big", "d/f"]) {
      await refuses("ENOSPC", m.sys.open(`${m.mnt}/${path}`, "O_RDWR"));
      await refuses("ENOSPC", m.sys.chmod(`${m.mnt}/${path}`, 0o600));
      expect((await m.sys.stat(`${m.mnt}/${path}`)).mode).toBe(0o644);
    }
    expect(await m.namesInUpper("d")).toEqual([]);
    expect(await staged(overlay, m)).toEqual([]);
    expect(await m.sys.pwrite(fd, "over", 0)).toBe(4);
    await m.sys.truncate(fd, 2 ** 31);
    await m.sys.truncate(fd, size);
    await m.sys.fsync(fd);
    await m.sys.chmod(fd, 0o600);
    await m.sys.unlink(`${m.mnt}/gone`);
    expect(await m.isWhiteout("gone")).toBe(true);
    const { ".": _, d: __, gone: ___, fill: ____, ...others } = await m.inUpper();
    expect(others).toEqual(Object.fromEntries(Object.entries(before).filter(([path]) => path in others)));
    await m.sys.close(fd);
    await m.sys.unlink(`${m.mnt}/fill`);
    // The room comes when the kernel has told a FUSE daemon of the last close: a moment later.
    await expect.poll(() => outcomeOf(m.sys.appendFile(`${m.mnt}/d/f`, "+")), { timeout: 5000 }).toBe("ok");
    expect(await overlay.host.readFile(`${m.upper}/d/f`)).toBe(`${"x".repeat(3000)}+`);
  });

  test("inodes: nothing is made, but names can be removed and moved", async () => {
    const m = await mountSmall(overlay, 40);
    await m.sys.unlink(`${m.mnt}/gone`);
    await m.sys.writeFile(`${m.mnt}/own`, "1");
    await refuses("ENOSPC", m.sys.makeMany(m.mnt, "i", 100));
    const calls: Record<string, Promise<unknown>> = {
      create: m.sys.open(`${m.mnt}/n`, "O_CREAT|O_WRONLY"),
      mkdir: m.sys.mkdir(`${m.mnt}/n`),
      symlink: m.sys.symlink("x", `${m.mnt}/n`),
      mknod: m.sys.mknod(`${m.mnt}/n`, "fifo", 0o600),
      unnamed: m.sys.open(m.mnt, "O_RDWR|O_TMPFILE"),
      link: m.sys.link(`${m.mnt}/own`, `${m.mnt}/n`),
      "copy-up": m.sys.chmod(`${m.mnt}/d/f`, 0o600),
    };
    for (const [what, call] of Object.entries(calls)) {
      expect(await outcomeOf(call), what).toBe("ENOSPC");
    }
    expect(await staged(overlay, m)).toEqual([]);
    await m.sys.rename(`${m.mnt}/own`, `${m.mnt}/moved`);
    // The whiteout that others were linked from takes the place itself.
    await m.sys.unlink(`${m.mnt}/big`);
    expect(await m.isWhiteout("big")).toBe(true);
    await m.sys.unlink(`${m.mnt}/i0`);
    await m.sys.unlink(`${m.mnt}/i1`);
    await m.sys.unlink(`${m.mnt}/i2`);
    await expect.poll(() => outcomeOf(m.sys.unlink(`${m.mnt}/d/f`)), { timeout: 5000 }).toBe("ok");
    expect(await m.isWhiteout("d/f")).toBe(true);
    expect(await staged(overlay, m)).toEqual([]);
  });

  test.each(["upper", "off"])("a mapping of a hole in a full upper, passthrough=%s", async (mode) => {
    const m = await mountSmall(overlay, 200, passthrough(overlay, mode));
    await m.sys.writeFile(`${m.mnt}/hole`, "");
    await m.sys.truncate(`${m.mnt}/hole`, 4096);
    await fill(m);
    const key = await m.sys.mmap(await m.sys.open(`${m.mnt}/hole`, "O_RDWR"), 4096, "PROT_READ|PROT_WRITE");
    // Intended difference: pages of a FUSE file get their room when they are written back; msync tells.
    const SIGBUS = 7;
    const byDaemon = overlay.kind === "veneer" && mode === "off";
    expect(await m.sys.signalOf("mwrite", [key, 0, "1"])).toBe(byDaemon ? 0 : SIGBUS);
    if (byDaemon) {
      await m.sys.mwrite(key, 0, "1");
      await refuses("ENOSPC", m.sys.msync(key));
    }
  });

  test("a quota that is used up is EDQUOT", async ({ skip }) => {
    const why = whyWithout("btrfs");
    skip(why !== undefined, why);
    const area = `${overlay.scratch}/fs`;
    await makeFileSystem("btrfs", area);
    const enabled = await runProgram(["btrfs", "quota", "enable", area]);
    skip(enabled.status !== 0, `no quotas on btrfs: ${enabled.stderr}`);
    await runOk(["btrfs", "subvolume", "create", `${area}/sub`]);
    await runOk(["btrfs", "qgroup", "limit", "2M", `${area}/sub`]);
    const m = await overlay.mount({ lowers: [{ big: "y".repeat(4 << 20), f: "1" }], upperArea: `${area}/sub` });
    await refuses("EDQUOT", m.sys.open(`${m.mnt}/big`, "O_RDWR"));
    expect(await m.namesInUpper()).toEqual([]);
    expect(await staged(overlay, m)).toEqual([]);
    const fd = await m.sys.open(`${m.mnt}/new`, "O_CREAT|O_RDWR");
    await refuses("EDQUOT", m.sys.writeAll(fd, "z".repeat(65_536), 64));
    await refuses("EDQUOT", m.sys.fallocate(fd, "", 0, 8 << 20));
    expect(await m.sys.hash(`${m.mnt}/big`)).toBe(await overlay.host.hash(`${m.lowers[0]}/big`));
  });

  test("an upper that was made read-only behind the mount: EROFS, and reading goes on", async () => {
    const area = `${overlay.scratch}/fs`;
    await overlay.host.mkdir(area);
    await runOk(["mount", "-t", "tmpfs", "small", area]);
    const m = await overlay.mount({ lowers: [{ f: "1", d: {} }], upper: { u: "2" }, upperArea: area });
    await m.sys.appendFile(`${m.mnt}/f`, "+");
    await expect
      .poll(() => runProgram(["mount", "-o", "remount,ro", area]), { timeout: 5000 })
      .toMatchObject({ status: 0 });
    const calls: Record<string, Promise<unknown>> = {
      create: m.sys.writeFile(`${m.mnt}/n`, "1"),
      unlink: m.sys.unlink(`${m.mnt}/f`),
      chmod: m.sys.chmod(`${m.mnt}/u`, 0o600),
      open: m.sys.open(`${m.mnt}/u`, "O_RDWR"),
      "copy-up": m.sys.chmod(`${m.mnt}/d`, 0o700),
      mkdir: m.sys.mkdir(`${m.mnt}/n`),
      rename: m.sys.rename(`${m.mnt}/u`, `${m.mnt}/n`),
      setxattr: m.sys.setxattr(`${m.mnt}/u`, "trusted.k", "v"),
    };
    for (const [what, call] of Object.entries(calls)) {
      expect(await outcomeOf(call), what).toBe("EROFS");
    }
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("1+");
    await runOk(["mount", "-o", "remount,rw", area]);
    await m.sys.writeFile(`${m.mnt}/n`, "1");
  });
});
