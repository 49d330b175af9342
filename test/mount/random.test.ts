/**
 * Random work on equal layers by both overlays at once: every call must end alike, and so must the trees. A failure
 * names its seed; VENEER_TEST_SEEDS=FROM-TO runs others than the usual ones.
 */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Agent, CallError } from "../support/agent.ts";
import { describeOverlay, type Mounted, Overlay, transportCan } from "../support/overlay.ts";
import { Described, file, type Snapshot, symlink, type Tree, whiteout } from "../support/tree.ts";

type Random = (below: number) => number;

/** Numbers that a seed determines (mulberry32). */
function randomFrom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)] as T;
const names = ["a", "b", "c", "d", "e"];
const modes = [0o755, 0o644, 0o600, 0o4755, 0o2775, 0o1777, 0o700];

/** @param below what lies below: whiteouts are put only over it, as the kernel lists those that hide nothing */
function randomTree(random: Random, depth: number, below: Tree | undefined): Tree {
  const tree: Record<string, Tree[string]> = {};
  for (const name of names) {
    const kind = random(8);
    const hidden = below?.[name];
    if (kind < 3 && depth < 3) {
      tree[name] = randomTree(random, depth + 1, isDirectory(hidden) ? hidden : undefined);
    } else if (kind < 5) {
      tree[name] = file(`${random(1000)} `.repeat(random(40)), { mode: pick(random, modes), uid: random(3) });
    } else if (kind === 5) {
      tree[name] = symlink(pick(random, names));
    } else if (kind === 7 && hidden !== undefined) {
      tree[name] = whiteout();
    }
  }
  return tree;
}

function isDirectory(node: Tree[string] | undefined): node is Tree {
  return typeof node === "object" && !(node instanceof Described);
}

interface Step {
  readonly title: string;
  /** The outcome, as text that is the same wherever the overlay is right. */
  readonly run: (side: Side) => Promise<unknown>;
}

interface Side {
  readonly sys: Agent;
  readonly mnt: string;
  /** Open files, by slot. */
  readonly handles: Map<number, Handle>;
}

interface Handle {
  readonly fd: number;
  readonly writable: boolean;
}

async function told(sys: Agent, where: string | number): Promise<unknown> {
  const stat = typeof where === "number" ? await sys.stat(where) : await sys.lstat(where);
  const { type, mode, uid, gid, size, nlink } = stat;
  if (type === "dir") {
    return { type, mode, uid, gid };
  }
  // The kernel counts 1 for a lower file that is open and has lost its name, where every file system says 0.
  return { type, mode, uid, gid, size, nlink: typeof where === "number" ? undefined : nlink };
}

/** Opens so that a FIFO does not wait for its other end. */
async function withFile(
  { sys, mnt }: Side,
  path: string,
  flags: string,
  use: (sys: Agent, fd: number) => Promise<unknown>,
  mode?: number,
): Promise<unknown> {
  const fd = await sys.open(`${mnt}/${path}`, `${flags}|O_NONBLOCK`, mode);
  return use(sys, fd).finally(() => sys.close(fd));
}

