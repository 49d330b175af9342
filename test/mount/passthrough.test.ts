/**
 * Files that the kernel reads and writes by itself. Wherever two ways to the data of one file can meet, what one has written
 * the other reads. The kernel's overlayfs, which knows one way only, says what is to be seen.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { daemonName } from "../../src/mount/unmount.ts";
import { newestProcessNamed } from "../../src/sys/proc.ts";
import {
  describeOverlay,
  type Mounted,
  type MountRequest,
  type Overlay,
  outcomeOf,
  passthrough,
  refuses,
  veneerProgram,
} from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";
import { describeTree, file } from "../support/tree.ts";

function mountMode(overlay: Overlay, mode: string, request: MountRequest): Promise<Mounted> {
  return overlay.mount({ ...request, options: [...(request.options ?? []), ...passthrough(overlay, mode)] });
}

/** A lower `low` and an upper `up`, both of which hold the digits. */
function mountFiles(overlay: Overlay, mode = "upper", options: readonly string[] = []): Promise<Mounted> {
  return mountMode(overlay, mode, { lowers: [{ low: "0123456789" }], upper: { up: "0123456789" }, options });
}

/** Makes calls while the daemon, if there is one, can't serve any. */
async function withoutDaemon(overlay: Overlay, m: Mounted, calls: () => Promise<void>): Promise<void> {
  if (overlay.kind === "kernel") {
    return calls();
  }
  const pid = daemonAt(m.mnt);
  let late: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    late = setTimeout(() => reject(new Error("a call waits for the daemon")), 5000);
  });
  process.kill(pid, "SIGSTOP");
  try {
    await Promise.race([calls(), limit]);
  } finally {
    clearTimeout(late);
    process.kill(pid, "SIGCONT");
  }
}

/** The daemon is named after the number of its mount's device. */
function daemonAt(mountpoint: string): number {
  const line = readFileSync("/proc/self/mountinfo", "latin1")
    .split("\n")
    .findLast((each) => each.split(" ")[4] === mountpoint);
  const pid = newestProcessNamed(daemonName(Number(line?.split(" ")[2]?.split(":")[1])));
  if (pid === undefined) {
    throw new Error(`${mountpoint} has no daemon`);
  }
  return pid;
}

const digits = "0123456789";
/** CAP_NET_RAW, permitted and effective. */
const netRaw = "\x01\0\0\x02\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0";

