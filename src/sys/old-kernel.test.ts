/** The ways around calls that older kernels lack: their numbers are replaced by ones that no kernel has. */
import { execFileSync } from "node:child_process";
import { mkdirSync, openSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { Errno } from "../errno.ts";
import { closeDescriptor } from "./open.ts";
import { openReadOnlyTree, openWritablePair } from "./private-tree.ts";
import { getXattr, listXattrs, removeXattr, setXattr } from "./xattr.ts";

const missing = vi.hoisted(() => ({ names: [] as string[] }));

vi.mock("./libc.ts", async (importOriginal) => {
  const libc = await importOriginal<typeof import("./libc.ts")>();
  const Syscall = new Proxy(libc.Syscall, {
    get: (table, name: string): unknown => (missing.names.includes(name) ? 9999 : Reflect.get(table, name)),
  });
  return { ...libc, Syscall };
});

let scratch: string;

beforeAll(() => {
  scratch = makeScratch();
});

afterEach(() => {
  missing.names = [];
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

test("xattrs by way of /proc/self/fd", () => {
  missing.names = ["getxattrat", "setxattrat", "listxattrat", "removexattrat"];
  mkdirSync(`${scratch}/dir`);
  writeFileSync(`${scratch}/dir/file`, "");
  symlinkSync("file", `${scratch}/dir/link`);
  const fd = openSync(scratch, "r");
  for (const path of ["dir/file", "dir/link", "dir", ""]) {
    setXattr(fd, path, "trusted.x", Buffer.from("value"), 1);
    expect(() => setXattr(fd, path, "trusted.x", Buffer.from("value"), 1)).toThrow(
      expect.objectContaining({ code: Errno.EEXIST }),
    );
    expect(getXattr(fd, path, "trusted.x")?.toString()).toBe("value");
    expect(getXattr(fd, path, "trusted.y")).toBeUndefined();
    setXattr(fd, path, "trusted.long", Buffer.alloc(700, "l"), 0);
    expect(getXattr(fd, path, "trusted.long")?.length).toBe(700);
    expect(listXattrs(fd, path)).toEqual(expect.arrayContaining(["trusted.long", "trusted.x"]));
    removeXattr(fd, path, "trusted.x");
    expect(getXattr(fd, path, "trusted.x")).toBeUndefined();
    expect(() => removeXattr(fd, path, "trusted.x")).toThrow(expect.objectContaining({ code: Errno.ENODATA }));
  }
  expect(() => listXattrs(fd, "absent")).toThrow(expect.objectContaining({ code: Errno.ENOENT }));
  closeDescriptor(fd);
});

/** Whether a mount made now on `path` shows through `fd`, at `name` below it. */
function showsMounts(fd: number, path: string, name: string): boolean {
  execFileSync("mount", ["-t", "tmpfs", "none", path]);
  try {
    writeFileSync(`${path}/above`, "");
    return readdirSync(`/proc/self/fd/${fd}/${name}`).includes("above");
  } finally {
    execFileSync("umount", [path]);
  }
}

test.each([
  ["mountSetattr", true],
  ["openTree", false],
])("trees without %s", (name, isolated) => {
  missing.names = [name];
  const base = `${scratch}/${name}`;
  mkdirSync(base);
  execFileSync("mount", ["-t", "tmpfs", "none", base]);
  execFileSync("mount", ["--make-shared", base]);
  for (const directory of ["lower/sub", "upper/sub", "work"]) {
    mkdirSync(`${base}/${directory}`, { recursive: true });
  }
  const lower = openReadOnlyTree(`${base}/lower`);
  expect(lower).toMatchObject({ isolated, sealed: false, confined: false });
  expect(showsMounts(lower.fd, `${base}/lower/sub`, "sub")).toBe(!isolated);
  const { first, second } = openWritablePair(`${base}/upper`, `${base}/work`);
  expect(first).toMatchObject({ isolated, sealed: false, confined: false });
  expect(showsMounts(first.fd, `${base}/upper/sub`, "sub")).toBe(!isolated);
  for (const fd of [lower.fd, first.fd, second.fd]) {
    closeDescriptor(fd);
  }
});
