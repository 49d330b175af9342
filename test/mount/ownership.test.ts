/** Who owns what is made, who may do what, and when set-id bits and capabilities go. */
import { expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { dir, fifo, file, symlink } from "../support/tree.ts";

const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
const capFsetid = 4;

const makers: [name: string, withMode: boolean, make: (sys: Agent, path: string) => Promise<unknown>][] = [
  ["file", true, (sys, path) => sys.open(path, "O_CREAT|O_WRONLY", 0o666)],
  ["dir", true, (sys, path) => sys.mkdir(path, 0o777)],
  ["fifo", true, (sys, path) => sys.mknod(path, "fifo", 0o666)],
  ["socket", true, (sys, path) => sys.listen(path)],
  ["symlink", false, (sys, path) => sys.symlink("x", path)],
];

describeOverlay("ownership", (overlay) => {
  test.each(makers)("a new %s belongs to its maker, less the umask", async (name, withMode, make) => {
    const m = await overlay.mount({ lowers: [{ d: dir({}, { mode: 0o777 }) }] });
    const user = await overlay.agent({ uid: 1000, gid: 1001, groups: [2000] });
    await user.umask(0o026);
    await make(user, `${m.mnt}/d/${name}`);
    const base = name === "dir" || name === "socket" ? 0o777 : 0o666;
    const expected = { uid: 1000, gid: 1001, ...(withMode ? { mode: base & ~0o026 } : {}) };
    expect(await m.sys.lstat(`${m.mnt}/d/${name}`)).toMatchObject(expected);
    expect(await overlay.host.lstat(`${m.upper}/d/${name}`)).toMatchObject(expected);
  });

  test("fsuid and fsgid own what is made, not the other ids", async () => {
    const m = await overlay.mount({ lowers: [{ d: dir({}, { mode: 0o777 }) }] });
    const other = await overlay.agent();
    await other.setFsIds(1234, 5678);
    await other.writeFile(`${m.mnt}/d/f`, "1");
    expect(await m.sys.lstat(`${m.mnt}/d/f`)).toMatchObject({ uid: 1234, gid: 5678 });
  });

  test.each(makers)(
    "a new %s in a setgid directory takes its group; a directory the bit too",
    async (name, _with, make) => {
      const m = await overlay.mount({ lowers: [{ d: dir({}, { mode: 0o2777, gid: 4242 }) }] });
      const user = await overlay.agent({ uid: 1000, gid: 1000 });
      await make(user, `${m.mnt}/d/${name}`);
      const stat = await overlay.host.lstat(`${m.upper}/d/${name}`);
      expect(stat).toMatchObject({ uid: 1000, gid: 4242 });
      expect(Boolean(stat.mode & 0o2000)).toBe(name === "dir");
      expect(await m.sys.lstat(`${m.mnt}/d/${name}`)).toEqual(await m.sys.lstat(`${m.mnt}/d/${name}`));
      expect((await m.sys.lstat(`${m.mnt}/d/${name}`)).mode).toBe(stat.mode);
    },
  );

  test("modes with special bits: root's are kept, a setgid bit is lost by one who is not in the group", async () => {
    const m = await overlay.mount({
      lowers: [{ d: dir({}, { mode: 0o2777, gid: 4242 }), p: dir({}, { mode: 0o777 }) }],
    });
    await m.sys.umask(0);
    await m.sys.open(`${m.mnt}/p/root`, "O_CREAT|O_WRONLY", 0o6755);
    await m.sys.mkdir(`${m.mnt}/p/dir`, 0o1777);
    expect((await m.sys.stat(`${m.mnt}/p/root`)).mode).toBe(0o6755);
    expect((await m.sys.stat(`${m.mnt}/p/dir`)).mode).toBe(0o1777);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await user.umask(0);
    await user.open(`${m.mnt}/d/alien`, "O_CREAT|O_WRONLY", 0o2755);
    expect((await m.sys.stat(`${m.mnt}/d/alien`)).mode).toBe(0o755);
    await user.open(`${m.mnt}/p/own`, "O_CREAT|O_WRONLY", 0o6755);
    expect((await m.sys.stat(`${m.mnt}/p/own`)).mode).toBe(0o6755);
  });

  test("a default ACL comes in place of the umask, and is inherited", async () => {
    const m = await overlay.mount({ lowers: [{ d: dir({}, { mode: 0o777 }) }] });
    const entries = [
      ["user_obj", null, 7],
      ["user", 1001, 6],
      ["group_obj", null, 5],
      ["mask", null, 7],
      ["other", null, 1],
    ] as const;
    await m.sys.setAcl(`${m.mnt}/d`, entries, true);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await user.umask(0o077);
    await user.writeFile(`${m.mnt}/d/f`, "1", 0o666);
    await user.mkdir(`${m.mnt}/d/s`, 0o777);
    await user.mknod(`${m.mnt}/d/p`, "fifo", 0o666);
    expect((await m.sys.stat(`${m.mnt}/d/f`)).mode).toBe(0o660);
    expect((await m.sys.stat(`${m.mnt}/d/p`)).mode).toBe(0o660);
    expect((await m.sys.stat(`${m.mnt}/d/s`)).mode).toBe(0o771);
    const inherited = await m.sys.getxattr(`${m.mnt}/d/s`, "system.posix_acl_default");
    expect(inherited).toBe(await m.sys.getxattr(`${m.mnt}/d`, "system.posix_acl_default"));
    const friend = await overlay.agent({ uid: 1001, gid: 1001 });
    const stranger = await overlay.agent({ uid: 1002, gid: 1002 });
    expect(await friend.readFile(`${m.mnt}/d/f`)).toBe("1");
    await friend.appendFile(`${m.mnt}/d/f`, "2");
    await refuses("EACCES", stranger.open(`${m.mnt}/d/f`, "O_RDONLY"));
    const getfacl = await m.sys.run(["getfacl", "-cpn", `${m.mnt}/d/f`], {});
    expect(getfacl.stdout).toContain("user:1001:rw-");
  });

  test("a default ACL and setgid of the workdir reach nothing that is made in it, unlike those of its directory", async () => {
    const rich = dir({}, { mode: 0o777 });
    const m = await overlay.mount({
      lowers: [{ f: "1", d: rich, p: fifo(), s: symlink("f"), gone: "1", goneDir: {}, acl: dir({ f: "1", e: {} }) }],
    });
    const acl = (user: number) =>
      [
        ["user_obj", null, 7],
        ["user", user, 6],
        ["group_obj", null, 5],
        ["mask", null, 7],
        ["other", null, 5],
      ] as const;
    await m.sys.setAcl(`${m.mnt}/acl`, acl(1001), true);
    await overlay.host.setAcl(m.work, acl(7), true);
    await overlay.host.chown(m.work, 0, 4242);
    await overlay.host.chmod(m.work, 0o2755);
    await m.remount();
    const { sys } = m;
    for (const name of ["f", "d", "p"]) {
      await sys.chmod(`${m.mnt}/${name}`, 0o757);
    }
    await sys.lchown(`${m.mnt}/s`, 3, 4);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await user.umask(0);
    for (const at of ["", "d/"]) {
      await (at === "" ? sys : user).mkdir(`${m.mnt}/${at}newDir`, 0o755);
      await (at === "" ? sys : user).writeFile(`${m.mnt}/${at}new`, "1", 0o644);
    }
    await sys.unlink(`${m.mnt}/gone`);
    await sys.rmdir(`${m.mnt}/goneDir`);
    await sys.writeFile(`${m.mnt}/gone`, "2", 0o644);
    await sys.mkdir(`${m.mnt}/goneDir`, 0o755);
    await sys.unlink(`${m.mnt}/acl/f`);
    await sys.rmdir(`${m.mnt}/acl/e`);
    await sys.writeFile(`${m.mnt}/acl/f`, "2", 0o666);
    await sys.mkdir(`${m.mnt}/acl/e`, 0o777);

    const upper = await m.inUpper();
    const shown = Object.entries(upper).map(([path, { mode, gid, xattrs = {} }]) => [
      path,
      { mode, gid, acls: Object.entries(xattrs).filter(([name]) => name.startsWith("system.posix_acl")) },
    ]);
    const plain = (mode: number, gid = 0) => ({ mode, gid, acls: [] });
    expect(Object.fromEntries(shown)).toMatchObject({
      f: plain(0o757),
      d: plain(0o757),
      p: plain(0o757),
      s: plain(0o777, 4),
      newDir: plain(0o755),
      new: plain(0o644),
      "d/newDir": plain(0o755, 1000),
      "d/new": plain(0o644, 1000),
      gone: plain(0o644),
      goneDir: plain(0o755),
    });
    const inherited = upper.acl?.xattrs?.["system.posix_acl_default"];
    expect(inherited).toBeDefined();
    expect(upper["acl/e"]?.xattrs?.["system.posix_acl_default"]).toBe(inherited);
    expect(upper["acl/f"]?.mode).toBe(0o664);
    expect((await sys.run(["getfacl", "-cpn", `${m.mnt}/acl/f`], {})).stdout).toContain("user:1001:rw-");
  });

  test("an access ACL is enforced, follows chmod, and is copied up", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("1", { mode: 0o600 }) }] });
    await m.sys.setAcl(`${m.mnt}/f`, [
      ["user_obj", null, 6],
      ["user", 1000, 4],
      ["group_obj", null, 0],
      ["mask", null, 4],
      ["other", null, 0],
    ]);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    const other = await overlay.agent({ uid: 1001, gid: 1001 });
    expect(await user.readFile(`${m.mnt}/f`)).toBe("1");
    await refuses("EACCES", user.open(`${m.mnt}/f`, "O_RDWR"));
    await refuses("EACCES", other.open(`${m.mnt}/f`, "O_RDONLY"));
    expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(0o640);
    await m.sys.chmod(`${m.mnt}/f`, 0o600);
    await refuses("EACCES", user.open(`${m.mnt}/f`, "O_RDONLY"));
    expect((await m.sys.run(["getfacl", "-cpn", `${m.mnt}/f`], {})).stdout).toContain("mask::---");
    await m.sys.run(["setfacl", "-b", `${m.mnt}/f`], {});
    expect(await m.sys.listxattr(`${m.mnt}/f`)).toEqual([]);
    await refuses("EPERM", other.setxattr(`${m.mnt}/f`, "system.posix_acl_access", "\x02\0\0\0"));
  });

  test("permissions are checked for other users", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          private: file("1", { mode: 0o600 }),
          group: file("1", { mode: 0o640, gid: 2000 }),
          closed: dir({ f: file("1", { mode: 0o666 }) }, { mode: 0o700 }),
          listed: dir({ f: "1" }, { mode: 0o744 }),
          passed: dir({ f: file("1", { mode: 0o666 }) }, { mode: 0o711 }),
          prog: file("#!/bin/sh\n", { mode: 0o644 }),
        },
      ],
    });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    const member = await overlay.agent({ uid: 1001, gid: 1001, groups: [2000] });
    await refuses("EACCES", user.open(`${m.mnt}/private`, "O_RDONLY"));
    await refuses("EACCES", user.open(`${m.mnt}/group`, "O_RDONLY"));
    expect(await member.readFile(`${m.mnt}/group`)).toBe("1");
    await refuses("EACCES", member.open(`${m.mnt}/group`, "O_WRONLY"));
    await refuses("EACCES", user.lstat(`${m.mnt}/closed/f`));
    await refuses("EACCES", user.list(`${m.mnt}/closed`));
    expect(await user.list(`${m.mnt}/listed`)).toEqual(["f"]);
    await refuses("EACCES", user.lstat(`${m.mnt}/listed/f`));
    await refuses("EACCES", user.list(`${m.mnt}/passed`));
    await user.appendFile(`${m.mnt}/passed/f`, "2");
    expect(await m.sys.readFile(`${m.mnt}/passed/f`)).toBe("12");
    await refuses("EACCES", user.writeFile(`${m.mnt}/new`, "1"));
    await refuses("EACCES", user.mkdir(`${m.mnt}/listed/new`));
    await refuses("EACCES", user.rename(`${m.mnt}/prog`, `${m.mnt}/prog2`));
    await refuses("EPERM", user.chmod(`${m.mnt}/prog`, 0o777));
    await refuses("EPERM", user.chown(`${m.mnt}/prog`, 1000, 1000));
    await refuses("EPERM", user.utimens(`${m.mnt}/prog`, 1n, 1n));
    await refuses("EACCES", user.utimens(`${m.mnt}/prog`, "now", "now"));
    await refuses("EACCES", user.setxattr(`${m.mnt}/prog`, "user.k", "v"));
    await refuses("EACCES", user.truncate(`${m.mnt}/prog`, 0));
    expect(await user.access(`${m.mnt}/prog`, "X_OK")).toBe(false);
    expect(await user.access(`${m.mnt}/prog`, "R_OK")).toBe(true);
    expect(await user.access(`${m.mnt}/prog`, "W_OK")).toBe(false);
    expect(await m.sys.access(`${m.mnt}/private`, "W_OK")).toBe(true);
    expect(await m.sys.access(`${m.mnt}/prog`, "X_OK")).toBe(false);
  });

  test("the owner may chmod, chown to own groups, and set times", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("1", { uid: 1000, gid: 1000, mode: 0o6755 }) }] });
    const user = await overlay.agent({ uid: 1000, gid: 1000, groups: [2000] });
    await user.utimens(`${m.mnt}/f`, 5n, 6n);
    await user.chmod(`${m.mnt}/f`, 0o6711);
    expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(0o6711);
    await user.chown(`${m.mnt}/f`, -1, 2000);
    expect(await m.sys.stat(`${m.mnt}/f`)).toMatchObject({ gid: 2000, mode: 0o711 });
    await refuses("EPERM", user.chown(`${m.mnt}/f`, -1, 3000));
    await refuses("EPERM", user.chown(`${m.mnt}/f`, 1001, -1));
    await m.sys.chown(`${m.mnt}/f`, -1, 3000);
    await user.chmod(`${m.mnt}/f`, 0o2755);
    expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(0o755);
  });
});

