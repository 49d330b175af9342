/** Mounts without an upper, and those told to be read-only. */
import { expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { describeOverlay, refuses } from "../support/overlay.ts";
import { device, fifo, file, symlink } from "../support/tree.ts";

/** Every kind of change; each must fail with EROFS. */
const changes: [name: string, change: (sys: Agent, mnt: string) => Promise<unknown>][] = [
  ["open O_WRONLY", (sys, mnt) => sys.open(`${mnt}/f`, "O_WRONLY")],
  ["open O_RDWR", (sys, mnt) => sys.open(`${mnt}/f`, "O_RDWR")],
  ["open O_RDONLY|O_TRUNC", (sys, mnt) => sys.open(`${mnt}/f`, "O_RDONLY|O_TRUNC")],
  ["create", (sys, mnt) => sys.open(`${mnt}/new`, "O_WRONLY|O_CREAT")],
  ["O_TMPFILE", (sys, mnt) => sys.open(mnt, "O_RDWR|O_TMPFILE")],
  ["truncate", (sys, mnt) => sys.truncate(`${mnt}/f`, 0)],
  ["chmod", (sys, mnt) => sys.chmod(`${mnt}/f`, 0o600)],
  ["chown", (sys, mnt) => sys.chown(`${mnt}/f`, 1, 1)],
  ["utimens", (sys, mnt) => sys.utimens(`${mnt}/f`, 1n, 1n)],
  ["setxattr", (sys, mnt) => sys.setxattr(`${mnt}/f`, "user.k", "v")],
  ["removexattr", (sys, mnt) => sys.removexattr(`${mnt}/f`, "user.x")],
  ["mkdir", (sys, mnt) => sys.mkdir(`${mnt}/new`)],
  ["rmdir", (sys, mnt) => sys.rmdir(`${mnt}/d`)],
  ["unlink", (sys, mnt) => sys.unlink(`${mnt}/f`)],
  ["mknod", (sys, mnt) => sys.mknod(`${mnt}/new`, "char", 0o600, 1, 3)],
  ["mkfifo", (sys, mnt) => sys.mknod(`${mnt}/new`, "fifo", 0o600)],
  ["symlink", (sys, mnt) => sys.symlink("x", `${mnt}/new`)],
  ["link", (sys, mnt) => sys.link(`${mnt}/f`, `${mnt}/new`)],
  ["rename", (sys, mnt) => sys.rename(`${mnt}/f`, `${mnt}/new`)],
  ["rename EXCHANGE", (sys, mnt) => sys.renameat2(`${mnt}/f`, `${mnt}/d`, "EXCHANGE")],
  ["bind of a socket", (sys, mnt) => sys.listen(`${mnt}/new`)],
];

const tree = {
  f: file("data", { xattrs: { "user.x": "1" } }),
  d: {},
  s: symlink("f"),
  p: fifo(),
  null: device("char", 1, 3, { mode: 0o666 }),
};

describeOverlay("read-only mount", (overlay) => {
  test.each([
    ["without an upper", { lowers: [tree, { g: "2" }], upper: null }],
    ["with an upper and ro", { lowers: [tree, { g: "2" }], options: ["ro"] }],
  ])("%s: everything is read, every change is EROFS", async (_name, request) => {
    const m = await overlay.mount(request);
    const before = await m.view();
    expect(Object.keys(before).sort()).toEqual([".", "d", "f", "g", "null", "p", "s"]);
    for (const [name, change] of changes) {
      const outcome = await change(m.sys, m.mnt).then(
        () => "success",
        (error: { code?: string }) => error.code,
      );
      expect(outcome, name).toBe("EROFS");
    }
    expect(await m.view()).toEqual(before);
    expect(await m.sys.access(`${m.mnt}/f`, "W_OK")).toBe(false);
    // Special files are no part of the file system: they can be written.
    const fd = await m.sys.open(`${m.mnt}/null`, "O_WRONLY");
    expect(await m.sys.write(fd, "x")).toBe(1);
    if (!("upper" in request)) {
      expect(await m.namesInUpper()).toEqual([]);
    }
  });

  test("a single lower without an upper", async () => {
    // The kernel's overlay asks for two lowers at least where there is no upper; Veneer takes one, as mount programs must.
    if (overlay.kind === "kernel") {
      await expect(overlay.mount({ lowers: [tree], upper: null })).rejects.toThrow("status 32");
      return;
    }
    const m = await overlay.mount({ lowers: [tree], upper: null });
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("data");
    await refuses("EROFS", m.sys.unlink(`${m.mnt}/f`));
  });

  test("remount,ro of a writable mount", async () => {
    const m = await overlay.mount({ lowers: [tree] });
    await m.sys.writeFile(`${m.mnt}/new`, "1");
    const done = await m.sys.run(["mount", "-o", "remount,ro,bind", m.mnt], {});
    expect(done).toMatchObject({ status: 0 });
    await refuses("EROFS", m.sys.writeFile(`${m.mnt}/new`, "2"));
    expect(await m.sys.readFile(`${m.mnt}/new`)).toBe("1");
  });
});
