/**
 * Overlays on overlays, each of both kinds on each, as lowers and as uppers. The kernel's on the kernel's is the measure where the
 * kernel allows it; as an upper it takes no overlay at all, so there a plain directory is.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Agent } from "../support/agent.ts";
import { type Mounted, Overlay, type OverlayKind } from "../support/overlay.ts";
import { mountsBelow, runProgram } from "../support/programs.ts";
import type { Snapshot } from "../support/tree.ts";
import { dayLower, spendDay } from "./day.ts";

const overlays = { kernel: new Overlay("kernel"), veneer: new Overlay("veneer") };
const kinds = ["kernel", "veneer"] as const;
const stacks = kinds.flatMap((outer) => kinds.map((inner) => [outer, inner] as const));
const agents: Agent[] = [];

beforeEach(() => {
  overlays.kernel.start();
  overlays.veneer.start();
});
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.end()));
  // Those of the two lie on each other: first the newest, whosever it is.
  const scratches = [overlays.kernel.scratch, overlays.veneer.scratch];
  const ours = mountsBelow("/").filter(({ mountpoint }) => scratches.some((path) => mountpoint.startsWith(`${path}/`)));
  for (const { mountpoint } of ours) {
    await runProgram(["umount", mountpoint]);
  }
  await overlays.kernel.finish();
  await overlays.veneer.finish();
});
afterAll(async () => {
  await overlays.veneer.end();
  await overlays.kernel.end();
});

const comparable = { times: false, hideXattrs: ["trusted.overlay.origin", "trusted.overlay.uuid"] };

/** A mount of `kind` over directories that are there. */
async function mountOver(kind: OverlayKind, lowers: readonly string[], upperArea: string | null): Promise<Mounted> {
  const mountpoint = await freshDirectory("mnt");
  const upper = upperArea === null ? null : join(upperArea, "upper");
  const work = upperArea === null ? null : join(upperArea, "work");
  for (const path of [upper, work]) {
    if (path !== null) {
      mkdirSync(path);
    }
  }
  const mounted = await overlays[kind].mountPaths({ lowers, upper, work, mountpoint, options: [] });
  agents.push(mounted.sys);
  return mounted;
}

let directories = 0;

async function freshDirectory(name: string): Promise<string> {
  directories += 1;
  const path = join(overlays.veneer.scratch, `${name}${directories}`);
  mkdirSync(path);
  return path;
}

const dayOptions = { xattrs: true, replacements: true };

describe("an overlay as the lower of another", () => {
  /** The inner has a history: a name of each kind that its lower has is removed, changed or made anew. */
  async function innerWithHistory(kind: OverlayKind): Promise<Mounted> {
    const below = { ...dayLower, removed: "x", d: { b: "old", hidden: "x" }, dd: "a file" };
    const inner = await overlays[kind].mount({ lowers: [below] });
    agents.push(inner.sys);
    const { sys, mnt } = inner;
    await sys.unlink(`${mnt}/removed`);
    await sys.removeTree(`${mnt}/d`);
    await sys.unlink(`${mnt}/dd`);
    await sys.mkdir(`${mnt}/d`);
    await sys.writeFile(`${mnt}/d/b`, "2");
    await sys.mkdir(`${mnt}/d/c`);
    await sys.writeFile(`${mnt}/d/c/x`, "3");
    await sys.writeFile(`${mnt}/d/c/y`, "4");
    await sys.mkdir(`${mnt}/dd`);
    await sys.mkdir(`${mnt}/dd/x`);
    await sys.writeFile(`${mnt}/dd/x/x1`, "5");
    await sys.writeFile(`${mnt}/dd/y`, "6");
    await sys.mkdir(`${mnt}/dd/z`);
    return inner;
  }

  async function dayOver(outer: OverlayKind, lower: string) {
    const mounted = await mountOver(outer, [lower], await freshDirectory("area"));
    const outcomes = await spendDay(mounted.sys, mounted.mnt, dayOptions);
    return { outcomes, view: await mounted.view(comparable), upper: await withoutLinkCounts(mounted) };
  }

  test.for(stacks)("%s on %s", async ([outer, inner]) => {
    const measure = await dayOver("kernel", (await innerWithHistory("kernel")).mnt);
    const lower = await innerWithHistory(inner);
    const before = await lower.inUpper();
    const seen = await dayOver(outer, lower.mnt);
    expect(seen.outcomes).toEqual(measure.outcomes);
    expect(seen.view).toEqual(measure.view);
    expect(seen.upper, "the outer's upper").toEqual(measure.upper);
    expect(await lower.inUpper(), "the inner's upper").toEqual(before);
  });

  test.for([
    ["veneer", "veneer", "kernel"],
    ["kernel", "veneer", "veneer"],
    ["veneer", "veneer", "veneer"],
  ] as const)("three levels: %s on %s on %s", async ([outer, middle, inner]) => {
    const measure = await dayOver("kernel", (await innerWithHistory("kernel")).mnt);
    const lowest = await innerWithHistory(inner);
    const between = await mountOver(middle, [lowest.mnt], await freshDirectory("area"));
    await between.sys.writeFile(`${between.mnt}/more`, "for the middle");
    await between.sys.unlink(`${between.mnt}/more`);
    const seen = await dayOver(outer, between.mnt);
    expect(seen.outcomes).toEqual(measure.outcomes);
    expect(seen.view).toEqual(measure.view);
  });
});

