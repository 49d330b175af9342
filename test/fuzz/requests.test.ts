/** No request does harm, however it is made: over a file system in memory, and over the overlay on a real one. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Features } from "../../src/contract/features.ts";
import type { Filesystem } from "../../src/contract/filesystem.ts";
import { FileType, rootNodeId } from "../../src/contract/ids.ts";
import { Errno } from "../../src/errno.ts";
import { Opcode } from "../../src/fuse/protocol/opcodes.ts";
import { setUmask } from "../../src/sys/process.ts";
import { MemoryFilesystem } from "../fuse/memory-filesystem.ts";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { Exchange } from "./exchange.ts";
import { anyStep, type Step } from "./messages.ts";
import { anyFeatures, noFeatures, openOverlay } from "./overlay.ts";
import { fuzzing, fuzzLimitMs } from "./settings.ts";

const steps = fc.array(anyStep, { minLength: 1, maxLength: 80, size: "max" });
const scratch = makeScratch();
const area = `${scratch}/tmpfs`;

beforeAll(() => {
  // As the daemon has it. Of 32 MB: no request can have more allocated than that.
  setUmask(0);
  mkdirSync(area);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=32m", "none", area]);
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

/** Has the tree looked up, so that its nodes are there to choose from. */
function lookAround(exchange: Exchange): void {
  const body = Buffer.alloc(40);
  body.writeUInt32LE(100_000, 16);
  // Grows as directories tell what is in them.
  for (const node of exchange.nodes) {
    exchange.ask(Opcode.Readdirplus, node, body);
  }
}

/** Gives everything back that the kernel could hold; then no node but the root may be known, nor any handle. */
function giveBack(exchange: Exchange): void {
  exchange.endJobs();
  for (const { node, handle } of exchange.handles) {
    const body = Buffer.alloc(24);
    body.writeBigUInt64LE(BigInt(handle));
    exchange.ask(Opcode.Release, node, body);
  }
  const all = Buffer.alloc(8);
  all.writeUInt32LE(1_000_000);
  for (const node of exchange.nodes) {
    exchange.ask(Opcode.Forget, node, all);
  }
  for (const node of exchange.nodes) {
    const wanted = node === rootNodeId ? 0 : Errno.ESTALE;
    expect(exchange.ask(Opcode.Getattr, node, Buffer.alloc(16)), `GETATTR of node ${node}, forgotten`).toBe(wanted);
  }
}

test("over a file system in memory", { timeout: fuzzLimitMs }, () => {
  fc.assert(
    fc.property(steps, (choices) => {
      const exchange = new Exchange(new MemoryFilesystem());
      for (const step of choices) {
        exchange.serve(step);
      }
      exchange.endJobs();
    }),
    fuzzing(3),
  );
});

function buildLayers(base: string): void {
  for (const directory of [
    "upper/up",
    "upper/both",
    "work",
    "low0/both/deep",
    "low0/low",
    "low1/both/deep",
    "low1/sub",
  ]) {
    mkdirSync(`${base}/${directory}`, { recursive: true });
  }
  for (const file of ["upper/up/a", "upper/both/b", "low0/both/f", "low0/low/a", "low1/both/f", "low0/a"]) {
    writeFileSync(`${base}/${file}`, file);
  }
  writeFileSync(`${base}/low1/sub/f`, "x".repeat(150_000));
  writeFileSync(`${base}/low1/empty`, "");
  symlinkSync("low/a", `${base}/low0/link`);
  execFileSync("sh", ["-c", `cd ${base} && ln low0/a low0/d && mknod upper/gone c 0 0 && mkdir low1/gone`]);
}

