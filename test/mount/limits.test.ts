/** Much of everything, and the longest of everything: nothing hangs, nothing is lost, and both overlays say the same. */
import { mkdirSync } from "node:fs";
import { expect, test } from "vitest";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { makeFileSystem } from "../support/scratch.ts";
import { dir, file } from "../support/tree.ts";

describeOverlay("limits", (overlay) => {
  test("values of xattrs of 64 KiB, in a lower, over a copy-up, and set in the mount", async () => {
    const area = `${overlay.scratch}/xfs`;
    await makeFileSystem("xfs", area);
    const value = "0123456789abcdef".repeat(4096);
    const marked = { xattrs: { "user.large": value } };
    const m = await overlay.mount({
      lowers: [{ d: dir({ f: file("1", marked) }, marked), g: "2" }],
      lowerArea: `${area}`,
      upperArea: area,
    });
    expect(await m.sys.getxattr(`${m.mnt}/d/f`, "user.large")).toBe(value);
    await m.sys.chmod(`${m.mnt}/d/f`, 0o600);
    await m.sys.setxattr(`${m.mnt}/g`, "user.large", value);
    await refuses("E2BIG", m.sys.setxattr(`${m.mnt}/g`, "user.larger", `${value}x`));
    await m.remount();
    for (const path of ["d", "d/f", "g"]) {
      expect(await m.sys.getxattr(`${m.mnt}/${path}`, "user.large"), path).toBe(value);
      expect(await overlay.host.getxattr(`${m.upper}/${path}`, "user.large"), path).toBe(value);
    }
  });

  test("more xattrs than can be listed", async () => {
    const area = `${overlay.scratch}/tmpfs`;
    await makeFileSystem("tmpfs", area);
    const names = Array.from({ length: 8000 }, (_, index) => `trusted.number${index}`);
    const xattrs = Object.fromEntries(names.map((name) => [name, "v"]));
    // Not in a lower that is looked at again after the test: it could not be described.
    mkdirSync(`${area}/lower`);
    await overlay.host.mkdir(`${area}/lower/d`);
    await overlay.host.writeFile(`${area}/lower/d/f`, "data");
    for (const [name, value] of Object.entries(xattrs)) {
      await overlay.host.setxattr(`${area}/lower/d`, name, value);
      await overlay.host.setxattr(`${area}/lower/d/f`, name, value);
    }
    mkdirSync(`${area}/upper`);
    mkdirSync(`${area}/work`);
    mkdirSync(`${overlay.scratch}/mnt`);
    const m = await overlay.mountPaths({
      lowers: [`${area}/lower`],
      upper: `${area}/upper`,
      work: `${area}/work`,
      mountpoint: `${overlay.scratch}/mnt`,
      options: [],
    });
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["f"]);
    expect(await m.sys.readFile(`${m.mnt}/d/f`)).toBe("data");
    expect(await m.sys.getxattr(`${m.mnt}/d/f`, "trusted.number7999")).toBe("v");
    for (const path of ["d", "d/f"]) {
      await refuses("E2BIG", m.sys.listxattr(`${m.mnt}/${path}`));
    }
    if (overlay.kind === "kernel") {
      await m.sys.chmod(`${m.mnt}/d/f`, 0o600);
    } else {
      // No process can list them, so they could not all be copied: nothing is copied rather than some of them.
      await refuses("E2BIG", m.sys.chmod(`${m.mnt}/d/f`, 0o600));
      expect(await m.namesInUpper()).toEqual([]);
    }
    await overlay.host.removeTree(`${area}/lower/d`);
  });

  test("two hundred thousand names in a directory of two layers", async () => {
    const area = `${overlay.scratch}/tmpfs`;
    await makeFileSystem("tmpfs", area);
    for (const name of ["lower/d", "upper/d", "work"]) {
      mkdirSync(`${area}/${name}`, { recursive: true });
    }
    mkdirSync(`${overlay.scratch}/mnt`);
    const count = 100_000;
    await overlay.host.makeMany(`${area}/lower/d`, "l", count);
    await overlay.host.makeMany(`${area}/upper/d`, "u", count);
    const m = await overlay.mountPaths({
      lowers: [`${area}/lower`],
      upper: `${area}/upper`,
      work: `${area}/work`,
      mountpoint: `${overlay.scratch}/mnt`,
      options: [],
    });
    const names = await m.sys.list(`${m.mnt}/d`);
    expect(names).toHaveLength(2 * count);
    expect(new Set(names).size).toBe(2 * count);
    for (const name of [names[0], names[count], names[2 * count - 1]]) {
      await m.sys.unlink(`${m.mnt}/d/${name}`);
    }
    await m.sys.writeFile(`${m.mnt}/d/new`, "");
    expect(await m.sys.list(`${m.mnt}/d`)).toHaveLength(2 * count - 2);
  });

  test("thousands of whiteouts", async () => {
    const lower = `${overlay.scratch}/lower`;
    mkdirSync(lower);
    await overlay.host.makeMany(lower, "f", 5000);
    const many = await overlay.mount({ lowers: [{}] });
    await many.unmount();
    const m = await overlay.mountPaths({
      lowers: [lower],
      upper: many.upper,
      work: many.work,
      mountpoint: many.mnt,
      options: [],
    });
    for (const name of await m.sys.list(m.mnt)) {
      await m.sys.unlink(`${m.mnt}/${name}`);
    }
    expect(await m.sys.list(m.mnt)).toEqual([]);
    expect(await m.namesInUpper()).toHaveLength(5000);
    await m.sys.mkdir(`${m.mnt}/f7`);
    await m.sys.end();
    await m.remount();
    expect(await overlay.host.list(m.mnt)).toEqual(["f7"]);
  });
});
