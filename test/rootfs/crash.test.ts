/**
 * The daemon is killed in the middle of a day's work in a Debian root file system, three times: after each,
 * the upper is a valid one for Veneer and for the kernel's overlayfs, both see the same tree, and the work goes on.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { differences, type Manifest, readManifest } from "./manifest.ts";
import { tail } from "./processes.ts";
import { type OverlayKind, RootfsArea, type RootfsOverlay, type Stage } from "./rootfs-area.ts";

const minutes = 60_000;

interface Moment {
  readonly stage: Stage;
  /** The line that work.sh says just before. */
  readonly line: RegExp;
  /** Milliseconds to wait after it. */
  readonly delay: number;
  /** Who mounts the upper first, and so gets to clean the workdir. */
  readonly first: OverlayKind;
}

const moments: readonly [string, Moment][] = [
  ["while dpkg unpacks git", { stage: "install", line: /^Unpacking git \(/, delay: 150, first: "veneer" }],
  ["while four processes write to SQLite", { stage: "use", line: /^== SQLite/, delay: 40, first: "kernel" }],
  ["while dpkg removes git", { stage: "remove", line: /^Removing git \(/, delay: 20, first: "veneer" }],
];

describe("SIGKILL of the daemon", () => {
  let area: RootfsArea;
  let overlay: RootfsOverlay;
  let lowerBefore: Manifest;

  beforeAll(async () => {
    area = await RootfsArea.make();
    lowerBefore = await readManifest(area.lower);
    overlay = await area.overlay("veneer");
  }, 20 * minutes);

  afterAll(() => area?.discard(), 5 * minutes);

  async function workAndKill(moment: Moment): Promise<void> {
    const daemon = await overlay.mountInForeground();
    let killed: Promise<boolean> | undefined;
    const { status, output } = await overlay.work(moment.stage, (line) => {
      if (killed === undefined && moment.line.test(line)) {
        killed = sleep(moment.delay).then(() => daemon.child.kill("SIGKILL"));
      }
    });
    expect(await killed, `the line comes while the daemon is alive: ${tail(output)}`).toBe(true);
    expect(status, "the work was cut off").not.toBe(0);
    await daemon.finished;
    await overlay.clear();
  }

  async function manifestBy(kind: OverlayKind): Promise<Manifest> {
    await overlay.mount(kind);
    const manifest = await overlay.manifest();
    await overlay.unmount(kind);
    return manifest;
  }

  it.each(moments)(
    "%s: the upper mounts again, the tree is one, the work goes on",
    { timeout: 15 * minutes },
    async (_, moment) => {
      await workAndKill(moment);
      const second = moment.first === "veneer" ? "kernel" : "veneer";
      const trees = [await manifestBy(moment.first), await manifestBy(second)] as const;
      expect(differences(...trees, { same: { ctime: false } })).toEqual([]);

      await overlay.mount("veneer");
      await overlay.mustWork("repair");
      await overlay.mustWork(moment.stage);
      await overlay.unmount("veneer");
    },
  );

  it("leaves the lower as it was, to the nanosecond", { timeout: 5 * minutes }, async () => {
    expect(differences(lowerBefore, await readManifest(area.lower), { same: { ctime: true } })).toEqual([]);
  });
});
