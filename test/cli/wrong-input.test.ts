/** Every wrong input: its exit code, its one sentence, and that nothing is left behind. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runOk } from "../support/programs.ts";
import { Stand } from "./stand.ts";

const layers = "lowerdir=lower,upperdir=upper,workdir=work";
let stand: Stand;

beforeAll(async () => {
  stand = new Stand();
  const at = (name: string): string => join(stand.path, name);
  for (const name of [
    "lower/inner",
    "upper/inner",
    "work/inner",
    "upper2",
    "work2",
    "bound",
    "kernel",
    "ro",
    "other",
  ]) {
    mkdirSync(at(name));
  }
  writeFileSync(at("plain"), "");
  symlinkSync("loop", at("loop"));
  await runOk(["mount", "--bind", at("work2"), at("bound")]);
  await runOk(["mount", "-t", "tmpfs", "none", at("other")]);
  await runOk(["mount", "-t", "tmpfs", "none", at("ro")]);
  mkdirSync(at("ro/upper"));
  mkdirSync(at("ro/work"));
  mkdirSync(at("other/work"));
  await runOk(["mount", "-o", "remount,ro", at("ro")]);
});

afterAll(() => stand.remove());

/** One sentence on stderr, nothing on stdout, and the world as before. */
async function expectRefusal(run: () => Promise<object>, code: number, sentence: RegExp): Promise<void> {
  const before = await stand.traces();
  expect(await run()).toEqual({ status: code, stdout: "", stderr: expect.stringMatching(sentence) });
  expect(await stand.traces()).toEqual(before);
}

/** The whole of stderr. */
function line(text: string): RegExp {
  return new RegExp(`^veneer: ${text}\n$`);
}

describe("command lines", () => {
  it.each([
    ["nothing at all", [], "the mountpoint is missing: .*"],
    ["no layers", ["mnt"], "there is no lower layer: give -o lowerdir=.*"],
    ["an unknown flag", ["mount", "--frobnicate", "mnt"], "unknown option '--frobnicate'; see veneer --help"],
    ["a flag without its value", ["mount", "mnt", "-o"], "option '-o <options>' argument missing; see veneer --help"],
    ["a log level that is none", ["--log-level", "loud", "-o", layers, "mnt"], ".*'loud' is invalid.*"],
    ["three positionals", ["-o", layers, "a", "b", "mnt"], "too many arguments \\(a b mnt\\): .*"],
    ["upper without work", ["-o", "lowerdir=lower,upperdir=upper", "mnt"], "upperdir=upper needs a workdir: add .*"],
    ["an empty layer", ["-o", "lowerdir=lower:::lower", "mnt"], "lowerdir=lower:::lower names an empty layer: .*"],
    [
      "features that exclude each other",
      ["-o", `${layers},userxattr,metacopy=on`, "mnt"],
      "userxattr and metacopy=on exclude each other: .*",
    ],
    ["an option without its value", ["-o", `${layers},max_read`, "mnt"], "the option max_read needs a value: .*"],
    [
      "a value for an option that has none",
      ["-o", `${layers},ro=1`, "mnt"],
      'the option ro takes no value, but "ro=1" .*',
    ],
    ["a number that is none", ["-o", `${layers},timeout=soon`, "mnt"], "timeout=soon is not a number of seconds: .*"],
    ["an open quote", ["-o", `${layers},context="a,b`, "mnt"], 'the quote in "context="a,b" is never closed'],
    [
      "a log file that can't be",
      ["-o", layers, "--log-file", "nowhere/x", "mnt"],
      "the log file nowhere/x can't be opened \\(ENOENT\\): .*",
    ],
  ])("%s: 1", async (_, args, text) => {
    await expectRefusal(() => stand.veneer(...args), 1, line(text));
  });
});

