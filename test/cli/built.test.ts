/** dist as it is built: caches that V8 takes, others that do no harm, and mounts that outlive it. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Stand } from "./stand.ts";

const root = join(import.meta.dirname, "../..");
const success = { status: 0, stdout: "", stderr: "" };
let stand: Stand;
let copy: string;

beforeEach(() => {
  stand = new Stand();
  copy = join(stand.path, "copy");
  mkdirSync(copy);
  for (const part of ["bin", "dist", "package.json"]) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
});

afterEach(() => stand.remove());

it("V8 takes all caches", async () => {
  const names = readdirSync(join(root, "dist")).filter((name) => name.endsWith(".cache"));
  expect(names.sort()).toEqual(["attendant-thread.cache", "daemon-process.cache", "main.cache"]);
  const script = `
    const { readFileSync } = require("node:fs");
    for (const file of process.argv.slice(1)) {
      const cachedData = readFileSync(file).subarray(0, -4);
      const code = readFileSync(file.replace(/cache$/, "js"), "utf8");
      console.log(new (require("node:vm").Script)(code, { cachedData }).cachedDataRejected);
    }`;
  const files = names.map((name) => join(root, "dist", name));
  expect(await stand.run(process.execPath, "-e", script, ...files)).toEqual({
    ...success,
    stdout: "false\n".repeat(3),
  });
});

it.each<[string, (cache: Buffer) => Buffer]>([
  ["damaged", (cache) => cache.fill(0xa5, 20_000, 20_400)],
  ["cut off", (cache) => cache.subarray(0, cache.length / 2)],
  ["empty", () => Buffer.alloc(0)],
])("a cache that is %s is not used", async (_, spoil) => {
  const file = join(copy, "dist/main.cache");
  writeFileSync(file, spoil(readFileSync(file)));
  expect(await stand.run(join(copy, "bin/veneer"), "--help")).toEqual(await stand.veneer("--help"));
});

it("nor is one of other code, though that is as long; nor need there be one", async () => {
  const file = join(copy, "dist/main.js");
  const other = readFileSync(file, "utf8").replace("print the version", "print its version");
  writeFileSync(file, other);
  const help = () => stand.run(join(copy, "bin/veneer"), "--help");
  expect((await help()).stdout).toContain("print its version");
  rmSync(join(copy, "dist/main.cache"));
  expect((await help()).stdout).toContain("print its version");
});

it("the heap of the main thread may be large, and caches that know nothing of it fit", async () => {
  const hook = `
    const { readFileSync } = require("node:fs");
    const file = ${JSON.stringify(join(root, "dist/main.js"))};
    process.on("exit", () => {
      const cachedData = readFileSync(file.replace(/js$/, "cache")).subarray(0, -4);
      const { cachedDataRejected } = new (require("node:vm").Script)(readFileSync(file, "utf8"), { cachedData });
      console.log(require("node:v8").getHeapStatistics().heap_size_limit >= 2 ** 34, cachedDataRejected);
    });`;
  writeFileSync(join(stand.path, "hook.cjs"), hook);
  const node = ["env", `NODE_OPTIONS=--require=${join(stand.path, "hook.cjs")}`, join(root, "bin/veneer")];
  const { stdout, stderr } = await stand.run(...node, "--version");
  expect([stdout.split("\n").slice(1), stderr]).toEqual([["true false", ""], ""]);
});

it("a mount goes on when dist is gone, I/O threads included", async () => {
  writeFileSync(join(stand.path, "lower/large"), Buffer.alloc(4 << 20, "x"));
  const options = "lowerdir=lower,upperdir=upper,workdir=work";
  expect(await stand.run(join(copy, "bin/veneer"), "-o", options, "--log-file", "log", "mnt")).toEqual(success);
  rmSync(join(copy, "dist"), { recursive: true });
  expect(await stand.shell("echo y >>mnt/large && tail -c 3 mnt/large")).toEqual({ ...success, stdout: "xy\n" });
  expect(await stand.veneer("umount", "mnt")).toEqual(success);
  expect(readFileSync(join(stand.path, "log"), "utf8")).not.toMatch(/"level":"(warn|error)"/);
});

it("a mount whose attendant fails is served, ends when it is unmounted, and says so", async () => {
  writeFileSync(join(copy, "dist/attendant-thread.js"), '(function () { throw new Error("spoilt"); })');
  const options = "lowerdir=lower,upperdir=upper,workdir=work";
  expect(await stand.run(join(copy, "bin/veneer"), "-o", options, "--log-file", "log", "mnt")).toEqual(success);
  expect(await stand.shell("echo x >mnt/new && cat mnt/file upper/new && umount mnt")).toEqual({
    ...success,
    stdout: "from the lower\nx\n",
  });
  expect(await stand.processesAfter(10_000)).toEqual([]);
  expect(readFileSync(join(stand.path, "log"), "utf8")).toMatch(/spoilt.*attends the mount is lost/);
});
