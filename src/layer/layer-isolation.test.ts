/** What opening a layer promises: no write, no atime, no mount reaches it, and upper and work are of one piece. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { FileType } from "../contract/ids.ts";
import { Errno } from "../errno.ts";
import { commonAncestor } from "../sys/private-tree.ts";
import { setUmask } from "../sys/process.ts";
import { type DirectoryLayer, openLowerLayer, openUpperLayers } from "./directory-layer.ts";

let scratch: string;
let layers: DirectoryLayer[] = [];
let descriptors: string[];

const mounted = (type: string, options: string, path: string) =>
  execFileSync("mount", ["-t", type, "-o", options, "none", path]);
const unmounted = (path: string) => execFileSync("umount", [path]);

beforeAll(() => {
  setUmask(0);
  scratch = makeScratch();
  /* strictatime, so that every read counts; shared, so that mounts spread as they do below a usual /. */
  mkdirSync(`${scratch}/fs`);
  mounted("tmpfs", "strictatime,size=50m", `${scratch}/fs`);
  execFileSync("mount", ["--make-shared", `${scratch}/fs`]);
});

beforeEach(() => {
  execFileSync("sh", ["-c", `rm -rf ${scratch}/fs/*`]);
  for (const name of ["lower/dir/sub", "upper", "work", "other"]) {
    mkdirSync(`${scratch}/fs/${name}`, { recursive: true });
  }
  writeFileSync(`${scratch}/fs/lower/file`, "content");
  symlinkSync("file", `${scratch}/fs/lower/link`);
  descriptors = readdirSync("/proc/self/fd");
});

