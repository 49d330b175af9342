/** O_TMPFILE: files without a name, and giving them one. */
import { expect, test } from "vitest";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { dir } from "../support/tree.ts";

describeOverlay("O_TMPFILE", (overlay) => {
  test.each(["lower", "upper", "root"])("in a directory (%s): written, read, and linked in", async (place) => {
    const m = await overlay.mount({ lowers: [{ lower: { x: "1" } }], upper: { upper: {} } });
    const directory = place === "root" ? m.mnt : `${m.mnt}/${place}`;
    const fd = await m.sys.open(directory, "O_RDWR|O_TMPFILE", 0o640);
    expect(await m.sys.stat(fd)).toMatchObject({ nlink: 0, mode: 0o640, size: 0, uid: 0 });
    await m.sys.write(fd, "data");
    expect(await m.sys.pread(fd, 10, 0)).toBe("data");
    const before = await m.sys.list(directory);
    await m.sys.linkFd(fd, `${directory}/named`);
    expect(await m.sys.list(directory)).toEqual([...before, "named"].sort());
    expect((await m.sys.stat(fd)).nlink).toBe(1);
    expect(await m.sys.readFile(`${directory}/named`)).toBe("data");
    await m.sys.pwrite(fd, "DATA", 0);
    expect(await m.sys.readFile(`${directory}/named`)).toBe("DATA");
    expect((await m.sys.lstat(`${directory}/named`)).ino).toBe((await m.sys.stat(fd)).ino);
    const inUpper = place === "root" ? "named" : `${place}/named`;
    expect(await overlay.host.readFile(`${m.upper}/${inUpper}`)).toBe("DATA");
  });

  test("without a link it leaves nothing", async () => {
    const m = await overlay.mount({ lowers: [{}] });
    const fd = await m.sys.open(m.mnt, "O_RDWR|O_TMPFILE", 0o600);
    await m.sys.write(fd, "data");
    await m.sys.close(fd);
    expect(await m.sys.list(m.mnt)).toEqual([]);
    expect(await m.namesInUpper()).toEqual([]);
  });

  test("with O_EXCL it can never be linked; over a whiteout it can", async () => {
    const m = await overlay.mount({ lowers: [{ f: "old" }] });
    const exclusive = await m.sys.open(m.mnt, "O_RDWR|O_TMPFILE|O_EXCL", 0o600);
    await refuses("ENOENT", m.sys.linkFd(exclusive, `${m.mnt}/x`));
    await m.sys.unlink(`${m.mnt}/f`);
    const fd = await m.sys.open(m.mnt, "O_WRONLY|O_TMPFILE", 0o600);
    await m.sys.write(fd, "new");
    await m.sys.linkFd(fd, `${m.mnt}/f`);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("new");
    await refuses("EEXIST", m.sys.linkFd(fd, `${m.mnt}/f`));
  });

  test("belongs to the caller, with its umask, and the directory's group where it is setgid", async () => {
    const m = await overlay.mount({ lowers: [{ d: dir({}, { mode: 0o2777, gid: 77 }) }] });
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await user.umask(0o027);
    const fd = await user.open(`${m.mnt}/d`, "O_RDWR|O_TMPFILE", 0o666);
    expect(await user.stat(fd)).toMatchObject({ uid: 1000, gid: 77, mode: 0o640 });
    await user.linkFd(fd, `${m.mnt}/d/f`);
    expect(await overlay.host.lstat(`${m.upper}/d/f`)).toMatchObject({ uid: 1000, gid: 77, mode: 0o640 });
  });

  test("all attributes can be set before it has a name", async () => {
    const m = await overlay.mount({ lowers: [{}] });
    const fd = await m.sys.open(m.mnt, "O_RDWR|O_TMPFILE", 0o600);
    await m.sys.truncate(fd, 100);
    await m.sys.chown(fd, 3, 4);
    await m.sys.chmod(fd, 0o4755);
    await m.sys.setxattr(fd, "user.k", "v");
    await m.sys.utimens(fd, 5n, 6n);
    await m.sys.linkFd(fd, `${m.mnt}/f`);
    const expected = { size: 100, uid: 3, gid: 4, mode: 0o4755, mtime: 6n, nlink: 1 };
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject(expected);
    expect(await overlay.host.lstat(`${m.upper}/f`)).toMatchObject(expected);
    expect(await overlay.host.getxattr(`${m.upper}/f`, "user.k")).toBe("v");
  });
});
