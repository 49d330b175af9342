/**
 * While a mount is up, someone who owns a layer puts symlinks where directories and files were. Nothing outside of the
 * layers is read or changed by way of the mount: neither where the kernel follows no symlink in a layer's clone, nor
 * with the ways around the calls that older kernels lack. Of Veneer alone: the kernel's overlay holds dentries.
 */
import { mkdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Agent, CallError, startAgent } from "../support/agent.ts";
import { daemonOf } from "../support/daemon.ts";
import { unmountOverlay, veneerProgram } from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { describeTree, file, symlink, type Tree } from "../support/tree.ts";

const withoutCalls = fileURLToPath(new URL("../support/refuse-calls.py", import.meta.url));
/** Of x86_64 and aarch64 alike. */
const xattrCalls = "463,464,465,466";
const openTree = "428";
const openat2 = "437";
const mountSetattr = "442";

const names = ["read", "changed", "removed", "renamed", "linked", "cut", "moded", "owned", "tagged", "timed"];
const files = (content: string): Tree => ({
  ...Object.fromEntries(names.map((name) => [name, file(content, { xattrs: { "user.x": content } })])),
  link: symlink(content),
  sub: { deep: content, other: content },
  empty: {},
});

let scratch: string;
let sys: Agent;
let host: Agent;

beforeEach(() => {
  scratch = makeScratch();
  sys = startAgent();
  host = startAgent();
});

afterEach(async () => {
  await sys.end();
  await host.end();
  expect(await removeScratch(scratch)).toEqual([]);
});

/** What each call on a directory of known names, and on new names in it, makes of it: results and errnos. */
async function tryAll(sys: Agent, directory: string): Promise<unknown[]> {
  const at = (name: string) => `/${directory}/${name}`;
  const opened = async (name: string, flags: string, act: (fd: number) => Promise<unknown>) => {
    const fd = await sys.open(at(name), flags, 0o644);
    return act(fd).finally(() => sys.close(fd));
  };
  const calls: (() => Promise<unknown>)[] = [
    () => sys.readFile(at("read")),
    () => sys.getxattr(at("read"), "user.x"),
    () => sys.listxattr(at("read")),
    () => sys.list(at(".")),
    () => sys.list(at("sub")),
    () => sys.readFile(at("sub/deep")),
    () => sys.readlink(at("link")),
    () => sys.lstat(at("only-outside")),
    () => sys.readFile(at("only-outside")),
    () => opened("changed", "O_WRONLY", (fd) => sys.write(fd, "broken")),
    () => opened("changed", "O_WRONLY|O_APPEND", (fd) => sys.write(fd, "broken")),
    () => opened("cut", "O_WRONLY|O_TRUNC", (fd) => sys.write(fd, "broken")),
    () => sys.truncate(at("cut"), 1),
    () => sys.writeFile(at("sub/other"), "broken"),
    () => sys.writeFile(at("new"), "broken"),
    () => sys.writeFile(at("only-outside"), "broken"),
    () => opened("new-too", "O_RDWR|O_CREAT|O_EXCL", (fd) => sys.write(fd, "broken")),
    () => opened(".", "O_RDWR|O_TMPFILE", (fd) => sys.linkFd(fd, at("unnamed"))),
    () => sys.mkdir(at("new-directory")),
    () => sys.symlink("x", at("new-symlink")),
    () => sys.mknod(at("new-fifo"), "fifo", 0o600),
    () => sys.link(at("linked"), at("new-link")),
    () => sys.link(at("linked"), `/linked-away-from-${directory}`),
    () => sys.link("/top", at("top-linked")),
    () => sys.chmod(at("moded"), 0o777),
    () => sys.chmod(at("."), 0o777),
    () => sys.lchown(at("owned"), 7, 7),
    () => sys.utimens(at("timed"), 7n, 7n),
    () => sys.setxattr(at("tagged"), "user.x", "broken"),
    () => sys.removexattr(at("tagged"), "user.x"),
    () => sys.setxattr(at("."), "user.y", "broken"),
    () => sys.rename(at("renamed"), at("renamed-here")),
    () => sys.rename(at("sub/deep"), `/moved-away-from-${directory}`),
    () => sys.rename("/top", at("top-moved")),
    () => sys.unlink(at("removed")),
    () => sys.rmdir(at("empty")),
    () => sys.removeTree(at("sub")),
  ];
  return outcomesOf(calls);
}

