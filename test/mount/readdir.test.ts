/** Listings: complete, stable while the directory changes, and true in d_ino and d_type. */
import { expect, test } from "vitest";
import type { Agent, DirectoryEntry } from "../support/agent.ts";
import { describeOverlay } from "../support/overlay.ts";
import { device, dir, fifo, hardlink, socket, symlink, type Tree, whiteout } from "../support/tree.ts";

/** The rest of an open directory, `size` bytes of entries at a time. */
async function readAll(sys: Agent, fd: number, size = 32_768): Promise<DirectoryEntry[]> {
  const all: DirectoryEntry[] = [];
  for (;;) {
    const some = await sys.getdents(fd, size);
    if (some.length === 0) {
      return all;
    }
    all.push(...some);
  }
}

function many(prefix: string, count: number): Tree {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, ""]));
}

const names = (entries: readonly DirectoryEntry[]) => entries.map((entry) => entry.name).sort();
const dots = [".", ".."];

describeOverlay("readdir", (overlay) => {
  test("what a directory of one lower had when it was listed is there after its copy-up", async () => {
    const m = await overlay.mount({ lowers: [{ d: { f: "1", gone: "2", again: "3", e: { x: "4" } } }] });
    const path = `${m.mnt}/d`;
    // It stays known while it is open; what is in it is looked up anew.
    const held = await m.sys.open(path, "O_RDONLY|O_DIRECTORY");
    expect(await m.sys.list(path)).toEqual(["again", "e", "f", "gone"]);
    await m.sys.writeFile(`${path}/new`, "5");
    await overlay.host.run(["sh", "-c", "echo 2 >/proc/sys/vm/drop_caches"], {});
    expect(await m.sys.readFile(`${path}/f`)).toBe("1");
    expect(await m.sys.readFile(`${path}/e/x`)).toBe("4");
    await m.sys.unlink(`${path}/gone`);
    await m.sys.unlink(`${path}/again`);
    await m.sys.writeFile(`${path}/again`, "6");
    await m.sys.close(held);
    await m.remount();
    expect(await m.sys.list(path)).toEqual(["again", "e", "f", "new"]);
    expect(await m.sys.readFile(`${path}/again`)).toBe("6");
  });

  test("lists . and .. and each name once, with the types and inode numbers of lstat", async () => {
    const m = await overlay.mount({
      lowers: [
        {
          f: "1",
          d: { x: "1" },
          s: symlink("f"),
          p: fifo(),
          q: socket(),
          c: device("char", 1, 3),
          b: device("block", 7, 0),
        },
        { f: "2", d: { y: "1" }, only: "2", e: {}, linked: "x", again: hardlink("linked") },
      ],
    });
    await m.sys.writeFile(`${m.mnt}/d/z`, "1");
    await m.sys.writeFile(`${m.mnt}/up`, "3");
    await m.sys.rmdir(`${m.mnt}/e`);
    for (const path of [m.mnt, `${m.mnt}/d`]) {
      const entries = await readAll(m.sys, await m.sys.open(path, "O_RDONLY|O_DIRECTORY"));
      expect(new Set(names(entries)).size).toBe(entries.length);
      for (const entry of entries.filter(({ name }) => name !== "..")) {
        const stat = await m.sys.lstat(`${path}/${entry.name}`);
        expect([entry.type, entry.ino], entry.name).toEqual([stat.type, stat.ino]);
      }
    }
    const root = await readAll(m.sys, await m.sys.open(m.mnt, "O_RDONLY|O_DIRECTORY"));
    expect(names(root)).toEqual([...dots, "again", "b", "c", "d", "f", "linked", "only", "p", "q", "s", "up"]);
    // ".." of a directory below the root is the root.
    const inner = await readAll(m.sys, await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY"));
    expect(inner.find(({ name }) => name === "..")?.ino).toBe((await m.sys.lstat(m.mnt)).ino);
  });

  test("inode numbers stay those of lstat after copy-up, rename and re-creation", async () => {
    const m = await overlay.mount({ lowers: [{ a: "1", b: "2", d: { x: "1" }, gone: "1" }] });
    await m.sys.appendFile(`${m.mnt}/a`, "+");
    await m.sys.rename(`${m.mnt}/b`, `${m.mnt}/c`);
    await m.sys.chmod(`${m.mnt}/d`, 0o700);
    await m.sys.unlink(`${m.mnt}/gone`);
    await m.sys.writeFile(`${m.mnt}/gone`, "new");
    for (const path of [m.mnt, `${m.mnt}/d`]) {
      for (const entry of await readAll(m.sys, await m.sys.open(path, "O_RDONLY|O_DIRECTORY"))) {
        if (entry.name !== "..") {
          expect(entry.ino, entry.name).toBe((await m.sys.lstat(`${path}/${entry.name}`)).ino);
        }
      }
    }
  });

  test("ten thousand entries over two layers, with small and large buffers", async () => {
    const m = await overlay.mount({
      lowers: [{ d: many("a", 4000) }, { d: { ...many("b", 4000), ...many("a", 100) } }],
    });
    await m.sys.makeMany(`${m.mnt}/d`, "c", 2000);
    const expected = [...dots, ...Object.keys({ ...many("a", 4000), ...many("b", 4000), ...many("c", 2000) })].sort();
    for (const size of [32_768, 600]) {
      const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
      expect(names(await readAll(m.sys, fd, size))).toEqual(expected);
      await m.sys.close(fd);
    }
  });

  test("removing what is read, while reading, misses nothing", async () => {
    const m = await overlay.mount({ lowers: [{ d: many("lower", 1500) }], upper: { d: many("upper", 1500) } });
    const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
    const seen: string[] = [];
    for (;;) {
      const some = await m.sys.getdents(fd, 2000);
      if (some.length === 0) {
        break;
      }
      for (const { name } of some) {
        if (!dots.includes(name)) {
          seen.push(name);
          await m.sys.unlink(`${m.mnt}/d/${name}`);
        }
      }
    }
    expect(seen.length).toBe(3000);
    expect(new Set(seen).size).toBe(3000);
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([]);
    await m.sys.rmdir(`${m.mnt}/d`);
  });

  test("what is there all the while is told exactly once, whatever comes and goes", async () => {
    const m = await overlay.mount({ lowers: [{ d: { ...many("stay", 400), ...many("go", 200) } }] });
    await m.sys.makeMany(`${m.mnt}/d`, "stay-up", 400);
    const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
    const seen: string[] = [];
    for (let round = 0; ; round++) {
      const some = await m.sys.getdents(fd, 1024);
      if (some.length === 0) {
        break;
      }
      seen.push(...some.map((entry) => entry.name));
      if (round < 10) {
        await m.sys.makeMany(`${m.mnt}/d`, `new${round}-`, 20);
        for (let index = 0; index < 20; index++) {
          await m.sys.unlink(`${m.mnt}/d/go${round * 20 + index}`);
        }
        await m.sys.rename(`${m.mnt}/d/new${round}-0`, `${m.mnt}/d/renamed${round}`);
      }
    }
    const stayed = seen.filter((name) => name.startsWith("stay"));
    expect(stayed.length).toBe(800);
    expect(new Set(seen).size).toBe(seen.length);
  });

  test("telldir and seekdir: going on from an entry's offset tells what follows it", async () => {
    const m = await overlay.mount({ lowers: [{ d: many("a", 300) }], upper: { d: many("b", 300) } });
    const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
    const all = await readAll(m.sys, fd);
    for (const index of [0, 1, 5, 299, 300, 600, 601]) {
      await m.sys.seekdir(fd, all[index]?.offset ?? 0n);
      expect((await readAll(m.sys, fd)).map(({ name }) => name)).toEqual(all.slice(index + 1).map(({ name }) => name));
    }
    await m.sys.seekdir(fd, 0n);
    expect(names(await readAll(m.sys, fd))).toEqual(names(all));
  });

  test("rewinding shows what has changed meanwhile", async () => {
    const m = await overlay.mount({ lowers: [{ d: { a: "", b: "" } }] });
    const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
    expect(names(await readAll(m.sys, fd))).toEqual([...dots, "a", "b"]);
    await m.sys.unlink(`${m.mnt}/d/a`);
    await m.sys.writeFile(`${m.mnt}/d/c`, "");
    await m.sys.seekdir(fd, 0n);
    expect(names(await readAll(m.sys, fd))).toEqual([...dots, "b", "c"]);
  });

  test("an open directory that is removed lists nothing but dots at most", async () => {
    const m = await overlay.mount({ lowers: [{ d: { a: "" } }] });
    const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
    await m.sys.unlink(`${m.mnt}/d/a`);
    await m.sys.rmdir(`${m.mnt}/d`);
    const left = await readAll(m.sys, fd).catch((error: { code: string }) => error.code);
    expect(left === "ENOENT" || (Array.isArray(left) && left.every(({ name }) => dots.includes(name)))).toBe(true);
    expect((await m.sys.stat(fd)).type).toBe("dir");
  });

  test("each change of a directory shows in the next listing of another process", async () => {
    const m = await overlay.mount({ lowers: [{ d: { a: "", s: {} } }] });
    const other = await overlay.agent();
    const d = `${m.mnt}/d`;
    expect(await other.list(d)).toEqual(["a", "s"]);
    await m.sys.writeFile(`${d}/b`, "");
    expect(await other.list(d)).toEqual(["a", "b", "s"]);
    await m.sys.unlink(`${d}/a`);
    expect(await other.list(d)).toEqual(["b", "s"]);
    await m.sys.rename(`${d}/b`, `${d}/c`);
    expect(await other.list(d)).toEqual(["c", "s"]);
    await m.sys.rmdir(`${d}/s`);
    await m.sys.mkdir(`${d}/t`);
    expect(await other.list(d)).toEqual(["c", "t"]);
    await m.sys.symlink("c", `${d}/l`);
    await m.sys.mknod(`${d}/p`, "fifo", 0o600);
    await m.sys.link(`${d}/c`, `${d}/h`);
    expect(await other.list(d)).toEqual(["c", "h", "l", "p", "t"]);
    await m.sys.rename(`${d}/h`, `${m.mnt}/h`);
    expect(await other.list(d)).toEqual(["c", "l", "p", "t"]);
    expect(await other.list(m.mnt)).toEqual(["d", "h"]);
  });

  test("whiteouts and marks of layers are never listed, in any layer", async () => {
    const m = await overlay.mount({
      lowers: [{ d: { a: whiteout(), absent: whiteout() } }, { d: dir({ a: "", b: "" }) }],
      upper: { d: { b: whiteout() } },
    });
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual([]);
  });
});
