/** Layers with marks of features that are off are refused name by name: without them the view would be a wrong one. */
import { expect, test } from "vitest";
import { describeOverlay, mountOverlay, refuses, unmountOverlay } from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";

describeOverlay("an upper that was written with redirect_dir=on and metacopy=on", (overlay) => {
  test("renamed directories and copies without data are refused, the rest is shown", async () => {
    const m = await overlay.mount({
      lowers: [{ d: { inner: "1" }, e: { sub: { x: "1" } }, f: "data".repeat(5000), g: "2" }],
    });
    await m.unmount();
    const options = ["redirect_dir=on", "metacopy=on"];
    const layers = [`lowerdir=${m.lowers.join(":")}`, `upperdir=${m.upper}`, `workdir=${m.work}`];
    await runOk(["mount", "-t", "overlay", "overlay", "-o", [...layers, ...options].join(","), m.mnt]);
    await m.sys.rename(`${m.mnt}/d`, `${m.mnt}/moved`);
    await m.sys.mkdir(`${m.mnt}/new`);
    await m.sys.rename(`${m.mnt}/e/sub`, `${m.mnt}/new/sub`);
    await m.sys.chmod(`${m.mnt}/f`, 0o600);
    await m.sys.appendFile(`${m.mnt}/g`, "+");
    await unmountOverlay("kernel", m.mnt);
    const off = ["redirect_dir=nofollow", "metacopy=off"];
    const paths = { lowers: m.lowers, upper: m.upper, work: m.work, mountpoint: m.mnt, options: off };
    await mountOverlay(overlay.kind, paths);
    // The kernel looks for redirects in merged directories only, and shows a moved one in a pure directory without its parts.
    for (const name of overlay.kind === "kernel" ? ["moved", "f"] : ["moved", "f", "new/sub"]) {
      await refuses("EPERM", m.sys.lstat(`${m.mnt}/${name}`));
    }
    expect(await m.sys.readFile(`${m.mnt}/g`)).toBe("2+");
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/d`));
    // The kernel leaves what it can't look up out of a listing, too; Veneer tells that the names are there.
    const refused = overlay.kind === "kernel" ? [] : ["f", "moved"];
    expect(await m.sys.list(m.mnt)).toEqual(["e", "g", "new", ...refused].sort());
  });
});