/** What takes set-id bits and file capabilities away, and from whom. */
const drops: [name: string, change: (sys: Agent, path: string) => Promise<unknown>][] = [
  ["write", (sys, path) => sys.appendFile(path, "x")],
  ["truncate", (sys, path) => sys.truncate(path, 1)],
  ["open O_TRUNC", (sys, path) => sys.open(path, "O_WRONLY|O_TRUNC")],
  [
    "copy_file_range",
    async (sys, path) => {
      const from = await sys.open(path, "O_RDONLY");
      const to = await sys.open(path, "O_WRONLY");
      expect(await sys.copyFileRange(from, to, 2, 0, 2)).toBe(2);
    },
  ],
  ["fallocate", (sys, path) => sys.open(path, "O_WRONLY").then((fd) => sys.fallocate(fd, "", 0, 100))],
];

describeOverlay("set-id bits and capabilities", (overlay) => {
  test.each(drops.flatMap(([name, change]) => [["lower", name, change] as const, ["upper", name, change] as const]))(
    "of a %s file go with %s by a user",
    async (place, _name, change) => {
      const tree = {
        f: file("data", { mode: 0o6777, xattrs: { "security.capability": netRaw } }),
        nox: file("data", { mode: 0o2767 }),
      };
      const m = await overlay.mount({ lowers: [place === "lower" ? tree : {}], upper: place === "upper" ? tree : {} });
      const user = await overlay.agent({ uid: 1000, gid: 1000 });
      await change(user, `${m.mnt}/f`);
      await change(user, `${m.mnt}/nox`);
      expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(0o777);
      expect((await overlay.host.lstat(`${m.upper}/f`)).mode).toBe(0o777);
      expect(await m.sys.listxattr(`${m.mnt}/f`)).toEqual([]);
      // Without group execute, setgid goes where the writer is not in the group.
      expect((await m.sys.stat(`${m.mnt}/nox`)).mode).toBe(0o767);
    },
  );

  test.each(drops)("stay with %s by root, but capabilities go", async (_name, change) => {
    const m = await overlay.mount({
      lowers: [{ f: file("data", { mode: 0o6755, xattrs: { "security.capability": netRaw } }) }],
    });
    await change(m.sys, `${m.mnt}/f`);
    expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(0o6755);
    expect(await m.sys.listxattr(`${m.mnt}/f`)).toEqual([]);
    expect((await overlay.host.listxattr(`${m.upper}/f`)).filter((name) => name.startsWith("security."))).toEqual([]);
  });

  test.each(drops)("go with %s by root without CAP_FSETID", async (name, change) => {
    const m = await overlay.mount({ lowers: [{ f: file("data", { mode: 0o6755 }) }] });
    const weak = await overlay.agent();
    await weak.dropCapability(capFsetid);
    await change(weak, `${m.mnt}/f`);
    // FUSE does not tell a daemon whether the caller of these two has CAP_FSETID: Veneer goes by the uid.
    const untold = overlay.kind === "veneer" && (name === "fallocate" || name === "copy_file_range");
    expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(untold ? 0o6755 : 0o755);
  });

  test("chown drops them, even by root; not those of a directory", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          f: file("data", { mode: 0o6755, xattrs: { "security.capability": netRaw } }),
          locked: file("data", { mode: 0o2644 }),
          d: dir({}, { mode: 0o6755 }),
        },
      ],
    });
    for (const name of ["f", "locked", "d"]) {
      await m.sys.chown(`${m.mnt}/${name}`, 5, 6);
    }
    expect(await m.sys.stat(`${m.mnt}/f`)).toMatchObject({ mode: 0o755, uid: 5, gid: 6 });
    expect(await m.sys.listxattr(`${m.mnt}/f`)).toEqual([]);
    expect((await overlay.host.lstat(`${m.upper}/f`)).mode).toBe(0o755);
    // Without group execute the bit once meant mandatory locking: it stays for root.
    expect((await m.sys.stat(`${m.mnt}/locked`)).mode).toBe(0o2644);
    expect((await m.sys.stat(`${m.mnt}/d`)).mode).toBe(0o6755);
  });

  test("a later write through a handle that was open before chmod u+s drops them too", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("data", { mode: 0o777 }) }] });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    const fd = await user.open(`${m.mnt}/f`, "O_RDWR");
    await user.write(fd, "1");
    await m.sys.chmod(`${m.mnt}/f`, 0o6777);
    await user.write(fd, "2");
    expect((await m.sys.stat(`${m.mnt}/f`)).mode).toBe(0o777);
    await m.sys.chmod(`${m.mnt}/f`, 0o6777);
    const mapping = await user.mmap(fd, 4, "PROT_READ|PROT_WRITE");
    await user.mwrite(mapping, 0, "3");
    await user.msync(mapping);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toMatch(/^3/);
  });

  test("a setuid program runs as its owner; with nosuid it does not", async () => {
    for (const [options, uid] of [
      [[], 4321],
      [["nosuid"], 1000],
    ] as const) {
      const m = await overlay.mount({ lowers: [{}], options });
      await m.sys.run(["cp", "/usr/bin/id", `${m.mnt}/id`], {});
      await m.sys.chown(`${m.mnt}/id`, 4321, 0);
      await m.sys.chmod(`${m.mnt}/id`, 0o4755);
      const user = await overlay.agent({ uid: 1000, gid: 1000 });
      expect((await user.run([`${m.mnt}/id`, "-u"], {})).stdout.trim()).toBe(`${uid}`);
    }
  });
});
