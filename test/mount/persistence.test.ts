/** What an upper holds outlives its mount, and is the same to Veneer and to the kernel's overlayfs. */
import { expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, exchange, type OverlayKind, refuses } from "../support/overlay.ts";
import { dir, fifo, file, hardlink, type Snapshot, sparse, symlink, type Tree } from "../support/tree.ts";

const old = { mtime: 1_000_000_000_000_000_001n };
const layers: readonly Tree[] = [
  {
    etc: dir(
      { passwd: file("root\n", { mode: 0o644, ...old }), shadow: file("secret", { mode: 0o600, gid: 42 }) },
      old,
    ),
    usr: {
      bin: { tool: file("#!/bin/sh\n", { mode: 0o4755 }), other: hardlink("usr/bin/tool") },
      lib: { a: "1", b: "2" },
    },
    "odd \xff\n": "bytes",
  },
  {
    etc: dir({ passwd: "older", hosts: "localhost", dir: { deep: { deeper: "x" } } }, { mode: 0o711 }),
    usr: { lib: { c: "3", link: symlink("a"), pipe: fifo() } },
    var: { log: { big: sparse(8 << 20, [[4 << 20, "data"]]) }, tmp: dir({}, { mode: 0o1777 }) },
  },
];

/** A day's work on a root file system: something of every kind of change. */
async function work(sys: Agent, mnt: string): Promise<void> {
  await sys.appendFile(`${mnt}/etc/passwd`, "user\n");
  await sys.writeFile(`${mnt}/etc/new`, "new");
  await sys.rename(`${mnt}/etc/new`, `${mnt}/etc/hosts`);
  await sys.removeTree(`${mnt}/etc/dir`);
  await sys.mkdir(`${mnt}/etc/dir`);
  await sys.mkdir(`${mnt}/etc/dir/deep`);
  await sys.unlink(`${mnt}/usr/lib/b`);
  await sys.rename(`${mnt}/usr/lib/a`, `${mnt}/usr/lib/moved`);
  await sys.link(`${mnt}/usr/lib/c`, `${mnt}/usr/lib/d`);
  await sys.unlink(`${mnt}/usr/lib/link`);
  await sys.symlink("moved", `${mnt}/usr/lib/link`);
  await sys.chmod(`${mnt}/usr/bin/tool`, 0o2755);
  await sys.chown(`${mnt}/etc/shadow`, 5, 6);
  await sys.setxattr(`${mnt}/etc/shadow`, "user.k", "v");
  await sys.setxattr(`${mnt}/usr`, "trusted.k", "v");
  await sys.utimens(`${mnt}/var/log/big`, 5n, 6n);
  await sys.truncate(`${mnt}/var/log/big`, 5 << 20);
  await sys.mknod(`${mnt}/var/null`, "char", 0o666, 1, 3);
  await sys.mknod(`${mnt}/var/pipe`, "fifo", 0o600);
  await sys.mknod(`${mnt}/var/socket`, "socket", 0o600);
  await sys.mkdir(`${mnt}/opt`);
  await sys.writeFile(`${mnt}/opt/x`, "1");
  await sys.rename(`${mnt}/opt`, `${mnt}/srv`);
  await exchange(sys, `${mnt}/etc/passwd`, `${mnt}/odd \xff\n`);
  await sys.setAcl(
    `${mnt}/srv`,
    [
      ["user_obj", null, 7],
      ["user", 1000, 7],
      ["group_obj", null, 5],
      ["mask", null, 7],
      ["other", null, 5],
    ],
    true,
  );
  await sys.writeFile(`${mnt}/srv/inherits`, "1");
}

/** Whiteouts are links of one that lies in the workdir, until the mount ends. */
function withoutLinkCounts(snapshot: Snapshot): Snapshot {
  return Object.fromEntries(
    Object.entries(snapshot).map(([name, { nlink, same, ...rest }]) => [
      name,
      rest.rdev === "0:0" ? rest : { ...rest, nlink, same },
    ]),
  ) as Snapshot;
}

