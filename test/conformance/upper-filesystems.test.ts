import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/contract/filesystem.ts";
import { FileType, type Name } from "../../src/contract/ids.ts";
import { Errno, FsError } from "../../src/errno.ts";
import { MemoryFilesystem } from "../fuse/memory-filesystem.ts";
import { runInMount } from "../fuse/mounted.ts";
import { type Mounted, mountOverlay, Overlay, type OverlayKind, refuses, veneerProgram } from "../support/overlay.ts";
import { runOk, runProgram } from "../support/programs.ts";
import { makeFileSystem, whyWithout } from "../support/scratch.ts";
import { hardlink, type Snapshot, type SnapshotOptions } from "../support/tree.ts";
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
      days[kind] = await day(kind, area, { xattrs: true, replacements: true });
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

describe("each goes on with the index of the other", () => {
  test.for(["ext4", "xfs", "btrfs", "tmpfs"] as const)("on %s", async (type, { skip }) => {
    const reason = whyWithout(type);
    skip(reason !== undefined, reason);
    for (const [first, second] of [kinds, kinds.toReversed()] as [OverlayKind, OverlayKind][]) {
      const area = join(overlays[first].scratch, type);
      await makeFileSystem(type, area);
      const lowers = [{ f: "1", g: hardlink("f") }];
      const options = ["index=on"];
      const m = await overlays[first].mount({ lowers, options, upperArea: area, lowerArea: area });
      await m.sys.chmod(`${m.mnt}/f`, 0o640);
      const view = await m.view();
      await m.remount(second);
      expect(await m.view(), `${first}'s, to ${second}`).toEqual(view);
      await m.sys.writeFile(`${m.mnt}/g`, "2");
      await m.remount(first);
      expect(await m.sys.readFile(`${m.mnt}/f`)).toBe("2");
    }
  });
});

/** A mount with nothing in it, and a directory there for uppers to lie in. */
async function mountedArea(kind: OverlayKind, upperArea?: string): Promise<string> {
  const { mnt } = await overlays[kind].mount({ lowers: [{}], ...(upperArea !== undefined && { upperArea }) });
  const area = join(mnt, "area");
  mkdirSync(area);
  return area;
}

async function ramfs(): Promise<string> {
  const area = join(overlays.veneer.scratch, "ramfs");
  mkdirSync(area);
  await runOk(["mount", "-t", "ramfs", "veneer-test", area]);
  return area;
}

/** A mount by Veneer whose upper lies in `area`: its status, and what it says. */
async function mountIn(area: string): Promise<string> {
  const [upper, work] = [join(area, "u"), join(area, "w")];
  const lower = join(overlays.veneer.scratch, "lower");
  const mountpoint = join(overlays.veneer.scratch, "mountpoint");
  await runOk(["mkdir", "-p", lower, mountpoint, upper, work]);
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const { status, stderr } = await runProgram([veneerProgram, "mount", "-o", options, mountpoint]);
  return `${status} ${stderr}`;
}

describe("on another overlay, which takes no whiteout devices, whiteouts are files with an xattr", () => {
  test.for(["veneer", "kernel"] as const)("on a mount of %s", async (below) => {
    const area = await mountedArea(below);
    const options = { xattrs: true, replacements: false };
    const kernel = await day("kernel", undefined, options);
    const veneer = await day("veneer", area, options);
    expect(veneer.outcomes).toEqual(kernel.outcomes);
    expect(veneer.view).toEqual(kernel.view);
    const { sys, mnt, lowers, upper } = veneer.mounted;
    await refuses("EXDEV", sys.rename(`${mnt}/gone`, `${mnt}/e1`));
    expect(await viewBy("veneer", veneer), "after a remount").toEqual(kernel.view);
    const marked = await inUpper(veneer);
    expect(marked["keep/k2"], "no lower has it").toBeUndefined();
    expect(marked["keep/k3"]).toMatchObject({ type: "file", size: 0, xattrs: { "trusted.overlay.whiteout": "y" } });
    expect(marked.keep?.xattrs).toMatchObject({ "trusted.overlay.opaque": "x" });
    // The kernel reads this form in lowers.
    await veneer.mounted.unmount();
    await mountOverlay("kernel", { lowers: [upper, ...lowers], upper: null, work: null, mountpoint: mnt, options: [] });
    expect(await veneer.mounted.view(comparable), "to the kernel, as a lower").toEqual(kernel.view);
  });
});