describeOverlay("passthrough=upper", (overlay) => {
  test("data of an upper file do not go through the daemon: opened, created, unnamed, copied up", async () => {
    const m = await mountFiles(overlay);
    const copied = await m.sys.open(`${m.mnt}/low`, "O_RDWR");
    const opened = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    const created = await m.sys.open(`${m.mnt}/new`, "O_RDWR|O_CREAT|O_EXCL");
    const unnamed = await m.sys.open(m.mnt, "O_RDWR|O_TMPFILE");
    const all = [copied, opened, created, unnamed];
    for (const fd of all) {
      // The first write asks for security.capability.
      await m.sys.pwrite(fd, digits, 0);
    }
    await withoutDaemon(overlay, m, async () => {
      for (const fd of all) {
        await m.sys.pwrite(fd, "AB", 2);
        expect(await m.sys.pread(fd, 20, 0)).toBe("01AB456789");
      }
    });
    await m.sys.linkFd(unnamed, `${m.mnt}/named`);
    for (const name of ["low", "up", "new", "named"]) {
      expect(await m.sys.readFile(`${m.mnt}/${name}`)).toBe("01AB456789");
      expect(await overlay.host.readFile(`${m.upper}/${name}`)).toBe("01AB456789");
    }
  });

  test.each(["O_WRONLY", "O_RDWR", "O_WRONLY|O_APPEND"])(
    "a lower file is open for reading when it is opened %s: all handles see what is written, and so do later ones",
    async (flags) => {
      const m = await mountFiles(overlay);
      const before = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
      expect(await m.sys.pread(before, 20, 0)).toBe(digits);
      const writer = await m.sys.open(`${m.mnt}/low`, flags);
      const after = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
      await m.sys.write(writer, "AB");
      const expected = flags.includes("APPEND") ? "0123456789AB" : "AB23456789";
      for (const fd of [before, after]) {
        expect(await m.sys.pread(fd, 20, 0)).toBe(expected);
        await m.sys.close(fd);
      }
      await m.sys.close(writer);
      // The last cached handle is gone.
      const later = await m.sys.open(`${m.mnt}/low`, "O_RDWR");
      expect(await m.sys.pread(later, 20, 0)).toBe(expected);
      await m.sys.pwrite(later, "C", 0);
      expect(await m.sys.readFile(`${m.mnt}/low`)).toBe(`C${expected.slice(1)}`);
    },
  );

  test("a mapping holds a lower file in the page cache: what is written meanwhile is right then and later", async () => {
    const m = await mountFiles(overlay);
    const fd = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
    const mapping = await m.sys.mmap(fd, 10, "PROT_READ", "MAP_SHARED");
    expect(await m.sys.mread(mapping, 0, 10)).toBe(digits);
    await m.sys.close(fd);
    const writer = await m.sys.open(`${m.mnt}/low`, "O_RDWR");
    await m.sys.pwrite(writer, "AB", 2);
    expect(await m.sys.pread(writer, 20, 0)).toBe("01AB456789");
    // The kernel's overlayfs leaves the mapping with the lower: docs/conformance.md.
    expect(await m.sys.mread(mapping, 0, 10)).toBe(overlay.kind === "veneer" ? "01AB456789" : digits);
    await m.sys.munmap(mapping);
    await m.sys.close(writer);
    await m.sys.appendFile(`${m.mnt}/low`, "CD");
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("01AB456789CD");
  });

  test("pages that were cached before a time in passthrough are not seen after it", async () => {
    const m = await mountFiles(overlay);
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe(digits);
    await m.sys.chmod(`${m.mnt}/low`, 0o600);
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe(digits);
    await m.sys.writeFile(`${m.mnt}/low`, "abcdefghij");
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("abcdefghij");
    // With set-id bits it is cached again.
    await m.sys.chmod(`${m.mnt}/low`, 0o4600);
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("abcdefghij");
    await m.sys.chmod(`${m.mnt}/low`, 0o600);
    const fd = await m.sys.open(`${m.mnt}/low`, "O_RDWR");
    await m.sys.pwrite(fd, "XY", 4);
    await m.sys.close(fd);
    await m.sys.chmod(`${m.mnt}/low`, 0o4600);
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("abcdXYghij");
  });

  test("pages that were read ahead in passthrough are not seen after it", async () => {
    const m = await mountFiles(overlay);
    const readAhead = `
import os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
time.sleep(0.3)
os.pwrite(fd, b"AB", 0)
`;
    expect((await m.sys.run(["/usr/bin/python3", "-c", readAhead, `${m.mnt}/up`], {})).stderr).toBe("");
    await m.sys.chmod(`${m.mnt}/up`, 0o4600);
    expect(await m.sys.readFile(`${m.mnt}/up`)).toBe("AB23456789");
  });

  test("all calls on handles of an upper file see one and the same file", async () => {
    const m = await mountFiles(overlay);
    const other = await overlay.agent();
    const fd = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    const reader = await other.open(`${m.mnt}/up`, "O_RDONLY");
    const shared = await other.mmap(reader, 10, "PROT_READ", "MAP_SHARED");
    expect(await other.mread(shared, 0, 10)).toBe(digits);
    await m.sys.pwrite(fd, "AB", 0);
    expect(await other.pread(reader, 20, 0)).toBe("AB23456789");
    expect(await other.mread(shared, 0, 10)).toBe("AB23456789");
    await m.sys.truncate(`${m.mnt}/up`, 8);
    expect(await other.pread(reader, 20, 0)).toBe("AB234567");
    const appender = await other.open(`${m.mnt}/up`, "O_WRONLY|O_APPEND");
    await other.write(appender, "XY");
    expect(await m.sys.pread(fd, 20, 0)).toBe("AB234567XY");
    const truncating = await other.open(`${m.mnt}/up`, "O_WRONLY|O_TRUNC");
    expect(await m.sys.pread(fd, 20, 0)).toBe("");
    await other.pwrite(truncating, "end", 65536);
    await m.sys.fallocate(fd, "", 0, 4096);
    expect(await m.sys.lseek(fd, 0, "SEEK_HOLE")).toBe(
      await overlay.host.open(`${m.upper}/up`, "O_RDONLY").then((h) => overlay.host.lseek(h, 0, "SEEK_HOLE")),
    );
    expect(await m.sys.pread(fd, 10, 65536)).toBe("end");
    await m.sys.fallocate(fd, "PUNCH_HOLE|KEEP_SIZE", 65536, 4096);
    expect(await other.pread(reader, 10, 65536)).toBe("\0\0\0");
    await m.sys.fsync(fd);
    expect((await other.stat(reader)).size).toBe(65539);
  });

  test("data go from each kind of file to each: copy_file_range, sendfile", async () => {
    const m = await mountMode(overlay, "upper", {
      lowers: [{ low: "lower data", held: "0123456789" }],
      upper: { up: "upper data" },
    });
    const low = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
    const up = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    // Copied up while it is open for reading: its handles stay with the page cache.
    const reader = await m.sys.open(`${m.mnt}/held`, "O_RDONLY");
    expect(await m.sys.pread(reader, 20, 0)).toBe(digits);
    const held = await m.sys.open(`${m.mnt}/held`, "O_RDWR");
    expect(await m.sys.copyFileRange(up, held, 5, 0, 0)).toBe(5);
    expect(await m.sys.pread(reader, 20, 0)).toBe("upper56789");
    await m.sys.pwrite(up, "UPPER", 0);
    await m.sys.lseek(held, 5, "SEEK_SET");
    expect(await m.sys.sendfile(held, up, 0, 10)).toBe(10);
    expect(await m.sys.pread(reader, 20, 0)).toBe("upperUPPER data");
    await m.sys.pwrite(held, "HELD!", 0);
    expect(await m.sys.copyFileRange(held, up, 5, 0, 5)).toBe(5);
    expect(await m.sys.pread(up, 20, 0)).toBe("UPPERHELD!");
    await m.sys.lseek(up, 0, "SEEK_SET");
    expect(await m.sys.sendfile(up, low, 0, 5)).toBe(5);
    expect(await m.sys.pread(up, 20, 0)).toBe("lowerHELD!");
  });

  test("a mapping writes to an upper file, also when its handle is closed: data and times show at once", async () => {
    const m = await mountFiles(overlay);
    const fd = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    const mapping = await m.sys.mmap(fd, 10, "PROT_READ|PROT_WRITE", "MAP_SHARED");
    await m.sys.utimens(`${m.mnt}/up`, 1n, 1n);
    await m.sys.mwrite(mapping, 0, "AB");
    expect((await m.sys.stat(`${m.mnt}/up`)).mtime).toBeGreaterThan(1n);
    expect(await m.sys.pread(fd, 20, 0)).toBe("AB23456789");
    await m.sys.close(fd);
    await m.sys.msync(mapping);
    await m.sys.utimens(`${m.mnt}/up`, 2n, 2n);
    expect((await m.sys.stat(`${m.mnt}/up`)).mtime).toBe(2n);
    await m.sys.mwrite(mapping, 2, "CD");
    expect((await m.sys.stat(`${m.mnt}/up`)).mtime).toBeGreaterThan(2n);
    expect(await m.sys.readFile(`${m.mnt}/up`)).toBe("ABCD456789");
    await m.sys.appendFile(`${m.mnt}/up`, "EF");
    expect(await m.sys.mread(mapping, 0, 10)).toBe("ABCD456789");
    expect(await m.sys.readFile(`${m.mnt}/up`)).toBe("ABCD456789EF");
  });

  test("sizes, times and blocks are those of what was written, at once", async () => {
    const m = await mountFiles(overlay);
    await m.sys.utimens(`${m.mnt}/up`, 1n, 1n);
    const fd = await m.sys.open(`${m.mnt}/up`, "O_WRONLY");
    expect((await m.sys.stat(`${m.mnt}/up`)).size).toBe(10);
    await m.sys.pwrite(fd, "x".repeat(8192), 8192);
    const { size, mtime, blocks } = await m.sys.stat(`${m.mnt}/up`);
    expect(size).toBe(16384);
    expect(mtime).toBeGreaterThan(1n);
    expect(blocks).toBeGreaterThan(16);
    expect(await m.sys.lseek(fd, 0, "SEEK_END")).toBe(16384);
    await m.sys.close(fd);
    const inUpper = await overlay.host.stat(`${m.upper}/up`);
    expect(await m.sys.stat(`${m.mnt}/up`)).toMatchObject({ size: 16384, mtime: inUpper.mtime, ctime: inUpper.ctime });
  });

  test("O_DIRECT and the page cache show the same, whichever comes first", async () => {
    const m = await mountFiles(overlay);
    const block = (letter: string) => letter.repeat(4096);
    const fd = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    await m.sys.pwrite(fd, block("a") + block("b"), 0);
    expect(await m.sys.directRead(`${m.mnt}/up`, "O_RDONLY|O_DIRECT", 4096, 4096)).toBe(block("b"));
    expect(await m.sys.directWrite(`${m.mnt}/up`, "O_WRONLY|O_DIRECT", block("c"), 4096)).toBe(4096);
    expect(await m.sys.pread(fd, 8192, 0)).toBe(block("a") + block("c"));
    await m.sys.pwrite(fd, "d", 0);
    expect((await m.sys.directRead(`${m.mnt}/up`, "O_RDONLY|O_DIRECT", 4096, 0)).slice(0, 2)).toBe("da");
    await m.sys.close(fd);
    // The first handle of a file may be the direct one, and the file a lower's.
    expect(await m.sys.directWrite(`${m.mnt}/low`, "O_RDWR|O_DIRECT", block("e"), 0)).toBe(4096);
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe(block("e"));
  });

  test("O_DIRECT where the upper's file system has none", async () => {
    const area = `${overlay.scratch}/ram`;
    await overlay.host.mkdir(area);
    await runOk(["mount", "-t", "ramfs", "ram", area]);
    const m = await mountMode(overlay, "upper", { lowers: [{}], upper: { up: digits }, upperArea: area });
    await refuses("EINVAL", m.sys.open(`${m.mnt}/up`, "O_RDONLY|O_DIRECT"));
    const fd = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    await refuses("EINVAL", m.sys.open(`${m.mnt}/up`, "O_RDWR|O_DIRECT"));
    await m.sys.pwrite(fd, "AB", 0);
    expect(await m.sys.readFile(`${m.mnt}/up`)).toBe("AB23456789");
  });

  test("files without a name, those that had one and those that never had", async () => {
    const m = await mountFiles(overlay);
    const held = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
    const up = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    const reader = await m.sys.open(`${m.mnt}/up`, "O_RDONLY");
    const unnamed = await m.sys.open(m.mnt, "O_RDWR|O_TMPFILE|O_DIRECT");
    await m.sys.unlink(`${m.mnt}/up`);
    await m.sys.writeFile(`${m.mnt}/up`, "another");
    await m.sys.pwrite(up, "AB", 2);
    expect(await m.sys.pread(reader, 20, 0)).toBe("01AB456789");
    const again = await m.sys.open(`/proc/self/fd/${up}`, "O_RDWR");
    await m.sys.truncate(again, 4);
    expect(await m.sys.pread(reader, 20, 0)).toBe("01AB");
    expect(await m.sys.stat(reader)).toMatchObject({ size: 4, nlink: 0 });
    expect(await m.sys.readFile(`${m.mnt}/up`)).toBe("another");
    const name = await m.sys.open(`/proc/self/fd/${unnamed}`, "O_RDWR");
    await m.sys.pwrite(name, "unnamed", 0);
    await m.sys.linkFd(unnamed, `${m.mnt}/named`);
    expect(await m.sys.readFile(`${m.mnt}/named`)).toBe("unnamed");
    await m.sys.unlink(`${m.mnt}/low`);
    expect(await m.sys.pread(held, 20, 0)).toBe(digits);
  });

  test("a file whose data are still on a lower (metacopy)", async () => {
    const m = await mountFiles(overlay, "upper", ["redirect_dir=on", "metacopy=on"]);
    await m.sys.chmod(`${m.mnt}/low`, 0o640);
    const before = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
    expect(await m.sys.pread(before, 20, 0)).toBe(digits);
    const writer = await m.sys.open(`${m.mnt}/low`, "O_RDWR");
    await m.sys.pwrite(writer, "AB", 0);
    expect(await m.sys.pread(before, 20, 0)).toBe("AB23456789");
    await m.sys.close(before);
    await m.sys.close(writer);
    await m.sys.appendFile(`${m.mnt}/low`, "C");
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("AB23456789C");
  });

  test("set-id bits that a file gets while it is open go with a user's next write", async () => {
    const m = await mountFiles(overlay);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await m.sys.chmod(`${m.mnt}/up`, 0o666);
    const fd = await user.open(`${m.mnt}/up`, "O_WRONLY");
    await user.pwrite(fd, "A", 0);
    await m.sys.chmod(`${m.mnt}/up`, 0o6777);
    await user.pwrite(fd, "B", 1);
    expect((await m.sys.stat(`${m.mnt}/up`)).mode).toBe(0o777);
    expect((await overlay.host.stat(`${m.upper}/up`)).mode).toBe(0o777);
    await m.sys.chmod(`${m.mnt}/up`, 0o4777);
    const root = await m.sys.open(`${m.mnt}/up`, "O_WRONLY");
    await m.sys.pwrite(root, "C", 2);
    expect((await m.sys.stat(`${m.mnt}/up`)).mode).toBe(0o4777);
    expect(await m.sys.readFile(`${m.mnt}/up`)).toBe("ABC3456789");
  });

  test("set-id bits of a file that gets capabilities too go with a user's write, and stay with root's", async () => {
    const m = await mountFiles(overlay);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    await m.sys.chmod(`${m.mnt}/up`, 0o666);
    for (const [agent, mode] of [
      [m.sys, 0o6777],
      [user, 0o777],
      [m.sys, 0o6777],
    ] as const) {
      const fd = await agent.open(`${m.mnt}/up`, "O_WRONLY");
      await m.sys.chmod(`${m.mnt}/up`, 0o6777);
      await m.sys.setxattr(`${m.mnt}/up`, "security.capability", netRaw);
      await agent.pwrite(fd, "A", 0);
      expect((await m.sys.stat(`${m.mnt}/up`)).mode).toBe(mode);
      expect(await m.sys.listxattr(`${m.mnt}/up`)).toEqual([]);
      await agent.close(fd);
      await m.sys.chmod(`${m.mnt}/up`, 0o666);
    }
  });

  test("set-id bits that a file gets while it is open, and what FUSE tells like a write", async () => {
    const m = await mountFiles(overlay);
    const user = await overlay.agent({ uid: 1000, gid: 1000 });
    const fd = await m.sys.open(`${m.mnt}/up`, "O_WRONLY");
    await m.sys.chmod(`${m.mnt}/up`, 0o4755);
    // Intended difference: chown(2) to nobody.
    expect(await outcomeOf(user.chown(`${m.mnt}/up`, -1, -1))).toBe(overlay.kind === "kernel" ? "EPERM" : "ok");
    expect((await m.sys.stat(`${m.mnt}/up`)).mode).toBe(overlay.kind === "kernel" ? 0o4755 : 0o755);
    // Intended difference: a write by root without CAP_FSETID, if it takes capabilities too.
    await m.sys.chmod(`${m.mnt}/up`, 0o4755);
    await m.sys.setxattr(`${m.mnt}/up`, "security.capability", netRaw);
    const CAP_FSETID = 4;
    await m.sys.dropCapability(CAP_FSETID);
    await m.sys.pwrite(fd, "A", 0);
    expect((await m.sys.stat(`${m.mnt}/up`)).mode).toBe(overlay.kind === "kernel" ? 0o755 : 0o4755);
  });

  test("a file that becomes append-only while it is open is appended to only", async () => {
    const append = 0x20;
    const m = await mountFiles(overlay);
    const before = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    await m.sys.setFlags(before, (await m.sys.getFlags(before)) | append);
    const appender = await m.sys.open(`${m.mnt}/up`, "O_WRONLY|O_APPEND");
    await m.sys.write(appender, "AB");
    expect(await m.sys.pread(before, 20, 0)).toBe("0123456789AB");
    await refuses("EPERM", m.sys.open(`${m.mnt}/up`, "O_WRONLY"));
    // It could be mapped as shared, past the daemon: refused as long as a handle in passthrough is open.
    if (overlay.kind === "veneer") {
      await refuses("EBUSY", m.sys.open(`${m.mnt}/up`, "O_RDWR|O_APPEND"));
    }
    await m.sys.close(before);
    await m.sys.close(appender);
    const both = await m.sys.open(`${m.mnt}/up`, "O_RDWR|O_APPEND");
    await refuses(
      overlay.kind === "veneer" ? "ENODEV" : "EACCES",
      m.sys.mmap(both, 10, "PROT_READ|PROT_WRITE", "MAP_SHARED"),
    );
    await m.sys.write(both, "CD");
    expect(await m.sys.readFile(`${m.mnt}/up`)).toBe("0123456789ABCD");
    await m.sys.setFlags(both, (await m.sys.getFlags(both)) & ~append);
  });

  test("a mapping of one file is written to another, while that is truncated", { timeout: 60_000 }, async () => {
    const size = 8 << 20;
    const m = await mountMode(overlay, "upper", {
      lowers: [{ low: file("pages of the lower, ".repeat(size / 20)) }],
      upper: { up: "" },
    });
    const other = await overlay.agent();
    const [written, truncated] = await Promise.all([
      m.sys.run(["/usr/bin/python3", "-c", writesFromMapping, m.mnt], { timeout: 50 }),
      other.run(["/usr/bin/python3", "-c", truncates, m.mnt], { timeout: 50 }),
    ]);
    expect([written.stderr, truncated.stderr]).toEqual(["", ""]);
    expect([Number(written.stdout) > 0, Number(truncated.stdout) > 0]).toEqual([true, true]);
    expect(await m.sys.hash(`${m.mnt}/up`)).toBe(await m.sys.hash(`${m.mnt}/low`));
  });
});

