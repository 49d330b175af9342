/**
 * Layers with random and crafted marks. What is shown is what the kernel's overlayfs shows with the same options; nothing
 * from outside of the layers ever shows or is changed, whatever is asked; and nothing is thrown but an errno.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Features } from "../../src/contract/features.ts";
import { Errno, FsError } from "../../src/errno.ts";
import type { OverlayFilesystem } from "../../src/overlay/filesystem.ts";
import { mount, unmount } from "../../src/sys/mount.ts";
import { setUmask } from "../../src/sys/process.ts";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { Exchange } from "./exchange.ts";
import { buildLayers, buildWork, type HostileLayers, hostileLayers, isForKernel, layers } from "./marks.ts";
import { anyStep, type Step } from "./messages.ts";
import { anyFeatures, noFeatures, type OverlayRequest, openOverlay } from "./overlay.ts";
import { fuzzing, fuzzLimitMs } from "./settings.ts";
import { type Shown, type ShownByMount, shownByFilesystem, shownByMount } from "./shown.ts";

const scratch = makeScratch();
const area = `${scratch}/tmpfs`;
const [, ...lowers] = layers;

beforeAll(() => {
  setUmask(0);
  mkdirSync(area);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64m", "none", area]);
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

interface Case {
  readonly layers: HostileLayers;
  readonly features: Features;
  readonly userXattr: boolean;
  readonly steps: readonly Step[];
}

const anyStart = { steps: fc.array(anyStep, { maxLength: 20, size: "max" }) };
const anyCase: fc.Arbitrary<Case> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ...anyStart,
      layers: hostileLayers("trusted."),
      features: anyFeatures,
      userXattr: fc.constant(false),
    }),
  },
  {
    // What marks of users may lead to is not followed.
    weight: 1,
    arbitrary: fc.record({
      ...anyStart,
      layers: hostileLayers("user."),
      features: fc.constant(noFeatures),
      userXattr: fc.constant(true),
    }),
  },
);

/** What the kernel shows with these features; undefined where it refuses the mount. */
function kernelShows(
  base: string,
  { features: { redirect, index, metacopy, xino, uuid }, userXattr }: Case,
): ShownByMount | undefined {
  const onOff = (on: boolean) => (on ? "on" : "off");
  const marks = userXattr ? "userxattr" : `redirect_dir=${redirect},metacopy=${onOff(metacopy)}`;
  const features = `${marks},index=${onOff(index)},xino=${xino},uuid=${uuid}`;
  const directories = lowers.map((lower) => `${base}/${lower}`).join(":");
  mkdirSync(`${base}/mnt`);
  try {
    const data = `lowerdir=${directories},upperdir=${base}/upper,workdir=${base}/work,${features}`;
    mount("overlay", `${base}/mnt`, "overlay", 0, data);
  } catch (error) {
    if (error instanceof FsError) {
      return undefined;
    }
    throw error;
  }
  try {
    return shownByMount(`${base}/mnt`);
  } finally {
    unmount(`${base}/mnt`, 0);
  }
}

/**
 * Two differences are passed over. Where one lower object is part of two, by redirects that no overlay would write (two merged
 * directories, or a file without its data and the one that has them), the kernel answers ESTALE for the one that is looked up
 * while it knows the other, or shows that one: that depends on its caches, and Veneer shows both. And the kernel lists whiteouts
 * in directories of a single layer, in which nobody finds them.
 */
function compared(
  shown: Shown,
  { shown: byKernel, aliases }: ShownByMount,
): { readonly veneer: Shown; readonly kernel: Shown } {
  const kernelSays = (errno: number) => (path: string) => byKernel[path] === `errno ${errno}`;
  const doubles = Object.keys(byKernel).filter(kernelSays(Errno.ESTALE));
  const idle = Object.keys(byKernel).filter((path) => kernelSays(Errno.ENOENT)(path) && !(path in shown));
  const stays = (path: string) =>
    !idle.includes(path) &&
    !aliases.has(path) &&
    !doubles.some((double) => path === double || path.startsWith(`${double}/`));
  const kept = (all: Shown) => Object.fromEntries(Object.entries(all).filter(([path]) => stays(path)));
  return { veneer: kept(shown), kernel: kept(byKernel) };
}

const outsideOf = (base: string) =>
  execFileSync("sh", ["-c", `cd ${base} && find outside -printf '%p %M %U %s %T@ %C@ %n\\n' | sort`]).toString();

function tryOpen(request: OverlayRequest): OverlayFilesystem | undefined {
  try {
    return openOverlay(request);
  } catch (error) {
    if (error instanceof FsError) {
      return undefined;
    }
    throw error;
  }
}

let cases = 0;

function tryCase(wanted: Case): void {
  const { layers: hostile, features, userXattr, steps } = wanted;
  const base = `${area}/${cases++}`;
  mkdirSync(base);
  try {
    buildLayers(base, hostile);
    const outside = outsideOf(base);
    buildWork(base, hostile);
    const expected = kernelShows(base, wanted);
    buildWork(base, hostile);
    const descriptors = readdirSync("/proc/self/fd").length;
    let exchange: Exchange | undefined;
    const startJob: Exchange["startJob"] = (job, done) => exchange?.startJob(job, done);
    const filesystem = tryOpen({ base, lowers, features, userXattr, startJob });
    if (isForKernel(hostile)) {
      expect(filesystem === undefined, "refused").toBe(expected === undefined);
    }
    if (filesystem === undefined) {
      return;
    }
    const shown = shownByFilesystem(filesystem);
    if (isForKernel(hostile) && expected !== undefined) {
      const { veneer, kernel } = compared(shown, expected);
      expect(veneer).toEqual(kernel);
    }
    exchange = new Exchange(filesystem, "EIO is an answer");
    for (const step of steps) {
      exchange.serve(step);
    }
    exchange.endJobs();
    const later = shownByFilesystem(filesystem);
    filesystem.destroy();
    expect(JSON.stringify([shown, later])).not.toContain("SECRET");
    expect(outsideOf(base)).toBe(outside);
    expect(readdirSync("/proc/self/fd").length, "descriptors at the end").toBe(descriptors);
  } finally {
    execFileSync("rm", ["-rf", base]);
  }
}

test("are shown as the kernel shows them, whatever their marks say", { timeout: fuzzLimitMs }, () => {
  fc.assert(fc.property(anyCase, tryCase), fuzzing(1));
});
