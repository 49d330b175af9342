import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, openSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type FileSystemKind, makeFileSystem, makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { FileType } from "../contract/ids.ts";
import { Errno } from "../errno.ts";
import { runJob } from "../sys/jobs.ts";
import { setUmask } from "../sys/process.ts";
import { DirectoryLayer, openUpperLayers } from "./directory-layer.ts";
import type { LayerFile } from "./layer.ts";

let scratch: string;

beforeAll(() => {
  setUmask(0);
  scratch = makeScratch();
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

/** Expects `call` to fail with this errno. */
function failsWith(code: number, call: () => unknown): void {
  expect(call).toThrow(expect.objectContaining({ name: "FsError", code }));
}

/** Writes a file through the layer. */
function put(layer: DirectoryLayer, path: string, content: string, mode = 0o644): void {
  const file = layer.createFile(path, mode);
  expect(file.write(Buffer.from(content, "latin1"), 0, 0)).toBe(content.length);
  file.close();
}

function content(file: LayerFile): string {
  const buffer = Buffer.alloc(file.stat().size + 10);
  const length = file.read(buffer, 0);
  file.close();
  return buffer.toString("latin1", 0, length);
}

const names = (layer: DirectoryLayer, path = "") =>
  layer
    .list(path)
    .map((entry) => entry.name)
    .sort();

describe.each<FileSystemKind>(["ext4", "tmpfs", "xfs"])("a layer on %s", (kind) => {
  let base: string;
  let upper: DirectoryLayer;
  let work: DirectoryLayer;
  let round = 0;

  beforeAll(async () => {
    base = `${scratch}/${kind}`;
    await makeFileSystem(kind, base);
  });

  beforeEach(() => {
    upper?.close();
    work?.close();
    round += 1;
    mkdirSync(`${base}/${round}/u`, { recursive: true });
    mkdirSync(`${base}/${round}/w`);
    ({ upper, work } = openUpperLayers(`${base}/${round}/u`, `${base}/${round}/w`));
  });

  afterAll(() => {
    upper.close();
    work.close();
  });

  const real = (path: string) => `${base}/${round}/u/${path}`;

  test("is isolated", () => {
    expect(upper.isolated).toBe(true);
  });

  test("every kind of object is made, listed with its type, and stat tells the same", () => {
    put(upper, "regular", "x");
    upper.makeDirectory("directory", 0o1777);
    upper.makeSymlink("symlink", Buffer.from("target"));
    upper.makeNode("fifo", FileType.fifo | 0o622, 0, 0);
    upper.makeNode("socket", FileType.socket | 0o600, 0, 0);
    upper.makeNode("character", FileType.character | 0o600, 511, 262_143);
    upper.makeNode("block", FileType.block | 0o600, 259, 256);
    upper.makeNode("whiteout", FileType.character, 0, 0);
    const listed = upper.list("");
    expect(listed.map((entry) => entry.name).sort()).toEqual(
      ["block", "character", "directory", "fifo", "regular", "socket", "symlink", "whiteout"].sort(),
    );
    for (const { name, type, ino } of listed) {
      const stat = upper.stat(name);
      expect({ type: stat.mode & FileType.mask, ino: stat.ino }).toEqual({ type, ino });
      expect(stat.ino).toBe(lstatSync(real(name)).ino);
    }
    expect(upper.stat("directory").mode & 0o7777).toBe(0o1777);
    expect(upper.stat("character")).toMatchObject({ rdevMajor: 511, rdevMinor: 262_143 });
    expect(upper.stat("block")).toMatchObject({ rdevMajor: 259, rdevMinor: 256 });
    expect(execFileSync("stat", ["-c", "%t:%T", real("block")]).toString()).toBe("103:100\n");
    expect(upper.list("directory")).toEqual([]);
  });

  test("absent names and wrong kinds fail with the errno that belongs to them", () => {
    put(upper, "file", "x");
    upper.makeDirectory("full", 0o755);
    put(upper, "full/below", "x");
    upper.makeSymlink("link", Buffer.from("file"));
    expect(upper.find("absent")).toBeUndefined();
    expect(upper.find("absent/below")).toBeUndefined();
    failsWith(Errno.ENOTDIR, () => upper.find("file/below"));
    failsWith(Errno.ENOENT, () => upper.stat("absent"));
    failsWith(Errno.ENOENT, () => upper.list("absent"));
    failsWith(Errno.ENOTDIR, () => upper.list("file"));
    failsWith(Errno.ENOTDIR, () => upper.list("link"));
    failsWith(Errno.ELOOP, () => upper.openFile("link", false));
    failsWith(Errno.ELOOP, () => upper.openFile("link", true));
    failsWith(Errno.ELOOP, () => upper.truncate("link", 0));
    failsWith(Errno.EINVAL, () => upper.readLink("file"));
    failsWith(Errno.EEXIST, () => upper.createFile("file", 0o600));
    failsWith(Errno.EEXIST, () => upper.createFile("link", 0o600));
    failsWith(Errno.EEXIST, () => upper.makeDirectory("full", 0o755));
    failsWith(Errno.ENOTEMPTY, () => upper.removeDirectory("full"));
    failsWith(Errno.ENOTDIR, () => upper.removeDirectory("file"));
    failsWith(Errno.EISDIR, () => upper.unlink("full"));
    failsWith(Errno.ENODATA, () => upper.removeXattr("file", "trusted.absent"));
    failsWith(Errno.ENAMETOOLONG, () => upper.stat("n".repeat(256)));
    failsWith(Errno.EINVAL, () => upper.stat("a\0b"));
  });

  test("names are bytes: every one but / and NUL, up to 255 of them", () => {
    const odd = Array.from({ length: 255 }, (_, index) => String.fromCharCode(index + 1)).filter((c) => c !== "/");
    const all = [...odd.map((c) => (c === "." ? ".x" : c)), "\xff\xfe\x80", "\xc3\xa4 \xe2\x82\xac", "n".repeat(255)];
    for (const name of all) {
      put(upper, name, "");
    }
    expect(names(upper)).toEqual([...all].sort());
    expect(readdirSync(real(""), { encoding: "latin1" }).sort()).toEqual([...all].sort());
    for (const name of all) {
      expect(upper.find(name)).toBeDefined();
      upper.rename(name, work, name, 0);
      work.unlink(name);
    }
    expect(upper.list("")).toEqual([]);
  });

  test("a directory of thousands of names is listed whole, each once", () => {
    upper.makeDirectory("many", 0o755);
    const wanted = Array.from({ length: 5000 }, (_, index) => `name-${index}-${"x".repeat(index % 60)}`);
    for (const name of wanted) {
      upper.makeSymlink(`many/${name}`, Buffer.from("t"));
    }
    expect(names(upper, "many")).toEqual([...wanted].sort());
    expect(upper.list("many")).toEqual(upper.list("many"));
  });

  test("symlinks hold any bytes, as many as the file system allows", () => {
    /* A block of the little ext4 has 1 KiB. */
    const most = kind === "tmpfs" ? 4095 : 1023;
    const target = Buffer.alloc(most, 0xe4);
    upper.makeSymlink("long", target);
    expect(upper.readLink("long").equals(target)).toBe(true);
    expect(upper.stat("long").size).toBe(most);
    const everyByte = Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1));
    upper.makeSymlink("bytes", everyByte);
    expect(upper.readLink("bytes").equals(everyByte)).toBe(true);
    failsWith(Errno.ENAMETOOLONG, () => upper.makeSymlink("longer", Buffer.alloc(4096, "x")));
    failsWith(Errno.ENOENT, () => upper.makeSymlink("empty", Buffer.alloc(0)));
  });

  test("data: read, write, seek, truncate", () => {
    const file = upper.createFile("data", 0o640);
    expect(file.writable).toBe(true);
    expect(file.write(Buffer.from("end"), 300_000, 0)).toBe(3);
    expect(file.write(Buffer.from("begin"), 0, 0o10000)).toBe(5);
    expect(file.write(Buffer.from("B"), 0, 0o4010000)).toBe(1);
    expect(file.stat().size).toBe(300_003);
    const into = Buffer.alloc(10);
    expect(file.read(into, 299_998)).toBe(5);
    expect(into.toString("latin1", 0, 5)).toBe("\0\0end");
    expect(file.read(into, 300_003)).toBe(0);
    const hole = file.seek(0, 4);
    expect(hole).toBeGreaterThan(0);
    expect(hole).toBeLessThan(300_000);
    expect(file.seek(hole, 3)).toBeGreaterThan(hole);
    failsWith(Errno.ENXIO, () => file.seek(300_003, 3));
    file.truncate(2);
    expect(file.read(into, 0)).toBe(2);
    upper.truncate("data", 4);
    expect(content(upper.openFile("data", false))).toBe("Be\0\0");
    file.close();
    file.close();
    failsWith(Errno.EBADF, () => file.read(into, 0));
  });

  test("reading what is in memory doesn't wait; the end of the file is told", () => {
    put(upper, "cached", "0123456789");
    const file = upper.openFile("cached", false);
    const into = Buffer.alloc(4);
    const length = file.readIfCached(into, 2);
    expect(length).toBe(4);
    expect(into.toString()).toBe("2345");
    expect(file.readIfCached(into, 8)).toBe(2);
    // tmpfs knows no RWF_NOWAIT, and what isn't there is in no cache.
    expect(file.readIfCached(into, 10)).toBe(kind === "tmpfs" ? undefined : 0);
    expect(file.lengthIfCached(2, 4)).toBe(4);
    expect(file.lengthIfCached(8, 4)).toBe(2);
    expect(file.lengthIfCached(10, 4)).toBeUndefined();
    if (kind !== "tmpfs") {
      execFileSync("sync", ["-f", real("cached")]);
      execFileSync("python3", [
        "-c",
        `import os; os.posix_fadvise(os.open(${JSON.stringify(real("cached"))}, 0), 0, 0, os.POSIX_FADV_DONTNEED)`,
      ]);
      expect(file.lengthIfCached(0, 4)).toBeUndefined();
      expect(file.readIfCached(into, 0)).toBeUndefined();
    }
    expect(file.read(into, 0)).toBe(4);
    file.close();
  });

  test("sizes beyond 32 bits", () => {
    put(upper, "large", "");
    const size = 5 * 2 ** 30 + 3;
    upper.truncate("large", size);
    expect(upper.stat("large").size).toBe(size);
    const file = upper.openFile("large", true);
    expect(file.write(Buffer.from("z"), size, 0)).toBe(1);
    const into = Buffer.alloc(8);
    expect(file.read(into, size - 1)).toBe(2);
    expect(into[1]).toBe(0x7a);
    file.close();
  });

  test("a file that is only read refuses writes", () => {
    put(upper, "ro", "x");
    const file = upper.openFile("ro", false);
    expect(file.writable).toBe(false);
    failsWith(Errno.EBADF, () => file.write(Buffer.from("y"), 0, 0));
    file.close();
  });

  test("opening a FIFO waits for nobody", () => {
    upper.makeNode("fifo", FileType.fifo | 0o600, 0, 0);
    upper.openFile("fifo", false).close();
  });

  test("owner and mode, symlinks included", () => {
    put(upper, "file", "");
    upper.makeSymlink("link", Buffer.from("file"));
    upper.chown("file", 1000, 2000);
    upper.chmod("file", 0o6755);
    expect(upper.stat("file")).toMatchObject({ uid: 1000, gid: 2000, mode: FileType.regular | 0o6755 });
    upper.chown("file", undefined, 4_000_000_000);
    expect(upper.stat("file")).toMatchObject({ uid: 1000, gid: 4_000_000_000 });
    upper.chown("link", 7, undefined);
    expect(upper.stat("link")).toMatchObject({ uid: 7, gid: 0 });
    expect(upper.stat("file").uid).toBe(1000);
    upper.chmod("", 0o700);
    upper.chown("", 5, 6);
    expect(upper.stat("")).toMatchObject({ uid: 5, gid: 6, mode: FileType.directory | 0o700 });
  });

  test("times to the nanosecond, before 1970, after 2038, of symlinks, each left alone or set to now", () => {
    put(upper, "file", "");
    upper.makeSymlink("link", Buffer.from("file"));
    const old = { sec: -1_500_000_001, nsec: 123_456_789 };
    const late = { sec: 4_000_000_000, nsec: 999_999_999 };
    for (const path of ["file", "link", ""]) {
      upper.setTimes(path, old, late);
      expect(upper.stat(path)).toMatchObject({ atime: old, mtime: late });
      upper.setTimes(path, undefined, old);
      expect(upper.stat(path)).toMatchObject({ atime: old, mtime: old });
      upper.setTimes(path, late, undefined);
      expect(upper.stat(path)).toMatchObject({ atime: late, mtime: old });
      upper.setTimes(path, undefined, "now");
      expect(Math.abs(upper.stat(path).mtime.sec - Date.now() / 1000)).toBeLessThan(60);
      expect(upper.stat(path).atime).toEqual(late);
      const before = upper.stat(path);
      upper.setTimes(path, undefined, undefined);
      expect(upper.stat(path)).toMatchObject({ atime: before.atime, mtime: before.mtime });
    }
  });

  test("xattrs of every namespace, on symlinks too", () => {
    put(upper, "file", "");
    upper.makeSymlink("link", Buffer.from("file"));
    upper.makeDirectory("dir", 0o755);
    const value = Buffer.from([0, 1, 255, 10, 0]);
    for (const path of ["file", "link", "dir", ""]) {
      upper.setXattr(path, "trusted.overlay.opaque", Buffer.from("y"), 0);
      upper.setXattr(path, "trusted.\xe4\xff", value, 1);
      expect(upper.getXattr(path, "trusted.\xe4\xff")?.equals(value)).toBe(true);
      expect(upper.getXattr(path, "trusted.overlay.opaque")?.toString()).toBe("y");
      expect(upper.getXattr(path, "trusted.absent")).toBeUndefined();
      expect(upper.listXattrs(path).sort()).toEqual(["trusted.overlay.opaque", "trusted.\xe4\xff"]);
      failsWith(Errno.EEXIST, () => upper.setXattr(path, "trusted.\xe4\xff", value, 1));
      failsWith(Errno.ENODATA, () => upper.setXattr(path, "trusted.new", value, 2));
      upper.removeXattr(path, "trusted.\xe4\xff");
      expect(upper.listXattrs(path)).toEqual(["trusted.overlay.opaque"]);
    }
    upper.setXattr("file", "trusted.empty", Buffer.alloc(0), 0);
    expect(upper.getXattr("file", "trusted.empty")?.length).toBe(0);
    failsWith(Errno.EPERM, () => upper.setXattr("link", "user.x", value, 0));
    failsWith(Errno.EOPNOTSUPP, () => upper.getXattr("file", "bogus.name"));
  });

  test("long values and long lists of xattrs", () => {
    put(upper, "file", "");
    const value = Buffer.alloc(kind === "ext4" ? 800 : 3000, "v");
    upper.setXattr("file", "trusted.long", value, 0);
    expect(upper.getXattr("file", "trusted.long")?.equals(value)).toBe(true);
    upper.removeXattr("file", "trusted.long");
    const many = Array.from(
      { length: kind === "ext4" ? 20 : 40 },
      (_, index) => `trusted.name-${String(index).padStart(20, "0")}`,
    );
    for (const name of many) {
      upper.setXattr("file", name, Buffer.from("1"), 0);
    }
    expect(upper.listXattrs("file").sort()).toEqual(many);
  });

  test("file capabilities and POSIX ACLs are kept as bytes", () => {
    writeFileSync(real("ping"), "");
    execFileSync("setcap", ["cap_net_raw=ep", real("ping")]);
    execFileSync("setfacl", ["-m", "u:1234:rwx,g:99:r", real("ping")]);
    put(upper, "copy", "", 0o600);
    for (const name of upper.listXattrs("ping")) {
      upper.setXattr("copy", name, upper.getXattr("ping", name) ?? Buffer.alloc(0), 0);
    }
    expect(execFileSync("getcap", [real("copy")]).toString()).toContain("cap_net_raw=ep");
    expect(execFileSync("getfacl", ["-cnp", real("copy")]).toString()).toContain("user:1234:rwx");
    upper.makeDirectory("dir", 0o755);
    execFileSync("setfacl", ["-d", "-m", "u:77:rx", real("dir")]);
    expect(upper.listXattrs("dir")).toContain("system.posix_acl_default");
  });

  test("rename moves within and between upper and work, and knows its flags", () => {
    put(work, "staged", "new");
    put(upper, "there", "old");
    failsWith(Errno.EEXIST, () => work.rename("staged", upper, "there", 1));
    work.rename("staged", upper, "there", 2);
    expect(content(upper.openFile("there", false))).toBe("new");
    expect(content(work.openFile("staged", false))).toBe("old");
    work.rename("staged", upper, "there", 0);
    expect(content(upper.openFile("there", false))).toBe("old");
    upper.rename("there", work, "gone", 4);
    expect(upper.stat("there")).toMatchObject({ rdevMajor: 0, rdevMinor: 0 });
    expect(upper.stat("there").mode & FileType.mask).toBe(FileType.character);
    failsWith(Errno.ENOENT, () => upper.rename("absent", work, "x", 0));
  });

  test("link goes between upper and work and counts", () => {
    put(work, "one", "x");
    work.link("one", upper, "two");
    expect(upper.stat("two").nlink).toBe(2);
    expect(upper.stat("two").ino).toBe(work.stat("one").ino);
    upper.makeSymlink("symlink", Buffer.from("nowhere"));
    upper.link("symlink", upper, "same symlink");
    expect(upper.readLink("same symlink").toString()).toBe("nowhere");
    failsWith(Errno.EEXIST, () => upper.link("two", upper, "symlink"));
    upper.makeDirectory("dir", 0o755);
    failsWith(Errno.EPERM, () => upper.link("dir", upper, "other"));
  });

  test("an unnamed file gets a name from its anchor", () => {
    const file = work.createUnnamedFile("", 0o640);
    file.write(Buffer.from("unnamed"), 0, 0);
    const anchor = file.anchor();
    file.close();
    anchor.chmod("", 0o604);
    anchor.chown("", 8, 9);
    anchor.setXattr("", "trusted.a", Buffer.from("1"), 0);
    expect(anchor.stat("").nlink).toBe(0);
    expect(work.list("")).toEqual([]);
    anchor.link("", upper, "named");
    expect(upper.stat("named")).toMatchObject({ nlink: 1, uid: 8, gid: 9, mode: FileType.regular | 0o604 });
    expect(content(upper.openFile("named", false))).toBe("unnamed");
    anchor.close();
  });

  test("anchors of removed objects answer everything", () => {
    put(upper, "file", "content");
    upper.makeDirectory("dir", 0o755);
    upper.makeSymlink("link", Buffer.from("target"));
    upper.makeNode("fifo", FileType.fifo | 0o600, 0, 0);
    upper.makeNode("device", FileType.character | 0o600, 1, 3);
    const time = { sec: -5, nsec: 7 };
    for (const name of ["file", "dir", "link", "fifo", "device"]) {
      const anchor = upper.anchor(name);
      const { ino } = upper.stat(name);
      if (name === "dir") {
        upper.removeDirectory(name);
      } else {
        upper.unlink(name);
      }
      expect(anchor.stat("").ino).toBe(ino);
      expect(anchor.find("")?.ino).toBe(ino);
      anchor.chown("", 11, 12);
      anchor.setTimes("", time, "now");
      anchor.setXattr("", "trusted.x", Buffer.from(name), 0);
      expect(anchor.getXattr("", "trusted.x")?.toString()).toBe(name);
      expect(anchor.listXattrs("")).toEqual(["trusted.x"]);
      anchor.removeXattr("", "trusted.x");
      if (name !== "link") {
        anchor.chmod("", 0o641);
        expect(anchor.stat("").mode & 0o7777).toBe(0o641);
      }
      expect(anchor.stat("")).toMatchObject({ uid: 11, gid: 12, atime: time });
      expect(anchor.fileHandle("")?.bytes.length).toBeGreaterThan(0);
      expect(anchor.statistics().nameMax).toBe(255);
      if (name === "file") {
        expect(anchor.stat("").nlink).toBe(0);
        anchor.truncate("", 3);
        const file = anchor.openFile("", true);
        file.write(Buffer.from("C"), 0, 0);
        file.close();
        expect(content(anchor.openFile("", false))).toBe("Con");
        failsWith(Errno.ENOENT, () => anchor.link("", upper, "back"));
      }
      if (name === "link") {
        expect(anchor.readLink("").toString()).toBe("target");
        failsWith(Errno.ELOOP, () => anchor.openFile("", false));
      }
      if (name === "dir") {
        expect(anchor.list("")).toEqual([]);
        anchor.openDirectory("").close();
        failsWith(Errno.ENOENT, () => anchor.createFile("new", 0o600));
      }
      anchor.close();
      anchor.close();
    }
  });

  test("an anchored directory is a layer of its own", () => {
    upper.makeDirectory("dir", 0o755);
    put(upper, "dir/below", "x");
    const anchor = upper.anchor("dir");
    upper.rename("dir", upper, "elsewhere", 0);
    expect(names(anchor)).toEqual(["below"]);
    put(anchor, "more", "y");
    expect(names(upper, "elsewhere")).toEqual(["below", "more"]);
    const again = anchor.anchor("");
    anchor.close();
    expect(names(again)).toEqual(["below", "more"]);
    again.close();
  });

  test("paths of 10,000 bytes", () => {
    const name = "d".repeat(249);
    let path = "";
    for (let depth = 0; depth < 40; depth += 1) {
      path = path === "" ? name : `${path}/${name}`;
      upper.makeDirectory(path, 0o755);
    }
    expect(path.length).toBeGreaterThan(9900);
    const descriptors = readdirSync("/proc/self/fd").length;
    const file = `${path}/file`;
    put(upper, file, "deep");
    upper.chmod(file, 0o604);
    upper.chown(file, 1, 2);
    upper.setTimes(file, { sec: 1, nsec: 2 }, { sec: 3, nsec: 4 });
    upper.setXattr(file, "trusted.deep", Buffer.from("1"), 0);
    expect(upper.getXattr(file, "trusted.deep")?.toString()).toBe("1");
    expect(upper.listXattrs(file)).toEqual(["trusted.deep"]);
    expect(upper.stat(file)).toMatchObject({ uid: 1, gid: 2, size: 4, atime: { sec: 1, nsec: 2 } });
    expect(content(upper.openFile(file, false))).toBe("deep");
    upper.makeSymlink(`${path}/link`, Buffer.from("t"));
    expect(upper.readLink(`${path}/link`).toString()).toBe("t");
    upper.link(file, upper, `${path}/hard`);
    expect(names(upper, path)).toEqual(["file", "hard", "link"]);
    expect(upper.find(`${path}/absent`)).toBeUndefined();
    expect(upper.find(`${path.replace(/.$/, "x")}/absent`)).toBeUndefined();
    const anchor = upper.anchor(path);
    expect(names(anchor)).toEqual(["file", "hard", "link"]);
    anchor.close();
    upper.rename(file, work, "flat", 0);
    work.rename("flat", upper, file, 0);
    for (const each of ["file", "hard", "link"]) {
      upper.unlink(`${path}/${each}`);
    }
    expect(readdirSync("/proc/self/fd").length).toBe(descriptors);
    failsWith(Errno.ENAMETOOLONG, () => upper.stat("n".repeat(5000)));
    while (path !== "") {
      upper.removeDirectory(path);
      path = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    }
  });

  test("copyTo keeps content and holes", () => {
    const from = upper.createFile("from", 0o600);
    from.write(Buffer.from("a"), 0, 0);
    from.write(Buffer.from("z"), 50_000_000, 0);
    const to = work.createFile("to", 0o600);
    from.copyTo(to, 50_000_001, false);
    expect(to.stat().size).toBe(50_000_001);
    expect(to.stat().blocks * 512).toBeLessThan(1_000_000);
    expect(execFileSync("cmp", [real("from"), `${base}/${round}/w/to`]).toString()).toBe("");
    from.close();
    to.close();
  });

  test("metadata of an open file are set whatever became of its name", () => {
    const file = upper.createFile("file", 0o600);
    upper.unlink("file");
    file.chown(11, 12);
    file.chmod(0o4751);
    file.setXattr("trusted.a", Buffer.from("b"), 0);
    file.setTimes({ sec: -5, nsec: 7 }, { sec: 1_000_000, nsec: 999_999_999 });
    const anchor = file.anchor();
    expect(anchor.getXattr("", "trusted.a")?.toString()).toBe("b");
    anchor.close();
    expect(file.stat()).toMatchObject({
      ...{ uid: 11, gid: 12, mode: 0o104751 },
      ...{ atime: { sec: -5, nsec: 7 }, mtime: { sec: 1_000_000, nsec: 999_999_999 } },
    });
    file.close();
    failsWith(Errno.EBADF, () => file.chmod(0o600));
  });

  test("file handles find their object again and go stale with it", () => {
    put(upper, "file", "");
    upper.makeSymlink("link", Buffer.from("file"));
    const handle = upper.fileHandle("file");
    expect(handle).toBeDefined();
    if (handle !== undefined) {
      expect(handle.bytes).not.toEqual(upper.fileHandle("link")?.bytes);
      expect(upper.statByHandle(handle.type, handle.bytes)?.ino).toBe(upper.stat("file").ino);
      expect(handle.uuid).toEqual(upper.uuid());
      upper.unlink("file");
      expect(upper.statByHandle(handle.type, handle.bytes)).toBeUndefined();
      expect(upper.statByHandle(handle.type, Buffer.from([1, 2, 3]))).toBeUndefined();
      expect(upper.statByHandle(1, Buffer.alloc(1000))).toBeUndefined();
    }
    failsWith(Errno.ENOENT, () => upper.fileHandle("file"));
  });

  test("the UUID is that of the file system", () => {
    const uuid = upper.uuid();
    if (kind === "tmpfs") {
      expect(uuid === null || uuid.length === 16).toBe(true);
    } else {
      const wanted = execFileSync("blkid", ["-p", "-o", "value", "-s", "UUID", `${base}.img`]).toString();
      expect(uuid?.toString("hex")).toBe(wanted.trim().replaceAll("-", ""));
    }
  });

  test("statistics agree with stat -f", () => {
    const [blocks, frsize, files, nameMax] = execFileSync("stat", ["-f", "-c", "%b %S %c %l", base])
      .toString()
      .trim()
      .split(" ")
      .map(Number);
    expect(upper.statistics()).toMatchObject({ blocks, frsize, files, nameMax });
    expect(upper.statistics().blocksFree).toBeGreaterThan(0);
    expect(upper.statistics().blocksAvailable).toBeLessThanOrEqual(upper.statistics().blocksFree);
  });

  test("sync jobs run, for anchors too", () => {
    put(upper, "file", "");
    expect(runJob(upper.syncJob())).toBe(0);
    const anchor = upper.anchor("file");
    expect(runJob(anchor.syncJob())).toBe(0);
    anchor.close();
    const directory = upper.openDirectory("");
    expect(runJob({ call: 1, args: [directory.fd] })).toBe(0);
    directory.close();
  });

  test("file flags by ioctl", () => {
    put(upper, "file", "");
    const file = upper.openFile("file", false);
    const FS_IOC_GETFLAGS = 0x80086601;
    const FS_IOC_SETFLAGS = 0x40086602;
    const flags = Buffer.alloc(8);
    const FS_NOATIME_FL = 0x80;
    file.ioctl(FS_IOC_GETFLAGS, flags);
    flags.writeUInt32LE(flags.readUInt32LE(0) | FS_NOATIME_FL);
    file.ioctl(FS_IOC_SETFLAGS, flags);
    expect(execFileSync("lsattr", ["-l", real("file")]).toString()).toContain("No_Atime");
    failsWith(Errno.ENOTTY, () => file.ioctl(0x12345678, flags));
    file.close();
  });

  test("an open file becomes another by the same descriptor", () => {
    put(upper, "one", "1");
    put(upper, "other", "22");
    const file = upper.openFile("one", false);
    const other = upper.openFile("other", true);
    const { fd } = file;
    file.become(other);
    expect([file.fd, file.writable, other.fd]).toEqual([fd, true, -1]);
    file.write(Buffer.from("3"), 1, 0);
    expect(content(file)).toBe("23");
  });

  test("can be rebuilt from its descriptor's number", () => {
    put(upper, "file", "x");
    const again = new DirectoryLayer(upper.fd, upper.traits);
    expect(names(again)).toEqual(["file"]);
    expect(again.isolated).toBe(true);
  });
});

test("a plain directory is a layer without protection", () => {
  mkdirSync(`${scratch}/plain`);
  symlinkSync("x", `${scratch}/plain/link`);
  const layer = new DirectoryLayer(openSync(`${scratch}/plain`, "r"));
  expect(layer.isolated).toBe(false);
  expect(names(layer)).toEqual(["link"]);
  layer.unlink("link");
  expect(existsSync(`${scratch}/plain/link`)).toBe(false);
  failsWith(Errno.EXDEV, () => layer.rename("a", Object.create(null), "b", 0));
  layer.close();
});
