/** The limits of docs/fuse-native.md, one test a heading, as they are observed: one that is gone makes its test fail. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Stand } from "../cli/stand.ts";
import { type Agent, startAgent } from "../support/agent.ts";
import { refuses } from "../support/overlay.ts";
import { UserStand } from "../support/user.ts";

test("Plain users", async () => {
  const plain = await UserStand.start("user");
  await plain.build("l", {});
  await plain.build("m", {});
  const mount = [plain.veneer, "mount", "--transport", "fuse-native", "-o", "lowerdir=l", "m"];
  const { status, stderr } = await plain.sys.run(mount, { cwd: plain.home, timeout: 25 });
  await plain.end();
  expect(stderr).toMatch(
    /^veneer: mounting by fuse-native needs the capability CAP_SYS_ADMIN: run veneer as root .*\n$/,
  );
  expect(status).toBe(36);
});

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
    sys = startAgent();
    await sys.utimens(join(stand.path, "lower/d/f"), -1_000_500_000_001n, 2_000_123_456_789n);
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
    await sys.chown(`${mnt}/d`, 0, 1000);
    await sys.chmod(`${mnt}/d`, 0o2777);
    await user.mkdir(`${mnt}/d/sub`, 0o700);
    expect(await sys.lstat(`${mnt}/d/sub`)).toMatchObject({ uid: 0, gid: 1000, mode: 0o2700 });
    await sys.setxattr(`${mnt}/d/f`, "trusted.name", "value");
    expect(await user.listxattr(`${mnt}/d/f`)).toContain("trusted.name");
    await refuses("ENODATA", user.getxattr(`${mnt}/d/f`, "trusted.name"));
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
    await sys.setAcl(`${mnt}/d/f`, [
      ["user_obj", null, 6],
      ["user", 1000, 0],
      ["group_obj", null, 4],
      ["mask", null, 4],
      ["other", null, 4],
    ]);
    expect(await user.readFile(`${mnt}/d/f`)).toBe("data");
    await sys.setAcl(
      `${mnt}/d`,
      [
        ["user_obj", null, 7],
        ["group_obj", null, 7],
        ["other", null, 7],
      ],
      true,
    );
    await sys.umask(0o077);
    await sys.close(await sys.open(`${mnt}/d/new`, "O_WRONLY|O_CREAT", 0o666));
    expect((await sys.lstat(`${mnt}/d/new`)).mode).toBe(0o600);
  });

  test("Set-id bits", async () => {
    await sys.chmod(`${mnt}/d/f`, 0o2666);
    await user.appendFile(`${mnt}/d/f`, "+");
    expect((await sys.lstat(`${mnt}/d/f`)).mode).toBe(0o2666);
    await sys.chmod(`${mnt}/d/f`, 0o6777);
    await user.appendFile(`${mnt}/d/f`, "+");
    expect((await sys.lstat(`${mnt}/d/f`)).mode).toBe(0o777);
  });

  test("Times", async () => {
    const before = await sys.lstat(`${mnt}/d/f`);
    expect(before).toMatchObject({ atime: -1_000_500_000_001n, mtime: 2_000_123_456_789n });
    await sys.utimens(`${mnt}/d/f`, "omit", 5_000_000n);
    expect(await sys.lstat(`${mnt}/d/f`)).toEqual(before);
    await sys.utimens(`${mnt}/d/f`, 1_234_567n, -2_345_678n);
    expect(await sys.lstat(`${mnt}/d/f`)).toMatchObject({ atime: 1_000_000n, mtime: -3_000_000n });
  });

  test("Birth times", async () => {
    expect((await sys.statx(`${mnt}/d/f`)).btime).toBe(null);
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
    await sys.writeFile(`${mnt}/to`, "");
    const to = await sys.open(`${mnt}/to`, "O_WRONLY");
    expect(await sys.copyFileRange(fd, to, 4, 0, 0)).toBe(4);
    expect(readFileSync(`${upper}/to`, "latin1")).toBe("data");
  });

  test("Data past the daemon", async () => {
    await sys.writeFile(`${mnt}/d/f`, "0123456789");
    const fd = await sys.open(`${mnt}/d/f`, "O_RDWR");
    const counted = async () => (JSON.parse(await sys.getxattr(mnt, "user.veneer.requests")) as { READ?: number }).READ;
    const before = (await counted()) ?? 0;
    expect(await sys.pread(fd, 10, 0)).toBe("0123456789");
    expect(await counted()).toBe(before + 1);
    const mapping = await sys.mmap(fd, 10, "PROT_READ|PROT_WRITE", "MAP_SHARED");
    await sys.utimens(`${mnt}/d/f`, 0n, 0n);
    await sys.mwrite(mapping, 0, "AB");
    expect((await sys.lstat(`${mnt}/d/f`)).mtime).toBe(0n);
    expect(await sys.pread(fd, 10, 0)).toBe("AB23456789");
    await sys.msync(mapping);
    expect((await sys.lstat(`${mnt}/d/f`)).mtime).toBeGreaterThan(0n);
    expect(readFileSync(`${upper}/d/f`, "latin1")).toBe("AB23456789");
    await sys.truncate(fd, 1 << 20);
    const again = await sys.open(`${mnt}/d/f`, "O_RDONLY");
    const start = (await counted()) ?? 0;
    expect((await sys.read(again, 1 << 20)).length).toBe(1 << 20);
    expect(((await counted()) ?? 0) - start).toBeGreaterThanOrEqual(8);
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
    const fd = await sys.open(`${mnt}/file`, "O_RDONLY");
    await sys.rename(`${mnt}/file`, name);
    expect(await sys.pread(fd, 20, 0)).toBe("from the lower\n");
    expect(await sys.list(mnt)).toEqual(["d"]);
  });
});