/** How many whiteouts share an inode is nobody's business. */
async function withoutLinkCounts(mounted: Mounted): Promise<Snapshot> {
  const entries = Object.entries(await mounted.inUpper(comparable));
  return Object.fromEntries(
    entries.map(([path, entry]) => {
      const { nlink: _, same: __, ...rest } = entry;
      return [path, entry.rdev === "0:0" ? rest : entry];
    }),
  );
}

describe("layers that are composed inside an overlay", () => {
  test.for(stacks)("%s on %s: marks made inside are marks to the outer, escaped on disk", async ([outer, inner]) => {
    const m = await overlays[inner].mount({ lowers: [{}] });
    agents.push(m.sys);
    const { sys, mnt } = m;
    for (const path of ["top", "top/opaque", "top/holds", "bottom", "bottom/opaque", "bottom/holds"]) {
      await sys.mkdir(`${mnt}/${path}`);
    }
    for (const path of ["top/opaque/new", "bottom/opaque/old", "bottom/holds/gone", "bottom/holds/kept"]) {
      await sys.writeFile(`${mnt}/${path}`, path);
    }
    await sys.writeFile(`${mnt}/top/holds/gone`, "");
    await sys.setxattr(`${mnt}/top/holds/gone`, "trusted.overlay.whiteout", "y");
    await sys.setxattr(`${mnt}/top/holds`, "trusted.overlay.opaque", "x");
    await sys.setxattr(`${mnt}/top/opaque`, "trusted.overlay.opaque", "y");
    expect(await sys.getxattr(`${mnt}/top/opaque`, "trusted.overlay.opaque")).toBe("y");
    expect(await overlays[inner].host.listxattr(`${m.upper}/top/opaque`)).toContain("trusted.overlay.overlay.opaque");
    const seen = await mountOver(outer, [`${mnt}/top`, `${mnt}/bottom`], null);
    expect(await seen.sys.list(seen.mnt)).toEqual(["holds", "opaque"]);
    expect(await seen.sys.list(`${seen.mnt}/opaque`)).toEqual(["new"]);
    expect(await seen.sys.list(`${seen.mnt}/holds`)).toEqual(["kept"]);
    expect(await seen.sys.exists(`${seen.mnt}/holds/gone`)).toBe(false);
  });
});

describe("an overlay as the upper of another", () => {
  test.for(kinds)("the kernel's overlayfs takes none, here one of %s", async (inner) => {
    const { mnt } = await overlays[inner].mount({ lowers: [{}] });
    for (const name of ["l", "u", "w", "m"]) {
      mkdirSync(join(mnt, name));
    }
    const options = `lowerdir=${mnt}/l,upperdir=${mnt}/u,workdir=${mnt}/w`;
    expect((await runProgram(["mount", "-t", "overlay", "overlay", "-o", options, `${mnt}/m`])).status).not.toBe(0);
  });

  test("three levels of Veneer: each level's marks are escaped once more", async () => {
    const options = { ...dayOptions, replacements: false };
    const measure = await overlays.kernel.mount({ lowers: [dayLower] });
    agents.push(measure.sys);
    const expected = await spendDay(measure.sys, measure.mnt, options);
    const first = await overlays.veneer.mount({ lowers: [{}] });
    agents.push(first.sys);
    const second = await mountOver("veneer", [await freshDirectory("lower")], join(first.mnt));
    const lower = await overlays.veneer.buildLower(await freshDirectory("day"), dayLower);
    const third = await mountOver("veneer", [lower], second.mnt);
    expect(await spendDay(third.sys, third.mnt, options)).toEqual(expected);
    expect(await third.view(comparable)).toEqual(await measure.view(comparable));
    const names = (path: string) => overlays.veneer.host.listxattr(path);
    const prefix = "trusted.overlay.";
    expect(await names(`${second.mnt}/upper/keep/k3`)).toEqual([`${prefix}whiteout`]);
    expect(await names(`${first.mnt}/upper/upper/keep/k3`)).toEqual([`${prefix}overlay.whiteout`]);
    expect(await names(`${first.upper}/upper/upper/keep/k3`)).toEqual([`${prefix}overlay.overlay.whiteout`]);
    await third.remount();
    expect(await third.view(comparable)).toEqual(await measure.view(comparable));
  });
});
