/** Requests that go wrong cost themselves only; memory and descriptors follow what the kernel holds. */
import { expect, test } from "vitest";
import { daemonOf, usageOf } from "../support/daemon.ts";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { makeFileSystem } from "../support/scratch.ts";

/** For the test of memory; `VENEER_TEST_FILES=1000000` is its long form. */
const fileCount = Number(process.env.VENEER_TEST_FILES ?? 100_000);
const filesEach = 1000;

describeOverlay("robustness", (overlay) => {
  test("odd requests are answered, and the mount goes on", async () => {
    const m = await overlay.mount({ lowers: [{ f: "data", d: { x: "1" } }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    const d = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
    const odd: [string, () => Promise<unknown>][] = [
      ["read far behind the end", () => m.sys.pread(fd, 1 << 20, 2 ** 50)],
      ["unknown ioctl", () => m.sys.ioctl(fd, 0xdeadbeef & 0x7fffffff, 16)],
      ["ioctl of a directory", () => m.sys.ioctl(d, 0x541b, 16)],
      ["write behind what a file may be", () => m.sys.pwrite(fd, "x", 2 ** 62)],
      ["truncate too far", () => m.sys.truncate(fd, 2 ** 62)],
      ["fallocate too much", () => m.sys.fallocate(fd, "", 0, 2 ** 50)],
      ["seek to data far away", () => m.sys.lseek(fd, 2 ** 50, "SEEK_DATA")],
      ["xattr without a name", () => m.sys.setxattr(`${m.mnt}/f`, "user.", "x")],
      ["xattr larger than any", () => m.sys.setxattr(`${m.mnt}/f`, "user.big", "x".repeat(65_537))],
      ["xattr larger than the layer takes", () => m.sys.setxattr(`${m.mnt}/f`, "user.big", "x".repeat(65_536))],
      ["list into nothing", () => m.sys.getdents(d, 24)],
      ["seekdir to nowhere", () => m.sys.seekdir(d, 2n ** 62n).then(() => m.sys.getdents(d))],
      ["copy onto itself", () => m.sys.copyFileRange(fd, fd, 4, 0, 1)],
      ["chown to no one", () => m.sys.chown(`${m.mnt}/f`, -1, -1)],
    ];
    for (const [name, call] of odd) {
      const outcome = await call().then(
        () => "success",
        (error: { code?: string }) => error.code ?? String(error),
      );
      expect(outcome, name).not.toMatch(/EIO|ENOTCONN|ECONNABORTED|Error/);
      expect(await m.sys.list(m.mnt), name).toEqual(["d", "f"]);
    }
    expect(await m.sys.readFile(`${m.mnt}/d/x`)).toBe("1");
  });

  test("a layer that loses files behind the mount's back costs those requests only", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", g: "2", d: { x: "1" } }] });
    overlay.forgetLower(m.lowers[0] ?? "");
    await m.sys.lstat(`${m.mnt}/f`);
    await overlay.host.unlink(`${m.lowers[0]}/f`);
    await overlay.host.removeTree(`${m.lowers[0]}/d`);
    for (const path of ["f", "d", "d/x"]) {
      const outcome = await m.sys.readFile(`${m.mnt}/${path}`).then(
        () => "success",
        (error: { code?: string }) => error.code,
      );
      expect(["ENOENT", "ESTALE", "EISDIR", "EIO", "success"]).toContain(outcome);
    }
    expect(await m.sys.readFile(`${m.mnt}/g`)).toBe("2");
    await m.sys.writeFile(`${m.mnt}/new`, "3");
    expect(await m.sys.readFile(`${m.mnt}/new`)).toBe("3");
  });

  test("callers killed in the middle of their calls leave a mount that works", async () => {
    const m = await overlay.mount({ lowers: [{ big: "x".repeat(32 << 20), d: {} }] });
    for (let round = 0; round < 5; round++) {
      const victim = await overlay.agent();
      await victim.lstat(m.mnt);
      const calls = [
        victim.appendFile(`${m.mnt}/big`, "y"),
        victim.makeMany(`${m.mnt}/d`, `r${round}-`, 500, "data"),
        victim.removeTree(`${m.mnt}/d`),
      ];
      await m.sys.sleep(0.01 * round);
      await victim.end();
      await Promise.allSettled(calls);
    }
    await m.sys.writeFile(`${m.mnt}/after`, "1");
    expect(await m.sys.readFile(`${m.mnt}/after`)).toBe("1");
    const { size } = await m.sys.lstat(`${m.mnt}/big`);
    expect(size - (32 << 20)).toBeOneOf([0, 1, 2, 3, 4, 5]);
    expect(await m.sys.exists(`${m.mnt}/d`).then(() => "answered")).toBe("answered");
  });

  test("more files at a time than a process may usually open", async () => {
    const m = await overlay.mount({ lowers: [{ f: "data" }] });
    const agents = await Promise.all([overlay.agent(), overlay.agent()]);
    for (const [index, agent] of agents.entries()) {
      for (let count = 0; count < 900; count++) {
        await agent.open(`${m.mnt}/new-${index}-${count}`, "O_RDWR|O_CREAT");
      }
    }
    expect((await m.sys.list(m.mnt)).length).toBe(1801);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("data");
  });

  test("mistake 13: after a walk of very many files, forgotten, memory and descriptors are what they were", async ({
    annotate,
  }) => {
    if (overlay.kind === "kernel") {
      // No daemon: the kernel's own caches hold what there is. The walk itself must work all the same.
      const m = await overlay.mount({ lowers: [{ d: { f: "1" } }] });
      expect(await m.sys.walk(m.mnt)).toBe(2);
      return;
    }
    await makeFileSystem("tmpfs", `${overlay.scratch}/lower`);
    const directories = fileCount / filesEach;
    for (let index = 0; index < directories; index++) {
      await overlay.host.mkdir(`${overlay.scratch}/lower/d${index}`);
      await overlay.host.makeMany(`${overlay.scratch}/lower/d${index}`, "file", filesEach);
    }
    const [upper, work, mountpoint] = ["u", "w", "m"].map((name) => `${overlay.scratch}/${name}`) as [
      string,
      string,
      string,
    ];
    for (const path of [upper, work, mountpoint]) {
      await overlay.host.mkdir(path);
    }
    const m = await overlay.mountPaths({ lowers: [`${overlay.scratch}/lower`], upper, work, mountpoint, options: [] });
    const daemon = daemonOf(upper);
    // The first directories make the engine warm; what it needs for that is no leak.
    for (let index = 0; index < 10; index++) {
      await m.sys.walk(`${mountpoint}/d${index}`);
    }
    await m.sys.dropCaches();
    const before = usageOf(daemon);
    for (let index = 0; index < directories; index++) {
      expect(await m.sys.walk(`${mountpoint}/d${index}`)).toBe(filesEach);
    }
    const full = usageOf(daemon);
    expect(full.descriptors).toBeLessThan(before.descriptors + 20);
    let after = full;
    for (let tries = 0; tries < 40 && after.privateKb > before.privateKb + 30_000; tries++) {
      await m.sys.dropCaches();
      await m.sys.list(`${mountpoint}/d1`);
      await m.sys.sleep(0.25);
      after = usageOf(daemon);
    }
    const figures = `kB before ${before.privateKb}, with ${fileCount} files ${full.privateKb}, forgotten ${after.privateKb}`;
    await annotate(figures);
    expect(after.privateKb - before.privateKb, figures).toBeLessThan(30_000);
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 2);
    await refuses("ENOENT", m.sys.lstat(`${mountpoint}/d5/absent`));
  }, 600_000);
});
