/** Files that are open when their name goes live on in every call. */
import { expect, test } from "vitest";
import { describeOverlay, type Mounted, refuses } from "../support/overlay.ts";
import { file } from "../support/tree.ts";

/** How an open file may lose its name. */
const endings: [name: string, end: (m: Mounted) => Promise<unknown>][] = [
  ["unlink", (m) => m.sys.unlink(`${m.mnt}/d/f`)],
  ["rename over it", (m) => m.sys.writeFile(`${m.mnt}/x`, "x").then(() => m.sys.rename(`${m.mnt}/x`, `${m.mnt}/d/f`))],
  [
    "unlink, and a new file of that name",
    (m) => m.sys.unlink(`${m.mnt}/d/f`).then(() => m.sys.writeFile(`${m.mnt}/d/f`, "x")),
  ],
  ["rm -r of its directory", (m) => m.sys.removeTree(`${m.mnt}/d`)],
];

const places = ["lower", "upper", "copied up"] as const;
const cases = places.flatMap((place) => endings.map(([name, end]) => [place, name, end] as const));

async function mountWith(
  overlay: Parameters<Parameters<typeof describeOverlay>[1]>[0],
  place: string,
): Promise<Mounted> {
  const tree = { d: { f: file("0123456789", { xattrs: { "user.k": "v" } }) } };
  const m = await overlay.mount({ lowers: [place === "upper" ? {} : tree], upper: place === "upper" ? tree : {} });
  if (place === "copied up") {
    await m.sys.chmod(`${m.mnt}/d/f`, 0o640);
  }
  return m;
}

