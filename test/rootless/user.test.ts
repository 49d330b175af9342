/** A plain user, who mounts by fusermount3: how a mount comes and goes, and what is refused. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RunResult } from "../support/agent.ts";
import { daemonOf, endsWithin } from "../support/daemon.ts";
import { refuses } from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";
import { dir, file } from "../support/tree.ts";
import { UserStand } from "../support/user.ts";
import { above, below, play, steps, stepsInUnlisted, unlisted } from "./outcomes.ts";

const layers = "lowerdir=lower,upperdir=upper,workdir=work";
let stand: UserStand;

beforeEach(async () => {
  stand = await UserStand.start("user");
  await stand.build("lower", { file: "1", directory: { below: "2" } });
  for (const name of ["upper", "work", "mnt"]) {
    await stand.build(name, {});
  }
});
afterEach(async () => {
  if ((await mountLine()) !== undefined) {
    await stand.sys.run(["fusermount3", "-u", "-z", "mnt"], { cwd: stand.home });
  }
  await stand.end();
});

function veneer(...args: readonly string[]): Promise<RunResult> {
  return stand.sys.run([stand.veneer, ...args], { cwd: stand.home, timeout: 25 });
}

/** Of the mount as he sees it; undefined where there is none. */
async function mountLine(): Promise<string | undefined> {
  const lines = (await stand.sys.readFile("/proc/self/mountinfo")).split("\n");
  return lines.find((line) => line.includes(` ${stand.at("mnt")} `));
}

/** A tree of his that he can read; numbers of links of directories aside. */
const shown = (name: string) => stand.sys.snapshot(stand.at(name), { times: false });

const done: RunResult = { status: 0, stdout: "", stderr: "" };

async function mount(options = layers): Promise<number> {
  expect(await veneer("mount", "-o", options, "mnt")).toEqual(done);
  return daemonOf(stand.at("upper"));
}

test("the mount is his alone, without devices and set-id programs, and what he changes lies in the upper", async () => {
  const daemon = await mount();
  expect(await mountLine()).toMatch(
    /rw,nosuid,nodev,relatime .*- fuse\.veneer veneer rw,user_id=12345,group_id=12345,default_permissions$/,
  );
  await stand.sys.writeFile(stand.at("mnt/file"), "new");
  await stand.sys.unlink(stand.at("mnt/directory/below"));
  expect(await stand.host.readFile(stand.at("upper/file"))).toBe("new");
  expect(await stand.host.lstat(stand.at("upper/directory/below"))).toMatchObject({ type: "char", rdev: "0:0" });
  expect(await veneer("umount", "mnt")).toEqual(done);
  expect(await endsWithin(daemon, 50)).toBe(true);
  expect(await mountLine()).toBeUndefined();
  expect(await stand.host.readFile(stand.at("lower/file"))).toBe("1");
});

test("options reach fusermount3, with names that hold what separates them", async () => {
  await mount(`${layers},relatime,noexec,noatime,sync,ro,nosuid,max_read=8192,fsname=a\\,b\\\\c,subtype=veneer`);
  expect(await mountLine()).toMatch(
    / ro,nosuid,nodev,noexec,noatime .*- fuse\.veneer a,b\\134c ro,sync,user_id=12345,group_id=12345,default_permissions,max_read=8192$/,
  );
});

test("without an upper the mount is read-only", async () => {
  expect(await veneer("mount", "-o", "lowerdir=lower", "mnt")).toEqual(done);
  expect(await mountLine()).toMatch(/ ro,nosuid,nodev,relatime /);
  expect(await stand.sys.readFile(stand.at("mnt/file"))).toBe("1");
});

test.each([
  ["fusermount3 -u", ["-u"]],
  ["fusermount3 -u -z", ["-u", "-z"]],
])("the daemon is gone within a second of %s", async (_, flags) => {
  const daemon = await mount();
  await stand.run("fusermount3", ...flags, "mnt");
  expect(await endsWithin(daemon, 1000)).toBe(true);
});

test("a mount in use stays, by its sentence; by SIGTERM its users are cut off", async () => {
  const daemon = await mount();
  const fd = await stand.sys.open(stand.at("mnt/file"), "O_RDWR");
  const refused = await veneer("umount", "mnt");
  expect(refused.status).toBe(39);
  expect(refused.stderr).toMatch(/^veneer: mnt is busy: end the processes that use it .*\n$/);
  await stand.sys.write(fd, "x");
  process.kill(daemon, "SIGTERM");
  expect(await endsWithin(daemon, 10_000)).toBe(true);
  expect(await mountLine()).toBeUndefined();
  expect(await stand.host.readFile(stand.at("upper/file"))).toBe("x");
});

test("after kill -9 he unmounts what is left, and mounts again", async () => {
  const daemon = await mount();
  process.kill(daemon, "SIGKILL");
  expect(await endsWithin(daemon, 5000)).toBe(true);
  expect(await veneer("umount", "mnt")).toEqual(done);
  await mount();
});

test("the mount of another user is not his to unmount", async () => {
  await mount();
  const other = ["setpriv", "--reuid", "1", "--regid", "1", "--clear-groups", "--inh-caps=-all"];
  const pid = stand.sys.pid;
  const inside = ["nsenter", `--mount=/proc/${pid}/ns/mnt`, ...other, stand.veneer, "umount", stand.at("mnt")];
  const refused = await stand.host.run(inside, { timeout: 25 });
  expect(refused).toEqual({ status: 36, stdout: "", stderr: expect.stringMatching(/unmounting .* is not permitted/) });
  expect(await mountLine()).toBeDefined();
});

