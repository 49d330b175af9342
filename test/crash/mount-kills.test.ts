/**
 * The daemon is killed before and after each system call that changes something while it mounts: it empties a workdir with
 * what earlier mounts left, cleans the index, tries what the upper's file system takes, marks the upper. The next mount finds
 * the same tree, to Veneer and to the kernel's overlayfs, and cleans all that is to be cleaned.
 *
 * VENEER_TEST_CRASH=all does every call; else some that the seed chooses.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeScratch, removeScratch } from "../support/scratch.ts";
import { extent, numbersFor, shuffled } from "./extent.ts";
import { killMount, type MountKind, mountCalls, treeToMount } from "./mount-round.ts";

const minutes = 60_000;
/** How many kills of each kind of mount there are in a part. */
const inPart = 2;

const mountKinds: readonly MountKind[] = [
  { name: "default options", options: [] },
  { name: "index=on", options: ["index=on"] },
  { name: "index=on, an upper that was used", options: ["index=on"], used: true },
  { name: "redirect_dir=on, metacopy=on", options: ["redirect_dir=on", "metacopy=on"], used: true },
  { name: "whiteouts by xattr", options: [], without: "whiteout devices" },
  { name: "whiteouts by file", options: [], without: "whiteout devices and marks" },
  { name: "volatile", options: ["volatile"] },
];

describe("SIGKILL at a system call of a mount", () => {
  let home = "";

  beforeAll(() => {
    home = makeScratch();
  });

  afterAll(async () => {
    expect(await removeScratch(home)).toEqual([]);
  });

  it.each(mountKinds)("$name: the next mount cleans up", { timeout: 60 * minutes }, async (kind) => {
    const reference = await treeToMount(home, kind);
    const calls = await mountCalls(home, kind);
    expect(calls).toContain("mkdirat");
    const all = (["before", "after"] as const).flatMap((when) => calls.map((_, index) => ({ when, at: index + 1 })));
    const points = shuffled(all, numbersFor(`mounts, ${kind.name}`));
    const left = extent.part === undefined ? points : points.slice(0, inPart);
    const kills = left.length;
    const complaints: string[] = [];
    const worker = async () => {
      for (let point = left.shift(); point !== undefined; point = left.shift()) {
        const { when, at } = point;
        const label = `killed ${when} call ${at} (${calls.join(" ")})`;
        const found = await killMount(home, kind, point, reference).catch((error: unknown) => [String(error)]);
        complaints.push(...found.map((complaint) => `${label}: ${complaint}`));
      }
    };
    await Promise.all([worker(), worker()]);
    process.stdout.write(
      `mounts, ${kind.name}: ${kills} of ${all.length} kills, ${complaints.length} complaints, seed ${extent.seed}\n`,
    );
    expect(complaints).toEqual([]);
  });
});
