/** Immutable and append-only objects (chattr +i, +a): what they refuse, where they are kept, and who honours them. */
import { describe, expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, type Mounted, type Overlay, outcomeOf, refuses } from "../support/overlay.ts";
import { dir, file } from "../support/tree.ts";

const immutable = 0x10;
const append = 0x20;
const mark = "trusted.overlay.protattr";

async function flagsOf(sys: Agent, path: string): Promise<number> {
  const fd = await sys.open(path, "O_RDONLY");
  try {
    return await sys.getFlags(fd);
  } finally {
    await sys.close(fd);
  }
}

async function changeFlags(sys: Agent, path: string, add: number, remove = 0): Promise<void> {
  const fd = await sys.open(path, "O_RDONLY");
  try {
    await sys.setFlags(fd, ((await sys.getFlags(fd)) | add) & ~remove);
  } finally {
    await sys.close(fd);
  }
}

const protectedBits = async (sys: Agent, path: string) => (await flagsOf(sys, path)) & (immutable | append);

/** What is done to an object, and what an append-only one and an immutable one answer. "ok": it is done. */
type Row = readonly [name: string, appendOnly: string, immutable: string, call: (sys: Agent, p: string) => unknown];

const opening = (flags: string) => (sys: Agent, path: string) => sys.open(path, flags).then((fd) => sys.close(fd));
const allocating = (modes: string) => (sys: Agent, path: string) =>
  sys.open(path, "O_WRONLY|O_APPEND").then((fd) => sys.fallocate(fd, modes, 0, 4096));

const beside = (path: string) => path.replace(/[^/]*$/, "other");

const attributes: readonly Row[] = [
  ["chmod", "EPERM", "EPERM", (sys, p) => sys.chmod(p, 0o700)],
  ["chown", "EPERM", "EPERM", (sys, p) => sys.chown(p, 1, 1)],
  ["times given", "EPERM", "EPERM", (sys, p) => sys.utimens(p, 5n, 6n)],
  ["times now and omitted", "EPERM", "EPERM", (sys, p) => sys.utimens(p, "now", "omit")],
  ["touch", "ok", "EPERM", (sys, p) => sys.utimens(p, "now", "now")],
  ["setxattr", "EPERM", "EPERM", (sys, p) => sys.setxattr(p, "user.k", "v")],
  ["setxattr trusted", "EPERM", "EPERM", (sys, p) => sys.setxattr(p, "trusted.k", "v")],
  ["removexattr", "EPERM", "EPERM", (sys, p) => sys.removexattr(p, "user.x")],
  ["an ACL", "EPERM", "EPERM", (sys, p) => sys.setxattr(p, "system.posix_acl_access", aclOfMode)],
  ["rename", "EPERM", "EPERM", (sys, p) => sys.rename(p, `${p}-moved`)],
  ["exchange", "EPERM", "EPERM", (sys, p) => sys.renameat2(beside(p), p, "EXCHANGE")],
];
/** user::rw-, group::r--, other::r--, as acl(5) and linux/posix_acl_xattr.h have it. */
const aclOfMode = "\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";