function pathStep(random: Random): Step {
  const path = Array.from({ length: 1 + random(3) }, () => pick(random, names)).join("/");
  const other = Array.from({ length: 1 + random(3) }, () => pick(random, names)).join("/");
  const text = `<${random(10_000)}>`.repeat(1 + random(30));
  const mode = pick(random, modes);
  const fileMode = transportCan("make a set-id file") ? mode : mode & 0o1777;
  const number = random(3000);
  const mtime = transportCan("set one time") ? "omit" : 0n;
  const flags = pick(random, ["NOREPLACE", "EXCHANGE"]);
  const steps: [string, Step["run"]][] = [
    ["write", (side) => withFile(side, path, "O_WRONLY|O_CREAT|O_TRUNC", (sys, fd) => sys.write(fd, text), fileMode)],
    ["write", (side) => withFile(side, path, "O_WRONLY|O_CREAT", (sys, fd) => sys.write(fd, text), fileMode)],
    ["append", (side) => withFile(side, path, "O_WRONLY|O_APPEND", (sys, fd) => sys.write(fd, text))],
    ["read", (side) => withFile(side, path, "O_RDONLY", (sys, fd) => sys.read(fd, 10_000))],
    ["truncate", ({ sys, mnt }) => sys.truncate(`${mnt}/${path}`, number)],
    ["mkdir", ({ sys, mnt }) => sys.mkdir(`${mnt}/${path}`, mode)],
    ["mkdir", ({ sys, mnt }) => sys.mkdir(`${mnt}/${path}`, mode)],
    ["rmdir", removing(({ sys, mnt }) => sys.rmdir(`${mnt}/${path}`))],
    ["unlink", ({ sys, mnt }) => sys.unlink(`${mnt}/${path}`)],
    ["removeTree", removing(({ sys, mnt }) => sys.removeTree(`${mnt}/${path}`))],
    ["rename", ({ sys, mnt }) => sys.rename(`${mnt}/${path}`, `${mnt}/${other}`)],
    ["rename", ({ sys, mnt }) => sys.rename(`${mnt}/${path}`, `${mnt}/${other}`)],
    [`rename ${flags}`, ({ sys, mnt }) => sys.renameat2(`${mnt}/${path}`, `${mnt}/${other}`, flags)],
    ["link", ({ sys, mnt }) => sys.link(`${mnt}/${path}`, `${mnt}/${other}`)],
    ["symlink", ({ sys, mnt }) => sys.symlink(other, `${mnt}/${path}`)],
    ["mkfifo", ({ sys, mnt }) => sys.mknod(`${mnt}/${path}`, "fifo", mode)],
    ["chmod", ({ sys, mnt }) => sys.lstat(`${mnt}/${path}`).then(() => sys.chmod(`${mnt}/${path}`, mode))],
    ["lchown", ({ sys, mnt }) => sys.lchown(`${mnt}/${path}`, number % 5, number % 7)],
    ["setxattr", ({ sys, mnt }) => sys.setxattr(`${mnt}/${path}`, `user.${number % 3}`, text.slice(0, 20))],
    ["removexattr", ({ sys, mnt }) => sys.removexattr(`${mnt}/${path}`, `user.${number % 3}`)],
    ["listxattr", ({ sys, mnt }) => sys.listxattr(`${mnt}/${path}`)],
    ["utimens", ({ sys, mnt }) => sys.utimens(`${mnt}/${path}`, BigInt(number), mtime)],
    ["lstat", ({ sys, mnt }) => told(sys, `${mnt}/${path}`)],
    ["list", ({ sys, mnt }) => sys.list(`${mnt}/${path}`)],
    ["readlink", ({ sys, mnt }) => sys.readlink(`${mnt}/${path}`)],
  ];
  const [name, run] = pickPossible(random, steps);
  return { title: `${name} ${path} (${other}, ${mode.toString(8)}, ${number})`, run };
}

function pickPossible(random: Random, steps: readonly [string, Step["run"]][]): [string, Step["run"]] {
  return pick(
    random,
    steps.filter(([name]) => transportCan(name)),
  );
}

