/** What each value of xino does to inode numbers where the layers lie on three file systems. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeOverlay, type Mounted } from "../support/overlay.ts";
import { type FileSystemKind, makeFileSystem, whyWithout } from "../support/scratch.ts";

describeOverlay("xino", (overlay) => {
  const paths = [
    "d",
    "d/tmpfs",
    "d/xfs",
    "tmpfs",
    "xfs",
    "only-tmpfs",
    "only-tmpfs/f",
    "only-xfs",
    "only-xfs/f",
    "own",
  ];
  const kinds: readonly FileSystemKind[] = ["tmpfs", "xfs"];

  async function makeLowers(): Promise<string[]> {
    const lowers: string[] = [];
    for (const kind of kinds) {
      const area = join(overlay.scratch, kind);
      await makeFileSystem(kind, area);
      const tree = { d: { [kind]: "1" }, [kind]: "2", [`only-${kind}`]: { f: "3" } };
      lowers.push(await overlay.buildLower(join(area, "lower"), tree));
    }
    return lowers;
  }

  async function mount(lowers: readonly string[], xino: string): Promise<Mounted> {
    const at = (name: string) => join(overlay.scratch, `${name}-${xino}`);
    const [upper, work, mountpoint] = [at("upper"), at("work"), at("mnt")];
    for (const path of [upper, work, mountpoint]) {
      await overlay.host.mkdir(path);
    }
    await overlay.host.writeFile(join(upper, "own"), "4");
    return overlay.mountPaths({ lowers, upper, work, mountpoint, options: [`xino=${xino}`] });
  }

  /** Device and number by path; a listing must give the same number. */
  async function numbers(m: Mounted, listed: boolean): Promise<Map<string, { dev: bigint; ino: bigint }>> {
    const found = new Map<string, { dev: bigint; ino: bigint }>();
    for (const path of paths) {
      const { dev, ino } = await m.sys.lstat(join(m.mnt, path));
      found.set(path, { dev, ino });
    }
    for (const path of listed ? ["", "d", "only-tmpfs", "only-xfs"] : []) {
      const fd = await m.sys.open(join(m.mnt, path), "O_RDONLY|O_DIRECTORY");
      for (const { name, ino } of await m.sys.getdents(fd)) {
        if (name !== "." && name !== "..") {
          expect([path, name, ino]).toEqual([path, name, found.get(join(path, name))?.ino]);
        }
      }
      await m.sys.close(fd);
    }
    const pairs = [...found.values()].map(({ dev, ino }) => `${dev}:${ino}`);
    expect(new Set(pairs).size, pairs.join(" ")).toBe(paths.length);
    return found;
  }

  async function copyAllUp(m: Mounted): Promise<void> {
    for (const path of paths) {
      await m.sys.chmod(join(m.mnt, path), 0o700);
    }
  }

  test("on, auto, off", async ({ skip }) => {
    for (const kind of kinds) {
      const why = whyWithout(kind);
      skip(why !== undefined, why);
    }
    const lowers = await makeLowers();

    for (const xino of ["on", "auto"]) {
      const m = await mount(lowers, xino);
      const before = await numbers(m, true);
      expect(new Set([...before.values()].map(({ dev }) => dev)).size, "devices").toBe(1);
      await copyAllUp(m);
      expect(await numbers(m, true), `xino=${xino}, copied up`).toEqual(before);
      await m.remount();
      const after = await numbers(m, true);
      const inos = (all: typeof before) => [...all].map(([path, { ino }]) => [path, ino]);
      expect(inos(after), `xino=${xino}, mounted again`).toEqual(inos(before));
      for (const lower of lowers) {
        overlay.forgetLower(lower);
      }
      await m.unmount();
    }

    const m = await mount(lowers, "off");
    // The kernel gives each file system's objects a device of their own then, and lists their true numbers.
    const before = await numbers(m, overlay.kind === "veneer");
    expect(before.get("own")?.ino).toBe((await overlay.host.lstat(join(m.upper, "own"))).ino);
    expect(new Set([...before.values()].map(({ dev }) => dev)).size > 1, "several devices").toBe(
      overlay.kind === "kernel",
    );
    if (overlay.kind === "veneer") {
      for (const [path, { ino }] of before) {
        expect(ino, path).toBeLessThan(2n ** 32n);
      }
      await copyAllUp(m);
      expect(await numbers(m, true)).toEqual(before);
    }
  });
});