const ofFiles: readonly Row[] = [
  ...attributes,
  ["open O_WRONLY", "EPERM", "EPERM", opening("O_WRONLY")],
  ["open O_RDWR", "EPERM", "EPERM", opening("O_RDWR")],
  ["open O_TRUNC", "EPERM", "EPERM", opening("O_RDONLY|O_TRUNC")],
  ["open O_APPEND|O_TRUNC", "EPERM", "EPERM", opening("O_WRONLY|O_APPEND|O_TRUNC")],
  ["open O_CREAT", "ok", "ok", opening("O_RDONLY|O_CREAT")],
  ["append", "ok", "EPERM", (sys, p) => sys.appendFile(p, "+")],
  ["truncate", "EPERM", "EPERM", (sys, p) => sys.truncate(p, 1)],
  ["allocate", "ok", "EPERM", allocating("KEEP_SIZE")],
  ["punch", "EPERM", "EPERM", allocating("PUNCH_HOLE|KEEP_SIZE")],
  ["zero", "EPERM", "EPERM", allocating("ZERO_RANGE")],
  ["link", "EPERM", "EPERM", (sys, p) => sys.link(p, `${p}-link`)],
  ["unlink", "EPERM", "EPERM", (sys, p) => sys.unlink(p)],
  ["rename onto it", "EPERM", "EPERM", (sys, p) => sys.rename(beside(p), p)],
];
const ofDirectories: readonly Row[] = [
  ...attributes,
  ["a file", "ok", "EPERM", (sys, p) => sys.writeFile(`${p}/new`, "1")],
  ["a directory", "ok", "EPERM", (sys, p) => sys.mkdir(`${p}/sub`)],
  ["a symlink", "ok", "EPERM", (sys, p) => sys.symlink("x", `${p}/link`)],
  ["a FIFO", "ok", "EPERM", (sys, p) => sys.mknod(`${p}/fifo`, "fifo", 0o600)],
  ["O_TMPFILE", "ok", "EPERM", opening("O_RDWR|O_TMPFILE")],
  ["a hard link", "ok", "EPERM", (sys, p) => sys.link(`${p}/in`, `${p}/in2`)],
  ["unlink in it", "EPERM", "EPERM", (sys, p) => sys.unlink(`${p}/in`)],
  ["rename in it", "EPERM", "EPERM", (sys, p) => sys.rename(`${p}/in`, `${p}/out`)],
  ["write to what is in it", "ok", "ok", (sys, p) => sys.appendFile(`${p}/in`, "+")],
  ["chmod of what is in it", "ok", "ok", (sys, p) => sys.chmod(`${p}/in`, 0o600)],
  ["rmdir", "EPERM", "EPERM", (sys, p) => sys.rmdir(p)],
];

const meta = { xattrs: { "user.x": "1" } };
const tree = () => ({ f: file("data", meta), d: dir({ in: "1" }, meta), other: "o" });

/** The three ways in which an object may have come by its flags. */
const places = ["on the lower", "by the xattr in the upper", "through the mount"] as const;

async function mountProtected(overlay: Overlay, place: (typeof places)[number], bit: number): Promise<Mounted> {
  if (place === "on the lower") {
    const lower = await overlay.buildLower(`${overlay.scratch}/flagged`, tree());
    for (const name of ["f", "d"]) {
      await changeFlags(overlay.host, `${lower}/${name}`, bit);
    }
    const m = await overlay.mount({ lowers: [{}] });
    await m.unmount();
    const { upper, work, mnt: mountpoint } = m;
    return overlay.mountPaths({ lowers: [lower], upper, work, mountpoint, options: [] });
  }
  if (place === "by the xattr in the upper") {
    const xattrs = { ...meta.xattrs, [mark]: bit === append ? "a" : "i" };
    return overlay.mount({
      lowers: [{}],
      upper: { f: file("data", { xattrs }), d: dir({ in: "1" }, { xattrs }), other: "o" },
    });
  }
  const m = await overlay.mount({ lowers: [tree()] });
  for (const name of ["f", "d"]) {
    await changeFlags(m.sys, `${m.mnt}/${name}`, bit);
  }
  return m;
}

const kinds = [
  ["append-only", append, 1, "a"],
  ["immutable", immutable, 2, "i"],
] as const;