/** Every name below a directory with what is shown of it. */
function treeOf(filesystem: Filesystem, node = rootNodeId, path = ""): string[] {
  const names: string[] = [];
  filesystem.readDirectory(node, 0, false, {
    hasRoom: () => true,
    add: (name) => names.push(name),
    addWithEntry: () => undefined,
  });
  return names
    .filter((name) => name !== "." && name !== "..")
    .sort()
    .flatMap((name) => {
      const entry = filesystem.lookup(node, name);
      if (entry === undefined) {
        return [`${path}/${name}: listed, and not found`];
      }
      const { mode, nlink, uid, gid, size, mtime } = entry.attributes;
      const line = `${path}/${name} ${mode.toString(8)} ${uid}:${gid} ${nlink} ${size} ${mtime.sec}.${mtime.nsec}`;
      const below =
        (mode & FileType.mask) === FileType.directory ? treeOf(filesystem, entry.node, `${path}/${name}`) : [];
      filesystem.forget(entry.node, 1);
      return [line, ...below];
    });
}

/** A request without damage or hostile values. */
function plainStep(opcode: number, fields: Partial<Step>): Step {
  const numbers = Array.from({ length: 6 }, () => 0n);
  const nothing = { picks: numbers.slice(2), numbers, name: "", newName: "", xattr: "", data: new Uint8Array() };
  return { opcode, node: 0n, ...nothing, uid: 0, damage: {}, jobsEnd: true, ...fields };
}

/** What the fuzzer has found. */
const found: Readonly<Record<string, readonly Step[]>> = {
  "a name that was never looked up, and then not removed": [
    plainStep(Opcode.Lookup, { name: "both" }),
    plainStep(Opcode.Rmdir, { node: -1n, name: "b" }),
    plainStep(Opcode.Rename, { node: -1n, name: "f", newName: "deep" }),
  ],
  "a write to a file by the handle of another one, opened for reading": [
    plainStep(Opcode.Lookup, { name: "both" }),
    plainStep(Opcode.Lookup, { node: -1n, name: "b" }),
    plainStep(Opcode.Lookup, { name: "a" }),
    plainStep(Opcode.Open, { node: -1n }),
    plainStep(Opcode.Write, { node: 2n, data: Buffer.from("x") }),
  ],
  "an offset above 2^53 as the answer of a seek": [
    plainStep(Opcode.Create, { name: "large" }),
    // To the size: 8 is FATTR_SIZE.
    plainStep(Opcode.Setattr, { node: -1n, numbers: [8n, 0n, 0n, 2n ** 53n - 1n, 0n, 0n] }),
    // 100 bytes from the end: 2 is SEEK_END.
    plainStep(Opcode.Lseek, { node: -1n, picks: [0n, 0n, 2n, 0n], numbers: [0n, 100n, 0n, 0n, 0n, 0n] }),
  ],
};

let overlays = 0;

function fuzzOverlay(features: Features, choices: readonly Step[], from: "known" | "unknown"): void {
  const base = `${area}/${overlays++}`;
  buildLayers(base);
  const descriptors = readdirSync("/proc/self/fd").length;
  let exchange: Exchange | undefined;
  const lowers = ["low0", "low1"];
  const filesystem = openOverlay({ base, lowers, features, startJob: (job, done) => exchange?.startJob(job, done) });
  const opened = readdirSync("/proc/self/fd").length;
  exchange = new Exchange(filesystem);
  if (from === "known") {
    lookAround(exchange);
  }
  for (const step of choices) {
    exchange.serve(step);
  }
  giveBack(exchange);
  expect(readdirSync("/proc/self/fd").length, "descriptors while nothing is open").toBe(opened);
  const shown = treeOf(filesystem);
  filesystem.destroy();
  expect(readdirSync(`${base}/work`), "left in the workdir").toEqual(features.index ? ["index"] : []);
  const again = openOverlay({ base, lowers, features, startJob: () => undefined });
  expect(treeOf(again), "after a remount").toEqual(shown);
  again.destroy();
  expect(readdirSync("/proc/self/fd").length, "descriptors at the end").toBe(descriptors);
  rmSync(base, { recursive: true });
}

test.each(Object.keys(found))("over the overlay: %s", (name) => fuzzOverlay(noFeatures, found[name] ?? [], "unknown"));

test("over the overlay", { timeout: fuzzLimitMs }, () => {
  fc.assert(
    fc.property(anyFeatures, steps, (features, choices) => fuzzOverlay(features, choices, "known")),
    fuzzing(1),
  );
});
