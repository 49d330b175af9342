import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { expect, test } from "vitest";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { Errno } from "../errno.ts";
import { tryLock } from "./file-data.ts";
import { closeDescriptor, duplicate, OpenFlag, openAt, openBelow, ResolveFlag, workingDirectory } from "./open.ts";
import {
  Capability,
  changeDirectory,
  hasCapability,
  raiseDescriptorLimit,
  setThreadName,
  setUmask,
} from "./process.ts";

test("the umask is the one that was set", () => {
  const before = setUmask(0o027);
  expect(process.umask()).toBe(0o027);
  expect(setUmask(before)).toBe(0o027);
});

test("the working directory moves, by bytes", () => {
  const before = process.cwd();
  changeDirectory("/proc/self/../..");
  expect(readlinkSync("/proc/self/cwd")).toBe("/");
  expect(() => changeDirectory("/absent")).toThrow(expect.objectContaining({ code: Errno.ENOENT }));
  process.chdir(before);
});

test("capabilities are those of the process", () => {
  expect(hasCapability(Capability.sysAdmin)).toBe(true);
  process.seteuid?.(65534);
  try {
    expect(hasCapability(Capability.sysAdmin)).toBe(false);
  } finally {
    process.seteuid?.(0);
  }
});

test("the thread's name is cut to what the kernel keeps", () => {
  const comm = `/proc/self/task/${readlinkSync("/proc/thread-self").split("/").at(-1)}/comm`;
  const before = readFileSync(comm, "latin1").trim();
  setThreadName("veneer test of a long name");
  expect(readFileSync(comm, "latin1")).toBe("veneer test of \n");
  setThreadName(before);
});

test("the limit of descriptors goes up to what is allowed", () => {
  const before = execFileSync("prlimit", ["--noheadings", "--raw", "-o", "SOFT", "-n", "-p", String(process.pid)]);
  execFileSync("prlimit", [`--nofile=100:`, "-p", String(process.pid)]);
  const limit = raiseDescriptorLimit();
  const now = execFileSync("prlimit", ["--noheadings", "--raw", "-o", "SOFT,HARD", "-n", "-p", String(process.pid)]);
  expect(now.toString().trim()).toBe(`${limit} ${limit}`);
  execFileSync("prlimit", [`--nofile=${before.toString().trim()}:`, "-p", String(process.pid)]);
});

test("a lock is held by one open file at a time, and by its duplicates", async () => {
  const scratch = makeScratch();
  const open = () => openAt(workingDirectory, scratch, OpenFlag.readOnly | OpenFlag.directory);
  const first = open();
  const second = open();
  expect(tryLock(first)).toBe(true);
  expect(tryLock(second)).toBe(false);
  const copy = duplicate(first);
  closeDescriptor(first);
  expect(tryLock(second)).toBe(false);
  closeDescriptor(copy);
  expect(tryLock(second)).toBe(true);
  closeDescriptor(second);
  const path = openAt(workingDirectory, scratch, OpenFlag.path);
  expect(() => tryLock(path)).toThrow(expect.objectContaining({ code: Errno.EBADF }));
  closeDescriptor(path);
  expect(await removeScratch(scratch)).toEqual([]);
});

test("openat2 keeps to what it was told", () => {
  const proc = openAt(workingDirectory, "/proc", OpenFlag.path);
  const root = openAt(workingDirectory, "/", OpenFlag.path);
  const opens = (fd: number, path: string, resolve: number) =>
    closeDescriptor(openBelow(fd, path, OpenFlag.path, resolve));
  const failing = (code: number) => expect.objectContaining({ code });
  opens(root, "proc/version", 0);
  expect(() => opens(root, "proc/version", ResolveFlag.noXdev)).toThrow(failing(Errno.EXDEV));
  opens(proc, "self/status", ResolveFlag.noXdev | ResolveFlag.beneath);
  expect(() => opens(proc, "self/status", ResolveFlag.noSymlinks)).toThrow(failing(Errno.ELOOP));
  expect(() => opens(proc, "self/root", ResolveFlag.noMagicLinks)).toThrow(failing(Errno.ELOOP));
  expect(() => opens(proc, "..", ResolveFlag.beneath)).toThrow(failing(Errno.EXDEV));
  closeDescriptor(proc);
  closeDescriptor(root);
});
