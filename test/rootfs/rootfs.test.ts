/**
 * A Debian root file system as the lower, and a day's work in a chroot in the merged tree: the same steps on
 * Veneer and on the kernel's overlayfs have to leave the same tree.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { differences, type Manifest, readManifest } from "./manifest.ts";
import { RootfsArea, type RootfsOverlay, type Stage } from "./rootfs-area.ts";

const minutes = 60_000;

describe("a Debian root file system", () => {
  let area: RootfsArea;
  let ours: RootfsOverlay;
  let kernels: RootfsOverlay;
  let lowerBefore: Manifest;
  let since: number;

  beforeAll(async () => {
    area = await RootfsArea.make();
    lowerBefore = await readManifest(area.lower);
    // File systems stamp by a clock that is some milliseconds late.
    since = Date.now() - 100;
    ours = await area.overlay("veneer");
    kernels = await area.overlay("kernel");
    await ours.mount("veneer");
    await kernels.mount("kernel");
  }, 20 * minutes);

  afterAll(() => area?.discard(), 5 * minutes);

  it("shows the lower as it is", { timeout: 5 * minutes }, async () => {
    const [lower, merged] = [new Map(lowerBefore), new Map(await ours.manifest())];
    // The root is that of the upper, which was made just now.
    expect([lower.delete("/"), merged.delete("/")]).toEqual([true, true]);
    expect(differences(lower, merged, { same: { ctime: true } })).toEqual([]);
  });

  const stages: [Stage, string][] = [
    ["install", "apt-get install and --reinstall, dpkg --verify and --audit, getcap"],
    ["use", "useradd, sudo, git, SQLite, an executed file overwritten"],
    ["remove", "purge, rm -rf of lower trees"],
  ];
  it.each(stages)("%s: %s, equal to the kernel's overlayfs", { timeout: 15 * minutes }, async (stage) => {
    await kernels.mustWork(stage);
    await ours.mustWork(stage);
    expect(differences(await kernels.manifest(), await ours.manifest(), { twice: { since } })).toEqual([]);
  });

  it("is the same after unmount and mount, by Veneer and by the kernel", { timeout: 10 * minutes }, async () => {
    const before = await ours.manifest();
    await ours.unmount("veneer");
    await ours.mount("veneer");
    expect(differences(before, await ours.manifest(), { same: { ctime: true } }), "by Veneer").toEqual([]);
    await ours.unmount("veneer");
    await ours.mount("kernel");
    // Not ctime: the kernel writes marks of its own to the upper's root.
    expect(differences(before, await ours.manifest(), { same: { ctime: false } }), "by the kernel").toEqual([]);
    await ours.unmount("kernel");
  });

  it("what the kernel's overlayfs left shows the same tree on Veneer", { timeout: 5 * minutes }, async () => {
    const before = await kernels.manifest();
    await kernels.unmount("kernel");
    await kernels.mount("veneer");
    expect(differences(before, await kernels.manifest(), { same: { ctime: false } })).toEqual([]);
    await kernels.unmount("veneer");
  });

  it("leaves the lower as it was, to the nanosecond", { timeout: 5 * minutes }, async () => {
    expect(differences(lowerBefore, await readManifest(area.lower), { same: { ctime: true } })).toEqual([]);
  });
});
