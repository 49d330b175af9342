/** The root of a user namespace, who mounts by mount(2) as root does. The oracle is the kernel's overlayfs with userxattr. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { OverlayKind } from "../support/overlay.ts";
import { describeTree, file, type Snapshot, type Tree } from "../support/tree.ts";
import { UserStand } from "../support/user.ts";
import { above, below, play, steps } from "./outcomes.ts";

let stand: UserStand;

beforeEach(async () => {
  stand = await UserStand.start("root of a user namespace");
  await stand.build("above", above);
  await stand.build("below", below);
  await stand.sys.mkdir(stand.at("mnt"));
});
afterEach(() => stand.end());

const kinds: readonly OverlayKind[] = ["kernel", "veneer"];

interface Layers {
  readonly lowers?: string;
  /** The name of the upper; null for none. */
  readonly upper: string | null;
  readonly options?: string;
}

/** What `work` returns while the overlay is mounted at mnt. */
async function mounted<T>(kind: OverlayKind, layers: Layers, work: () => Promise<T>): Promise<T> {
  const { lowers = "above:below", upper, options = "" } = layers;
  const writable = upper === null ? "" : `,upperdir=${upper},workdir=${upper}.work`;
  const line = `lowerdir=${lowers}${writable}${options}`;
  if (kind === "kernel") {
    await stand.run("mount", "-t", "overlay", "overlay", "-o", `userxattr,${line}`, "mnt");
  } else {
    await stand.run(stand.veneer, "mount", "-o", line, "mnt");
  }
  try {
    return await work();
  } finally {
    await (kind === "kernel" ? stand.run("umount", "mnt") : stand.run(stand.veneer, "umount", "mnt"));
  }
}

async function makeUpper(name: string, tree: Tree = {}): Promise<void> {
  await stand.build(name, tree);
  await stand.build(`${name}.work`, {});
}

const view = () => stand.sys.snapshot(stand.at("mnt"), { times: false });

/** What the upper holds, but for the overlay's UUID, which is by chance, and how often the one whiteout is linked: the kernel's workdir keeps a link. */
async function inUpper(name: string): Promise<Snapshot> {
  const snapshot = await stand.host.snapshot(stand.at(name), { times: false, hideXattrs: ["user.overlay.uuid"] });
  return Object.fromEntries(
    Object.entries(snapshot).map(([path, { nlink, ...entry }]) => [
      path,
      entry.rdev === "0:0" || nlink === undefined ? entry : { ...entry, nlink },
    ]),
  );
}

test("a user's work comes to the same, in the view and in the upper, and each reads what the other left", async () => {
  const results: { outcomes: Record<string, string>; shown: Snapshot; upper: Snapshot }[] = [];
  for (const kind of kinds) {
    await makeUpper(kind);
    const done = await mounted(kind, { upper: kind }, async () => ({
      outcomes: await play(stand.sys, stand.at("mnt"), steps),
      shown: await view(),
    }));
    results.push({ ...done, upper: await inUpper(kind) });
  }
  const [kernel, veneer] = results;
  expect(veneer).toEqual(kernel);
  expect(Object.values(kernel?.outcomes ?? {})).toContain("EPERM");
  for (const [reader, upper] of [
    ["kernel", "veneer"],
    ["veneer", "kernel"],
  ] as const) {
    expect(await mounted(reader, { upper }, view), `${reader} reads the upper of ${upper}`).toEqual(kernel?.shown);
  }
});

test("inode numbers stay over a copy-up, and a listing agrees with stat(2)", async () => {
  await makeUpper("upper");
  await mounted("veneer", { upper: "upper" }, async () => {
    const numbers = async (): Promise<[string, bigint, bigint][]> => {
      const fd = await stand.sys.open(stand.at("mnt"), "O_RDONLY|O_DIRECTORY");
      const listed = (await stand.sys.getdents(fd)).filter(({ name }) => !name.startsWith("."));
      await stand.sys.close(fd);
      const found: [string, bigint, bigint][] = [];
      for (const { name, ino } of listed) {
        found.push([name, ino, (await stand.sys.lstat(stand.at("mnt", name))).ino]);
      }
      return found;
    };
    const before = await numbers();
    await stand.sys.chmod(stand.at("mnt/program"), 0o700);
    await stand.sys.chmod(stand.at("mnt/both"), 0o700);
    expect(await numbers()).toEqual(before);
    await stand.host.dropCaches();
    for (const [name, listed, shown] of await numbers()) {
      expect(listed, name).toBe(shown);
    }
  });
});

test("a read-only mount heeds user.overlay marks of lowers", async () => {
  await makeUpper("upper");
  await mounted("veneer", { upper: "upper" }, async () => {
    await stand.sys.removeTree(stand.at("mnt/both"));
    await stand.sys.mkdir(stand.at("mnt/both"));
  });
  for (const kind of kinds) {
    const names = () => stand.sys.list(stand.at("mnt/both"));
    expect(await mounted(kind, { lowers: "upper:above:below", upper: null }, names), kind).toEqual([]);
  }
});

test("what root of the machine owns can't be changed", async () => {
  await stand.host.mkdir(stand.at("roots"));
  await stand.host.build(stand.at("roots"), describeTree({ file: "1", shut: file("2", { mode: 0o600 }) }));
  const found: Record<string, string>[] = [];
  for (const kind of kinds) {
    await makeUpper(kind);
    found.push(
      await mounted(kind, { lowers: "roots:above", upper: kind }, () =>
        play(stand.sys, stand.at("mnt"), [
          ["read", (sys, at) => sys.readFile(at("file"))],
          ["read what is shut", (sys, at) => sys.readFile(at("shut"))],
          ["write", (sys, at) => sys.writeFile(at("file"), "x")],
          ["chown", (sys, at) => sys.chown(at("file"), 0, 0)],
        ]),
      ),
    );
  }
  // The kernel says EPERM to chmod(2) too; of FUSE it knows no owner at all, which is EOVERFLOW before the daemon is asked.
  expect(found[1]).toEqual(found[0]);
  expect(found[0]).toEqual({ read: "read 1", "read what is shut": "EACCES", write: "EACCES", chown: "EPERM" });
});

test("the mount is for all users of the namespace, and its files are served by the daemon", async () => {
  await makeUpper("upper");
  await mounted("veneer", { upper: "upper" }, async () => {
    const line = (await stand.sys.readFile("/proc/self/mountinfo"))
      .split("\n")
      .find((each) => each.includes("fuse.veneer"));
    expect(line).toMatch(/ - fuse\.veneer veneer rw,user_id=0,group_id=0,default_permissions,allow_other$/);
    await stand.sys.writeFile(stand.at("mnt/new"), "1");
    await stand.sys.readFile(stand.at("mnt/new"));
    const requests = await stand.sys.getxattr(stand.at("mnt"), "user.veneer.requests");
    expect(requests).toMatch(/WRITE/);
  });
});

test("options that need trusted xattrs are named and ignored", async () => {
  await makeUpper("upper");
  const options = "lowerdir=above,upperdir=upper,workdir=upper.work,redirect_dir=on,metacopy=on,index=on";
  const result = await stand.sys.run([stand.veneer, "mount", "-o", options, "mnt"], { cwd: stand.home });
  await stand.run(stand.veneer, "umount", "mnt");
  const why = "which does not go with userxattr, as it is implied for all but root";
  expect(result).toEqual({
    status: 0,
    stdout: "",
    stderr: `veneer: ignoring redirect_dir=on, ${why}\nveneer: ignoring metacopy=on, ${why}\n`,
  });
});
