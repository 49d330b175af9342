/**
 * What overlayfs leaves to the file system beneath it: the same calls are made in a plain directory of that file system,
 * and must answer and leave the same in the mount.
 */
import { describe, expect, test } from "vitest";
import type { AclEntry, Agent, FileStat } from "../support/agent.ts";
import { describeOverlay, outcomeOf, passthrough } from "../support/overlay.ts";
import { makeFileSystem } from "../support/scratch.ts";
import { dir, file, symlink } from "../support/tree.ts";
import { attributesOf, besides, sameInAll } from "./plain-directory.ts";

/** cap_net_raw=ep as VFS_CAP_REVISION_2, and revision 3 with a root id, in capabilities(7). */
const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
const netRawOf1000 = `${netRaw.slice(0, 3)}\x03${netRaw.slice(4)}\xe8\x03\x00\x00`;
const old = 1_000_000_000_000_000_000n;
const toCome = 4_102_444_800_000_000_000n;

const errnoOf = (error: { code: string }) => error.code;

const inherited: Record<string, readonly AclEntry[]> = {
  extended: [
    ["user_obj", null, 7],
    ["user", 1001, 6],
    ["group_obj", null, 5],
    ["mask", null, 7],
    ["other", null, 1],
  ],
  minimal: [
    ["user_obj", null, 6],
    ["group_obj", null, 4],
    ["other", null, 0],
  ],
  groups: [
    ["user_obj", null, 7],
    ["group_obj", null, 7],
    ["group", 2000, 3],
    ["mask", null, 3],
    ["other", null, 0],
  ],
};

const makers: Record<string, (sys: Agent, path: string, directory: string) => Promise<unknown>> = {
  file: (sys, path) => sys.open(path, "O_CREAT|O_WRONLY", 0o666),
  program: (sys, path) => sys.open(path, "O_CREAT|O_WRONLY", 0o4751),
  directory: (sys, path) => sys.mkdir(path, 0o777),
  sticky: (sys, path) => sys.mkdir(path, 0o1750),
  fifo: (sys, path) => sys.mknod(path, "fifo", 0o666),
  node: (sys, path) => sys.mknod(path, "file", 0o666),
  socket: (sys, path) => sys.listen(path),
  symlink: (sys, path) => sys.symlink("x", path),
  unnamed: async (sys, path, directory) => sys.linkFd(await sys.open(directory, "O_RDWR|O_TMPFILE", 0o666), path),
};