describeOverlay("open unlinked files", (overlay) => {
  test.each(cases)("%s file, after %s: every call on a read-write handle", async (place, _name, end) => {
    const m = await mountWith(overlay, place);
    const fd = await m.sys.open(`${m.mnt}/d/f`, "O_RDWR");
    const mapping = await m.sys.mmap(fd, 10, "PROT_READ|PROT_WRITE");
    await end(m);
    expect(await m.sys.stat(fd)).toMatchObject({ nlink: 0, size: 10, type: "file" });
    expect(await m.sys.pread(fd, 4, 0)).toBe("0123");
    await m.sys.pwrite(fd, "AB", 2);
    expect(await m.sys.mread(mapping, 0, 5)).toBe("01AB4");
    await m.sys.mwrite(mapping, 5, "M");
    await m.sys.msync(mapping);
    expect(await m.sys.pread(fd, 20, 0)).toBe("01AB4M6789");
    await m.sys.truncate(fd, 20);
    await m.sys.chmod(fd, 0o604);
    await m.sys.chown(fd, 21, 22);
    await m.sys.utimens(fd, 5_000_000n, 6_000_000n);
    expect(await m.sys.stat(fd)).toMatchObject({
      nlink: 0,
      size: 20,
      mode: 0o604,
      uid: 21,
      gid: 22,
      mtime: 6_000_000n,
    });
    expect(await m.sys.getxattr(fd, "user.k")).toBe("v");
    await m.sys.setxattr(fd, "user.n", "new");
    expect(await m.sys.listxattr(fd)).toEqual(["user.k", "user.n"]);
    await m.sys.removexattr(fd, "user.k");
    expect(await m.sys.listxattr(fd)).toEqual(["user.n"]);
    await m.sys.fallocate(fd, "", 0, 4096);
    expect((await m.sys.stat(fd)).size).toBe(4096);
    await m.sys.fsync(fd);
    await m.sys.fdatasync(fd);
    expect(await m.sys.lseek(fd, 0, "SEEK_HOLE")).toBeGreaterThan(0);
    const again = await m.sys.open(`/proc/self/fd/${fd}`, "O_RDONLY").catch((error: { code: string }) => error.code);
    expect(typeof again === "number" || again === "ENOENT").toBe(true);
    await refuses("ENOENT", m.sys.linkFd(fd, `${m.mnt}/back`));
    await m.sys.munmap(mapping);
    await m.sys.close(fd);
  });

  test.each(cases)("%s file, after %s: a read-only handle", async (place, _name, end) => {
    const m = await mountWith(overlay, place);
    const fd = await m.sys.open(`${m.mnt}/d/f`, "O_RDONLY");
    const mapping = await m.sys.mmap(fd, 10);
    await end(m);
    expect(await m.sys.stat(fd)).toMatchObject({ size: 10, type: "file" });
    expect(await m.sys.pread(fd, 20, 0)).toBe("0123456789");
    expect(await m.sys.mread(mapping, 0, 10)).toBe("0123456789");
    expect(await m.sys.getxattr(fd, "user.k")).toBe("v");
    await refuses("EBADF", m.sys.pwrite(fd, "x", 0));
    // The kernel's overlay can't copy a file up once its name is gone; POSIX knows no such limit, nor does Veneer.
    if (overlay.kind === "kernel" && place === "lower") {
      await expect(m.sys.chmod(fd, 0o604)).rejects.toThrow(/EEXIST|ENOENT/);
      return;
    }
    await m.sys.chmod(fd, 0o604);
    await m.sys.chown(fd, 21, 22);
    await m.sys.utimens(fd, 5_000_000n, 6_000_000n);
    expect(await m.sys.stat(fd)).toMatchObject({ mode: 0o604, uid: 21, gid: 22, mtime: 6_000_000n });
    await m.sys.setxattr(fd, "user.n", "new");
    expect(await m.sys.getxattr(fd, "user.n")).toBe("new");
    expect(await m.sys.pread(fd, 20, 0)).toBe("0123456789");
  });

  test("a handle opened before a lower file's copy-up lives on when the file goes", async () => {
    const m = await mountWith(overlay, "lower");
    const fd = await m.sys.open(`${m.mnt}/d/f`, "O_RDONLY");
    await m.sys.appendFile(`${m.mnt}/d/f`, "+");
    await m.sys.unlink(`${m.mnt}/d/f`);
    expect(await m.sys.pread(fd, 20, 0)).toBe("0123456789+");
    expect((await m.sys.stat(fd)).nlink).toBe(0);
  });

  test("two handles of one unlinked file see each other's writes", async () => {
    const m = await mountWith(overlay, "lower");
    const other = await overlay.agent();
    const one = await m.sys.open(`${m.mnt}/d/f`, "O_RDWR");
    const two = await other.open(`${m.mnt}/d/f`, "O_RDWR");
    await m.sys.unlink(`${m.mnt}/d/f`);
    await m.sys.pwrite(one, "ONE", 0);
    expect(await other.pread(two, 10, 0)).toBe("ONE3456789");
    await other.truncate(two, 3);
    expect((await m.sys.stat(one)).size).toBe(3);
    await m.sys.close(one);
    expect(await other.pread(two, 10, 0)).toBe("ONE");
  });

  test("an open directory that is removed: fstat, and nothing can be made in it", async () => {
    const m = await overlay.mount({ lowers: [{ d: {} }], upper: { e: {} } });
    for (const name of ["d", "e"]) {
      const fd = await m.sys.open(`${m.mnt}/${name}`, "O_RDONLY|O_DIRECTORY");
      await m.sys.chdir(`${m.mnt}/${name}`);
      await m.sys.rmdir(`${m.mnt}/${name}`);
      expect((await m.sys.stat(fd)).type).toBe("dir");
      expect((await m.sys.stat(".")).type).toBe("dir");
      await refuses("ENOENT", m.sys.getcwd());
      await refuses("ENOENT", m.sys.writeFile("x", "1"));
      await refuses("ENOENT", m.sys.mkdir("x"));
      await refuses("ENOENT", m.sys.lstat("x"));
      expect((await m.sys.stat("..")).ino).toBe((await m.sys.stat(m.mnt)).ino);
      await m.sys.mkdir(`${m.mnt}/${name}`);
      await m.sys.writeFile(`${m.mnt}/${name}/new`, "1");
      await refuses("ENOENT", m.sys.lstat("new"));
    }
  });

  test("data of a removed file is given back when its last handle closes", async () => {
    const m = await overlay.mount({ lowers: [{}] });
    const fd = await m.sys.open(`${m.mnt}/big`, "O_RDWR|O_CREAT");
    await m.sys.writeAll(fd, "x".repeat(65_536), 512);
    await m.sys.fsync(fd);
    await m.sys.unlink(`${m.mnt}/big`);
    const held = await overlay.host.statvfs(m.upper);
    await m.sys.close(fd);
    for (let tries = 0; tries < 50; tries++) {
      const now = await overlay.host.statvfs(m.upper);
      if ((now.bfree - held.bfree) * now.frsize > 24 << 20) {
        return;
      }
      await overlay.host.sleep(0.1);
    }
    expect.fail("32 MB were not given back within 5 s");
  });
});