async function outcomesOf(calls: readonly (() => Promise<unknown>)[]): Promise<unknown[]> {
  const outcomes: unknown[] = [];
  for (const call of calls) {
    outcomes.push(await call().catch((error: unknown) => (error instanceof CallError ? error.code : String(error))));
  }
  return outcomes;
}

test.each([
  ["", "with the calls of this kernel"],
  [mountSetattr, "where clones can't be told to follow no symlinks"],
  [[openTree, openat2, mountSetattr, xattrCalls].join(","), "where there are no clones of mounts"],
])("symlinks in the place of directories and files lead nowhere (refused: %s) %s", async (refused) => {
  const layer = { low: files("inside"), top: "inside", "low-file": file("inside", { mode: 0o644 }) };
  const trees: Record<string, Tree> = {
    lower: layer,
    upper: { up: files("inside"), merged: files("inside"), "up-file": "inside" },
    lower2: { merged: files("inside"), low: { more: "inside" } },
    outside: { ...files("SECRET"), "only-outside": "SECRET" },
  };
  for (const [name, tree] of Object.entries(trees)) {
    mkdirSync(`${scratch}/${name}`);
    await host.build(`${scratch}/${name}`, describeTree(tree));
  }
  mkdirSync(`${scratch}/work`);
  mkdirSync(`${scratch}/mnt`);
  const mnt = `${scratch}/mnt`;
  const directories = `lowerdir=${scratch}/lower:${scratch}/lower2,upperdir=${scratch}/upper,workdir=${scratch}/work`;
  const wrapper = refused === "" ? [] : ["python3", withoutCalls, refused];
  await runOk([...wrapper, veneerProgram, "mount", "-o", directories, mnt]);
  const filtered = (pid: number | "self") =>
    /^Seccomp:\s*(\d)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  // In a container there is a filter already.
  expect(filtered(daemonOf(`${scratch}/upper`))).toBe(refused === "" ? filtered("self") : "2");

  // A symlink that shows in the mount is followed by whoever walks there: not by the daemon, and for this process to nowhere.
  await sys.chroot(mnt);
  await sys.walk("/");
  const before = await host.snapshot(`${scratch}/outside`, {});
  const swap = (path: string, target: string) => {
    renameSync(`${scratch}/${path}`, `${scratch}/${path}.was`);
    symlinkSync(target, `${scratch}/${path}`);
  };
  swap("lower/low", "../outside");
  swap("lower2/merged", `${scratch}/outside`);
  swap("upper/up", `${scratch}/outside`);
  swap("upper/merged", `/proc/self/root${scratch}/outside`);
  swap("lower/low-file", `${scratch}/outside/read`);
  swap("upper/up-file", "../outside/changed");

  const outcomes: unknown[] = [];
  for (const directory of ["low", "up", "merged"]) {
    outcomes.push(directory, ...(await tryAll(sys, directory)));
  }
  for (const name of ["low-file", "up-file"]) {
    const calls = [
      () => sys.readFile(`/${name}`),
      () => sys.chmod(`/${name}`, 0o777),
      () => sys.truncate(`/${name}`, 0),
      () => sys.writeFile(`/${name}`, "broken"),
      () => sys.setxattr(`/${name}`, "user.x", "broken"),
    ];
    outcomes.push(...(await outcomesOf(calls)));
  }
  const texts = outcomes.map((outcome) => JSON.stringify(outcome, bigints));
  expect(texts.filter((text) => text.includes("SECRET"))).toEqual([]);
  expect(await host.snapshot(`${scratch}/outside`, {})).toEqual(before);
  await sys.end();
  await unmountOverlay("veneer", mnt);
});

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
