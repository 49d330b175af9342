/** What requests a mount is spared, by its own count of them, and that what is shown is right all the same. */
import { accessSync, constants } from "node:fs";
import { expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { dir, file } from "../support/tree.ts";

const countsName = "user.veneer.requests";
const sizes = [0, 1, 4095, 4096, 4097, 65_536, 65_537];

/** Data of which no two pages are alike. */
function dataOf(size: number): string {
  return Array.from({ length: Math.ceil(size / 8) }, (_, index) => `${index}`.padStart(7, "0"))
    .join(" ")
    .slice(0, size)
    .padEnd(size, ".");
}

function mayRaiseReadAhead(): boolean {
  try {
    accessSync("/sys/class/bdi", constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function countsOf(sys: Agent, mnt: string): Promise<Record<string, number>> {
  return JSON.parse(await sys.getxattr(mnt, countsName));
}

describeOverlay("requests", (overlay) => {
  test("of a large file that is read in order are few, and as large as may be", async () => {
    const size = 16 * 2 ** 20;
    const data = dataOf(size);
    const m = await overlay.mount({ lowers: [{ f: file(data) }] });
    expect((await m.sys.readFile(`${m.mnt}/f`)) === data).toBe(true);
    if (overlay.kind === "veneer") {
      // As a mount begins they are of 128 KiB; in a container, whose sysfs is read-only, that is how it stays.
      const least = mayRaiseReadAhead() ? 2 ** 19 : 2 ** 17;
      expect((await countsOf(m.sys, m.mnt)).READ).toBeLessThanOrEqual(size / least);
    }
  });

  test("are counted in an xattr of the root that is not listed", async () => {
    const m = await overlay.mount({ lowers: [{ f: file("1"), d: dir({}) }] });
    if (overlay.kind === "kernel") {
      await refuses("ENODATA", m.sys.getxattr(m.mnt, countsName));
      return;
    }
    const before = await countsOf(m.sys, m.mnt);
    await m.sys.mkdir(`${m.mnt}/new`);
    await m.sys.rmdir(`${m.mnt}/new`);
    const after = await countsOf(m.sys, m.mnt);
    expect(after.MKDIR).toBe((before.MKDIR ?? 0) + 1);
    expect(after.RMDIR).toBe((before.RMDIR ?? 0) + 1);
    expect(await m.sys.listxattr(m.mnt)).toEqual([]);
    await refuses("ENODATA", m.sys.getxattr(`${m.mnt}/d`, countsName));
    expect(await m.sys.getxattrSize(m.mnt, countsName, 0)).toBe(await m.sys.getxattrSize(m.mnt, countsName, 65_536));
  });

  test("small files of a lower are read without READ, whatever their size", async () => {
    const tree = Object.fromEntries(sizes.map((size) => [`f${size}`, file(dataOf(size))]));
    const m = await overlay.mount({ lowers: [tree] });
    for (const size of sizes) {
      expect(await m.sys.readFile(`${m.mnt}/f${size}`)).toBe(dataOf(size));
    }
    if (overlay.kind === "veneer") {
      const { OPEN, READ } = await countsOf(m.sys, m.mnt);
      expect(OPEN).toBe(sizes.length);
      // Of the largest, which is too large.
      expect(READ).toBe(1);
    }
  });

  test("small files that are open, and mapped, show what is written after their copy-up", async () => {
    const m = await overlay.mount({
      lowers: [{ f: file(dataOf(5000)), g: file(dataOf(9000)), h: file(dataOf(9000)) }],
    });
    const old = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
    expect(await m.sys.pread(old, 5000, 0)).toBe(dataOf(5000));
    const mapping = await m.sys.mmap(old, 5000, "PROT_READ", "MAP_SHARED");
    const changed = await m.sys.open(`${m.mnt}/f`, "O_RDWR");
    await m.sys.pwrite(changed, "changed", 4093);
    const expected = `${dataOf(5000).slice(0, 4093)}changed${dataOf(5000).slice(4100)}`;
    expect(await m.sys.pread(old, 6000, 0)).toBe(expected);
    if (overlay.kind === "veneer") {
      // The kernel's overlayfs goes on showing what was mapped.
      expect(await m.sys.mread(mapping, 0, 5000)).toBe(expected);
    }
    expect(await overlay.host.readFile(`${m.upper}/f`)).toBe(expected);
    await m.sys.readFile(`${m.mnt}/g`);
    await m.sys.truncate(`${m.mnt}/g`, 4097);
    await m.sys.truncate(`${m.mnt}/g`, 8000);
    const shortened = dataOf(9000).slice(0, 4097) + "\0".repeat(8000 - 4097);
    expect(await m.sys.readFile(`${m.mnt}/g`)).toBe(shortened);
    expect(await overlay.host.readFile(`${m.upper}/g`)).toBe(shortened);
    await m.sys.readFile(`${m.mnt}/h`);
    await m.sys.writeFile(`${m.mnt}/h`, "short");
    expect(await m.sys.readFile(`${m.mnt}/h`)).toBe("short");
  });
});