describe("without xattrs", () => {
  test("on ramfs opaque directories bear a file", async () => {
    const options = { xattrs: false, replacements: false };
    const kernel = await day("kernel", undefined, options);
    const veneer = await day("veneer", await ramfs(), options);
    expect(veneer.outcomes).toEqual(kernel.outcomes);
    expect(veneer.view).toEqual(kernel.view);
    expect(await viewBy("veneer", veneer), "after a remount").toEqual(kernel.view);
    const { mounted } = veneer;
    expect(await mounted.isWhiteout("keep/k3")).toBe(true);
    expect(await mounted.namesInUpper("gone2")).toEqual([]);
    expect(await mounted.namesInUpper("gone")).toContain(".wh..wh..opq");
    // That name is taken, others of the kind are not.
    await refuses("EINVAL", mounted.sys.writeFile(`${mounted.mnt}/d/.wh..wh..opq`, ""));
    await refuses("EINVAL", mounted.sys.rename(`${mounted.mnt}/d/b`, `${mounted.mnt}/d/.wh..wh..opq`));
    await mounted.sys.writeFile(`${mounted.mnt}/d/.wh.c`, "mine");
    expect(await mounted.sys.list(`${mounted.mnt}/d`)).toEqual([".wh.c", "b", "c"]);
    const hiding = join(overlays.veneer.scratch, "ramfs/hiding");
    mkdirSync(hiding);
    const alone = await overlays.veneer.mount({
      lowers: [{ x: "1" }],
      upper: { ".wh..wh..opq": "", y: "2" },
      upperArea: hiding,
    });
    expect(await alone.sys.list(alone.mnt), "an opaque root").toEqual(["y"]);
    await refuses("EOPNOTSUPP", mounted.sys.setxattr(`${mounted.mnt}/d/b`, "trusted.x", "y"));
  });

  test("nor whiteout devices: whiteouts are files beside their names", async () => {
    const scratch = overlays.veneer.scratch;
    await overlays.veneer.buildLower(`${scratch}/lower`, dayLower);
    mkdirSync(`${scratch}/m`);
    const mounting = (command: string, upper: string) =>
      `${command} lowerdir=${scratch}/lower,upperdir=${upper}/u,workdir=${upper}/w`;
    const onKernel = `mkdir ${scratch}/u ${scratch}/w
      ${mounting("mount -t overlay overlay -o", scratch)} ${scratch}/m && (${deletions(`${scratch}/m`)}); umount ${scratch}/m`;
    const { stdout } = await runProgram(["bash", "-c", `exec 2>&1; ${onKernel}`]);
    const mount = mounting(`${veneerProgram} mount --log-file ${scratch}/log -o`, ".");
    const { output } = runInMount(
      () => new BareFilesystem(),
      `mkdir u w && ${mount} ${scratch}/m && (${deletions(`${scratch}/m`)})
      ${veneerProgram} umount ${scratch}/m && ${mount} ${scratch}/m || exit 9
      echo again; find ${scratch}/m -mindepth 1 -printf '%P\\n' | LC_ALL=C tr -d '\\377\\376' | LC_ALL=C sort
      LC_ALL=C touch ${scratch}/m/d/.wh.b && echo a mark was made
      ${veneerProgram} umount ${scratch}/m
      echo marks; find u -name '.wh.*' -printf '%P\\n' | LC_ALL=C tr -d '\\377\\376' | LC_ALL=C sort`,
      { seconds: 60 },
    );
    const [work = "", again = "", marks = ""] = output.split(/^again\n|^marks\n/m);
    expect(work).toBe(stdout);
    expect(again).toContain(`touch: cannot touch '${scratch}/m/d/.wh.b': Invalid argument`);
    expect(again.split("\n").filter((line) => !line.startsWith("touch"))).toEqual(namesIn(stdout));
    expect(marks.split("\n").slice(0, -2)).toEqual([
      ".wh.e2",
      ".wh.gone",
      ".wh.h1",
      ".wh.h2",
      ".wh.keep",
      "a/.wh..wh..opq",
      "dd/.wh.x",
      "dd/.wh.y",
      "dd/.wh.z",
      "e3/.wh..wh..opq",
      "kept/.wh..wh..opq",
    ]);
  });

  test("a mount is refused where not even files can be marks", async () => {
    // That overlay keeps marks as such files itself.
    expect(await mountIn(await mountedArea("veneer", await ramfs()))).toMatch(/^33 .*neither xattrs nor files named/s);
  });
});