describeOverlay("ACLs, as beneath", (overlay) => {
  test("a default ACL is inherited, whatever the umask, by whomever", async () => {
    const tree = Object.fromEntries(
      Object.keys(inherited).map((name) => [
        name,
        dir({ d: dir({ gone: "1" }, { mode: 0o777 }), setgid: dir({}, { mode: 0o2777, gid: 77 }) }, { mode: 0o777 }),
      ]),
    );
    const { m, places, plain } = await besides(overlay, tree);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    for (const [acl, entries] of Object.entries(inherited)) {
      for (const root of [...places, plain]) {
        await m.sys.setAcl(`${root}/${acl}/d`, entries, true);
        await m.sys.setAcl(`${root}/${acl}/setgid`, entries, true);
        // Made again over a whiteout.
        await m.sys.unlink(`${root}/${acl}/d/gone`);
      }
      for (const [who, sys, directory, mask] of [
        ["root", m.sys, `${acl}/d`, 0],
        ["user", user, `${acl}/d`, 0o077],
        ["user", user, `${acl}/setgid`, 0],
      ] as const) {
        await sys.umask(mask);
        await sameInAll(places, plain, async (root) => {
          for (const [kind, make] of Object.entries(makers)) {
            const name = who === "root" && kind === "file" ? "gone" : `${who}-${kind}`;
            await make(sys, `${root}/${directory}/${name}`, `${root}/${directory}`);
          }
          return m.sys.snapshot(`${root}/${directory}`, { times: false, hideXattrs: ["trusted.overlay."] });
        });
      }
    }
  });

  test("entries decide who reads and writes; chmod moves the mask; bad ones are refused; setgid goes with one", async () => {
    const acl: AclEntry[] = [
      ["user_obj", null, 6],
      ["user", 1001, 6],
      ["user", 1002, 0],
      ["group_obj", null, 4],
      ["group", 2000, 2],
      ["mask", null, 6],
      ["other", null, 4],
    ];
    const { m, places, plain } = await besides(overlay, {
      f: file("data", { uid: 1000, gid: 1000, mode: 0o640 }),
      s: file("data", { uid: 1000, gid: 3000, mode: 0o2755 }),
    });
    for (const root of [...places, plain]) {
      await m.sys.setAcl(`${root}/f`, acl);
    }
    for (const [uid, groups] of [
      [1000, []],
      [1001, []],
      [1002, []],
      [1003, [2000]],
      [1003, [1000]],
      [1004, []],
    ] as const) {
      const user = await overlay.agent({ uid, gid: uid, groups });
      await sameInAll(places, plain, async (root) => {
        const path = `${root}/f`;
        const opened = ["O_RDONLY", "O_WRONLY", "O_RDWR"].map((flags) => outcomeOf(user.open(path, flags)));
        return [...(await Promise.all(opened)), await user.access(path, "R_OK"), await user.access(path, "W_OK")];
      });
    }
    for (const mode of [0o600, 0o666, 0o070, 0o4755]) {
      await sameInAll(places, plain, async (root) => {
        await m.sys.chmod(`${root}/f`, mode);
        return attributesOf(m.sys, `${root}/f`);
      });
    }
    const [userObj, groupObj, mask, other] = [acl[0], acl[3], acl[5], acl[6]] as [
      AclEntry,
      AclEntry,
      AclEntry,
      AclEntry,
    ];
    const bad: AclEntry[][] = [
      [],
      [userObj, ["user", 1, 6], groupObj, other],
      [userObj, userObj, groupObj, other],
      [other, groupObj, userObj],
      [userObj, groupObj],
      [["user_obj", null, 15], groupObj, other],
      [userObj, ["user", 9, 6], ["user", 5, 6], groupObj, mask, other],
      [userObj, ["user", null, 6], groupObj, mask, other],
    ];
    for (const entries of bad) {
      await sameInAll(places, plain, async (root) => [
        await outcomeOf(m.sys.setAcl(`${root}/f`, entries)),
        await attributesOf(m.sys, `${root}/f`),
      ]);
    }
    for (const value of ["", "\x02\0\0", "\x03\0\0\0", "\x02\0\0\0x"]) {
      await sameInAll(places, plain, (root) =>
        outcomeOf(m.sys.setxattr(`${root}/f`, "system.posix_acl_access", value)),
      );
    }
    const [owner, member, stranger] = [
      await overlay.agent({ uid: 1000, gid: 1000 }),
      await overlay.agent({ uid: 1000, gid: 1000, groups: [3000] }),
      await overlay.agent({ uid: 1001, gid: 1001 }),
    ];
    for (const sys of [stranger, owner, member, m.sys]) {
      await sameInAll(places, plain, async (root) => {
        await m.sys.chmod(`${root}/s`, 0o2755);
        return [await outcomeOf(sys.setAcl(`${root}/s`, acl)), await attributesOf(m.sys, `${root}/s`)];
      });
    }
    for (const name of ["system.posix_acl_access", "system.posix_acl_default"]) {
      await sameInAll(places, plain, async (root) => [
        await outcomeOf(m.sys.removexattr(`${root}/s`, name)),
        await outcomeOf(m.sys.removexattr(`${root}/s`, name)),
        await attributesOf(m.sys, `${root}/s`),
      ]);
    }
  });
});

/** What is done to a file with set-id bits and a capability. */
const changes: Record<string, (sys: Agent, path: string, fd: number) => Promise<unknown>> = {
  rename: (sys, path) => sys.rename(path, `${path}2`).then(() => sys.rename(`${path}2`, path)),
  chmod: (sys, path) => sys.chmod(path, 0o6711),
  utimens: (sys, path) => sys.utimens(path, 5n, 6n),
  setxattr: (sys, path) => sys.setxattr(path, "user.k", "v"),
  "chown to the owner": (sys, path) => sys.chown(path, 0, 0),
  "truncate to the same size": (sys, path) => sys.truncate(path, 4),
  "truncate to nothing": (sys, path) => sys.truncate(path, 0),
  "open O_TRUNC": (sys, path) => sys.open(path, "O_WRONLY|O_TRUNC"),
  write: (sys, _path, fd) => sys.write(fd, "x"),
  "write of nothing": (sys, _path, fd) => sys.write(fd, ""),
  allocate: (sys, _path, fd) => sys.fallocate(fd, "", 0, 10),
  punch: (sys, _path, fd) => sys.fallocate(fd, "PUNCH_HOLE|KEEP_SIZE", 0, 10),
  copy_file_range: (sys, _path, fd) => sys.copyFileRange(fd, fd, 1, 0, 2),
};