describe("layers and mountpoint", () => {
  const over = (changes: string): string[] => ["mount", "-o", `${layers},${changes}`, "mnt"];
  it.each<[string, string[], number, string]>([
    ["lower missing", over("lowerdir=lower:nowhere"), 33, "lowerdir nowhere does not exist: .*"],
    ["lower a file", over("lowerdir=plain"), 33, "lowerdir plain is not a directory: .*"],
    ["lower below a file", over("lowerdir=plain/x"), 33, "lowerdir plain/x is not a directory: .*"],
    ["lower a circle of symlinks", over("lowerdir=loop"), 33, "lowerdir loop leads in a circle .*"],
    ["upper missing", over("upperdir=nowhere"), 33, "upperdir nowhere does not exist: .*"],
    ["upper a file", over("upperdir=plain"), 33, "upperdir plain is not a directory: .*"],
    ["work missing", over("workdir=nowhere"), 33, "workdir nowhere does not exist: .*"],
    ["work a file", over("workdir=plain"), 33, "workdir plain is not a directory: .*"],
    [
      "work on another file system",
      over("workdir=other/work"),
      33,
      "workdir other/work is not on the same mounted file system as upperdir upper: put it beside .*",
    ],
    [
      "work on another mount of it",
      over("workdir=bound"),
      33,
      "workdir bound is not on the same mounted file system as upperdir upper: put it beside .*",
    ],
    ["work the same as upper", over("workdir=upper"), 33, "upperdir and workdir are the same directory upper: .*"],
    ["work inside upper", over("workdir=upper/inner"), 33, "workdir upper/inner lies inside upperdir upper: .*"],
    ["upper inside work", over("upperdir=work/inner"), 33, "upperdir work/inner lies inside workdir work: .*"],
    ["upper also a lower", over("lowerdir=lower:upper"), 33, "upperdir upper is also given as a lowerdir: .*"],
    ["work also a lower", over("lowerdir=work:lower"), 33, "workdir work is also given as a lowerdir: .*"],
    ["lower inside upper", over("lowerdir=upper/inner"), 33, "lowerdir upper/inner lies inside upperdir upper: .*"],
    [
      "upper on a read-only file system",
      over("upperdir=ro/upper,workdir=ro/work"),
      33,
      "workdir ro/work is on a read-only file system: .*",
    ],
    ["mountpoint missing", ["mount", "-o", layers, "nowhere"], 35, "mountpoint nowhere does not exist: .*"],
    ["mountpoint a file", ["mount", "-o", layers, "plain"], 35, "mountpoint plain is not a directory: .*"],
  ])("%s", async (_, args, code, text) => {
    await expectRefusal(() => stand.veneer(...args), code, line(text));
  });

  it("says the same in the foreground, and in the log file if there is one", async () => {
    const args = ["-o", `${layers},lowerdir=nowhere`, "mnt"];
    await expectRefusal(() => stand.veneer("-f", ...args), 33, line("lowerdir nowhere does not exist: .*"));
    await stand.veneer(...args, "--log-file", "log");
    expect(await runOk(["cat", "log"], stand.path)).toMatch(
      /^\{"level":"error".*"msg":"lowerdir nowhere does not exist.*\}\n$/,
    );
    await runOk(["rm", "log"], stand.path);
  });
});

describe("directories in use: 34", () => {
  it.each([
    ["upper", "upperdir=upper,workdir=work2", "upperdir upper is in use by another veneer mount: .*"],
    ["work", "upperdir=upper2,workdir=work", "workdir work is in use by another veneer mount: .*"],
  ])("%s, by a mount of ours", async (_, second, text) => {
    const first = await stand.veneer("mount", "-o", layers, "mnt");
    expect(first).toEqual({ status: 0, stdout: "", stderr: "" });
    try {
      const before = stand.mounts();
      const result = await stand.veneer("mount", "-o", `lowerdir=lower,${second}`, "kernel");
      expect(result).toEqual({ status: 34, stdout: "", stderr: expect.stringMatching(line(text)) });
      expect(stand.mounts()).toEqual(before);
      expect(stand.processes()).toHaveLength(1);
    } finally {
      expect(await stand.veneer("umount", "mnt")).toEqual({ status: 0, stdout: "", stderr: "" });
    }
  });

  it.each([
    ["a mount of ours", (at: string) => `"$V" mount -o ${layers} ${at}`],
    ["the kernel's overlayfs", (at: string) => `mount -t overlay -o ${layers.replaceAll("=", "=$PWD/")} overlay ${at}`],
  ])("but ro looks at what %s writes", async (_, mount) => {
    const line = `set -e; ${mount("mnt")}
      echo new >mnt/new; rm mnt/file; mkdir mnt/file
      "$V" mount -o ${layers},ro kernel; ls -F kernel; touch kernel/x 2>&1 | grep -o Read-only
      "$V" umount kernel; echo more >mnt/more; umount mnt; rm -rf work/work upper/file upper/new upper/more`;
    expect(await stand.shell(line)).toEqual({ status: 0, stdout: "file/\ninner/\nnew\nRead-only\n", stderr: "" });
  });

  it.each([
    ["upper", "upperdir=upper,workdir=work2", "upperdir upper"],
    ["work", "upperdir=upper2,workdir=work", "workdir work"],
  ])("%s, by the kernel's overlayfs", async (_, options, who) => {
    const at = (name: string): string => join(stand.path, name);
    const kernel = `lowerdir=${at("lower")},upperdir=${at("upper")},workdir=${at("work")}`;
    await runOk(["mount", "-t", "overlay", "overlay", "-o", kernel, at("kernel")]);
    try {
      const text = `${who} is in use by the overlayfs mount at ${at("kernel")}: .*`;
      await expectRefusal(() => stand.veneer("-o", `lowerdir=lower,${options}`, "mnt"), 34, line(text));
    } finally {
      await runOk(["umount", at("kernel")]);
      await runOk(["rm", "-rf", at("work/work"), at("work/index")]);
    }
  });
});

describe("what the system withholds", () => {
  const mount = `"$V" mount -o ${layers} mnt`;
  /** A /dev of our own, in a mount namespace of our own. */
  const withDev = (options: string, setup: string): string =>
    `unshare -m --propagation private sh -c 'mount -t tmpfs ${options} none /dev && mknod -m 666 /dev/null c 1 3 && ${setup} && ${mount}'`;

  it("CAP_SYS_ADMIN: 36", async () => {
    const line_ = `setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$V" mount -o ${layers} mnt`;
    await expectRefusal(
      () => stand.shell(line_),
      36,
      line("mounting needs the capability CAP_SYS_ADMIN: run veneer as root .*"),
    );
  });

  it("/dev/fuse, being absent: 37", async () => {
    await expectRefusal(
      () => stand.shell(withDev("", "true")),
      37,
      line("there is no /dev/fuse: load the module \\(modprobe fuse\\); .*"),
    );
  });

  it("/dev/fuse, being forbidden: 37", async () => {
    const setup = "mknod /dev/fuse c 10 229 && mount --bind /dev/null /dev/null && mount -o remount,nodev,bind /dev";
    await expectRefusal(
      () => stand.shell(withDev("", setup)),
      37,
      line("/dev/fuse may not be opened: .*--device /dev/fuse.*"),
    );
  });

  it("node: 2", async () => {
    const line_ = `unshare -m --propagation private sh -c 'for node in $(command -v node) /usr/local/bin/node /usr/bin/node; do [ -e "$node" ] && mount --bind plain "$(readlink -f "$node")"; done; "$V" mount mnt'`;
    await expectRefusal(() => stand.shell(line_), 2, line("Node.js is not installed: .*"));
  });
});

describe("umount: 39", () => {
  it.each([
    ["a path that is not there", "nowhere", "nowhere does not exist: .*"],
    ["a directory where nothing is mounted", "mnt", "mnt is not a mountpoint: .*"],
    ["a mount of another kind", "other", "other is not a veneer mount but one of type tmpfs: use umount"],
  ])("%s", async (_, path, text) => {
    await expectRefusal(() => stand.veneer("umount", path), 39, line(text));
  });

  it("a mount in use, which stays", async () => {
    await stand.mount();
    const result = await stand.shell(`exec 5<mnt/file; "$V" umount mnt; echo $?; cat mnt/file`);
    expect(result).toEqual({
      status: 0,
      stdout: "39\nfrom the lower\n",
      stderr: expect.stringMatching(line("mnt is busy: end the processes that use it .*")),
    });
    expect(await stand.veneer("umount", "mnt")).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});