test.each([
  [
    "allow_other",
    "fusermount3 does not mount at mnt \\(option allow_other only allowed if 'user_allow_other' .*\\): .*",
  ],
  ["nosymfollow", "fusermount3 does not mount at mnt \\(unknown option 'nosymfollow'\\): .*"],
  ["shared", "fusermount3 sets no propagation: leave out .*"],
])("what fusermount3 does not do is refused: %s", async (option, sentence) => {
  const refused = await veneer("mount", "-o", `${layers},${option}`, "mnt");
  expect(refused).toEqual({
    status: 36,
    stdout: "",
    stderr: expect.stringMatching(new RegExp(`^veneer: ${sentence}\n$`)),
  });
  expect(await mountLine()).toBeUndefined();
  await mount();
});

test("where fusermount3 is not installed one sentence says so", async () => {
  const argv = ["env", `PATH=${stand.at("../bin")}`, stand.veneer, "mount", "-o", layers, "mnt"];
  const refused = await stand.sys.run(argv, { cwd: stand.home });
  expect(refused.status).toBe(36);
  expect(refused.stderr).toMatch(/^veneer: fusermount3 is not installed: install it .*\n$/);
});

test("a mountpoint that is not his is refused in the words of fusermount3", async () => {
  await stand.host.mkdir(stand.at("roots"));
  const refused = await veneer("mount", "-o", layers, "roots");
  expect(refused.status).toBe(36);
  expect(refused.stderr).toMatch(
    /^veneer: fusermount3 does not mount at roots \(.*user has no write access.*\): .*\n$/,
  );
});

test.each([
  ["trees", { above, below }, steps],
  ["directories that can't be listed", unlisted, stepsInUnlisted],
] as const)(
  "with layers of his own he may do what he may in a plain directory, and it comes to the same: %s",
  async (_, trees, calls) => {
    await stand.build("above", trees.above);
    await stand.build("below", trees.below);
    await stand.build("plain", {});
    // As root, since not all of it may be read by him.
    await stand.host.run(["cp", "-a", "below/.", "above/.", "plain"], { cwd: stand.home });
    const options = "lowerdir=above:below,upperdir=upper,workdir=work";
    const outcomes = await play(stand.sys, stand.at("plain"), calls);
    await mount(options);
    expect(await play(stand.sys, stand.at("mnt"), calls)).toEqual(outcomes);
    const comparesTrees = trees !== unlisted;
    if (comparesTrees) {
      expect(await shown("mnt")).toEqual(await shown("plain"));
    }
    expect(await veneer("umount", "mnt")).toEqual(done);
    expect(await stand.host.list(stand.at("work"))).toEqual([]);
    await mount(options);
    if (comparesTrees) {
      expect(await shown("mnt")).toEqual(await shown("plain"));
    }
  },
);

test("what its owner may not read on a lower can be neither copied up nor listed", async () => {
  await stand.build("above", { shut: file("1", { mode: 0o200 }), unlisted: dir({ a: "1" }, { mode: 0o311 }) });
  await mount("lowerdir=above,upperdir=upper,workdir=work");
  await refuses("EACCES", stand.sys.chmod(stand.at("mnt/shut"), 0o600));
  expect(await stand.host.list(stand.at("upper"))).toEqual([]);
  await stand.sys.chmod(stand.at("mnt/unlisted"), 0o755);
  await refuses("EACCES", stand.sys.list(stand.at("mnt/unlisted")));
  expect(await stand.sys.readFile(stand.at("mnt/unlisted/a"))).toBe("1");
});

test("with xattr_permissions=2 what comes up keeps owner and type, which he can't give; a symlink becomes his", async () => {
  const xattr = "user.containers.override_stat";
  await stand.run(
    "sh",
    "-c",
    `setfattr -n ${xattr} -v 12345:12345:0755:dir lower; mkfifo lower/pipe; ln -s file lower/link
    : >lower/dev; setfattr -n ${xattr} -v 0:0:0600:char-1-3 lower/dev`,
  );
  await runOk(["chown", "--no-dereference", "0:0", stand.at("lower/file"), stand.at("lower/link")]);
  await runOk(["chmod", "666", stand.at("lower/file")]);
  const lines = "echo more >>mnt/file; mv mnt/link mnt/l; mv mnt/dev mnt/d; stat -c '%n %u %a %F' mnt/*";
  await mount();
  expect(await stand.sys.run(["sh", "-c", "echo >>mnt/file"], { cwd: stand.home })).toMatchObject({
    stderr: expect.stringContaining("Operation not permitted"),
  });
  await stand.run(stand.veneer, "umount", "mnt");
  await mount(`${layers},xattr_permissions=2`);
  expect(await stand.run("sh", "-c", lines)).toBe(
    "mnt/d 0 600 character special file\nmnt/directory 12345 755 directory\nmnt/file 0 666 regular file\n" +
      "mnt/l 12345 777 symbolic link\nmnt/pipe 12345 644 fifo\n",
  );
  expect(await stand.host.getxattr(stand.at("upper/d"), xattr)).toBe("0:0:0600:char-1-3");
  expect(await stand.host.lstat(stand.at("upper/file"))).toMatchObject({ uid: 12345, mode: 0o755 });
});
