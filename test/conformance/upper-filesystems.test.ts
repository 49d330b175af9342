import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Mounted, Overlay, type OverlayKind } from "../support/overlay.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";
import type { Snapshot, SnapshotOptions } from "../support/tree.ts";
import { type DayOptions, dayLower, spendDay } from "./day.ts";

const overlays = { kernel: new Overlay("kernel"), veneer: new Overlay("veneer") };
const kinds = ["kernel", "veneer"] as const;

beforeEach(() => {
  overlays.kernel.start();
  overlays.veneer.start();
});
afterEach(async () => {
  await overlays.kernel.finish();
  await overlays.veneer.finish();
});
afterAll(async () => {
  await overlays.veneer.end();
  await overlays.kernel.end();
});

/** Of new objects the times differ from run to run, of old ones the lowers' origins: they are other files. */
const comparable: SnapshotOptions = { times: false, hideXattrs: ["trusted.overlay.origin", "trusted.overlay.uuid"] };

interface Day {
  readonly mounted: Mounted;
  readonly outcomes: readonly string[];
  readonly view: Snapshot;
}

async function day(kind: OverlayKind, upperArea: string | undefined, options: DayOptions): Promise<Day> {
  const mounted = await overlays[kind].mount({ lowers: [dayLower], ...(upperArea !== undefined && { upperArea }) });
  const outcomes = await spendDay(mounted.sys, mounted.mnt, options);
  return { mounted, outcomes, view: await mounted.view(comparable) };
}

async function inUpper({ mounted }: Day): Promise<Snapshot> {
  const entries = Object.entries(await mounted.inUpper(comparable));
  // How many whiteouts share an inode is nobody's business.
  return Object.fromEntries(
    entries.map(([path, entry]) => {
      const { nlink: _, same: __, ...rest } = entry;
      return [path, entry.type === "char" && entry.rdev === "0:0" ? rest : entry];
    }),
  );
}

/** The upper as another overlay sees it. */
async function viewBy(kind: OverlayKind, { mounted }: Day): Promise<Snapshot> {
  await mounted.remount(kind);
  return mounted.view(comparable);
}

describe("both overlays agree", () => {
  test.for(["ext4", "xfs", "btrfs", "tmpfs"] as const)("on %s", async (type, { skip }) => {
    const reason = whyWithout(type);
    skip(reason !== undefined, reason);
    const days = {} as Record<OverlayKind, Day>;
    for (const kind of kinds) {
      const area = join(overlays[kind].scratch, type);
      await makeFileSystem(type, area);
      days[kind] = await day(kind, area, { xattrs: true });
    }
    const { kernel, veneer } = days;
    expect(veneer.outcomes).toEqual(kernel.outcomes);
    expect(veneer.view).toEqual(kernel.view);
    expect(await inUpper(veneer), "the uppers").toEqual(await inUpper(kernel));
    expect(await viewBy("veneer", veneer), "after a remount").toEqual(kernel.view);
    expect(await viewBy("kernel", veneer), "Veneer's upper, to the kernel").toEqual(kernel.view);
    expect(await viewBy("veneer", kernel), "the kernel's upper, to Veneer").toEqual(kernel.view);
  });
});
