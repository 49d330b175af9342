/** The limits of docs/fuse-native.md, one test a heading, as they are observed: one that is gone makes its test fail. */
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Stand } from "../cli/stand.ts";
import { type Agent, startAgent } from "../support/agent.ts";
import { refuses } from "../support/overlay.ts";

describe("what can't be done over fuse-native", () => {
  let stand: Stand;
  let sys: Agent;
  let user: Agent;
  let mnt: string;
  let upper: string;

  beforeEach(async () => {
    stand = new Stand();
    mnt = join(stand.path, "mnt");
    upper = join(stand.path, "upper");
    mkdirSync(join(stand.path, "lower/d"));
    writeFileSync(join(stand.path, "lower/d/f"), "data");
    utimesSync(join(stand.path, "lower/d/f"), 1000, 2000.123456);
    sys = startAgent();
    await sys.chmod(join(stand.path, "lower/d"), 0o777);
    user = startAgent();
    await user.become(1000, 1000, []);
    await stand.mount("--transport", "fuse-native", "-o", "allow_other");
  });

  afterEach(async () => {
    await Promise.all([sys.end(), user.end()]);
    await stand.veneer("umount", "mnt");
    await stand.remove();
  });

  test("Who makes a file", async () => {
    await user.umask(0);
    await user.close(await user.open(`${mnt}/d/new`, "O_WRONLY|O_CREAT", 0o6755));
    expect(await sys.lstat(`${mnt}/d/new`)).toMatchObject({ uid: 0, gid: 0, mode: 0o755 });
    expect(await sys.lstat(`${upper}/d/new`)).toMatchObject({ uid: 0, gid: 0, mode: 0o755 });
    await sys.setxattr(`${mnt}/d/f`, "trusted.name", "value");
    expect(await user.listxattr(`${mnt}/d/f`)).toContain("trusted.name");
  });

  test("ACLs", async () => {
    await sys.chmod(`${mnt}/d/f`, 0o600);
    await sys.setAcl(`${mnt}/d/f`, [
      ["user_obj", null, 6],
      ["user", 1000, 4],
      ["group_obj", null, 0],
      ["mask", null, 4],
      ["other", null, 0],
    ]);
    await refuses("EACCES", user.readFile(`${mnt}/d/f`));
    await refuses(
      "EPERM",
      user.setAcl(`${mnt}/d/f`, [
        ["user_obj", null, 7],
        ["group_obj", null, 7],
        ["other", null, 7],
      ]),
    );
    expect(await sys.listxattr(`${upper}/d/f`)).toContain("system.posix_acl_access");
  });

  test("Times", async () => {
    const before = await sys.lstat(`${mnt}/d/f`);
    expect(before).toMatchObject({ mtime: (await sys.lstat(join(stand.path, "lower/d/f"))).mtime });
    await sys.utimens(`${mnt}/d/f`, "omit", 5_000_000n);
    expect(await sys.lstat(`${mnt}/d/f`)).toEqual(before);
    await sys.utimens(`${mnt}/d/f`, 1_234_567n, -2_345_678n);
    expect(await sys.lstat(`${mnt}/d/f`)).toMatchObject({ atime: 1_000_000n, mtime: -3_000_000n });
  });

  test("Birth times", async () => {
    expect((await sys.statx(`${mnt}/d/f`)).btime).toBe(null);
  });

  test("Names that are not UTF-8", async () => {
    for (const name of ["\xff", "\xef\xbf\xbd"]) {
      await refuses("EILSEQ", sys.mkdir(`${mnt}/${name}`));
      await refuses("EILSEQ", sys.lstat(`${mnt}/${name}`));
      await refuses("EILSEQ", sys.rename(`${mnt}/d/f`, `${mnt}/${name}`));
    }
    await refuses("EILSEQ", sys.symlink("\xff", `${mnt}/link`));
    await sys.mkdir(`${mnt}/d/sch\xc3\xb6n`);
    expect(await sys.list(`${mnt}/d`)).toEqual(["f", "sch\xc3\xb6n"]);
    expect(await sys.list(`${upper}/d`)).toEqual(["sch\xc3\xb6n"]);
    await stand.veneer("umount", "mnt");
    await sys.writeFile(join(stand.path, "lower/odd\xff"), "1");
    await stand.mount("--transport", "fuse-native");
    await refuses("EILSEQ", sys.list(mnt));
    expect(await sys.list(`${mnt}/d`)).toEqual(["f", "sch\xc3\xb6n"]);
  });

  test("Flags of rename", async () => {
    await refuses("EINVAL", sys.renameat2(`${mnt}/d/f`, `${mnt}/file`, "EXCHANGE"));
    await refuses("EINVAL", sys.renameat2(`${mnt}/d/f`, `${mnt}/new`, "NOREPLACE"));
    expect(await sys.list(upper)).toEqual([]);
  });

  test("Files without a name", async () => {
    await refuses("EOPNOTSUPP", sys.open(mnt, "O_TMPFILE|O_RDWR"));
  });

  test("Calls that libfuse 2 does not have", async () => {
    const fd = await sys.open(`${mnt}/d/f`, "O_RDWR");
    await refuses("EOPNOTSUPP", sys.fallocate(fd, "", 0, 100));
    await refuses("ENOTTY", sys.getFlags(fd));
    await sys.truncate(fd, 1 << 20);
    expect(await sys.dataRanges(fd)).toEqual([[0, 1 << 20]]);
    expect(readFileSync(`${upper}/d/f`).subarray(0, 5).toString()).toBe("data\0");
  });

  test("Removed directories", async () => {
    const fd = await sys.open(`${mnt}/d/f`, "O_RDWR");
    await sys.chdir(`${mnt}/d`);
    await sys.unlink(`${mnt}/d/f`);
    expect((await sys.stat(fd)).nlink).toBe(0);
    await sys.rmdir(`${mnt}/d`);
    await refuses("ENOENT", sys.stat(fd));
    await refuses("ENOENT", sys.list("."));
    await sys.chdir("/");
  });

  test("Several names of a file", async () => {
    await sys.writeFile(`${mnt}/a`, "one");
    await sys.link(`${mnt}/a`, `${mnt}/b`);
    const fd = await sys.open(`${mnt}/b`, "O_RDONLY");
    expect(await sys.pread(fd, 9, 0)).toBe("one");
    await sys.pwrite(await sys.open(`${mnt}/a`, "O_WRONLY"), "two", 0);
    expect(await sys.pread(fd, 9, 0)).toBe("one");
    expect(await sys.readFile(`${mnt}/b`)).toBe("two");
    expect((await sys.lstat(`${mnt}/a`)).nlink).toBe(2);
  });

  test("Names that libfuse takes for itself", async () => {
    const name = `${mnt}/.fuse_hidden0000000200000001`;
    await refuses("EPERM", sys.writeFile(name, "1"));
    await refuses("EPERM", sys.mkdir(name));
    await refuses("EPERM", sys.rename(`${mnt}/file`, name));
    expect(await sys.readFile(`${mnt}/file`)).toBe("from the lower\n");
  });

  test("Counts of requests", async () => {
    await refuses("ENODATA", sys.getxattr(mnt, "user.veneer.requests"));
  });
});
