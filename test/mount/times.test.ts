/** Times: set in every form, kept to the nanosecond, and moved only by what moves them elsewhere. */
import { expect, test } from "vitest";
import { describeOverlay } from "../support/overlay.ts";
import { dir, file, symlink } from "../support/tree.ts";

const second = 1_000_000_000n;
const now = () => BigInt(Date.now()) * 1_000_000n;
const isNow = (time: bigint) => time > now() - 60n * second && time < now() + 5n * second;

describeOverlay("times", (overlay) => {
  test.each(["file", "dir", "symlink"])("of a lower %s: given, now and omitted", async (kind) => {
    const old = { mtime: 1_111n * second + 111n, atime: 1_110n * second + 1n };
    const m = await overlay.mount({
      lowers: [{ file: file("1", old), dir: dir({}, old), symlink: symlink("x", old) }],
    });
    const path = `${m.mnt}/${kind}`;
    await m.sys.utimens(path, 5n * second + 1n, 6n * second + 999_999_999n);
    expect(await m.sys.lstat(path)).toMatchObject({ atime: 5n * second + 1n, mtime: 6n * second + 999_999_999n });
    await m.sys.utimens(path, "omit", 7n);
    expect(await m.sys.lstat(path)).toMatchObject({ atime: 5n * second + 1n, mtime: 7n });
    await m.sys.utimens(path, 8n, "omit");
    expect(await m.sys.lstat(path)).toMatchObject({ atime: 8n, mtime: 7n });
    await m.sys.utimens(path, "omit", "now");
    const changed = await m.sys.lstat(path);
    expect(changed.atime).toBe(8n);
    expect(isNow(changed.mtime)).toBe(true);
    await m.sys.utimens(path, "now", 9n);
    expect(isNow((await m.sys.lstat(path)).atime)).toBe(true);
    expect((await m.sys.lstat(path)).mtime).toBe(9n);
    expect((await overlay.host.lstat(`${m.upper}/${kind}`)).mtime).toBe(9n);
  });

  test("omitting both changes nothing, and copying up for it keeps both", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("1", { mtime: 5n, atime: 4n }) }] });
    await m.sys.utimens(`${m.mnt}/f`, "omit", "omit");
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject({ mtime: 5n, atime: 4n });
  });

  test("before 1970 and after 2038", async () => {
    const times = [-second, -1n, -2_000_000_000n * second, 2_147_483_648n * second, 4_102_444_800n * second + 5n];
    const tree = Object.fromEntries(times.map((mtime, index) => [`l${index}`, file("1", { mtime })]));
    const m = await overlay.mount({ lowers: [tree] });
    for (const [index, mtime] of times.entries()) {
      expect((await m.sys.lstat(`${m.mnt}/l${index}`)).mtime).toBe(mtime);
      await m.sys.chmod(`${m.mnt}/l${index}`, 0o600);
      expect((await m.sys.lstat(`${m.mnt}/l${index}`)).mtime).toBe(mtime);
      await m.sys.writeFile(`${m.mnt}/n`, "1");
      await m.sys.utimens(`${m.mnt}/n`, mtime, mtime);
      expect(await m.sys.lstat(`${m.mnt}/n`)).toMatchObject({ mtime, atime: mtime });
      expect((await overlay.host.lstat(`${m.upper}/n`)).mtime).toBe(mtime);
    }
  });

  test("mtime and ctime move with writes and attribute changes as on any file system", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("1234", { mtime: 5n }), d: dir({}, { mtime: 5n }) }] });
    const f = `${m.mnt}/f`;
    await m.sys.chmod(f, 0o600);
    expect((await m.sys.lstat(f)).mtime).toBe(5n);
    expect(isNow((await m.sys.lstat(f)).ctime)).toBe(true);
    await m.sys.setxattr(f, "user.k", "v");
    await m.sys.link(f, `${m.mnt}/g`);
    await m.sys.chown(f, 1, 1);
    await m.sys.rename(`${m.mnt}/g`, `${m.mnt}/h`);
    expect((await m.sys.lstat(f)).mtime).toBe(5n);
    await m.sys.truncate(f, 4);
    expect(isNow((await m.sys.lstat(f)).mtime)).toBe(true);
    await m.sys.utimens(f, 5n, 5n);
    await m.sys.appendFile(f, "x");
    expect(isNow((await m.sys.lstat(f)).mtime)).toBe(true);
    await m.sys.utimens(f, 5n, 5n);
    await m.sys.close(await m.sys.open(f, "O_RDWR"));
    expect((await m.sys.lstat(f)).mtime).toBe(5n);
    await m.sys.close(await m.sys.open(f, "O_WRONLY|O_TRUNC"));
    expect(isNow((await m.sys.lstat(f)).mtime)).toBe(true);
    await m.sys.writeFile(`${m.mnt}/d/new`, "1");
    expect(isNow((await m.sys.lstat(`${m.mnt}/d`)).mtime)).toBe(true);
  });

  test("a time set through an open handle stays when the handle closes", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }] });
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    await m.sys.write(fd, "data");
    await m.sys.utimens(fd, 5n, 6n);
    await m.sys.close(fd);
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject({ mtime: 6n, atime: 5n, size: 4 });
    await m.remount();
    expect(await m.sys.lstat(`${m.mnt}/f`)).toMatchObject({ mtime: 6n, size: 4 });
  });

  test("ctime seen of a directory is the one in the upper, also when something in it is copied up", async () => {
    const m = await overlay.mount({ lowers: [{ d: { a: "1", b: "2", e: { f: "3" } } }] });
    for (const name of ["a", "b", "e/f"]) {
      await m.sys.chmod(`${m.mnt}/d/${name}`, 0o600);
      for (const path of [".", "d"]) {
        const [seen, real] = [await m.sys.lstat(`${m.mnt}/${path}`), await overlay.host.lstat(`${m.upper}/${path}`)];
        expect(seen.ctime, `${path} after ${name}`).toBe(real.ctime);
      }
    }
  });

  test("ctime seen is the one that lies in the upper, also after link and unlink", async () => {
    const m = await overlay.mount({ lowers: [{}], upper: { a: "1" } });
    await m.sys.link(`${m.mnt}/a`, `${m.mnt}/b`);
    const same = async () =>
      expect((await m.sys.lstat(`${m.mnt}/a`)).ctime).toBe((await overlay.host.lstat(`${m.upper}/a`)).ctime);
    await same();
    await m.sys.unlink(`${m.mnt}/b`);
    await same();
    await m.sys.rename(`${m.mnt}/a`, `${m.mnt}/c`);
    await m.sys.rename(`${m.mnt}/c`, `${m.mnt}/a`);
    await same();
  });

  test("statx tells the birth time of the layer's file, and its attribute bits as far as they come through", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", d: {} }] });
    for (const name of ["f", "d"]) {
      const lower = await overlay.host.statx(`${m.lowers[0]}/${name}`);
      expect((await m.sys.statx(`${m.mnt}/${name}`)).btime, name).toBe(lower.btime);
    }
    await m.sys.appendFile(`${m.mnt}/f`, "+");
    expect((await m.sys.statx(`${m.mnt}/f`)).btime).toBe((await overlay.host.statx(`${m.upper}/f`)).btime);
    const appendOnly = 0x20;
    const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    const flags = await m.sys.getFlags(fd);
    await m.sys.setFlags(fd, flags | appendOnly);
    const { attributes } = await m.sys.statx(`${m.mnt}/f`);
    await m.sys.setFlags(fd, flags);
    // FUSE takes the birth time of a daemon's answer to statx, and leaves the attribute bits.
    expect(attributes & BigInt(appendOnly)).toBe(overlay.kind === "kernel" ? BigInt(appendOnly) : 0n);
  });

  test("cp -a and tar keep every time", async () => {
    const meta = { mtime: 1_234_567_890n * second + 987_654_321n };
    const m = await overlay.mount({ lowers: [{ d: dir({ f: file("1", meta), s: symlink("f", meta) }, meta) }] });
    expect(await m.sys.run(["cp", "-a", `${m.mnt}/d`, `${m.mnt}/copy`], {})).toMatchObject({ status: 0 });
    for (const name of ["copy", "copy/f", "copy/s"]) {
      expect((await m.sys.lstat(`${m.mnt}/${name}`)).mtime, name).toBe(meta.mtime);
    }
  });
});
