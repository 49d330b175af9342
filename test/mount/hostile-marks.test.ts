/** Marks as no overlay writes them: what the fuzzer of hostile layers has found, on both overlays. */
import { expect, test } from "vitest";
import { describeOverlay, mountOverlay, refuses, unmountOverlay } from "../support/overlay.ts";
import { dir, file, whiteout } from "../support/tree.ts";

const hidden = file("", { xattrs: { "trusted.overlay.whiteout": "y" } });

describeOverlay("marks that nobody wrote", (overlay) => {
  test("a whiteout by xattr hides what is looked up, also where its directory does not say so", async () => {
    const m = await overlay.mount({
      lowers: [{ d: { low: hidden, kept: "1" }, pure: { x: hidden } }, { d: { low: "1", up: "2", over: "3" } }],
      upper: { d: { up: hidden, over: hidden, mine: hidden } },
    });
    for (const name of ["d/low", "d/up", "d/mine", "pure/x"]) {
      await refuses("ENOENT", m.sys.lstat(`${m.mnt}/${name}`));
    }
    // A listing looks for them only where the directory says that there are any.
    expect(await m.sys.list(`${m.mnt}/d`)).toEqual(["kept", "low", "mine", "over", "up"]);
    await m.sys.writeFile(`${m.mnt}/d/up`, "new");
    await m.sys.mkdir(`${m.mnt}/d/low`);
    await m.sys.mkdir(`${m.mnt}/d/mine`);
    await m.sys.mkdir(`${m.mnt}/moving`);
    await m.sys.rename(`${m.mnt}/moving`, `${m.mnt}/d/over`);
    expect(await m.sys.readFile(`${m.mnt}/d/up`)).toBe("new");
    for (const name of ["low", "mine", "over"]) {
      expect(await m.sys.list(`${m.mnt}/d/${name}`)).toEqual([]);
    }
    await m.sys.unlink(`${m.mnt}/d/up`);
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/d/up`));
  });

  test("a whiteout that hides nothing, in a directory of one layer, is absent: Veneer does not list it either", async () => {
    const m = await overlay.mount({
      lowers: [{ alone: { gone: whiteout(), f: "1" } }],
      upper: { mine: { gone: whiteout(), f: "1" } },
    });
    for (const directory of ["alone", "mine"]) {
      await refuses("ENOENT", m.sys.lstat(`${m.mnt}/${directory}/gone`));
      const listed = overlay.kind === "kernel" ? ["f", "gone"] : ["f"];
      expect(await m.sys.list(`${m.mnt}/${directory}`)).toEqual(listed);
    }
  });

  test("an origin that is longer than it says is still one: with index=on the upper is that of another lower", async () => {
    const m = await overlay.mount({ lowers: [{ f: "1" }], options: ["index=on"] });
    await m.unmount();
    const origin = await overlay.host.getxattr(m.upper, "trusted.overlay.origin");
    const options = { lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt, options: ["index=on"] };
    for (const [length, taken] of [
      ["\0", false],
      ["\xff", true],
    ] as const) {
      // Too long a length makes it none at all; then the upper gets the one that it should have.
      await overlay.host.setxattr(m.upper, "trusted.overlay.origin", origin.slice(0, 2) + length + origin.slice(3));
      const outcome = await mountOverlay(overlay.kind, options).then(
        () => true,
        () => false,
      );
      expect(outcome, JSON.stringify(length)).toBe(taken);
      if (outcome) {
        await unmountOverlay(overlay.kind, m.mnt);
      }
    }
  });

  test("a redirect that is none is EINVAL, followed or not", async () => {
    const redirected = (value: string) => dir({ x: "1" }, { xattrs: { "trusted.overlay.redirect": value } });
    const upper = { a: redirected("b/c"), b: redirected(""), c: redirected("//d"), d: redirected("/d/") };
    const options = overlay.kind === "kernel" ? ["redirect_dir=nofollow"] : [];
    for (const features of [options, ["redirect_dir=follow"]]) {
      const m = await overlay.mount({ lowers: [{ d: {} }], upper, options: features });
      for (const name of ["a", "b", "c", "d"]) {
        await refuses("EINVAL", m.sys.lstat(`${m.mnt}/${name}`));
      }
    }
  });
});
