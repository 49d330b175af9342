/** The option userxattr: which marks lie where in the upper, what users see of them, and that the kernel reads ours as we read its. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeOverlay, type Mounted, type OverlayKind } from "../support/overlay.ts";
import { device, dir, fifo, file, hardlink, socket, symlink } from "../support/tree.ts";

const options = ["userxattr"];

describeOverlay("userxattr", (overlay) => {
  const other: OverlayKind = overlay.kind === "kernel" ? "veneer" : "kernel";

  /** The overlay's marks on each object of the upper; the values of short ones. */
  async function marks(m: Mounted): Promise<Record<string, string[]>> {
    const found: Record<string, string[]> = {};
    for (const [path, { xattrs = {} }] of Object.entries(await m.inUpper())) {
      found[path] = Object.entries(xattrs)
        .filter(([name]) => name.includes(".overlay."))
        .map(([name, value]) => (value.length < 4 ? `${name}=${value}` : name))
        .sort();
    }
    return found;
  }

  const lower = {
    file: "1",
    link: symlink("file"),
    fifo: fifo(),
    socket: socket(),
    device: device("char", 1, 3),
    a: "2",
    b: hardlink("a"),
    dir: { gone: "3", stays: "4", sub: { f: "5" } },
    moved: "6",
  };

  test("marks are user.overlay.* on files and directories; what can't have such xattrs goes without", async () => {
    const m = await overlay.mount({ lowers: [lower], options });
    for (const name of ["file", "link", "fifo", "socket", "device", "a"]) {
      await m.sys.lchown(join(m.mnt, name), 7, 7);
    }
    await m.sys.unlink(`${m.mnt}/dir/gone`);
    await m.sys.removeTree(`${m.mnt}/dir/sub`);
    await m.sys.mkdir(`${m.mnt}/dir/sub`);
    await m.sys.rename(`${m.mnt}/moved`, `${m.mnt}/dir/moved`);
    const origin = ["user.overlay.origin"];
    expect(await marks(m)).toEqual({
      ".": ["user.overlay.impure=y", "user.overlay.uuid"],
      file: origin,
      link: [],
      fifo: [],
      socket: [],
      device: [],
      // Its other name is another file now.
      a: [],
      dir: ["user.overlay.impure=y", ...origin],
      "dir/gone": [],
      "dir/sub": ["user.overlay.opaque=y"],
      "dir/moved": origin,
      moved: [],
    });
    const view = await m.view();
    expect(Object.values(view).flatMap(({ xattrs = {} }) => Object.keys(xattrs))).toEqual([]);
    await m.remount(other);
    expect(await m.view()).toEqual(view);
    await m.sys.unlink(`${m.mnt}/dir/stays`);
    await m.remount();
    const { "dir/stays": _gone, ...rest } = view;
    expect(await m.view({ times: false })).toEqual(
      Object.fromEntries(Object.entries(rest).map(([path, { mtime: _mtime, ...entry }]) => [path, entry])),
    );
  });

  test("inode numbers of files and directories stay, over a copy-up and a remount", async () => {
    const m = await overlay.mount({ lowers: [lower], options });
    const numbers = async () => {
      const inos: [string, bigint][] = [];
      for (const name of ["file", "dir", "dir/sub"]) {
        inos.push([name, (await m.sys.lstat(join(m.mnt, name))).ino]);
      }
      return inos;
    };
    const before = await numbers();
    for (const [name] of before) {
      await m.sys.chmod(join(m.mnt, name), 0o700);
    }
    expect(await numbers()).toEqual(before);
    await m.remount();
    expect(await numbers()).toEqual(before);
    await m.remount(other);
    expect(await numbers()).toEqual(before);
  });

  test("whiteouts in the form of xattrs, and opaque directories, are read in lowers by their user names alone", async () => {
    const gone = (prefix: string) => file("", { xattrs: { [`${prefix}.overlay.whiteout`]: "y" } });
    const marked = (prefix: string) => ({
      x: dir({ hidden: gone(prefix) }, { xattrs: { [`${prefix}.overlay.opaque`]: "x" } }),
      y: dir({ new: "1" }, { xattrs: { [`${prefix}.overlay.opaque`]: "y" } }),
    });
    const bottom = { x: { hidden: "1", shown: "1" }, y: { old: "1" } };
    const names = async (m: Mounted) => [await m.sys.list(`${m.mnt}/x`), await m.sys.list(`${m.mnt}/y`)];
    const sorted = (lists: string[][]) => lists.map((list) => list.sort());
    const user = await overlay.mount({ lowers: [marked("user"), bottom], options });
    expect(sorted(await names(user))).toEqual([["shown"], ["new"]]);
    const trusted = await overlay.mount({ lowers: [marked("trusted"), bottom], options });
    expect(sorted(await names(trusted))).toEqual([
      ["hidden", "shown"],
      ["new", "old"],
    ]);
  });

  test("users' own xattrs of that name are escaped; those of the other name are users'", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", d: { g: "2" } }], options });
    for (const name of ["f", "d"]) {
      await m.sys.setxattr(join(m.mnt, name), "user.overlay.opaque", "y");
      await m.sys.setxattr(join(m.mnt, name), "trusted.overlay.opaque", "y");
      expect((await m.sys.listxattr(join(m.mnt, name))).sort()).toEqual([
        "trusted.overlay.opaque",
        "user.overlay.opaque",
      ]);
    }
    expect((await marks(m)).d).toEqual([
      "trusted.overlay.opaque=y",
      "user.overlay.origin",
      "user.overlay.overlay.opaque=y",
    ]);
    await m.remount(other);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["g"]);
    expect(await m.sys.getxattr(`${m.mnt}/f`, "user.overlay.opaque")).toBe("y");
    await m.sys.removexattr(`${m.mnt}/d`, "user.overlay.opaque");
    expect(await m.sys.listxattr(`${m.mnt}/d`)).toEqual(["trusted.overlay.opaque"]);
  });

  test("without it, user.overlay.* are xattrs like others", async () => {
    const xattrs = { "user.overlay.opaque": "y", "user.overlay.origin": "x" };
    const m = await overlay.mount({ lowers: [{ d: dir({ a: "1" }, { xattrs }) }, { d: { b: "2" } }] });
    expect((await m.sys.list(`${m.mnt}/d`)).sort()).toEqual(["a", "b"]);
    await m.sys.chmod(`${m.mnt}/d`, 0o700);
    await m.sys.setxattr(`${m.mnt}/d`, "user.overlay.metacopy", "z");
    expect((await m.sys.listxattr(`${m.mnt}/d`)).sort()).toEqual([
      "user.overlay.metacopy",
      "user.overlay.opaque",
      "user.overlay.origin",
    ]);
    expect((await marks(m)).d).toEqual([
      "trusted.overlay.origin",
      "user.overlay.metacopy=z",
      "user.overlay.opaque=y",
      "user.overlay.origin=x",
    ]);
    await m.remount(other);
    expect((await m.sys.list(`${m.mnt}/d`)).sort()).toEqual(["a", "b"]);
  });

  test("a listing agrees with stat(2) when the number of what can't have an origin has been forgotten", async () => {
    const m = await overlay.mount({ lowers: [{ here: fifo(), from: { f: fifo() }, to: { below: "" } }], options });
    const numbers = async (directory: string) => {
      const shown = async (name: string) => (await m.sys.lstat(join(m.mnt, directory, name))).ino;
      const fd = await m.sys.open(join(m.mnt, directory), "O_RDONLY|O_DIRECTORY");
      const listed = (await m.sys.getdents(fd)).filter(({ name }) => !name.startsWith("."));
      expect(await m.sys.getdents(fd)).toEqual([]);
      await m.sys.close(fd);
      return Promise.all(listed.map(async ({ name, ino }) => ({ name, ino, shown: await shown(name) })));
    };
    await m.sys.chmod(`${m.mnt}/here`, 0o600);
    await m.sys.rename(`${m.mnt}/from/f`, `${m.mnt}/to/f`);
    await numbers(".");
    await numbers("to");
    // The directories are in use, so that they alone are not forgotten.
    const held = [await m.sys.open(m.mnt, "O_RDONLY"), await m.sys.open(`${m.mnt}/to`, "O_RDONLY")];
    await m.sys.dropCaches();
    for (const { name, ino, shown } of [...(await numbers(".")), ...(await numbers("to"))]) {
      expect(ino, name).toBe(shown);
    }
    await Promise.all(held.map((fd) => m.sys.close(fd)));
  });
});