afterEach(() => {
  for (const layer of layers) {
    layer.close();
  }
  layers = [];
  expect(readdirSync("/proc/self/fd")).toEqual(descriptors);
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

function lower(path = `${scratch}/fs/lower`): DirectoryLayer {
  const layer = openLowerLayer(path);
  layers.push(layer);
  return layer;
}

function pair(upper = `${scratch}/fs/upper`, work = `${scratch}/fs/work`): [DirectoryLayer, DirectoryLayer] {
  const opened = openUpperLayers(upper, work);
  layers.push(opened.upper, opened.work);
  return [opened.upper, opened.work];
}

const failsWith = (code: number, call: () => unknown) =>
  expect(call).toThrow(expect.objectContaining({ name: "FsError", code }));

/** Runs `act` without the privileges of root, as far as the calling process is concerned. */
function asNobody(act: () => void): void {
  process.setegid?.(65534);
  process.seteuid?.(65534);
  try {
    act();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

describe("a lower layer", () => {
  test("refuses every change with EROFS, whoever asks", () => {
    const layer = lower();
    expect(layer.isolated).toBe(true);
    const changes: Record<string, () => unknown> = {
      openFile: () => layer.openFile("file", true),
      createFile: () => layer.createFile("new", 0o644),
      createUnnamedFile: () => layer.createUnnamedFile("", 0o644),
      makeDirectory: () => layer.makeDirectory("new", 0o755),
      makeNode: () => layer.makeNode("new", FileType.character, 0, 0),
      makeSymlink: () => layer.makeSymlink("new", Buffer.from("x")),
      link: () => layer.link("file", layer, "new"),
      unlink: () => layer.unlink("file"),
      removeDirectory: () => layer.removeDirectory("dir/sub"),
      rename: () => layer.rename("file", layer, "new", 0),
      chmod: () => layer.chmod("file", 0o600),
      chown: () => layer.chown("file", 1, 1),
      setTimes: () => layer.setTimes("file", "now", "now"),
      truncate: () => layer.truncate("file", 0),
      setXattr: () => layer.setXattr("file", "trusted.x", Buffer.from("1"), 0),
      removeXattr: () => layer.removeXattr("file", "trusted.x"),
    };
    for (const change of Object.values(changes)) {
      failsWith(Errno.EROFS, change);
    }
    const anchor = layer.anchor("file");
    failsWith(Errno.EROFS, () => anchor.openFile("", true));
    failsWith(Errno.EROFS, () => anchor.chmod("", 0o600));
    anchor.close();
    expect(readFileSync(`${scratch}/fs/lower/file`, "latin1")).toBe("content");
    /* The mount itself stays writable. */
    writeFileSync(`${scratch}/fs/lower/file`, "changed");
  });

  test("keeps its atimes through reads, listings and readlink", () => {
    const objects = ["lower/file", "lower/dir", "lower/link"];
    const atimes = () => execFileSync("stat", ["-c", "%x", ...objects], { cwd: `${scratch}/fs` }).toString();
    const layer = lower();
    const before = atimes();
    const read = layer.openFile("file", false);
    expect(read.read(Buffer.alloc(10), 0)).toBe(7);
    read.close();
    layer.list("dir");
    layer.readLink("link");
    expect(atimes()).toBe(before);
    readFileSync(`${scratch}/fs/lower/file`);
    expect(atimes()).not.toBe(before);
  });

  test("shows what lies beneath mounts that were there before, and never those that come later", () => {
    writeFileSync(`${scratch}/fs/lower/dir/beneath`, "");
    mounted("tmpfs", "size=1m", `${scratch}/fs/lower/dir`);
    writeFileSync(`${scratch}/fs/lower/dir/above`, "");
    const layer = lower();
    try {
      expect(layer.list("dir").map((entry) => entry.name)).toEqual(expect.arrayContaining(["beneath", "sub"]));
      expect(layer.find("dir/above")).toBeUndefined();
      expect(layer.stat("dir").dev).toBe(layer.stat("").dev);
    } finally {
      unmounted(`${scratch}/fs/lower/dir`);
    }
    mounted("tmpfs", "size=1m", `${scratch}/fs/lower/dir/sub`);
    try {
      writeFileSync(`${scratch}/fs/lower/dir/sub/later`, "");
      expect(layer.list("dir/sub")).toEqual([]);
      expect(layer.stat("dir/sub").dev).toBe(layer.stat("").dev);
    } finally {
      unmounted(`${scratch}/fs/lower/dir/sub`);
    }
  });

  test("does not keep its mount busy for others' submounts, and goes with its last descriptor", () => {
    const layer = lower();
    mounted("tmpfs", "size=1m", `${scratch}/fs/other`);
    const other = openLowerLayer(`${scratch}/fs/other`);
    unmounted(`${scratch}/fs/other`);
    expect(other.list("")).toEqual([]);
    other.close();
    expect(layer.find("file")).toBeDefined();
  });

  test("is named by any path that the kernel understands, as it stands", () => {
    mkdirSync(`${scratch}/fs/elsewhere/deep`, { recursive: true });
    mkdirSync(`${scratch}/fs/elsewhere/diff1`);
    writeFileSync(`${scratch}/fs/elsewhere/diff1/right`, "");
    mkdirSync(`${scratch}/fs/l`);
    mkdirSync(`${scratch}/fs/l/diff1`);
    symlinkSync("../elsewhere/deep", `${scratch}/fs/l/X`);
    expect(lower(`${scratch}/fs/l/X/../diff1`).find("right")).toBeDefined();
    const before = process.cwd();
    process.chdir(`${scratch}/fs/l`);
    try {
      expect(lower("X/../diff1").find("right")).toBeDefined();
    } finally {
      process.chdir(before);
    }
    mkdirSync(`${scratch}/fs/\u00e4\u20ac`);
    writeFileSync(`${scratch}/fs/\u00e4\u20ac/x`, "");
    const bytes = Buffer.from(`${scratch}/fs/\u00e4\u20ac`).toString("latin1");
    expect(lower(bytes).find("x")).toBeDefined();
    failsWith(Errno.EILSEQ, () => openLowerLayer(`${scratch}/fs/\u20ac`));
  });

  test("must be a directory", () => {
    failsWith(Errno.ENOTDIR, () => openLowerLayer(`${scratch}/fs/lower/file`));
    failsWith(Errno.ENOENT, () => openLowerLayer(`${scratch}/fs/absent`));
    failsWith(Errno.ENOENT, () => openLowerLayer(""));
  });

  test("without privilege is a plain directory, and says so", () => {
    chmodSync(`${scratch}/fs/lower`, 0o777);
    execFileSync("chown", ["-R", "65534:65534", `${scratch}/fs/lower`]);
    writeFileSync(`${scratch}/fs/lower/foreign`, "of root");
    chmodSync(`${scratch}/fs/lower/foreign`, 0o644);
    const atime = () => execFileSync("stat", ["-c", "%x", `${scratch}/fs/lower/file`]).toString();
    const before = atime();
    asNobody(() => {
      const layer = lower();
      expect(layer.isolated).toBe(false);
      expect(layer.list("").map((entry) => entry.name)).toContain("file");
      for (const name of ["file", "foreign"]) {
        const file = layer.openFile(name, false);
        expect(file.read(Buffer.alloc(7), 0)).toBe(7);
        file.close();
      }
      expect(layer.statByHandle(1, Buffer.alloc(8))).toBeUndefined();
    });
    /* Its own files by O_NOATIME; those of others can't be spared. */
    expect(atime()).toBe(before);
  });
});

describe("upper and work", () => {
  test("are isolated, and names move and link between them", () => {
    const [upper, work] = pair();
    expect(upper.isolated).toBe(true);
    work.createFile("a", 0o600).close();
    work.rename("a", upper, "b", 0);
    upper.link("b", work, "c");
    expect(readdirSync(`${scratch}/fs/upper`)).toEqual(["b"]);
    expect(readdirSync(`${scratch}/fs/work`)).toEqual(["c"]);
  });

  test.each([
    ["side by side, deep below different parents", "other/a/b/upper", "other/x/work"],
    ["nested", "other", "other/work"],
    ["with a name that begins like the other's", "other/up", "other/up-work"],
    ["the same", "other", "other"],
  ])("may lie %s", (_, first, second) => {
    mkdirSync(`${scratch}/fs/${first}`, { recursive: true });
    mkdirSync(`${scratch}/fs/${second}`, { recursive: true });
    const [upper, work] = pair(`${scratch}/fs/${first}`, `${scratch}/fs/${second}`);
    expect(upper.stat("").ino).toBe(openInode(`${scratch}/fs/${first}`));
    work.createFile("moving", 0o600).close();
    work.rename("moving", upper, "moved", 0);
    expect(readdirSync(`${scratch}/fs/${first}`)).toContain("moved");
  });

  test("may be the root of a mount and a directory in it", () => {
    const [upper, work] = pair(`${scratch}/fs`, `${scratch}/fs/work`);
    work.createFile("x", 0o600).close();
    work.rename("x", upper, "x", 0);
    expect(readdirSync(`${scratch}/fs`)).toContain("x");
  });

  test("are found through symlinks", () => {
    symlinkSync("upper", `${scratch}/fs/to-upper`);
    const [upper] = pair(`${scratch}/fs/to-upper/.`, `${scratch}/fs/upper/../work`);
    upper.createFile("x", 0o600).close();
    expect(readdirSync(`${scratch}/fs/upper`)).toEqual(["x"]);
  });

  test("see no mount that is made in them", () => {
    const [upper] = pair();
    upper.makeDirectory("mnt", 0o755);
    mounted("tmpfs", "size=1m", `${scratch}/fs/upper/mnt`);
    try {
      expect(upper.stat("mnt").dev).toBe(upper.stat("").dev);
      upper.createFile("mnt/beneath", 0o600).close();
      expect(readdirSync(`${scratch}/fs/upper/mnt`)).toEqual([]);
    } finally {
      unmounted(`${scratch}/fs/upper/mnt`);
    }
    expect(readdirSync(`${scratch}/fs/upper/mnt`)).toEqual(["beneath"]);
  });

  test("must lie on one mount, even if of one file system", () => {
    mounted("tmpfs", "size=1m", `${scratch}/fs/other`);
    mkdirSync(`${scratch}/bound`, { recursive: true });
    execFileSync("mount", ["--bind", `${scratch}/fs/work`, `${scratch}/bound`]);
    try {
      failsWith(Errno.EXDEV, () => pair(`${scratch}/fs/upper`, `${scratch}/fs/other`));
      failsWith(Errno.EXDEV, () => pair(`${scratch}/fs/upper`, `${scratch}/bound`));
    } finally {
      unmounted(`${scratch}/bound`);
      unmounted(`${scratch}/fs/other`);
    }
  });

  test("must be directories that are there", () => {
    writeFileSync(`${scratch}/fs/plain`, "");
    failsWith(Errno.ENOENT, () => pair(`${scratch}/fs/absent`));
    failsWith(Errno.ENOENT, () => pair(`${scratch}/fs/upper`, `${scratch}/fs/absent`));
    failsWith(Errno.ENOTDIR, () => pair(`${scratch}/fs/plain`));
    failsWith(Errno.ENOTDIR, () => pair(`${scratch}/fs/upper`, `${scratch}/fs/plain`));
  });

  test("keep their atimes going, and follow their directories when those are moved", () => {
    const [upper] = pair();
    const file = upper.createFile("x", 0o600);
    file.write(Buffer.from("x"), 0, 0);
    upper.setTimes("x", { sec: 1, nsec: 0 }, { sec: 1, nsec: 0 });
    file.read(Buffer.alloc(1), 0);
    file.close();
    expect(upper.stat("x").atime.sec).toBeGreaterThan(1);
    renameSync(`${scratch}/fs/upper`, `${scratch}/fs/moved`);
    upper.makeDirectory("still", 0o755);
    expect(readdirSync(`${scratch}/fs/moved`).sort()).toEqual(["still", "x"]);
  });

  test("on a read-only mount refuse changes", () => {
    mkdirSync(`${scratch}/ro`);
    mounted("tmpfs", "size=1m", `${scratch}/ro`);
    mkdirSync(`${scratch}/ro/u`);
    mkdirSync(`${scratch}/ro/w`);
    execFileSync("mount", ["-o", "remount,ro,bind", `${scratch}/ro`]);
    try {
      const [upper, work] = pair(`${scratch}/ro/u`, `${scratch}/ro/w`);
      failsWith(Errno.EROFS, () => upper.makeDirectory("x", 0o755));
      failsWith(Errno.EROFS, () => work.createFile("x", 0o755));
    } finally {
      unmounted(`${scratch}/ro`);
    }
  });

  test("without privilege are plain directories, and say so", () => {
    execFileSync("chown", ["65534:65534", `${scratch}/fs/upper`, `${scratch}/fs/work`]);
    asNobody(() => {
      const [upper, work] = pair();
      expect(upper.isolated).toBe(false);
      expect(work.isolated).toBe(false);
      work.createFile("a", 0o600).close();
      work.rename("a", upper, "b", 0);
      const unnamed = work.createUnnamedFile("", 0o600);
      const anchor = unnamed.anchor();
      unnamed.close();
      anchor.link("", upper, "linked");
      anchor.close();
    });
    expect(readdirSync(`${scratch}/fs/upper`).sort()).toEqual(["b", "linked"]);
  });
});

function openInode(path: string): number {
  return Number(execFileSync("stat", ["-c", "%i", path]).toString());
}

test.each([
  ["/a/b/c", "/a/b/d", "/a/b"],
  ["/a/b", "/a/bc", "/a"],
  ["/a/b", "/a/b/c", "/a/b"],
  ["/a", "/b", "/"],
  ["/", "/b", "/"],
  ["/a", "/a", "/a"],
])("the common ancestor of %s and %s is %s", (first, second, wanted) => {
  expect(commonAncestor(first, second)).toBe(wanted);
  expect(commonAncestor(second, first)).toBe(wanted);
});