/** For three seconds, and once more when the other has certainly ended; prints how often. */
const writesFromMapping = `
import mmap, os, sys, time
up = os.open(sys.argv[1] + "/up", os.O_WRONLY)
low = os.open(sys.argv[1] + "/low", os.O_RDONLY)
def write():
    with mmap.mmap(low, 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as pages:
        os.posix_fadvise(low, 0, 0, os.POSIX_FADV_DONTNEED)
        with memoryview(pages) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(up, view[done:], done)
count, end = 0, time.monotonic() + 3
while time.monotonic() < end:
    write()
    count += 1
while not os.path.exists(sys.argv[1] + "/done"):
    time.sleep(0.05)
write()
print(count)
`;

const truncates = `
import os, sys, time
count, end = 0, time.monotonic() + 3
while time.monotonic() < end:
    os.close(os.open(sys.argv[1] + "/up", os.O_WRONLY | os.O_TRUNC))
    count += 1
os.close(os.open(sys.argv[1] + "/done", os.O_WRONLY | os.O_CREAT))
print(count)
`;

describeOverlay("passthrough of lowers", (overlay) => {
  test("all files of a read-only mount are passed through", async () => {
    const m = await mountMode(overlay, "upper", { lowers: [{ f: digits }, { g: "second" }], upper: null });
    const f = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    const g = await m.sys.open(`${m.mnt}/g`, "O_RDONLY");
    await withoutDaemon(overlay, m, async () => {
      expect(await m.sys.pread(f, 20, 0)).toBe(digits);
      expect(await m.sys.pread(g, 20, 0)).toBe("second");
      const mapping = await m.sys.mmap(f, 10, "PROT_READ", "MAP_SHARED");
      expect(await m.sys.mread(mapping, 0, 10)).toBe(digits);
    });
    await refuses("EROFS", m.sys.open(`${m.mnt}/f`, "O_RDWR"));
  });

  test("passthrough=all: a lower file is passed through, and its data stay as they are while it is open", async () => {
    const m = await mountFiles(overlay, "all");
    const reader = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
    await withoutDaemon(overlay, m, async () => expect(await m.sys.pread(reader, 20, 0)).toBe(digits));
    await m.sys.chmod(`${m.mnt}/low`, 0o640);
    const second = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
    expect([await m.sys.pread(reader, 20, 0), await m.sys.pread(second, 20, 0)]).toEqual([digits, digits]);
    if (overlay.kind === "veneer") {
      // Its handles can't be turned to the upper: docs/conformance.md.
      await refuses("ETXTBSY", m.sys.open(`${m.mnt}/low`, "O_WRONLY"));
      await refuses("ETXTBSY", m.sys.open(`${m.mnt}/low`, "O_RDONLY|O_TRUNC"));
      await refuses("ETXTBSY", m.sys.truncate(`${m.mnt}/low`, 3));
    }
    await m.sys.close(reader);
    await m.sys.close(second);
    await m.sys.appendFile(`${m.mnt}/low`, "AB");
    const later = await m.sys.open(`${m.mnt}/low`, "O_RDWR");
    await m.sys.pwrite(later, "C", 0);
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("C123456789AB");
  });

  test("passthrough=all: what replaces an open lower file is another file", async () => {
    const m = await mountFiles(overlay, "all");
    const reader = await m.sys.open(`${m.mnt}/low`, "O_RDONLY");
    await m.sys.writeFile(`${m.mnt}/new`, "new");
    await m.sys.rename(`${m.mnt}/new`, `${m.mnt}/low`);
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("new");
    await m.sys.appendFile(`${m.mnt}/low`, "er");
    expect(await m.sys.readFile(`${m.mnt}/low`)).toBe("newer");
    expect(await m.sys.pread(reader, 20, 0)).toBe(digits);
  });

  test("without the privilege for it, in a user namespace, data go through the daemon and are right", async () => {
    await overlay.host.build(overlay.scratch, describeTree({ l: { low: digits }, u: { up: digits }, w: {}, m: {} }));
    const options = "userxattr,lowerdir=l,upperdir=u,workdir=w";
    const mount =
      overlay.kind === "kernel"
        ? `mount -t overlay overlay -o ${options} m`
        : `${veneerProgram} mount --log-file log --log-level debug -o ${options} m`;
    // Veneer's own waits for the daemon, and so for the last line of its log.
    const unmount = overlay.kind === "kernel" ? "umount m" : `${veneerProgram} umount m`;
    const script = `${mount} && printf AB >>m/low && printf CD >>m/up && cat m/low m/up && ${unmount}`;
    const { stdout, stderr } = await overlay.host.run(["unshare", "-Urm", "sh", "-c", script], {
      cwd: overlay.scratch,
      timeout: 20,
    });
    expect([stdout, stderr]).toEqual([`${digits}AB${digits}CD`, ""]);
    if (overlay.kind === "veneer") {
      const refused = (await overlay.host.readFile(`${overlay.scratch}/log`)).match(
        /the kernel does not pass this file/g,
      );
      expect(refused, "it was tried once").toHaveLength(1);
    }
  });

  test("passthrough=off: all data go through the daemon, and are right", async () => {
    const m = await mountFiles(overlay, "off");
    const fd = await m.sys.open(`${m.mnt}/up`, "O_RDWR");
    await m.sys.pwrite(fd, "AB", 0);
    expect(await m.sys.pread(fd, 20, 0)).toBe("AB23456789");
    expect(await overlay.host.readFile(`${m.upper}/up`)).toBe("AB23456789");
  });
});