describeOverlay("protected objects", (overlay) => {
  describe.each(places)("flags %s", (place) => {
    test.each(kinds)("%s: what is refused, and what is left in the upper", async (_name, bit, column, letter) => {
      const m = await mountProtected(overlay, place, bit);
      for (const [name, rows] of [
        ["f", ofFiles],
        ["d", ofDirectories],
      ] as const) {
        const path = `${m.mnt}/${name}`;
        const outcomes: Record<string, string> = {};
        for (const [what, , , call] of rows) {
          outcomes[what] = await outcomeOf(Promise.resolve(call(m.sys, path)));
        }
        expect(outcomes).toEqual(Object.fromEntries(rows.map((row) => [row[0], row[column]])));
        expect(await protectedBits(m.sys, path)).toBe(bit);
      }
      if (bit === append) {
        expect(await overlay.host.getxattr(`${m.upper}/f`, mark)).toBe(letter);
      }
      // Copied up as the parent of what was changed in it.
      expect(await overlay.host.getxattr(`${m.upper}/d`, mark)).toBe(letter);
      expect(await protectedBits(overlay.host, `${m.upper}/d`)).toBe(0);
      for (const path of [`${m.mnt}/f`, `${m.mnt}/d`]) {
        await changeFlags(m.sys, path, 0, bit);
        await m.sys.chmod(path, 0o700);
      }
      expect(await overlay.host.listxattr(`${m.upper}/d`)).not.toContain(mark);
      await m.sys.unlink(`${m.mnt}/f`);
    });
  });

  test("the other overlay honours what this one has set, and takes it away", async () => {
    const m = await overlay.mount({ lowers: [{ i: "1", a: "1", both: "1", d: { f: "1" } }] });
    await changeFlags(m.sys, `${m.mnt}/i`, immutable);
    await changeFlags(m.sys, `${m.mnt}/a`, append);
    await changeFlags(m.sys, `${m.mnt}/both`, immutable | append);
    await changeFlags(m.sys, `${m.mnt}/d`, immutable);
    expect(await overlay.host.getxattr(`${m.upper}/both`, mark)).toBe("ai");
    await m.remount(overlay.kind === "kernel" ? "veneer" : "kernel");
    expect(await protectedBits(m.sys, `${m.mnt}/both`)).toBe(immutable | append);
    await refuses("EPERM", m.sys.unlink(`${m.mnt}/i`));
    await refuses("EPERM", m.sys.open(`${m.mnt}/a`, "O_WRONLY"));
    await refuses("EPERM", m.sys.writeFile(`${m.mnt}/d/new`, "1"));
    await m.sys.appendFile(`${m.mnt}/a`, "2");
    await changeFlags(m.sys, `${m.mnt}/i`, 0, immutable);
    await m.remount();
    await m.sys.unlink(`${m.mnt}/i`);
    await refuses("EPERM", m.sys.unlink(`${m.mnt}/a`));
  });

  test("a value that is too long or has a letter that is not known protects nothing", async () => {
    const values = ["", "x", "ix", "ia", "ai", "a".repeat(32), "a".repeat(33)];
    const upper = Object.fromEntries(values.map((value, n) => [`v${n}`, file("1", { xattrs: { [mark]: value } })]));
    const m = await overlay.mount({ lowers: [{}], upper });
    const bits = await Promise.all(values.map((_, n) => protectedBits(m.sys, `${m.mnt}/v${n}`)));
    expect(bits).toEqual([0, 0, 0, 0x30, 0x30, 0x20, 0]);
    expect(await m.sys.listxattr(`${m.mnt}/v3`)).toEqual([]);
  });

  test("handles that were open before go on as on any file system", async () => {
    const m = await overlay.mount({ lowers: [{ i: "1234", a: "1234" }] });
    for (const [name, bit] of [
      ["i", immutable],
      ["a", append],
    ] as const) {
      const fd = await m.sys.open(`${m.mnt}/${name}`, "O_RDWR");
      await changeFlags(m.sys, `${m.mnt}/${name}`, bit);
      expect(await m.sys.pwrite(fd, "ab", 1)).toBe(2);
      await refuses("EPERM", m.sys.chmod(fd, 0o600));
      await refuses("EPERM", m.sys.utimens(fd, 5n, 6n));
      await refuses("EPERM", m.sys.setxattr(fd, "user.k", "v"));
      await refuses("EPERM", m.sys.fallocate(fd, "PUNCH_HOLE|KEEP_SIZE", 0, 1));
      expect(await outcomeOf(m.sys.truncate(fd, 2))).toBe(bit === append ? "EPERM" : "ok");
      expect(await overlay.host.readFile(`${m.upper}/${name}`)).toBe(bit === append ? "1ab4" : "1a");
    }
  });

  test("an append-only file is changed neither through a mapping nor by a handle that lost O_APPEND", async () => {
    const m = await overlay.mount({ lowers: [{ a: "1234" }] });
    await changeFlags(m.sys, `${m.mnt}/a`, append);
    const fd = await m.sys.open(`${m.mnt}/a`, "O_RDWR|O_APPEND");
    // Intended difference: the kernel does not know that a FUSE file is append-only; Veneer refuses by other means.
    const kernel = overlay.kind === "kernel";
    expect(await outcomeOf(m.sys.mmap(fd, 4, "PROT_READ|PROT_WRITE"))).toBe(kernel ? "EACCES" : "ENODEV");
    expect(await outcomeOf(m.sys.setStatusFlags(fd, "O_RDWR"))).toBe(kernel ? "EPERM" : "ok");
    expect(await outcomeOf(m.sys.pwrite(fd, "x", 0))).toBe(kernel ? "ok" : "EPERM");
    await m.sys.setStatusFlags(fd, "O_RDWR|O_APPEND");
    await m.sys.write(fd, "5");
    expect(await m.sys.pread(fd, 10, 0)).toBe(kernel ? "1234x5" : "12345");
  });

  test("access(2) asks nobody but the kernel, which does not know that a FUSE file is immutable", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }] });
    await changeFlags(m.sys, `${m.mnt}/f`, immutable);
    expect(await m.sys.access(`${m.mnt}/f`, "W_OK")).toBe(overlay.kind === "veneer");
  });

  test("all names of a file share them; users can't set them; lsattr shows them; ctime moves", async () => {
    const m = await overlay.mount({ lowers: [{}], upper: { f: file("1", { uid: 1000, gid: 1000 }) } });
    await m.sys.link(`${m.mnt}/f`, `${m.mnt}/g`);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await refuses("EPERM", changeFlags(user, `${m.mnt}/f`, immutable));
    const { ctime } = await m.sys.lstat(`${m.mnt}/f`);
    await changeFlags(m.sys, `${m.mnt}/f`, immutable);
    await refuses("EPERM", m.sys.unlink(`${m.mnt}/g`));
    await refuses("EPERM", m.sys.open(`${m.mnt}/g`, "O_WRONLY"));
    expect((await m.sys.run(["lsattr", `${m.mnt}/g`], {})).stdout).toMatch(/^----i-/);
    const after = await m.sys.lstat(`${m.mnt}/f`);
    expect(after.ctime).toBeGreaterThan(ctime);
    expect(after.ctime).toBe((await overlay.host.lstat(`${m.upper}/f`)).ctime);
    await changeFlags(m.sys, `${m.mnt}/g`, 0, immutable);
    await m.sys.unlink(`${m.mnt}/f`);
  });

  test("a copy-up keeps synchronous and no-atime, and no other flag", async () => {
    const [sync, nodump, noatime] = [0x08, 0x40, 0x80];
    const lower = await overlay.buildLower(`${overlay.scratch}/flagged`, { f: "1", d: { g: "2" } });
    for (const name of ["f", "d"]) {
      await changeFlags(overlay.host, `${lower}/${name}`, sync | nodump | noatime);
    }
    const m = await overlay.mount({ lowers: [{}] });
    await m.unmount();
    const { upper, work, mnt } = m;
    const again = await overlay.mountPaths({ lowers: [lower], upper, work, mountpoint: mnt, options: [] });
    expect((await flagsOf(again.sys, `${mnt}/f`)) & 0xc8).toBe(0xc8);
    await again.sys.chmod(`${mnt}/f`, 0o600);
    await again.sys.chmod(`${mnt}/d/g`, 0o600);
    for (const name of ["f", "d"]) {
      expect((await flagsOf(overlay.host, `${upper}/${name}`)) & 0xc8, name).toBe(sync | noatime);
      expect((await flagsOf(again.sys, `${mnt}/${name}`)) & 0xc8, name).toBe(sync | noatime);
    }
  });
});