describeOverlay("capabilities, as beneath", (overlay) => {
  test("what keeps and what takes them, and set-id bits: by root, the owner and a stranger", async () => {
    const callers = { root: 0, owner: 1000, stranger: 77 };
    const tree = Object.entries(callers).map(([who, uid]) => {
      const meta = { mode: 0o6777, uid, gid: uid, xattrs: { "security.capability": netRaw } };
      const files = Object.keys(changes).map((name) => [name, file("data", meta)] as const);
      return [who, dir(Object.fromEntries(files), { mode: 0o777 })] as const;
    });
    const { m, places, plain } = await besides(overlay, Object.fromEntries(tree));
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    for (const who of Object.keys(callers)) {
      const sys = who === "root" ? m.sys : user;
      for (const [name, change] of Object.entries(changes)) {
        await sameInAll(places, plain, async (root) => {
          const path = `${root}/${who}/${name}`;
          const fd = await sys.open(path, "O_RDWR");
          const outcome = await outcomeOf(change(sys, path, fd));
          await sys.close(fd);
          return [who, name, outcome, await attributesOf(m.sys, path)];
        });
      }
    }
  });

  test("a chown to nobody", async () => {
    const meta = { mode: 0o6755, mtime: old };
    const m = await overlay.mount({ lowers: [{ f: file("1", meta) }], upper: { g: file("1", meta) } });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    const kernel = overlay.kind === "kernel";
    // Intended difference: FUSE does not tell a daemon such a call from what it sends before a write. It does nothing.
    expect(await outcomeOf(user.chown(`${m.mnt}/f`, -1, -1))).toBe(kernel ? "EPERM" : "ok");
    expect((await m.sys.lstat(`${m.mnt}/f`)).mode).toBe(0o6755);
    expect(await m.namesInUpper()).toEqual(["g"]);
    const { ctime } = await m.sys.lstat(`${m.mnt}/g`);
    await m.sys.sleep(0.005);
    await m.sys.chown(`${m.mnt}/g`, -1, -1);
    const after = await m.sys.lstat(`${m.mnt}/g`);
    expect([after.mode, after.ctime > ctime]).toEqual(kernel ? [0o755, true] : [0o6755, false]);
  });

  test("values: what may be set, and what is read and removed", async () => {
    const { m, places, plain } = await besides(overlay, { f: file("1", { mode: 0o755 }) });
    for (const value of ["\x01", `${netRaw.slice(0, 3)}\x07${netRaw.slice(4)}`, netRaw, netRawOf1000, ""]) {
      await sameInAll(places, plain, async (root) => [
        await outcomeOf(m.sys.setxattr(`${root}/f`, "security.capability", value)),
        await m.sys.getxattr(`${root}/f`, "security.capability").catch(errnoOf),
      ]);
    }
    await sameInAll(places, plain, async (root) => [
      await outcomeOf(m.sys.removexattr(`${root}/f`, "security.capability")),
      await m.sys.listxattr(`${root}/f`),
    ]);
  });

  test("in a user namespace: set there, and shown outside with the id of its root", async () => {
    const { m, places, plain } = await besides(overlay, { d: dir({}, { mode: 0o777 }) });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await sameInAll(places, plain, async (root) => {
      const script = `cp /bin/true ${root}/d/f && setcap cap_net_raw+ep ${root}/d/f && getcap ${root}/d/f`;
      const { status, stdout } = await user.run(["unshare", "-Ur", "sh", "-c", script], {});
      return [
        status,
        stdout.replace(root, ""),
        await m.sys.getxattr(`${root}/d/f`, "security.capability").catch(errnoOf),
      ];
    });
  });

  test.each(["upper", "off"])("a write through a mapping, passthrough=%s", async (mode) => {
    const m = await overlay.mount({
      lowers: [{ f: file("data", { xattrs: { "security.capability": netRaw } }) }],
      options: passthrough(overlay, mode),
    });
    const key = await m.sys.mmap(await m.sys.open(`${m.mnt}/f`, "O_RDWR"), 4, "PROT_READ|PROT_WRITE");
    await m.sys.mwrite(key, 0, "x");
    await m.sys.msync(key);
    // Intended difference: what was mapped comes to a FUSE daemon as a write, which takes the capability.
    const isWrite = overlay.kind === "veneer" && mode === "off";
    expect(await m.sys.listxattr(`${m.mnt}/f`)).toEqual(isWrite ? [] : ["security.capability"]);
  });
});

