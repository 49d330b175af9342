/** Extended attributes: user, trusted and security as on any file system, the overlay's own hidden. */
import { expect, test } from "vitest";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { dir, file, opaque, symlink } from "../support/tree.ts";

/** cap_net_raw=ep, as VFS_CAP_REVISION_2 in capabilities(7). */
const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

describeOverlay("xattrs", (overlay) => {
  test.each(["lower", "upper"])("of a %s file are set, read, listed and removed", async (place) => {
    const tree = { f: file("1", { xattrs: { "user.a": "1" } }), d: dir({}, { xattrs: { "user.a": "1" } }) };
    const m = await overlay.mount({ lowers: [place === "lower" ? tree : {}], upper: place === "upper" ? tree : {} });
    for (const path of [`${m.mnt}/f`, `${m.mnt}/d`]) {
      expect(await m.sys.getxattr(path, "user.a")).toBe("1");
      await m.sys.setxattr(path, "user.b", "\x00\xff\n");
      await m.sys.setxattr(path, "trusted.c", "");
      await m.sys.setxattr(path, "security.d", "x");
      expect(await m.sys.listxattr(path)).toEqual(["security.d", "trusted.c", "user.a", "user.b"]);
      expect(await m.sys.getxattr(path, "user.b")).toBe("\x00\xff\n");
      expect(await m.sys.getxattr(path, "trusted.c")).toBe("");
      await m.sys.removexattr(path, "user.a");
      await refuses("ENODATA", m.sys.getxattr(path, "user.a"));
      await refuses("ENODATA", m.sys.removexattr(path, "user.a"));
      expect(await m.sys.listxattr(path)).toEqual(["security.d", "trusted.c", "user.b"]);
    }
    expect(await overlay.host.getxattr(`${m.upper}/f`, "security.d")).toBe("x");
  });

  test.each(["lower", "upper", "new"])("the capability of a %s file, which had none", async (place) => {
    const tree = { f: "data" };
    const m = await overlay.mount({ lowers: [place === "lower" ? tree : {}], upper: place === "upper" ? tree : {} });
    const [f, g] = [`${m.mnt}/f`, `${m.mnt}/g`];
    const fd = await m.sys.open(f, "O_RDWR|O_CREAT");
    const name = "security.capability";
    await refuses("ENODATA", m.sys.getxattr(f, name));
    await m.sys.setxattr(f, name, netRaw);
    expect(await m.sys.getxattr(f, name)).toBe(netRaw);
    await m.sys.link(f, g);
    expect(await m.sys.getxattr(g, name)).toBe(netRaw);
    await m.sys.write(fd, "x");
    await refuses("ENODATA", m.sys.getxattr(g, name));
    await refuses("ENODATA", m.sys.getxattr(g, name));
    await m.sys.setxattr(fd, name, netRaw);
    expect(await m.sys.getxattr(g, name)).toBe(netRaw);
    await m.sys.chown(f, 1, 1);
    await refuses("ENODATA", m.sys.getxattr(f, name));
    await m.sys.setxattr(g, name, netRaw);
    await m.sys.removexattr(f, name);
    await refuses("ENODATA", m.sys.getxattr(g, name));
    await refuses("ENODATA", overlay.host.getxattr(`${m.upper}/f`, name));
  });

  test("flags CREATE and REPLACE, and sizes", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("1", { xattrs: { "user.a": "12345" } }) }] });
    const f = `${m.mnt}/f`;
    await refuses("EEXIST", m.sys.setxattr(f, "user.a", "x", "CREATE"));
    await refuses("ENODATA", m.sys.setxattr(f, "user.n", "x", "REPLACE"));
    expect(await m.sys.getxattrSize(f, "user.a", 0)).toBe(5);
    expect(await m.sys.getxattrSize(f, "user.a", 5)).toBe(5);
    await refuses("ERANGE", m.sys.getxattrSize(f, "user.a", 4));
    await m.sys.setxattr(f, "user.n", "1", "CREATE");
    await m.sys.setxattr(f, "user.a", "2", "REPLACE");
    expect(await m.sys.getxattr(f, "user.a")).toBe("2");
    const value = "v".repeat(3000);
    await m.sys.setxattr(f, "user.big", value);
    expect(await m.sys.getxattr(f, "user.big")).toBe(value);
    await refuses("ERANGE", m.sys.setxattr(f, `user.${"n".repeat(251)}`, "1"));
    const longest = `user.${"n".repeat(250)}`;
    await m.sys.setxattr(f, longest, "1");
    expect(await m.sys.getxattr(f, longest)).toBe("1");
  });

  test("by descriptor, also read-only ones", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("1", { xattrs: { "user.a": "1" } }) }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    expect(await m.sys.getxattr(fd, "user.a")).toBe("1");
    await m.sys.setxattr(fd, "user.b", "2");
    expect(await m.sys.listxattr(fd)).toEqual(["user.a", "user.b"]);
    expect(await m.sys.getxattr(`${m.mnt}/f`, "user.b")).toBe("2");
  });

  test("who may: user attributes of files only, trusted ones for root only", async () => {
    const m = await overlay.mount({
      lowers: [{ f: file("1", { mode: 0o644, xattrs: { "trusted.t": "1", "user.u": "1" } }), s: symlink("f") }],
    });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    expect(await user.listxattr(`${m.mnt}/f`)).toEqual(["user.u"]);
    expect(await user.getxattr(`${m.mnt}/f`, "user.u")).toBe("1");
    await refuses("ENODATA", user.getxattr(`${m.mnt}/f`, "trusted.t"));
    await refuses("EPERM", user.setxattr(`${m.mnt}/f`, "trusted.t", "2"));
    await refuses("EPERM", user.setxattr(`${m.mnt}/f`, "security.capability", netRaw));
    await refuses("EPERM", m.sys.setxattr(`${m.mnt}/s`, "user.u", "2"));
    await m.sys.setxattr(`${m.mnt}/s`, "trusted.u", "2");
    expect(await m.sys.getxattr(`${m.mnt}/s`, "trusted.u")).toBe("2");
    expect(await m.sys.listxattr(`${m.mnt}/s`)).toEqual(["trusted.u"]);
    await refuses("EOPNOTSUPP", m.sys.setxattr(`${m.mnt}/f`, "nonsense.x", "1"));
    await refuses("EOPNOTSUPP", m.sys.getxattr(`${m.mnt}/f`, "nonsense.x"));
  });

  test("the overlay's own are neither listed nor read nor set nor removed", async () => {
    const marks = { "trusted.overlay.origin": "", "trusted.overlay.impure": "y", "user.a": "1" };
    const m = await overlay.mount({
      lowers: [{ l: dir({ f: "1" }, { xattrs: marks }) }, { o: { hidden: "1" } }],
      upper: { o: opaque({}, { xattrs: { "user.a": "1" } }) },
    });
    await m.sys.appendFile(`${m.mnt}/l/f`, "2");
    for (const path of ["o", "l", "l/f", "."]) {
      const names = await m.sys.listxattr(`${m.mnt}/${path}`);
      expect(names.filter((name) => name.includes("overlay"))).toEqual([]);
    }
    for (const name of ["opaque", "origin", "redirect", "whiteout", "anything"]) {
      const path = `${m.mnt}/o`;
      await expect(m.sys.getxattr(path, `trusted.overlay.${name}`)).rejects.toThrow(/ENODATA|EOPNOTSUPP|EPERM/);
    }
    expect(await m.sys.list(`${m.mnt}/o`)).toEqual([]);
    expect(await m.isOpaque("o")).toBe(true);
    expect(await m.isOpaque("l")).toBe(false);
  });

  test("a nested overlay's marks are escaped, and do nothing to this one", async () => {
    const m = await overlay.mount({ lowers: [{ d: { f: "1" } }] });
    await m.sys.setxattr(`${m.mnt}/d`, "trusted.overlay.opaque", "y");
    expect(await m.sys.getxattr(`${m.mnt}/d`, "trusted.overlay.opaque")).toBe("y");
    expect(await m.sys.listxattr(`${m.mnt}/d`)).toEqual(["trusted.overlay.opaque"]);
    expect(await overlay.host.getxattr(`${m.upper}/d`, "trusted.overlay.overlay.opaque")).toBe("y");
    expect(await m.isOpaque("d")).toBe(false);
    await m.remount();
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["f"]);
    expect(await m.sys.getxattr(`${m.mnt}/d`, "trusted.overlay.opaque")).toBe("y");
    await m.sys.removexattr(`${m.mnt}/d`, "trusted.overlay.opaque");
    expect(await m.sys.listxattr(`${m.mnt}/d`)).toEqual([]);
  });

  test("setcap and getcap work, and survive a rename and a remount", async () => {
    const m = await overlay.mount({ lowers: [{ prog: file("x", { mode: 0o755 }) }] });
    expect(await m.sys.run(["/usr/sbin/setcap", "cap_net_raw+ep", `${m.mnt}/prog`], {})).toMatchObject({ status: 0 });
    await m.sys.rename(`${m.mnt}/prog`, `${m.mnt}/moved`);
    await m.remount();
    const { stdout } = await m.sys.run(["/usr/sbin/getcap", `${m.mnt}/moved`], {});
    expect(stdout).toContain("cap_net_raw=ep");
  });

  test("userxattr: marks are user.overlay.*, written, read and hidden", async () => {
    const m = await overlay.mount({
      lowers: [
        { o: dir({ new: "1" }, { xattrs: { "user.overlay.opaque": "y" } }), d: { f: "1" } },
        { o: { hidden: "1" }, t: dir({ shown: "1" }) },
      ],
      upper: { t: dir({}, { xattrs: { "trusted.overlay.opaque": "y" } }) },
      options: ["userxattr"],
    });
    expect(await m.sys.list(`${m.mnt}/o`)).toEqual(["new"]);
    // trusted.overlay.* says nothing here.
    expect(await m.sys.list(`${m.mnt}/t`)).toEqual(["shown"]);
    await m.sys.removeTree(`${m.mnt}/d`);
    await m.sys.mkdir(`${m.mnt}/d`);
    expect(await overlay.host.getxattr(`${m.upper}/d`, "user.overlay.opaque")).toBe("y");
    expect(await m.sys.listxattr(`${m.mnt}/d`)).toEqual([]);
    await m.sys.setxattr(`${m.mnt}/d`, "user.k", "v");
    expect(await m.sys.listxattr(`${m.mnt}/d`)).toEqual(["user.k"]);
    await m.remount();
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([]);
  });
});