function handleStep(random: Random): Step {
  const slot = random(6);
  const path = Array.from({ length: 1 + random(2) }, () => pick(random, names)).join("/");
  const text = `[${random(10_000)}]`.repeat(1 + random(30));
  const number = random(3000);
  const on =
    (call: (sys: Agent, fd: number) => Promise<unknown>): Step["run"] =>
    ({ sys, handles }) => {
      const handle = handles.get(slot);
      return handle === undefined ? Promise.resolve("no handle") : call(sys, handle.fd);
    };
  /* By a read-only handle the kernel's overlay can't change what has no name any more: see unlinked.test.ts. */
  const onWritable =
    (call: (sys: Agent, fd: number) => Promise<unknown>): Step["run"] =>
    ({ sys, handles }) => {
      const handle = handles.get(slot);
      return handle?.writable ? call(sys, handle.fd) : Promise.resolve("no writable handle");
    };
  const copy: Step["run"] = ({ sys, handles }) => {
    const [from, to] = [handles.get(slot), handles.get((slot + 1) % 6)];
    return from === undefined || to === undefined
      ? Promise.resolve("no handles")
      : sys.copyFileRange(from.fd, to.fd, number, 0, number);
  };
  const open =
    (flags: string): Step["run"] =>
    async ({ sys, mnt, handles }) => {
      const before = handles.get(slot);
      if (before !== undefined) {
        handles.delete(slot);
        await sys.close(before.fd);
      }
      const fd = await sys.open(flags.includes("O_TMPFILE") ? mnt : `${mnt}/${path}`, flags);
      handles.set(slot, { fd, writable: flags.includes("O_RDWR") });
      return "opened";
    };
  const steps: [string, Step["run"]][] = [
    ["open O_RDWR|O_CREAT", open("O_RDWR|O_CREAT|O_NONBLOCK")],
    ["open O_RDWR", open("O_RDWR|O_NONBLOCK")],
    ["open O_RDONLY", open("O_RDONLY|O_NONBLOCK")],
    ["open O_APPEND|O_TRUNC", open("O_RDWR|O_APPEND|O_TRUNC|O_NONBLOCK")],
    ["open O_EXCL", open("O_RDWR|O_CREAT|O_EXCL")],
    ["open O_TMPFILE", open("O_RDWR|O_TMPFILE")],
    ["link of the handle", ({ sys, mnt, handles }) => linkHandle(sys, handles.get(slot), `${mnt}/${path}`)],
    ["copy_file_range", copy],
    ["fchmod", onWritable((sys, fd) => sys.chmod(fd, pick(randomFrom(number), modes)))],
    ["fchown", onWritable((sys, fd) => sys.chown(fd, number % 4, number % 3))],
    ["fsetxattr", onWritable((sys, fd) => sys.setxattr(fd, "user.h", text.slice(0, 9)))],
    ["fallocate", onWritable((sys, fd) => sys.fallocate(fd, "", number, 100))],
    ["punch", onWritable((sys, fd) => sys.fallocate(fd, "PUNCH_HOLE|KEEP_SIZE", number, 500))],
    ["fsync", on((sys, fd) => sys.fsync(fd))],
    ["pread", on((sys, fd) => sys.pread(fd, 5000, number))],
    ["pwrite", on((sys, fd) => sys.pwrite(fd, text, number))],
    ["write", on((sys, fd) => sys.write(fd, text))],
    ["ftruncate", on((sys, fd) => sys.truncate(fd, number))],
    ["fstat", on((sys, fd) => told(sys, fd))],
  ];
  const [name, run] = pickPossible(random, steps);
  return { title: `handle ${slot}: ${name} ${path} (${number})`, run };
}

async function linkHandle(sys: Agent, handle: Handle | undefined, path: string): Promise<unknown> {
  return handle === undefined ? "no handle" : sys.linkFd(handle.fd, path);
}

/** The removal of a directory, in which files may be open. */
function removing(remove: Step["run"]): Step["run"] {
  return async (side) => {
    if (!transportCan("use what was in a removed directory")) {
      await closeAll(side);
    }
    return remove(side);
  };
}

async function closeAll({ sys, handles }: Side): Promise<void> {
  for (const { fd } of handles.values()) {
    await sys.close(fd);
  }
  handles.clear();
}

/** What the step returned, or the errno that it failed with; anything else is thrown. */
async function outcome(step: Step, side: Side): Promise<unknown> {
  try {
    return (await step.run(side)) ?? "done";
  } catch (error) {
    if (error instanceof CallError) {
      return error.code;
    }
    throw error;
  }
}

