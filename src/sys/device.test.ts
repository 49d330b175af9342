import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { Errno } from "../errno.ts";
import { makePipe, openFuseDevice, pollTwo, Ready, readPipe, readRequest, writePipe, writeReply } from "./device.ts";
import { mount, UnmountFlag, unmount } from "./mount.ts";
import { closeDescriptor } from "./open.ts";

let opened: number[] = [];

afterEach(() => {
  for (const fd of opened) {
    closeDescriptor(fd);
  }
  opened = [];
});

function pipe(): { readFd: number; writeFd: number } {
  const made = makePipe();
  opened.push(made.readFd, made.writeFd);
  return made;
}

test("pipes carry bytes, close on exec, and end", () => {
  const { readFd, writeFd } = makePipe();
  expect(writePipe(writeFd, Buffer.from("abcdef"), 4)).toBe(4);
  const into = Buffer.alloc(10);
  expect(readPipe(readFd, into)).toBe(4);
  expect(into.toString("latin1", 0, 4)).toBe("abcd");
  const inherited = execFileSync("/bin/sh", ["-c", "ls -l /proc/self/fd"]).toString();
  expect(inherited).not.toContain(` ${writeFd} -> pipe:`);
  closeDescriptor(writeFd);
  expect(readPipe(readFd, into)).toBe(0);
  closeDescriptor(readFd);
  expect(readPipe(readFd, into)).toBe(-Errno.EBADF);
});

test("poll tells which of two can be read, and when none can", () => {
  const a = pipe();
  const b = pipe();
  expect(pollTwo(a.readFd, b.readFd, 0)).toBe(0);
  const before = performance.now();
  expect(pollTwo(a.readFd, b.readFd, 50)).toBe(0);
  expect(performance.now() - before).toBeGreaterThan(45);
  writePipe(b.writeFd, Buffer.from("x"), 1);
  expect(pollTwo(a.readFd, b.readFd, -1)).toBe(Ready.second);
  writePipe(a.writeFd, Buffer.from("x"), 1);
  expect(pollTwo(a.readFd, b.readFd, -1)).toBe(Ready.first | Ready.second);
  readPipe(b.readFd, Buffer.alloc(1));
  expect(pollTwo(a.readFd, b.readFd, -1)).toBe(Ready.first);
});

test("the end of a pipe counts as ready", () => {
  const { readFd, writeFd } = makePipe();
  const other = pipe();
  closeDescriptor(writeFd);
  expect(pollTwo(other.readFd, readFd, -1)).toBe(Ready.second);
  closeDescriptor(readFd);
});

test("a mounted device gives INIT, refuses rubbish, and ENODEV once it is unmounted by force", () => {
  const mountpoint = mkdtempSync("/tmp/veneer-device-");
  const device = openFuseDevice();
  const request = Buffer.from(new SharedArrayBuffer(64 * 1024));
  try {
    expect(readRequest(device, request)).toBe(-Errno.EPERM);
    mount("sys-test", mountpoint, "fuse.veneer", 0, `fd=${device},rootmode=40000,user_id=0,group_id=0`);
    expect(pollTwo(device, device, 1000)).toBe(Ready.first | Ready.second);
    const size = readRequest(device, request);
    /* fuse_in_header: length u32, opcode u32 (FUSE_INIT is 26), then 64 bytes of fuse_init_in */
    expect(request.readUInt32LE(0)).toBe(size);
    expect(request.readUInt32LE(4)).toBe(26);
    expect(size).toBe(40 + 64);
    expect(writeReply(device, Buffer.alloc(16), 16)).toBe(-Errno.EINVAL);
    unmount(mountpoint, UnmountFlag.force);
    expect(readRequest(device, request)).toBe(-Errno.ENODEV);
    expect(() => unmount(mountpoint, 0)).toThrow(expect.objectContaining({ code: Errno.EINVAL }));
  } finally {
    closeDescriptor(device);
    rmdirSync(mountpoint);
  }
});
