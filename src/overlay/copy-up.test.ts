/** How copy-up goes about the data of a file: on whose time, synced or not, and what is left when it fails. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { plainOverlay } from "../../test/support/plain-overlay.ts";
import { makeFileSystem, makeScratch, removeScratch } from "../../test/support/scratch.ts";
import type { SyncMode } from "../contract/features.ts";
import { type Caller, rootNodeId } from "../contract/ids.ts";
import { type Job, JobCall, Parked } from "../contract/slow.ts";
import { Errno, type FsError } from "../errno.ts";
import { openLowerLayer, openUpperLayers } from "../layer/directory-layer.ts";
import type { LayerFile, WritableLayer } from "../layer/layer.ts";
import { runJob } from "../sys/jobs.ts";
import { OverlayFilesystem } from "./filesystem.ts";

const large = "x".repeat(200_000);
const writeOnly = { flags: 1, killSetIds: false };
const readOnly = { flags: 0, killSetIds: false };

let scratch: string;
let jobs: { readonly job: Job; readonly done: (result: number) => void }[];
let filesystem: OverlayFilesystem;

beforeEach(() => {
  scratch = makeScratch();
  for (const name of ["lower", "upper", "work"]) {
    mkdirSync(`${scratch}/${name}`);
  }
  writeFileSync(`${scratch}/lower/small`, "data");
  writeFileSync(`${scratch}/lower/large`, large);
  writeFileSync(`${scratch}/lower/empty`, "");
  mkdirSync(`${scratch}/lower/directory`);
  symlinkSync("small", `${scratch}/lower/symlink`);
  jobs = [];
});

afterEach(async () => {
  filesystem.destroy();
  expect(await removeScratch(scratch)).toEqual([]);
});

function mount(fsync: SyncMode, wrap = (layer: WritableLayer) => layer, place = scratch): void {
  const layers = openUpperLayers(`${place}/upper`, `${place}/work`);
  filesystem = new OverlayFilesystem({
    ...plainOverlay,
    upper: layers.upper,
    work: wrap(layers.work),
    lowers: [openLowerLayer(`${scratch}/lower`)],
    fsync,
    jobs: { start: (job, done) => jobs.push({ job, done }) },
  });
}

const root: Caller = { uid: 0, gid: 0, pid: 1 };

function nodeOf(name: string): number {
  return filesystem.lookup(rootNodeId, name)?.node ?? 0;
}

/** Calls what has to wait for a copy-up; answers what it is told when the copy-up ends. */
function park(call: () => unknown): { outcome: unknown[] } {
  const outcome: unknown[] = [];
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(Parked);
    (error as Parked).gate.whenOpen((failure) => outcome.push(failure));
    return { outcome };
  }
  throw new Error("the call did not wait");
}

test("much data are copied and synced by a job, and the file is installed when they are there", () => {
  mount("auto");
  const node = nodeOf("large");
  const { outcome } = park(() => filesystem.open(node, writeOnly));
  expect(jobs.map(({ job }) => [job.call, job.args[1], job.args[3]])).toEqual([[JobCall.copyFile, large.length, 1]]);
  expect(readdirSync(`${scratch}/upper`)).toEqual([]);
  const [started] = jobs;
  started?.done(runJob(started.job));
  expect(outcome).toEqual([undefined]);
  expect(readFileSync(`${scratch}/upper/large`, "latin1")).toBe(large);
  expect(readdirSync(`${scratch}/work/work`)).toEqual([]);
  expect(filesystem.open(node, writeOnly).handle).toBeGreaterThan(0);
});

test("meanwhile whatever changes the file waits at the same gate, and reading goes on", () => {
  mount("auto");
  const node = nodeOf("large");
  const waiting = [
    () => filesystem.open(node, writeOnly),
    () => filesystem.setAttributes(node, undefined, { mode: 0o600 }, root),
    () => filesystem.setXattr(node, "user.x", Buffer.from("1"), 0, false),
    () => filesystem.link(node, rootNodeId, "second"),
    () => filesystem.rename(rootNodeId, "large", rootNodeId, "other", 0),
    () => filesystem.removeFile(rootNodeId, "large"),
    () => filesystem.rename(rootNodeId, "small", rootNodeId, "large", 0),
  ].map(park);
  expect(jobs.length).toBe(1);
  const { handle } = filesystem.open(node, readOnly);
  const into = Buffer.alloc(10);
  expect(filesystem.read(node, handle, 0, into)).toBe(10);
  expect(into.toString()).toBe("x".repeat(10));
  expect(filesystem.getAttributes(node).size).toBe(large.length);
  const [started] = jobs;
  started?.done(runJob(started.job));
  expect(waiting.map(({ outcome }) => outcome)).toEqual(waiting.map(() => [undefined]));
  filesystem.release(node, handle);
});

test("a copy that fails is told to all who wait, and leaves nothing behind", () => {
  mount("auto");
  const node = nodeOf("large");
  const before = readdirSync("/proc/self/fd").length;
  const waiting = [
    park(() => filesystem.open(node, writeOnly)),
    park(() => filesystem.setAttributes(node, undefined, { size: 1 }, root)),
  ];
  jobs[0]?.done(-Errno.ENOSPC);
  expect(waiting.map(({ outcome }) => (outcome[0] as FsError).code)).toEqual([Errno.ENOSPC, Errno.ENOSPC]);
  expect(readdirSync(`${scratch}/upper`)).toEqual([]);
  expect(readdirSync(`${scratch}/work/work`)).toEqual([]);
  expect(readdirSync("/proc/self/fd").length).toBe(before);
  expect(filesystem.getAttributes(node).size).toBe(large.length);
  park(() => filesystem.open(node, writeOnly));
  expect(jobs.length).toBe(2);
  jobs[1]?.done(-Errno.EIO);
});

