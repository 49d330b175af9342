/** The UUID that the upper's root bears, and origins that name no file system. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeOverlay, type Mounted } from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";
import { describeTree, dir } from "../support/tree.ts";

const uuidMark = "trusted.overlay.uuid";

describeOverlay("uuid", (overlay) => {
  const uuidOf = async (m: Mounted): Promise<string | undefined> =>
    (await overlay.host.listxattr(m.upper)).includes(uuidMark) ? overlay.host.getxattr(m.upper, uuidMark) : undefined;

  const fresh = dir({});
  const used = dir({}, { xattrs: { "trusted.overlay.impure": "y" } });
  const known = "sixteen bytes...";
  const named = dir({}, { xattrs: { [uuidMark]: known } });

  test("is given to the upper, kept, and not shown, as the option says", async () => {
    for (const [mode, upper, given] of [
      ["on", used, "new"],
      ["auto", fresh, "new"],
      ["auto", used, "none"],
      ["null", fresh, "none"],
      ["off", fresh, "none"],
      ["auto", named, "kept"],
      ["off", named, "kept"],
    ] as const) {
      const m = await overlay.mount({ lowers: [{ f: "1" }], upper, options: [`uuid=${mode}`] });
      const uuid = await uuidOf(m);
      expect([mode, uuid === undefined ? "none" : uuid === known ? "kept" : "new"]).toEqual([mode, given]);
      expect((await m.sys.listxattr(m.mnt)).includes(uuidMark)).toBe(false);
      // The f_fsid of a FUSE mount is 0, and the daemon is not asked.
      expect((await runOk(["stat", "-f", "-c", "%i", m.mnt])).trim() === "0").toBe(overlay.kind === "veneer");
      if (given === "new") {
        // Version 4, made from random bytes.
        expect(uuid).toHaveLength(16);
        expect((uuid?.charCodeAt(6) ?? 0) >> 4).toBe(4);
        expect((uuid?.charCodeAt(8) ?? 0) >> 6).toBe(2);
        await m.remount(overlay.kind === "kernel" ? "veneer" : "kernel");
        expect(await uuidOf(m)).toBe(uuid);
        await m.remount();
      }
      await m.unmount();
    }
  });

  test("off: inode numbers stay when the layers are moved to another file system; null: they don't", async ({
    skip,
  }) => {
    const why = whyWithout("ext4");
    skip(why !== undefined, why);
    const area = join(overlay.scratch, "ext4");
    await makeFileSystem("ext4", area);
    const lower = join(area, "lower");
    await overlay.buildLower(lower, { f: "1", g: "2" });
    // It lies on a file system that comes and goes.
    overlay.forgetLower(lower);
    const mountpoint = join(overlay.scratch, "mnt");
    await overlay.host.mkdir(mountpoint);
    for (const mode of ["off", "null"]) {
      const [upper, work] = [join(area, `upper-${mode}`), join(area, `work-${mode}`)];
      await overlay.host.mkdir(upper);
      await overlay.host.mkdir(work);
      const paths = { lowers: [lower], upper, work, mountpoint, options: [`uuid=${mode}`] };
      const m = await overlay.mountPaths(paths);
      const { ino } = await m.sys.lstat(`${m.mnt}/f`);
      await m.sys.chmod(`${m.mnt}/f`, 0o600);
      expect((await m.sys.lstat(`${m.mnt}/f`)).ino).toBe(ino);
      const origin = await overlay.host.getxattr(`${upper}/f`, "trusted.overlay.origin");
      expect(origin.slice(5, 21) === "\0".repeat(16)).toBe(mode === "off");
      await m.unmount();
      await runOk(["umount", area]);
      // tune2fs wants it checked.
      await runOk(["e2fsck", "-f", "-p", `${area}.img`], "/", 60_000);
      await runOk(["tune2fs", "-U", "random", `${area}.img`], "/", 60_000);
      await runOk(["mount", "-n", "-o", "loop", `${area}.img`, area]);
      const again = await overlay.mountPaths(paths);
      expect((await again.sys.lstat(`${m.mnt}/f`)).ino === ino).toBe(mode === "off");
      await again.unmount();
    }
  });

  test("file systems with the same UUID are not taken for each other", async ({ skip }) => {
    const why = whyWithout("ext4");
    skip(why !== undefined, why);
    const [one, two] = [join(overlay.scratch, "one"), join(overlay.scratch, "two")];
    await makeFileSystem("ext4", one);
    await overlay.host.build(one, describeTree({ lower: { f: "1", g: "2" } }));
    await runOk(["umount", one]);
    await runOk(["cp", "--sparse=always", `${one}.img`, `${two}.img`], "/", 60_000);
    await overlay.host.mkdir(two);
    for (const area of [one, two]) {
      await runOk(["mount", "-n", "-o", "loop", `${area}.img`, area]);
    }
    // The same numbers and handles mean different files from here on.
    await overlay.host.run(["sh", "-c", `cd ${two}/lower && mv f x && mv g f && mv x h`], {});
    const [upper, work, mountpoint] = ["upper", "work", "mnt"].map((name) => join(overlay.scratch, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [upper, work, mountpoint]) {
      await overlay.host.mkdir(path);
    }
    const lowers = [`${one}/lower`, `${two}/lower`];
    const m = await overlay.mountPaths({ lowers, upper, work, mountpoint, options: [] });
    const names = ["f", "g", "h"];
    const numbers = async () => {
      const inos: bigint[] = [];
      for (const name of names) {
        inos.push((await m.sys.lstat(join(m.mnt, name))).ino);
      }
      return inos;
    };
    for (const name of names) {
      await m.sys.chmod(join(m.mnt, name), 0o600);
    }
    await m.remount();
    const own: bigint[] = [];
    for (const name of names) {
      own.push((await overlay.host.lstat(join(upper, name))).ino);
    }
    expect(await numbers()).toEqual(own);
  });
});