/** Which of atime, mtime and ctime a call moves. */
function moved(before: FileStat, after: FileStat): string {
  return (["atime", "mtime", "ctime"] as const).filter((time) => before[time] !== after[time]).join(" ");
}

interface TimedCall {
  readonly call: (sys: Agent, root: string, fd: number) => Promise<unknown>;
  /** Whose times are looked at; f unless told. */
  readonly of?: readonly string[];
}

const timed: Record<string, TimedCall> = {
  stat: { call: (sys, root) => sys.stat(`${root}/f`) },
  "open for writing": { call: (sys, root) => sys.open(`${root}/f`, "O_RDWR"), of: ["f", "."] },
  append: { call: (sys, root) => sys.appendFile(`${root}/f`, "+"), of: ["f", "."] },
  "write of nothing": { call: (sys, _root, fd) => sys.write(fd, "") },
  write: { call: (sys, _root, fd) => sys.pwrite(fd, "q", 0) },
  "ftruncate to the same size": { call: (sys, _root, fd) => sys.truncate(fd, 5) },
  ftruncate: { call: (sys, _root, fd) => sys.truncate(fd, 3) },
  "truncate to the same size": { call: (sys, root) => sys.truncate(`${root}/f`, 3) },
  "open O_TRUNC": { call: (sys, root) => sys.open(`${root}/f`, "O_WRONLY|O_TRUNC") },
  "open O_TRUNC of an empty file": { call: (sys, root) => sys.open(`${root}/f`, "O_WRONLY|O_TRUNC") },
  "truncate of an empty file": { call: (sys, root) => sys.truncate(`${root}/f`, 0) },
  allocate: { call: (sys, _root, fd) => sys.fallocate(fd, "", 0, 5000) },
  "allocate what is there": { call: (sys, _root, fd) => sys.fallocate(fd, "", 0, 5000) },
  "allocate beyond": { call: (sys, _root, fd) => sys.fallocate(fd, "KEEP_SIZE", 0, 50_000) },
  punch: { call: (sys, _root, fd) => sys.fallocate(fd, "PUNCH_HOLE|KEEP_SIZE", 0, 4096) },
  zero: { call: (sys, _root, fd) => outcomeOf(sys.fallocate(fd, "ZERO_RANGE", 0, 4096)) },
  fsync: { call: (sys, _root, fd) => sys.fsync(fd) },
  chmod: { call: (sys, root) => sys.chmod(`${root}/f`, 0o600), of: ["f", "."] },
  "chmod to the same": { call: (sys, root) => sys.chmod(`${root}/f`, 0o600) },
  "chown to the same": { call: (sys, root) => sys.chown(`${root}/f`, 0, 0) },
  setxattr: { call: (sys, root) => sys.setxattr(`${root}/f`, "user.k", "v") },
  "removexattr of none": { call: (sys, root) => outcomeOf(sys.removexattr(`${root}/f`, "user.none")) },
  "utimens given": { call: (sys, root) => sys.utimens(`${root}/f`, 5n, 6n) },
  "utimens of atime": { call: (sys, root) => sys.utimens(`${root}/f`, 7n, "omit") },
  "utimens of nothing": { call: (sys, root) => sys.utimens(`${root}/f`, "omit", "omit") },
  "times of a symlink": { call: (sys, root) => sys.utimens(`${root}/s`, 5n, 6n), of: ["s", "."] },
  link: { call: (sys, root) => sys.link(`${root}/f`, `${root}/d/l`), of: ["f", "d", "."] },
  "rename of a link": { call: (sys, root) => sys.rename(`${root}/d/l`, `${root}/l`), of: ["f", "d", "."] },
  "unlink of a link": { call: (sys, root) => sys.unlink(`${root}/l`), of: ["f", "."] },
  rename: { call: (sys, root) => sys.rename(`${root}/g`, `${root}/d/g`), of: ["d", "."] },
  create: { call: (sys, root) => sys.open(`${root}/d/c`, "O_CREAT|O_WRONLY"), of: ["d", "."] },
  mkdir: { call: (sys, root) => sys.mkdir(`${root}/d/n`), of: ["d", "."] },
  rmdir: { call: (sys, root) => sys.rmdir(`${root}/d/n`), of: ["d", "."] },
  "rename over": { call: (sys, root) => sys.rename(`${root}/d/c`, `${root}/x`), of: ["d", "."] },
  exchange: { call: (sys, root) => sys.renameat2(`${root}/x`, `${root}/y`, "EXCHANGE"), of: ["y", "."] },
  unlink: { call: (sys, root) => sys.unlink(`${root}/d/in`), of: ["d"] },
  symlink: { call: (sys, root) => sys.symlink("a", `${root}/d/sy`), of: ["d"] },
  unnamed: { call: (sys, root) => sys.open(`${root}/d`, "O_RDWR|O_TMPFILE"), of: ["d"] },
  "a failed unlink": { call: (sys, root) => outcomeOf(sys.unlink(`${root}/none`)), of: ["."] },
  "a failed rmdir": { call: (sys, root) => outcomeOf(sys.rmdir(`${root}/d`)), of: ["d", "."] },
};

