/** Limits, odd arguments and rarer calls: as in a plain directory of the file system beneath, but for what is told here. */
import { expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, outcomeOf, passthrough, refuses } from "../support/overlay.ts";
import { makeFileSystem } from "../support/scratch.ts";
import { dir, fifo, file, sparse, symlink } from "../support/tree.ts";
import { besides, sameInAll } from "./plain-directory.ts";

/** What a call answers, or its errno. */
const answerOf = (call: Promise<unknown>) => call.catch((error: { code: string }) => error.code);

type Call = (sys: Agent, path: string, root: string) => Promise<unknown>;

const byPath: Record<string, Call> = {
  open: (sys, p) => outcomeOf(sys.open(p, "O_RDONLY|O_NONBLOCK")),
  "open to write": (sys, p) => outcomeOf(sys.open(p, "O_WRONLY|O_NONBLOCK")),
  O_DIRECTORY: (sys, p) => outcomeOf(sys.open(p, "O_RDONLY|O_DIRECTORY|O_NONBLOCK")),
  O_NOFOLLOW: (sys, p) => outcomeOf(sys.open(p, "O_RDONLY|O_NOFOLLOW|O_NONBLOCK")),
  O_EXCL: (sys, p) => outcomeOf(sys.open(p, "O_WRONLY|O_CREAT|O_EXCL")),
  O_TMPFILE: (sys, p) => outcomeOf(sys.open(p, "O_RDWR|O_TMPFILE")),
  truncate: (sys, p) => outcomeOf(sys.truncate(p, 5)),
  list: (sys, p) => outcomeOf(sys.list(p)),
  readlink: (sys, p) => outcomeOf(sys.readlink(p)),
  getxattr: (sys, p) => outcomeOf(sys.getxattr(p, "user.none")),
  "setxattr without a name": (sys, p) => outcomeOf(sys.setxattr(p, "user.", "v")),
  "setxattr of no kind": (sys, p) => outcomeOf(sys.setxattr(p, "noprefix", "v")),
  "setxattr too large": (sys, p) => outcomeOf(sys.setxattr(p, "user.k", "v".repeat(65_537))),
  mkdir: (sys, p) => outcomeOf(sys.mkdir(p)),
  symlink: (sys, p) => outcomeOf(sys.symlink("x", p)),
  "link to it": (sys, p, root) => outcomeOf(sys.link(p, `${root}/z-${p.length}`)),
  "link there": (sys, p, root) => outcomeOf(sys.link(`${root}/g`, p)),
  NOREPLACE: (sys, p, root) => outcomeOf(sys.renameat2(`${root}/g`, p, "NOREPLACE")),
  "two flags": (sys, p, root) => outcomeOf(sys.renameat2(`${root}/g`, p, "NOREPLACE|EXCHANGE")),
  rmdir: (sys, p) => outcomeOf(sys.rmdir(p)),
  unlink: (sys, p) => outcomeOf(sys.unlink(p)),
};

const objects = [
  "f",
  "full",
  "loop",
  "fifo",
  "none",
  "f/x",
  "full/",
  "f/",
  "none/",
  "none/x",
  ".",
  "..",
  "full/.",
  "full/..",
  "loop/x",
];