/** A file system in memory that takes neither xattrs nor whiteout devices. */
class BareFilesystem extends MemoryFilesystem {
  override makeNode(...args: Parameters<MemoryFilesystem["makeNode"]>): Entry {
    const [, , { mode }, { major, minor }] = args;
    if ((mode & FileType.mask) === FileType.character && major === 0 && minor === 0) {
      throw new FsError(Errno.EPERM, "a whiteout");
    }
    return super.makeNode(...args);
  }

  override getXattr(): Buffer {
    // The kernel asks no more then, and takes it that there are no ACLs.
    throw new FsError(Errno.ENOSYS, "getxattr");
  }

  override setXattr(): void {
    throw new FsError(Errno.EOPNOTSUPP, "setxattr");
  }

  override listXattrs(): readonly Name[] {
    return [];
  }
}

/** Commands that leave whiteouts and opaque directories, and replace them; they end with all names. */
function deletions(mnt: string): string {
  return `cd ${mnt} || exit 8; export LC_ALL=C
    rm -r h1 gone dd/x keep a; mkdir a; rm dd/y; mv dd/z dd/z1 || mv dd/z1 dd/z; mkdir dd/z2; mv h2 dd/y; rm dd/y; ls -A a dd
    rm -r e1; touch e1; ln d/b e1 || rm e1; ln d/b e1; rm -r e2; mkdir -p n/n2; mv n e2; mv dd/z2 e3/z2; ls -RA e1 e2 e3
    chmod 600 chmoded; mv chmoded e3/c; mv e3/c chmoded; echo more >>big; sha1sum big chmoded; stat -c '%A %s %n' big chmoded
    mkdir $(printf 'n%.0s' {1..253}); touch $(printf 'n%.0s' {1..254}); ls -d nn*
    mkdir keep; ls -A keep; mv keep kept; rm -r e3; mkdir e3; ls -A e3; mv -T e2 e3 || echo kept
    cd /; echo names; find ${mnt} -mindepth 1 -printf '%P\\n' | LC_ALL=C tr -d '\\377\\376' | LC_ALL=C sort`;
}

function namesIn(output: string): string[] {
  return output.slice(output.indexOf("names\n") + 6).split("\n");
}

describe("what can't exchange names is refused with a sentence", () => {
  test("bindfs", async ({ skip }) => {
    const reason = existsSync("/usr/bin/bindfs") ? undefined : "bindfs is not installed";
    skip(reason !== undefined, reason);
    const [source, area] = [join(overlays.veneer.scratch, "source"), join(overlays.veneer.scratch, "bound")];
    mkdirSync(source);
    mkdirSync(area);
    await runOk(["bindfs", source, area]);
    expect(await mountIn(area)).toMatch(/^33 .*can't exchange names/s);
  });
});