describeOverlay("persistence", (overlay) => {
  test("after unmount and mount the view is the same, times and all", async () => {
    const m = await overlay.mount({ lowers: layers });
    await work(m.sys, m.mnt);
    const view = await m.view();
    const upper = await m.inUpper();
    for (let round = 0; round < 2; round++) {
      await m.remount();
      expect(await m.view()).toEqual(view);
    }
    await m.unmount();
    expect(withoutLinkCounts(await m.inUpper())).toEqual(withoutLinkCounts(upper));
  });

  test("the other overlay shows the same tree, works on, and gives it back", async () => {
    const other: OverlayKind = overlay.kind === "kernel" ? "veneer" : "kernel";
    const m = await overlay.mount({ lowers: layers });
    await work(m.sys, m.mnt);
    const view = await m.view();
    await m.remount(other);
    expect(await m.view(), `as ${other} shows it`).toEqual(view);
    await m.sys.unlink(`${m.mnt}/etc/passwd`);
    await m.sys.appendFile(`${m.mnt}/usr/lib/moved`, "+");
    await m.sys.removeTree(`${m.mnt}/usr/bin`);
    await m.sys.mkdir(`${m.mnt}/usr/bin`);
    await m.sys.rename(`${m.mnt}/srv`, `${m.mnt}/opt`);
    await m.sys.chmod(`${m.mnt}/var/tmp`, 0o755);
    const changed = await m.view();
    await m.remount();
    expect(await m.view(), "given back").toEqual(changed);
  });

  test("inode numbers stay over copy-up and remounts, in listings too", async () => {
    const m = await overlay.mount({ lowers: [{ d: { f: "1", g: "2", s: symlink("f") } }] });
    const names = ["d", "d/f", "d/g", "d/s"];
    const numbers = () => Promise.all(names.map(async (name) => (await m.sys.lstat(`${m.mnt}/${name}`)).ino));
    const before = await numbers();
    await m.sys.appendFile(`${m.mnt}/d/f`, "+");
    await m.sys.lchown(`${m.mnt}/d/s`, 3, 4);
    await m.sys.writeFile(`${m.mnt}/d/new`, "3");
    expect(await numbers()).toEqual(before);
    for (let round = 0; round < 2; round++) {
      await m.remount();
      const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
      for (const { name, ino } of (await m.sys.getdents(fd)).filter((entry) => entry.name !== "..")) {
        expect(ino, name).toBe((await m.sys.lstat(`${m.mnt}/d/${name}`)).ino);
      }
      await m.sys.close(fd);
      expect(await numbers()).toEqual(before);
    }
  });

  test("a whiteout that rename left, links and opaque marks are as the kernel writes them", async () => {
    const m = await overlay.mount({ lowers: layers });
    await work(m.sys, m.mnt);
    const upper = await m.inUpper();
    for (const name of ["usr/lib/a", "usr/lib/b"]) {
      expect(upper[name]).toMatchObject({ type: "char", rdev: "0:0" });
    }
    expect(upper["etc/dir"]?.xattrs).toMatchObject({ "trusted.overlay.opaque": "y" });
    expect(upper.etc?.xattrs?.["trusted.overlay.opaque"]).toBeUndefined();
    expect(upper["usr/lib/d"]).toMatchObject({ nlink: 2, same: "usr/lib/c" });
    expect(Object.keys(upper).filter((name) => name.includes(".wh.") || name.includes("#"))).toEqual([]);
  });

  test("leftovers in workdir are cleared at the next mount", async () => {
    const m = await overlay.mount({ lowers: layers });
    await m.unmount();
    await overlay.host.run(["mkdir", "-p", `${m.work}/work`], {});
    await overlay.host.writeFile(`${m.work}/work/#1f`, "half a copy");
    await overlay.host.mkdir(`${m.work}/work/#20`);
    await overlay.host.writeFile(`${m.work}/work/#20/inner`, "x");
    await overlay.mountPaths({ lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt, options: [] });
    expect(await overlay.host.list(`${m.work}/work`)).toEqual([]);
  });

  test("volatile mounts work as others", async () => {
    const m = await overlay.mount({ lowers: layers, options: ["volatile"] });
    await work(m.sys, m.mnt);
    const fd = await m.sys.open(`${m.mnt}/srv/x`, "O_RDWR");
    await m.sys.write(fd, "2");
    await m.sys.fsync(fd);
    expect(await overlay.host.readFile(`${m.upper}/srv/x`)).toBe("2");
  });

  test("an upper of one mount is a lower of the next", async () => {
    const first = await overlay.mount({ lowers: layers });
    await work(first.sys, first.mnt);
    const view = await first.view();
    await first.unmount();
    const paths = ["upper2", "work2", "mnt2"].map((name) => `${overlay.scratch}/${name}`);
    for (const path of paths) {
      await overlay.host.mkdir(path);
    }
    const [upper = "", work2 = "", mountpoint = ""] = paths;
    const lowers = [first.upper, ...first.lowers];
    const second = await overlay.mountPaths({ lowers, upper, work: work2, mountpoint, options: [] });
    const { ".": _root, ...rest } = await second.view();
    const { ".": _first, ...expected } = view;
    expect(rest).toEqual(expected);
    await second.sys.unlink(`${mountpoint}/etc/hosts`);
    await refuses("ENOENT", second.sys.lstat(`${mountpoint}/etc/hosts`));
    await second.sys.appendFile(`${mountpoint}/usr/lib/d`, "+");
    expect(await overlay.host.readFile(`${first.upper}/usr/lib/d`)).toBe("3");
  });

  test("statfs tells of the upper's file system, with each overlay's own type", async () => {
    const m = await overlay.mount({ lowers: layers });
    const [seen, real] = [await m.sys.statvfs(m.mnt), await overlay.host.statvfs(m.upper)];
    expect(seen.namemax).toBe(255);
    expect([seen.blocks * seen.frsize, seen.files]).toEqual([real.blocks * real.frsize, real.files]);
    expect(Math.abs(seen.bfree - real.bfree) * real.frsize).toBeLessThan(256 << 20);
    // The type is of the file system that serves it: OVERLAYFS_SUPER_MAGIC, FUSE_SUPER_MAGIC.
    expect(seen.magic).toBe(overlay.kind === "kernel" ? 0x794c7630 : 0x65735546);
    const deep = await m.sys.statvfs(`${m.mnt}/usr/lib/c`);
    expect(deep.blocks).toBe(seen.blocks);
  });
});
