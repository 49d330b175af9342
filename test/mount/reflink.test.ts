/** Copy-up shares the data with the lower where the file system can (FICLONE), and writes then part them. */
import { expect, test } from "vitest";
import { describeOverlay } from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";

describeOverlay("copy-up by reflink", (overlay) => {
  test.for(["xfs", "btrfs"] as const)("on %s", async (type, { skip }) => {
    const reason = whyWithout(type);
    skip(reason !== undefined, reason);
    const area = `${overlay.scratch}/${type}`;
    await makeFileSystem(type, area);
    const data = "0123456789abcdef".repeat(1 << 16);
    const m = await overlay.mount({ lowers: [{ f: data }], lowerArea: area, upperArea: area });
    await m.sys.appendFile(`${m.mnt}/f`, "+");
    expect((await m.sys.readFile(`${m.mnt}/f`)) === `${data}+`).toBe(true);
    await runOk(["sync", "-f", area]);
    const extents = (await overlay.host.run(["filefrag", "-v", `${m.upper}/f`], {})).stdout;
    expect(extents).toMatch(/shared/);
    await m.sys.run(["sh", "-c", `printf X | dd of=${m.mnt}/f bs=1 seek=5 conv=notrunc`], {});
    expect((await overlay.host.readFile(`${m.lowers[0]}/f`)) === data).toBe(true);
    expect((await m.sys.readFile(`${m.mnt}/f`)).slice(0, 8)).toBe("01234X67");
  });
});