describeOverlay("times, as beneath", (overlay) => {
  test.each(["the scratch directory's file system", "tmpfs"])("which times each call moves, on %s", async (where) => {
    const area = where === "tmpfs" ? `${overlay.scratch}/fs` : overlay.scratch;
    if (where === "tmpfs") {
      await makeFileSystem("tmpfs", area);
    }
    const meta = { mtime: old, atime: old + 5n };
    const { m, places, plain } = await besides(
      overlay,
      {
        f: file("data", meta),
        g: file("1", meta),
        x: file("2", meta),
        y: file("3", meta),
        s: symlink("f", meta),
        d: dir({ in: file("4", meta) }, meta),
      },
      area,
    );
    const sequence = async (root: string) => {
      // Every object is an upper one, so that a copy-up, which has its own tests, moves no ctime. With an atime to come, reads (by
      // the daemon too, of directories) move none.
      for (const name of [".", "f", "g", "x", "y", "s", "d", "d/in"]) {
        await m.sys.utimens(`${root}/${name}`, toCome, old);
      }
      const fd = await m.sys.open(`${root}/f`, "O_RDWR");
      const result: Record<string, string[]> = {};
      for (const [name, { call, of = ["f"] }] of Object.entries(timed)) {
        const look = () => Promise.all(of.map((object) => m.sys.lstat(`${root}/${object}`)));
        const before = await look();
        await m.sys.sleep(0.005);
        await call(m.sys, root, fd);
        const after = await look();
        result[name] = after.map((stat, index) => moved(before[index] as FileStat, stat));
      }
      await m.sys.close(fd);
      return result;
    };
    await sameInAll(places, plain, sequence);
    for (const name of ["f", "d", "y", "."]) {
      for (const top of ["lower", "upper"]) {
        const [seen, real] = [
          await m.sys.lstat(`${m.mnt}/${top}/${name}`),
          await overlay.host.lstat(`${m.upper}/${top}/${name}`),
        ];
        expect([seen.mtime, seen.ctime], `${top}/${name}`).toEqual([real.mtime, real.ctime]);
      }
    }
  });

  test.each(["upper", "off"])("atime of what is read from the page cache, passthrough=%s", async (mode) => {
    const m = await overlay.mount({
      lowers: [{}],
      upper: { f: file("data", { mtime: old, atime: old }) },
      options: passthrough(overlay, mode),
    });
    await m.sys.appendFile(`${m.mnt}/f`, "+");
    await m.sys.readFile(`${m.mnt}/f`);
    await m.sys.utimens(`${m.mnt}/f`, old, "omit");
    await m.sys.sleep(0.005);
    await m.sys.readFile(`${m.mnt}/f`);
    // Intended difference: the daemon is not asked for pages that the kernel has, and FUSE keeps no atime of its own.
    expect((await m.sys.lstat(`${m.mnt}/f`)).atime === old).toBe(overlay.kind === "veneer" && mode === "off");
  });

  test("atime of a symlink whose target the kernel has", async () => {
    const m = await overlay.mount({ lowers: [{}], upper: { s: symlink("t", { mtime: old }) } });
    await m.sys.readlink(`${m.mnt}/s`);
    await m.sys.utimens(`${m.mnt}/s`, old, "omit");
    await m.sys.sleep(0.005);
    await m.sys.readlink(`${m.mnt}/s`);
    // Intended difference, as with pages.
    expect((await m.sys.lstat(`${m.mnt}/s`)).atime === old).toBe(overlay.kind === "veneer");
  });
});

describe("the comparison itself", () => {
  test("tells a difference", async () => {
    await expect(sameInAll(["a"], "b", (root) => Promise.resolve(root))).rejects.toThrow("a");
  });
});