/** What must be equal of two uppers: all but the overlay's own marks, times, and the links that whiteouts share. */
async function comparable(overlay: Overlay, mounted: Mounted): Promise<Snapshot> {
  const snapshot = await overlay.host.snapshot(mounted.upper, { times: false, hideXattrs: ["trusted.overlay."] });
  const entries = Object.entries(snapshot).map(([name, entry]) => {
    const { nlink: _nlink, same: _same, ...whiteoutEntry } = entry;
    return [name, entry.rdev === "0:0" ? whiteoutEntry : entry];
  });
  return Object.fromEntries(entries) as Snapshot;
}

async function mountRandom(overlay: Overlay, seed: number): Promise<Mounted> {
  const random = randomFrom(seed);
  const bottom = randomTree(random, 0, undefined);
  return overlay.mount({ lowers: [randomTree(random, 0, bottom), bottom] });
}

describe("random work on both overlays", () => {
  const kernel = new Overlay("kernel");
  const veneer = new Overlay("veneer");
  const both = [kernel, veneer];
  beforeEach(() => {
    for (const overlay of both) {
      overlay.start();
    }
  });
  afterEach(async () => {
    await kernel.finish();
    await veneer.finish();
  });
  afterAll(async () => {
    await Promise.all(both.map((overlay) => overlay.end()));
  });

  const [from = 1, to = 8] = (process.env.VENEER_TEST_SEEDS ?? "1-6").split("-").map(Number);
  const seeds = Array.from({ length: to - from + 1 }, (_, index) => from + index);

  test.each(seeds)("seed %i", async (seed) => {
    const mounts = [await mountRandom(kernel, seed), await mountRandom(veneer, seed)] as const;
    const sides = mounts.map(({ sys, mnt }) => ({ sys, mnt, handles: new Map<number, Handle>() }));
    const random = randomFrom(seed + 1_000_000);
    const history: string[] = [];
    for (let count = 0; count < 600; count++) {
      if (count % 200 === 199) {
        await Promise.all(sides.map(closeAll));
        // Now and then each goes on with what the other one has made.
        const swapped = count > 200;
        await mounts[0].remount(swapped ? "veneer" : "kernel");
        await mounts[1].remount(swapped ? "kernel" : "veneer");
        history.push(swapped ? "remount by the other overlay" : "remount");
      }
      const step = random(4) === 0 ? handleStep(random) : pathStep(random);
      const [expected, found] = await Promise.all(sides.map((side) => outcome(step, side)));
      history.push(`${step.title}: ${JSON.stringify(expected)?.slice(0, 60)}`);
      expect(found, `seed ${seed}, after\n${history.slice(-12).join("\n")}`).toEqual(expected);
    }
    const views = await Promise.all(mounts.map((mounted) => mounted.view({ times: false })));
    expect(views[1], `seed ${seed}: the view`).toEqual(views[0]);
    await Promise.all(mounts.map(({ sys }) => sys.end()));
    await Promise.all(mounts.map((mounted) => mounted.unmount()));
    const uppers = [await comparable(kernel, mounts[0]), await comparable(veneer, mounts[1])];
    expect(uppers[1], `seed ${seed}: the upper`).toEqual(uppers[0]);
  });
});

describeOverlay("random work by four processes at once", (overlay) => {
  test.each([1, 2])("seed %i: what it left is the same after a remount, and to the kernel", async (seed) => {
    const m = await mountRandom(overlay, seed);
    const agents = await Promise.all(Array.from({ length: 4 }, () => overlay.agent()));
    await Promise.all(
      agents.map(async (sys, index) => {
        const random = randomFrom(seed * 1000 + index);
        const side = { sys, mnt: m.mnt, handles: new Map<number, Handle>() };
        for (let count = 0; count < 300; count++) {
          const step = random(4) === 0 ? handleStep(random) : pathStep(random);
          expect(await outcome(step, side), step.title).not.toBeOneOf(["EIO", "ESTALE", "ENOTCONN", "EFAULT"]);
        }
      }),
    );
    await Promise.all(agents.map((agent) => agent.end()));
    const view = await m.view();
    await m.remount();
    expect(await m.view(), "after a remount").toEqual(view);
    await m.remount("kernel");
    expect(await m.view(), "by the kernel's overlayfs").toEqual(view);
  });
});
