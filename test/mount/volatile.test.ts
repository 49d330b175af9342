/** The mark that a volatile mount leaves in the workdir, and that no later mount of the upper is taken while it is there. */
import { expect, test } from "vitest";
import {
  describeOverlay,
  type Mounted,
  mountOverlay,
  type OverlayKind,
  unmountOverlay,
  veneerProgram,
} from "../support/overlay.ts";
import { runProgram } from "../support/programs.ts";
import { file } from "../support/tree.ts";

describeOverlay("volatile", (overlay) => {
  const marks = async (m: Mounted) => {
    const left = await overlay.host.snapshot(m.work, {});
    return Object.fromEntries(
      Object.entries(left)
        .filter(([name]) => name.startsWith("work/incompat"))
        .map(([name, { type, mode, size }]) => [name, type === "file" ? [type, mode, size] : [type, mode]]),
    );
  };
  const left = {
    "work/incompat": ["dir", 0],
    "work/incompat/volatile": ["dir", 0],
    "work/incompat/volatile/dirty": ["file", 0, 0],
  };
  const again = (kind: OverlayKind, m: Mounted, options: string[] = []) =>
    mountOverlay(kind, { lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt, options });

  test("leaves its mark, from the mount on and after a clean end", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1", g: "2" }], options: ["volatile"] });
    expect(await marks(m)).toEqual(left);
    await m.sys.writeFile(`${m.mnt}/f`, "changed");
    await m.sys.unlink(`${m.mnt}/g`);
    await m.unmount();
    expect(await marks(m)).toEqual(left);
  });

  test.each(["kernel", "veneer"] as const)("is mounted again by %s only when the mark is gone", async (kind) => {
    const m = await overlay.mount({ lowers: [{ f: "1" }], options: ["volatile"] });
    await m.sys.writeFile(`${m.mnt}/f`, "changed");
    await m.unmount();
    const upper = await m.inUpper();
    await expect(again(kind, m)).rejects.toThrow();
    await expect(again(kind, m, ["volatile"])).rejects.toThrow();
    expect(await m.inUpper()).toEqual(upper);
    expect(await marks(m)).toEqual(left);
    // As container engines do who know that the machine has not crashed since: `incompat` itself stays.
    await overlay.host.run(["rm", "-r", `${m.work}/work/incompat/volatile`], {});
    await again(kind, m);
    expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("changed");
    await unmountOverlay(kind, m.mnt);
    expect(await marks(m)).toEqual({});
  });

  test("is not mounted with the mark of another feature either, but with what is none", async () => {
    const m = await overlay.mount({ lowers: [{}] });
    await m.unmount();
    const incompat = `${m.work}/work/incompat`;
    for (const [setUp, taken] of [
      [`mkdir -p ${incompat}/other`, false],
      [`mkdir -p ${incompat}; touch ${incompat}/other`, false],
      [`mkdir -p ${incompat}`, true],
      [`mkdir -p ${m.work}/work; touch ${incompat}`, true],
      [`mkdir -p ${m.work}/work/x/incompat/volatile`, true],
    ] as const) {
      await overlay.host.run(["sh", "-c", `rm -rf ${m.work}/work; ${setUp}`], {});
      const outcome = await again(overlay.kind, m).then(
        () => true,
        () => false,
      );
      expect([setUp, outcome]).toEqual([setUp, taken]);
      if (taken) {
        await m.unmount();
      }
    }
    await overlay.host.run(["rm", "-rf", `${m.work}/work`], {});
  });

  test("the refusal says what to do", async ({ skip }) => {
    skip(overlay.kind === "kernel", "the kernel says so in its log alone");
    const m = await overlay.mount({ lowers: [{ f: file("1") }], options: ["volatile"] });
    await m.unmount();
    const options = `lowerdir=${m.lowers[0]},upperdir=${m.upper},workdir=${m.work}`;
    const result = await runProgram([veneerProgram, "mount", "-o", options, m.mnt]);
    expect(result.status).toBe(33);
    expect(result.stderr).toMatch(
      /^veneer: workdir \S+ can't be used again \(work\/incompat\/volatile: the upper was mounted volatile [^\n]* remove that directory if you know that the upper is whole[^\n]*\)\n$/,
    );
  });
});