describeOverlay("calls, as beneath", (overlay) => {
  test("every kind of name in every kind of call", async () => {
    const { m, places, plain } = await besides(overlay, {
      f: "1",
      g: "2",
      full: { in: "3" },
      loop: symlink("pool"),
      pool: symlink("loop"),
      fifo: fifo(),
    });
    await sameInAll(places, plain, async (root) => {
      const table: Record<string, unknown> = {};
      for (const [what, call] of Object.entries(byPath)) {
        for (const object of objects) {
          table[`${what} ${object}`] = await call(m.sys, `${root}/${object}`, root);
        }
      }
      return table;
    });
  });

  test("names and targets at their limits", async () => {
    const { m, places, plain } = await besides(overlay, { f: "1", d: {} });
    await sameInAll(places, plain, async (root) => {
      const calls: Promise<string>[] = [];
      for (const name of ["n".repeat(255), "n".repeat(256)]) {
        for (const path of [`${root}/${name}`, `${root}/d/${name}`]) {
          calls.push(
            outcomeOf(m.sys.writeFile(path, "1")),
            outcomeOf(m.sys.stat(path)),
            outcomeOf(m.sys.link(`${root}/f`, `${path}`)),
            outcomeOf(m.sys.unlink(path)),
            outcomeOf(m.sys.mkdir(path)),
            outcomeOf(m.sys.rename(path, `${root}/d/e`)),
            outcomeOf(m.sys.symlink("x", path)),
            outcomeOf(m.sys.mknod(path, "fifo", 0o600)),
            outcomeOf(m.sys.rename(`${root}/f`, path)),
            outcomeOf(m.sys.rename(path, `${root}/f`)),
          );
        }
      }
      calls.push(outcomeOf(m.sys.stat(`${root}/${"a/".repeat(2100)}`)));
      calls.push(outcomeOf(m.sys.symlink("", `${root}/s`)), outcomeOf(m.sys.symlink("x".repeat(4096), `${root}/s`)));
      return Promise.all(calls);
    });
  });

  test("sizes and offsets at their limits", async () => {
    const { m, places, plain } = await besides(overlay, {
      f: file("data"),
      s: sparse(1 << 20, [[1 << 18, "z".repeat(4096)]]),
    });
    const huge = 2 ** 62;
    await sameInAll(places, plain, async (root) => {
      const fd = await m.sys.open(`${root}/f`, "O_RDWR");
      const calls = [
        m.sys.pwrite(fd, "x", huge),
        m.sys.pwrite(fd, "x", 2 ** 44),
        m.sys.truncate(fd, huge),
        m.sys.truncate(fd, 2 ** 44),
        m.sys.fallocate(fd, "", huge, 4096),
        m.sys.fallocate(fd, "", -1, 4096),
        m.sys.fallocate(fd, "", 0, -1),
        m.sys.fallocate(fd, "PUNCH_HOLE", 0, 4096),
        m.sys.fallocate(fd, "PUNCH_HOLE|ZERO_RANGE|KEEP_SIZE", 0, 4096),
        m.sys.pread(fd, 5, huge),
        m.sys.lseek(fd, huge, "SEEK_DATA"),
        m.sys.lseek(fd, -5, "SEEK_HOLE"),
      ];
      const answers = [];
      for (const call of calls) {
        answers.push(await answerOf(call));
      }
      const holes = await m.sys.open(`${root}/s`, "O_RDONLY");
      for (const offset of [0, 1 << 17, 1 << 18, (1 << 18) + 5, (1 << 18) + 4096, (1 << 20) - 1, 1 << 20, 1 << 21]) {
        answers.push(await answerOf(m.sys.lseek(holes, offset, "SEEK_DATA")));
        answers.push(await answerOf(m.sys.lseek(holes, offset, "SEEK_HOLE")));
      }
      return [answers, (await m.sys.stat(fd)).size];
    });
    // Intended difference: a JavaScript number holds no larger offset exactly.
    const area = `${overlay.scratch}/fs`;
    await makeFileSystem("tmpfs", area);
    const over = await overlay.mount({ lowers: [{}], upper: { f: "" }, upperArea: area });
    await m.sys.truncate(`${over.mnt}/f`, 2 ** 53 - 1);
    expect(await outcomeOf(m.sys.truncate(`${over.mnt}/f`, huge))).toBe(overlay.kind === "kernel" ? "ok" : "EFBIG");
  });

  test("RLIMIT_FSIZE: EFBIG and SIGXFSZ at the limit, a short write across it", async () => {
    const { m, places, plain } = await besides(overlay, { f: file("data"), big: file("x".repeat(20_000)) });
    const limited = await overlay.agent();
    const fds = new Map<string, number>();
    for (const root of [...places, plain]) {
      fds.set(root, await limited.open(`${root}/big`, "O_RDWR"));
    }
    await limited.limitFileSize(8192);
    await sameInAll(places, plain, async (root) => {
      const fd = await limited.open(`${root}/f`, "O_RDWR");
      const big = fds.get(root) ?? -1;
      const answers = [];
      for (const call of [
        () => limited.pwrite(fd, "x".repeat(10_000), 4096),
        () => limited.pwrite(fd, "x", 8192),
        () => limited.truncate(fd, 8193),
        () => limited.truncate(`${root}/f`, 8193),
        () => limited.truncate(fd, 8192),
        () => limited.fallocate(fd, "", 0, 9000),
        () => limited.fallocate(fd, "KEEP_SIZE", 0, 9000),
        () => limited.appendFile(`${root}/f`, "+"),
        () => limited.pwrite(big, "q", 9000),
        () => limited.truncate(big, 10_000),
        () => limited.copyFileRange(big, fd, 9000, 0, 4096),
        () => limited.signalOf("pwrite", [fd, "x", 8192]),
        () => limited.stat(fd).then(({ size }) => size),
      ]) {
        answers.push(await answerOf(call()));
      }
      return answers;
    });
    // Intended difference: the kernel's overlayfs holds the caller's limit against the copy.
    const over = await overlay.mount({ lowers: [{ large: "x".repeat(20_000) }] });
    expect(await outcomeOf(limited.chmod(`${over.mnt}/large`, 0o600))).toBe(overlay.kind === "kernel" ? "EFBIG" : "ok");
    await m.sys.chmod(`${over.mnt}/large`, 0o640);
  });

  test("preadv2 and pwritev2 with flags", async () => {
    const { m, places, plain } = await besides(overlay, { f: file("x".repeat(10_000)) });
    const [highPriority, dataSync, sync, appending, unknown] = [1, 2, 4, 0x10, 0x4000];
    await sameInAll(places, plain, async (root) => {
      const fd = await m.sys.open(`${root}/f`, "O_RDWR");
      const answers = [];
      for (const flags of [0, highPriority, dataSync, sync, appending, unknown]) {
        answers.push(
          await answerOf(m.sys.preadv2(fd, 2, 5, flags)),
          await answerOf(m.sys.pwritev2(fd, "ab", 5, flags)),
        );
      }
      return [answers, (await m.sys.stat(fd)).size, await m.sys.pread(fd, 10, 9998)];
    });
  });

  test.each(["upper", "off"])("RWF_NOAPPEND, O_DIRECT of odd sizes and offsets, passthrough=%s", async (mode) => {
    const upper = { f: "x".repeat(10_000), appended: "x" };
    const m = await overlay.mount({ lowers: [{}], upper, options: passthrough(overlay, mode) });
    const byDaemon = overlay.kind === "veneer" && mode === "off";
    // Intended difference: the kernel loses RWF_NOAPPEND on the way to the upper, and appends.
    const appender = await m.sys.open(`${m.mnt}/appended`, "O_WRONLY|O_APPEND");
    await m.sys.pwritev2(appender, "N", 0, 0x20);
    expect(await m.sys.readFile(`${m.mnt}/appended`)).toBe(byDaemon ? "N" : "xN");
    // Intended difference: FUSE asks for no alignment.
    const f = `${m.mnt}/f`;
    const odd = byDaemon ? "ok" : "EINVAL";
    expect(await outcomeOf(m.sys.directRead(f, "O_RDONLY|O_DIRECT", 4096, 1))).toBe(odd);
    expect(await outcomeOf(m.sys.directRead(f, "O_RDONLY|O_DIRECT", 100, 0))).toBe(odd);
    expect(await outcomeOf(m.sys.directWrite(f, "O_WRONLY|O_DIRECT", "y".repeat(100), 0))).toBe(odd);
    expect((await m.sys.directRead(f, "O_RDONLY|O_DIRECT", 4096, 8192)).length).toBe(10_000 - 8192);
  });

  test("a mapping beyond the end of its file", async () => {
    const m = await overlay.mount({ lowers: [{}], upper: { f: "x".repeat(10_000) } });
    const f = `${m.mnt}/f`;
    const fd = await m.sys.open(f, "O_RDWR");
    const key = await m.sys.mmap(fd, 8192, "PROT_READ|PROT_WRITE");
    await m.sys.truncate(fd, 100);
    const SIGBUS = 7;
    expect(await m.sys.signalOf("mread", [key, 4096, 1])).toBe(SIGBUS);
    expect(await m.sys.mread(key, 99, 3)).toBe("x\0\0");
    await m.sys.mwrite(key, 100, "lost");
    await m.sys.msync(key);
    await m.sys.truncate(fd, 200);
    expect(await m.sys.pread(fd, 4, 100)).toBe("\0\0\0\0");
  });

  test("a program that is open for writing or mapped so does not run", async () => {
    const m = await overlay.mount({ lowers: [{}] });
    for (const name of ["open", "mapped"]) {
      expect(await m.sys.run(["cp", "/bin/true", `${m.mnt}/${name}`], {})).toMatchObject({ status: 0 });
    }
    const runs = (name: string) => outcomeOf(m.sys.run([`${m.mnt}/${name}`], {}));
    const other = await overlay.agent();
    const fd = await other.open(`${m.mnt}/open`, "O_WRONLY");
    expect(await runs("open")).toBe("ETXTBSY");
    await other.close(fd);
    await expect.poll(() => runs("open"), { timeout: 5000 }).toBe("ok");
    const mappedFd = await other.open(`${m.mnt}/mapped`, "O_RDWR");
    const key = await other.mmap(mappedFd, 4096, "PROT_READ|PROT_WRITE");
    await other.close(mappedFd);
    expect(await runs("mapped")).toBe("ETXTBSY");
    await other.munmap(key);
    await expect.poll(() => runs("mapped"), { timeout: 5000 }).toBe("ok");
  });

  test("inotify tells what is done, also over a copy-up", async () => {
    const { m, places, plain } = await besides(overlay, { f: "1", d: { g: "2" } });
    await sameInAll(places, plain, async (root) => [
      await m.sys.inotify(`${root}/d`, [
        ["writeFile", [`${root}/d/n`, "1"]],
        ["rename", [`${root}/d/n`, `${root}/d/o`]],
        ["link", [`${root}/d/o`, `${root}/d/p`]],
        ["appendFile", [`${root}/d/g`, "+"]],
        ["unlink", [`${root}/d/o`]],
        ["mkdir", [`${root}/d/q`]],
        ["rmdir", [`${root}/d/q`]],
      ]),
      await m.sys.inotify(`${root}/f`, [
        ["appendFile", [`${root}/f`, "+"]],
        ["chmod", [`${root}/f`, 0o600]],
        ["truncate", [`${root}/f`, 1]],
        ["setxattr", [`${root}/f`, "user.k", "v"]],
        ["readFile", [`${root}/f`]],
        ["rename", [`${root}/f`, `${root}/h`]],
        ["unlink", [`${root}/h`]],
      ]),
    ]);
  });

  test("ioctls, leases and file handles", async () => {
    const m = await overlay.mount({
      lowers: [{ f: file("x".repeat(5000)) }],
      upper: { u: file("y".repeat(5000)), d: dir({}) },
    });
    const kernel = overlay.kind === "kernel";
    for (const name of ["f", "u"]) {
      const fd = await m.sys.open(`${m.mnt}/${name}`, "O_RDONLY");
      const ask = (command: number, size: number) => outcomeOf(m.sys.ioctl(fd, command, size));
      // For FIEMAP an empty range. Intended differences: the kernel sends none of these to a FUSE daemon, or answers them for it.
      expect(await ask(0xc020660b, 32), "FIEMAP").toBe(kernel ? "EINVAL" : "EOPNOTSUPP");
      expect(await ask(0x80111500, 17), "GETFSUUID").toBe(kernel ? "ok" : "ENOTTY");
      expect(await ask(1, 4), "FIBMAP").toBe(kernel ? "EINVAL" : "ok");
      expect(await ask(0x5401, 64), "TCGETS").toBe("ENOTTY");
      expect(await ask(0xc0185879, 24), "FITRIM").toBe("ENOTTY");
      const [readLock, noLock] = [0, 2];
      expect(await m.sys.fcntl(fd, "SETLEASE", readLock)).toBe(0);
      await m.sys.fcntl(fd, "SETLEASE", noLock);
      const handle = await answerOf(m.sys.fileHandle(`${m.mnt}/${name}`));
      // Intended difference: FUSE gives handles, good while the mount lasts and the file is known.
      expect(Array.isArray(handle) ? "ok" : handle).toBe(kernel ? "EOPNOTSUPP" : "ok");
      await m.sys.close(fd);
    }
  });

  test("a file handle of an earlier mount is stale, and leads to no other file", async ({ skip }) => {
    skip(overlay.kind === "kernel", "overlayfs gives handles with nfs_export only");
    const m = await overlay.mount({ lowers: [{ a: "1", b: "2" }] });
    const handle = await m.sys.fileHandle(`${m.mnt}/a`);
    const again = await m.sys.openByHandle(m.mnt, handle);
    expect(await m.sys.read(again, 10)).toBe("1");
    await m.sys.close(again);
    await m.remount();
    // Known first, it has the node id that the other one had.
    expect(await m.sys.readFile(`${m.mnt}/b`)).toBe("2");
    await refuses("ESTALE", m.sys.openByHandle(m.mnt, handle));
  });
});
