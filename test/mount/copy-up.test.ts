/** Copy-up: what sets it off, and everything that it must keep. */
import { expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";
import { device, dir, fifo, file, hardlink, socket, sparse, symlink } from "../support/tree.ts";

const old = 1_000_000_000_123_456_789n;
/** cap_net_raw=ep, as VFS_CAP_REVISION_2 in capabilities(7). */
const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

/** Everything that changes a file: each must copy it up. */
const triggers: [name: string, change: (sys: Agent, path: string) => Promise<unknown>][] = [
  ["open O_WRONLY", (sys, path) => sys.open(path, "O_WRONLY")],
  ["open O_RDWR", (sys, path) => sys.open(path, "O_RDWR")],
  ["open O_APPEND", (sys, path) => sys.open(path, "O_WRONLY|O_APPEND")],
  ["open O_RDONLY|O_TRUNC", (sys, path) => sys.open(path, "O_RDONLY|O_TRUNC")],
  ["truncate", (sys, path) => sys.truncate(path, 2)],
  ["chmod", (sys, path) => sys.chmod(path, 0o600)],
  ["chown", (sys, path) => sys.chown(path, 7, 8)],
  ["utimens", (sys, path) => sys.utimens(path, 5n, 6n)],
  ["setxattr", (sys, path) => sys.setxattr(path, "user.k", "v")],
  ["link", (sys, path) => sys.link(path, `${path}-2`)],
];

/** Gets a signal during a chmod; with "SA_RESTART" the call may be made anew after the handler. */
const chmodWithSignal = `
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, sys.argv[2] != "SA_RESTART")
signal.setitimer(signal.ITIMER_REAL, 0.002)
libc.chmod(sys.argv[1].encode(), 0o600)
print(os.strerror(ctypes.get_errno()))
`;

describeOverlay("copy-up", (overlay) => {
  test("reading, stat and listing copy nothing up", async () => {
    const m = await overlay.mount({
      lowers: [{ d: { f: file("data", { xattrs: { "user.k": "v" } }), s: symlink("f") } }],
    });
    await m.sys.readFile(`${m.mnt}/d/f`);
    await m.sys.stat(`${m.mnt}/d/f`);
    await m.sys.access(`${m.mnt}/d/f`, "W_OK");
    await m.sys.list(`${m.mnt}/d`);
    await m.sys.getxattr(`${m.mnt}/d/f`, "user.k");
    await m.sys.readlink(`${m.mnt}/d/s`);
    await m.sys.mmap(await m.sys.open(`${m.mnt}/d/f`, "O_RDONLY"), 4);
    expect(await m.namesInUpper()).toEqual([]);
  });

  test.each(triggers)("%s of a lower file copies it up with its parents, and nothing else", async (_name, change) => {
    const m = await overlay.mount({ lowers: [{ a: { b: { f: "data", other: "x" } }, c: "y" }] });
    await change(m.sys, `${m.mnt}/a/b/f`);
    expect(await m.namesInUpper()).toEqual(["a"]);
    expect(await m.namesInUpper("a")).toEqual(["b"]);
    expect((await m.namesInUpper("a/b")).filter((name) => name !== "f-2")).toEqual(["f"]);
    expect(await m.isOpaque("a")).toBe(false);
    expect(await m.isOpaque("a/b")).toBe(false);
    expect((await m.sys.list(`${m.mnt}/a/b`)).filter((name) => name !== "f-2")).toEqual(["f", "other"]);
  });

  test("a change that is refused leaves a file as it was", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("data", { mtime: old }) }] });
    await refuses("EPERM", m.sys.link(m.mnt, `${m.mnt}/x`));
    await refuses("ENODATA", m.sys.removexattr(`${m.mnt}/f`, "user.none"));
    await refuses("EEXIST", m.sys.open(`${m.mnt}/f`, "O_CREAT|O_EXCL|O_WRONLY"));
    await refuses("EINVAL", m.sys.truncate(`${m.mnt}/f`, -1));
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("data");
    expect((await m.sys.stat(`${m.mnt}/f`)).mtime).toBe(old);
  });

  test("keeps mode with special bits, owner, times, xattrs, capabilities and ACLs of a file", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          f: file("data", {
            mode: 0o7751,
            uid: 1234,
            gid: 5678,
            mtime: old,
            atime: old + 5n,
            xattrs: { "user.k": "v", "trusted.t": "\x00\xff", "security.capability": netRaw, "user.empty": "" },
          }),
        },
      ],
    });
    const lower = m.lowers[0] ?? "";
    await m.sys.utimens(`${m.mnt}/f`, "omit", old + 1n);
    const before = await overlay.host.lstat(`${lower}/f`);
    const after = await overlay.host.lstat(`${m.upper}/f`);
    expect(after).toMatchObject({ mode: 0o7751, uid: 1234, gid: 5678, size: 4, mtime: old + 1n, atime: before.atime });
    const seen = await m.sys.stat(`${m.mnt}/f`);
    expect(seen).toMatchObject({ mode: 0o7751, uid: 1234, gid: 5678, size: 4, mtime: old + 1n });
    const names = ["security.capability", "trusted.t", "user.empty", "user.k"];
    expect(await m.sys.listxattr(`${m.mnt}/f`)).toEqual(names);
    for (const name of names) {
      expect(await overlay.host.getxattr(`${m.upper}/f`, name)).toBe(await overlay.host.getxattr(`${lower}/f`, name));
    }
  });

  test("keeps access and default ACLs", async () => {
    const lower = await overlay.buildLower(`${overlay.scratch}/lower-acl`, { d: { f: "data" } });
    const m = await overlay.mount({ lowers: [{}] });
    await m.unmount();
    await overlay.host.setAcl(`${lower}/d/f`, [
      ["user_obj", null, 6],
      ["user", 1000, 6],
      ["group_obj", null, 4],
      ["mask", null, 6],
      ["other", null, 0],
    ]);
    const asDefault = [
      ["user_obj", null, 7],
      ["group_obj", null, 5],
      ["group", 50, 7],
      ["mask", null, 7],
      ["other", null, 0],
    ] as const;
    await overlay.host.setAcl(`${lower}/d`, asDefault, true);
    const again = await overlay.mountPaths({
      lowers: [lower],
      upper: m.upper,
      work: m.work,
      mountpoint: m.mnt,
      options: [],
    });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await user.appendFile(`${again.mnt}/d/f`, "more");
    for (const [path, name] of [
      ["d/f", "system.posix_acl_access"],
      ["d", "system.posix_acl_default"],
    ] as const) {
      const expected = await overlay.host.getxattr(`${lower}/${path}`, name);
      expect(await overlay.host.getxattr(`${m.upper}/${path}`, name)).toBe(expected);
      expect(await again.sys.getxattr(`${m.mnt}/${path}`, name)).toBe(expected);
    }
    overlay.forgetLower(lower);
  });

  test("keeps everything of the parents, their times too", async () => {
    const meta = { mode: 0o3771, uid: 11, gid: 12, mtime: old, xattrs: { "user.d": "1", "trusted.d": "2" } };
    const m = await overlay.mount({ lowers: [dir({ a: dir({ b: dir({ f: "data" }, meta) }, meta) })] });
    await m.sys.chmod(`${m.mnt}/a/b/f`, 0o600);
    for (const path of ["a", "a/b"]) {
      const expected = { mode: 0o3771, uid: 11, gid: 12, mtime: old };
      expect(await overlay.host.lstat(`${m.upper}/${path}`)).toMatchObject(expected);
      expect(await m.sys.stat(`${m.mnt}/${path}`)).toMatchObject(expected);
      expect(await m.sys.getxattr(`${m.mnt}/${path}`, "user.d")).toBe("1");
      expect(await m.sys.getxattr(`${m.mnt}/${path}`, "trusted.d")).toBe("2");
    }
  });

  test.for([
    ["ext4", "\x65"],
    ["xfs", "\x66"],
    ["btrfs", "\x67"],
    ["tmpfs", "\x68"],
  ] as const)("onto %s: data, holes, xattrs, whiteouts and opaque directories", async ([kind, fill], { skip }) => {
    const why = whyWithout(kind);
    skip(why !== undefined, why);
    await makeFileSystem(kind, `${overlay.scratch}/fs`);
    const meta = { mode: 0o4755, uid: 5, gid: 6, mtime: old, xattrs: { "user.k": "v", "security.capability": netRaw } };
    const pieces = [
      [0, fill.repeat(5000)],
      [8 << 20, fill.repeat(70_000)],
    ] as const;
    const m = await overlay.mount({
      lowers: [{ big: sparse(20 << 20, pieces, meta), gone: "1", d: { in: "2" } }],
      upperArea: `${overlay.scratch}/fs`,
    });
    await m.sys.utimens(`${m.mnt}/big`, "omit", old);
    expect(await overlay.host.hash(`${m.upper}/big`)).toBe(await overlay.host.hash(`${m.lowers[0]}/big`));
    const copied = await overlay.host.lstat(`${m.upper}/big`);
    expect(copied).toMatchObject({ mode: 0o4755, uid: 5, gid: 6, mtime: old, size: 20 << 20 });
    // The kernel copies in pieces of a megabyte; all 20 would be filled holes.
    expect(copied.blocks * 512).toBeLessThan(6 << 20);
    expect(await overlay.host.getxattr(`${m.upper}/big`, "security.capability")).toBe(netRaw);
    await m.sys.unlink(`${m.mnt}/gone`);
    expect(await m.isWhiteout("gone")).toBe(true);
    await m.sys.unlink(`${m.mnt}/d/in`);
    await m.sys.rmdir(`${m.mnt}/d`);
    await m.sys.mkdir(`${m.mnt}/d`);
    expect(await m.isOpaque("d")).toBe(true);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([]);
  });

  test("of a symlink, a FIFO, a socket and devices keeps type, target and number", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          link: symlink("to/nowhere", { mtime: old }),
          fifo: fifo({ mtime: old }),
          sock: socket({ mtime: old }),
          null: device("char", 1, 3, { mode: 0o666, mtime: old }),
          disk: device("block", 7, 250, { mode: 0o660, mtime: old }),
        },
      ],
    });
    const before = await m.view();
    for (const name of ["link", "fifo", "sock", "null", "disk"]) {
      await m.sys.lchown(`${m.mnt}/${name}`, 3, 4);
    }
    const after = await m.view();
    const upper = await m.inUpper({ hideXattrs: ["trusted.overlay."] });
    for (const name of ["link", "fifo", "sock", "null", "disk"]) {
      const expected = { ...before[name], uid: 3, gid: 4 };
      expect(after[name], name).toEqual(expected);
      expect(upper[name], name).toEqual(expected);
    }
  });

  test("a symlink's own times can be set", async () => {
    const m = await overlay.mount({ lowers: [{ link: symlink("f"), f: file("", { mtime: old }) }] });
    await m.sys.utimens(`${m.mnt}/link`, 7n, 8n);
    expect(await m.sys.lstat(`${m.mnt}/link`)).toMatchObject({ mtime: 8n, type: "symlink" });
    expect((await m.sys.stat(`${m.mnt}/f`)).mtime).toBe(old);
  });

  test("of a directory by chmod leaves it merged", async () => {
    const m = await overlay.mount({ lowers: [{ d: { f: "1", sub: { g: "2" } } }] });
    await m.sys.chmod(`${m.mnt}/d`, 0o700);
    expect(await m.namesInUpper("d")).toEqual([]);
    expect(await m.isOpaque("d")).toBe(false);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["f", "sub"]);
    expect((await m.sys.stat(`${m.mnt}/d`)).mode).toBe(0o700);
  });

  test("of the root by chmod, chown and setxattr", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }] });
    await m.sys.chmod(m.mnt, 0o1777);
    await m.sys.chown(m.mnt, 3, 4);
    await m.sys.setxattr(m.mnt, "user.k", "v");
    expect(await m.sys.stat(m.mnt)).toMatchObject({ mode: 0o1777, uid: 3, gid: 4 });
    expect(await overlay.host.lstat(m.upper)).toMatchObject({ mode: 0o1777, uid: 3, gid: 4 });
    expect(await overlay.host.getxattr(m.upper, "user.k")).toBe("v");
  });

  test("of several megabytes by an append of one byte", async () => {
    const m = await overlay.mount({ lowers: [{ big: "0123456789abcdef".repeat(400_000) }] });
    await m.sys.appendFile(`${m.mnt}/big`, "!");
    expect((await m.sys.stat(`${m.mnt}/big`)).size).toBe(6_400_001);
    const fd = await m.sys.open(`${m.mnt}/big`, "O_RDONLY");
    expect(await m.sys.pread(fd, 20, 6_399_990)).toBe("6789abcdef!");
    expect(await overlay.host.hash(`${m.upper}/big`)).toBe(await m.sys.hash(`${m.mnt}/big`));
  });

  test("keeps st_ino and st_dev", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", d: { g: "2" }, s: symlink("f") }] });
    for (const name of ["f", "d", "d/g", "s"]) {
      const before = await m.sys.lstat(`${m.mnt}/${name}`);
      await m.sys.lchown(`${m.mnt}/${name}`, 3, 3);
      const after = await m.sys.lstat(`${m.mnt}/${name}`);
      expect([after.ino, after.dev], name).toEqual([before.ino, before.dev]);
    }
  });

  test("a read-only handle opened before reads what is written after", async () => {
    const m = await overlay.mount({ lowers: [{ f: "lower data" }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    expect(await m.sys.pread(fd, 5, 0)).toBe("lower");
    const writer = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    await m.sys.pwrite(writer, "UPPER and more", 0);
    expect(await m.sys.pread(fd, 100, 0)).toBe("UPPER and more");
    expect((await m.sys.stat(fd)).size).toBe(14);
    await m.sys.truncate(`${m.mnt}/f`, 3);
    expect(await m.sys.pread(fd, 100, 0)).toBe("UPP");
    await m.sys.chmod(`${m.mnt}/f`, 0o600);
    expect((await m.sys.stat(fd)).mode).toBe(0o600);
  });

  test("a mapping made before", async () => {
    const m = await overlay.mount({ lowers: [{ f: "lower data" }] });
    const mapping = await m.sys.mmap(await m.sys.open(`${m.mnt}/f`, "O_RDONLY"), 10);
    expect(await m.sys.mread(mapping, 0, 5)).toBe("lower");
    await m.sys.pwrite(await m.sys.open(`${m.mnt}/f`, "O_RDWR"), "UPPER", 0);
    // The kernel's mapping stays on the lower: its documentation lists this as non-standard. Veneer's follows.
    expect(await m.sys.mread(mapping, 0, 5)).toBe(overlay.kind === "kernel" ? "lower" : "UPPER");
  });

  test("that does not fit on the upper fails with ENOSPC and leaves the lower file in view", async () => {
    const area = `${overlay.scratch}/small`;
    await overlay.host.mkdir(area);
    const mounted = await overlay.host.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", area], {});
    expect(mounted.status).toBe(0);
    const m = await overlay.mount({ lowers: [{ d: { big: "x".repeat(8 << 20), f: "1" } }], upperArea: area });
    await refuses("ENOSPC", m.sys.open(`${m.mnt}/d/big`, "O_RDWR"));
    expect((await m.sys.stat(`${m.mnt}/d/big`)).size).toBe(8 << 20);
    expect(await m.sys.hash(`${m.mnt}/d/big`)).toBe(await overlay.host.hash(`${m.lowers[0]}/d/big`));
    expect(await m.namesInUpper("d")).toEqual([]);
    await m.sys.appendFile(`${m.mnt}/d/f`, "2");
    expect(await m.sys.readFile(`${m.mnt}/d/f`)).toBe("12");
  });

  test.each(["SA_RESTART", "no SA_RESTART"])(
    "goes on after a signal that its caller handles, with %s",
    async (flag) => {
      // From another file system no copy is a reflink.
      const area = `${overlay.scratch}/memory`;
      await overlay.host.mkdir(area);
      expect(await overlay.host.run(["mount", "-t", "tmpfs", "memory", area], {})).toMatchObject({ status: 0 });
      const m = await overlay.mount({ lowers: [{}], lowerArea: area });
      const [lower = ""] = m.lowers;
      overlay.forgetLower(lower);
      const fd = await overlay.host.open(`${lower}/f`, "O_CREAT|O_WRONLY");
      await overlay.host.writeAll(fd, "0123456789abcdef".repeat(65536), 96);
      await overlay.host.close(fd);
      const { stdout } = await m.sys.run(["python3", "-c", chmodWithSignal, `${m.mnt}/f`, flag], {});
      // The kernel's gives up for any signal, and begins anew only where it may.
      const fails = overlay.kind === "kernel" && flag !== "SA_RESTART";
      expect(stdout).toBe(fails ? "Interrupted system call\n" : "Success\n");
      expect(await m.namesInUpper()).toEqual(fails ? [] : ["f"]);
    },
  );

  test("by a user who may write the file but not its directory", async () => {
    const m = await overlay.mount({
      lowers: [{ d: dir({ f: file("data", { uid: 1000, gid: 1000, mode: 0o200, mtime: old }) }, { mtime: old }) }],
    });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await user.appendFile(`${m.mnt}/d/f`, "+");
    expect(await m.sys.readFile(`${m.mnt}/d/f`)).toBe("data+");
    expect(await m.sys.stat(`${m.mnt}/d/f`)).toMatchObject({ uid: 1000, gid: 1000, mode: 0o200 });
    expect(await m.sys.stat(`${m.mnt}/d`)).toMatchObject({ uid: 0, gid: 0, mode: 0o755, mtime: old });
  });

  test("by several processes at once keeps every write", async () => {
    const m = await overlay.mount({ lowers: [{ f: "x".repeat(3 << 20) }] });
    const agents = await Promise.all(Array.from({ length: 4 }, () => overlay.agent()));
    await Promise.all(agents.map((agent, index) => agent.appendFile(`${m.mnt}/f`, `${index}`)));
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    expect((await m.sys.stat(fd)).size).toBe((3 << 20) + 4);
    expect([...(await m.sys.pread(fd, 100, 3 << 20))].sort().join("")).toBe("0123");
  });

  test("of one name of a lower hard link breaks the link, as the kernel documents", async () => {
    const m = await overlay.mount({ lowers: [{ a: "data", b: hardlink("a"), c: hardlink("a") }] });
    expect((await m.sys.stat(`${m.mnt}/a`)).nlink).toBe(3);
    await m.sys.appendFile(`${m.mnt}/a`, "+");
    expect(await m.sys.readFile(`${m.mnt}/a`)).toBe("data+");
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("data");
    expect((await m.sys.stat(`${m.mnt}/a`)).nlink).toBe(1);
    expect(await m.namesInUpper()).toEqual(["a"]);
  });

  test("of a name with odd bytes, and of the longest name", async () => {
    const names = ["\xff\xfe\x01 \n'\"\\:,", "\u00e9".repeat(255), "-", "..."];
    const m = await overlay.mount({ lowers: [Object.fromEntries(names.map((name) => [name, "data"]))] });
    for (const name of names) {
      await m.sys.appendFile(`${m.mnt}/${name}`, "+");
      expect(await overlay.host.readFile(`${m.upper}/${name}`)).toBe("data+");
    }
    expect(await m.sys.list(m.mnt)).toEqual([...names].sort());
  });

  test("below sixty directories", async () => {
    const path = Array.from({ length: 60 }, (_, index) => `d${index}`);
    const tree = path.reduceRight<Record<string, object>>((inner, name) => ({ [name]: inner }), { f: file("data") });
    const m = await overlay.mount({ lowers: [tree as never] });
    const f = [m.mnt, ...path, "f"].join("/");
    await m.sys.appendFile(f, "+");
    expect(await m.sys.readFile(f)).toBe("data+");
    expect(await overlay.host.readFile([m.upper, ...path, "f"].join("/"))).toBe("data+");
  });
});