test("a small file is copied at once, with its holes", () => {
  truncateSync(`${scratch}/lower/small`, 100_000);
  mount("auto");
  filesystem.open(nodeOf("small"), writeOnly);
  expect(jobs).toEqual([]);
  expect(readFileSync(`${scratch}/upper/small`)).toEqual(readFileSync(`${scratch}/lower/small`));
  expect(statSync(`${scratch}/upper/small`).blocks).toBe(statSync(`${scratch}/lower/small`).blocks);
});

test("a volatile mount syncs nothing, and copies what is small at once", () => {
  mount("volatile");
  filesystem.open(nodeOf("small"), writeOnly);
  expect(readFileSync(`${scratch}/upper/small`, "latin1")).toBe("data");
  expect(jobs).toEqual([]);
  park(() => filesystem.open(nodeOf("large"), writeOnly));
  expect(jobs.map(({ job }) => [job.call, job.args[3]])).toEqual([[JobCall.copyFile, 0]]);
  jobs[0]?.done(-Errno.EIO);
});

/** Notes down what is synced at once, and what gets its name. */
function recording(layer: WritableLayer, calls: string[]): WritableLayer {
  const noting = (file: LayerFile): LayerFile => {
    const sync = file.sync.bind(file);
    file.sync = () => {
      calls.push("sync");
      sync();
    };
    return file;
  };
  const rename = layer.rename.bind(layer);
  const createFile = layer.createFile.bind(layer);
  const openFile = layer.openFile.bind(layer);
  const openDirectory = layer.openDirectory.bind(layer);
  layer.rename = (path, to, toPath, flags) => {
    calls.push(`rename to ${toPath}`);
    rename(path, to, toPath, flags);
  };
  layer.createFile = (path, fileMode) => noting(createFile(path, fileMode));
  layer.openFile = (path, writable) => noting(openFile(path, writable));
  layer.openDirectory = (path) => noting(openDirectory(path));
  return layer;
}

test.each<[SyncMode, string[]]>([
  ["auto", ["rename to empty", "rename to directory", "rename to symlink", "sync", "rename to small"]],
  [
    "strict",
    [
      ...["sync", "rename to empty", "sync", "rename to directory", "rename to symlink"],
      // Its data, then all of it.
      ...["sync", "sync", "rename to small"],
    ],
  ],
])("fsync=%s: what is copied up is synced before it has its name", (mode, expected) => {
  const calls: string[] = [];
  mount(mode, (layer) => recording(layer, calls));
  calls.length = 0;
  for (const name of ["empty", "directory", "symlink", "small"]) {
    filesystem.setAttributes(nodeOf(name), undefined, { uid: 7 }, root);
  }
  expect(calls).toEqual(expected);
});

test("no data are copied that nobody will see: of an empty file, or of one that is truncated", () => {
  mount("auto");
  filesystem.open(nodeOf("empty"), writeOnly);
  filesystem.open(nodeOf("large"), { flags: 0o1001, killSetIds: false });
  filesystem.setAttributes(nodeOf("small"), undefined, { size: 0 }, root);
  expect(jobs).toEqual([]);
  expect(["empty", "large", "small"].map((name) => readFileSync(`${scratch}/upper/${name}`).length)).toEqual([0, 0, 0]);
});

const owned = (name: string) => {
  const { uid, gid, mode } = statSync(`${scratch}/${name}`);
  return { uid, gid, mode: mode & 0o7777 };
};

test("a copy has owner and mode of the file, whoever they are, and whatever they are", () => {
  const kinds = [
    { name: "root", uid: 0, gid: 0, mode: 0o644 },
    { name: "closed", uid: 0, gid: 0, mode: 0 },
    { name: "setuid", uid: 0, gid: 0, mode: 0o4755 },
    { name: "sticky", uid: 0, gid: 0, mode: 0o1777 },
    { name: "others", uid: 1000, gid: 1001, mode: 0o6770 },
    { name: "group", uid: 0, gid: 1001, mode: 0o640 },
  ];
  for (const { name, uid, gid, mode } of kinds) {
    writeFileSync(`${scratch}/lower/${name}`, name);
    chownSync(`${scratch}/lower/${name}`, uid, gid);
    chmodSync(`${scratch}/lower/${name}`, mode);
  }
  mount("auto");
  for (const { name, uid, gid, mode } of kinds) {
    filesystem.setXattr(nodeOf(name), "user.x", Buffer.from("1"), 0, false);
    expect(owned(`upper/${name}`)).toEqual({ uid, gid, mode });
  }
});

test("also where new files get the group of their directory", async () => {
  const disk = `${scratch}/disk`;
  await makeFileSystem("ext4", disk);
  execFileSync("mount", ["-o", "remount,grpid", disk]);
  chownSync(disk, 0, 1001);
  for (const name of ["upper", "work"]) {
    mkdirSync(`${disk}/${name}`);
  }
  mount("auto", undefined, disk);
  filesystem.setXattr(nodeOf("small"), "user.x", Buffer.from("1"), 0, false);
  expect(owned("disk/upper/small")).toEqual({ uid: 0, gid: 0, mode: 0o644 });
});
