/** fuse-native as a transport: its start and what it says, what is mended in the adapter, and where it can't be loaded. */
import { cpSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Stand, veneerProgram } from "../cli/stand.ts";
import { type Agent, startAgent } from "../support/agent.ts";
import { outcomeOf, refuses } from "../support/overlay.ts";
import { runOk } from "../support/programs.ts";

const layers = "lowerdir=lower,upperdir=upper,workdir=work";
let stand: Stand;
let agents: Agent[];
let mnt: string;
let upper: string;

function agent(): Agent {
  const started = startAgent();
  agents.push(started);
  return started;
}

/** Where this Veneer is. */
const root = join(veneerProgram, "../..");

/** A copy of what is built, without packages. @param more further files of the root */
function copyOfVeneer(...more: string[]): string {
  const copy = join(stand.path, "copy");
  for (const part of ["bin", "dist", "package.json", ...more]) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  return copy;
}

beforeEach(() => {
  stand = new Stand();
  agents = [];
  mnt = join(stand.path, "mnt");
  upper = join(stand.path, "upper");
});

afterEach(async () => {
  await Promise.all(agents.map((each) => each.end()));
  await stand.veneer("umount", "mnt");
  await stand.remove();
});

describe("the start", () => {
  test("says once what is lost, and the log names the transport", async () => {
    const mount = ["mount", "--transport", "fuse-native", "--log-file", "log", "-o"];
    const { status, stderr } = await stand.veneer(...mount, `${layers},allow_other`, "mnt");
    expect(status).toBe(0);
    expect(stderr.split("\n")).toEqual([
      expect.stringContaining(
        "whole milliseconds, and makes no change of atime or mtime alone: see docs/fuse-native.md",
      ),
      expect.stringContaining("what other users make will belong to root"),
      expect.stringContaining("ACLs are kept, but not obeyed"),
      "",
    ]);
    await stand.veneer("umount", "mnt");
    const lines = readFileSync(join(stand.path, "log"), "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { level: "info", msg: "mounted", transport: "fuse-native", mountpoint: mnt },
      { level: "info", msg: "unmounted", transport: "fuse-native", mountpoint: mnt },
    ]);
    expect(await stand.veneer(...mount, "lowerdir=lower", "mnt")).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("the mount is root's alone, unless others are let in", async () => {
    await stand.mount("--transport", "fuse-native");
    const user = agent();
    await user.become(1000, 1000, []);
    await refuses("EACCES", user.list(mnt));
    expect(await agent().list(mnt)).toEqual(["file"]);
  });

  test("takes generic options, and any mountpoint", async () => {
    const odd = join(stand.path, "odd, \xff\\");
    await runOk(["bash", "-c", `mkdir "$(printf 'odd, \\377\\\\')"`], stand.path);
    const options =
      "lowerdir=lower,ro,nosuid,noexec,nodiratime,entry_timeout=1,negative_timeout=0.5,attr_timeout=2,max_read=65536,fsname=a\\,b,use_ino,hard_remove,big_writes,lazytime,silent";
    expect(
      await stand.shell(`"$V" mount --transport fuse-native -o '${options}' "$(printf 'odd, \\377\\\\')"`),
    ).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(stand.mounts()).toEqual([odd]);
    const line = readFileSync("/proc/self/mountinfo", "latin1")
      .split("\n")
      .find((each) => each.includes(`${stand.path}/odd`));
    expect(line).toMatch(/ ro,nosuid,noexec,nodiratime,relatime - fuse.veneer a,b ro,.*max_read=65536/);
    expect(await stand.shell(`"$V" umount "$(printf 'odd, \\377\\\\')"`)).toMatchObject({ status: 0, stderr: "" });
    expect(await stand.processesAfter(5000)).toEqual([]);
  });

  test.each(["direct", "fuse-native"])(
    "an xattr of the mountpoint, in no list, says that it is by %s",
    async (name) => {
      await stand.mount("--transport", name);
      const sys = agent();
      expect(await sys.getxattr(mnt, "user.veneer.transport")).toBe(name);
      expect(await sys.listxattr(mnt)).toEqual([]);
      await refuses("ENODATA", sys.getxattr(`${mnt}/file`, "user.veneer.transport"));
    },
  );

  test("npm installs it from the lock file without a compiler, and it serves by the libfuse that comes with it", async () => {
    const copy = copyOfVeneer("package-lock.json", ".npmrc");
    const npm = realpathSync((await runOk(["sh", "-c", "command -v npm"])).trim());
    // No program but a shell is to be found.
    mkdirSync(join(stand.path, "bin"));
    symlinkSync("/bin/sh", join(stand.path, "bin/sh"));
    const path = `PATH=${join(stand.path, "bin")}`;
    const options = ["ci", "--omit=dev", "--prefer-offline", "--no-audit", "--no-fund", "--prefix", copy];
    await runOk(["env", path, process.execPath, npm, ...options], stand.path, 50_000);
    const { status } = await stand.run(
      join(copy, "bin/veneer"),
      "mount",
      "--transport",
      "fuse-native",
      "-o",
      layers,
      "mnt",
    );
    expect(status).toBe(0);
    expect(readFileSync(`/proc/${stand.onlyProcess()}/maps`, "latin1").match(/\/\S*libfuse\S*/g)).toContainEqual(
      join(copy, "node_modules/fuse-native/prebuilds/linux-x64/libfuse.so"),
    );
    expect(await agent().list(mnt)).toEqual(["file"]);
  });

  test("without the package there is a sentence, and nothing mounted; the other transport is there", async () => {
    const copy = copyOfVeneer();
    mkdirSync(join(copy, "node_modules"));
    for (const name of readdirSync(join(root, "node_modules")).filter((each) => each !== "fuse-native")) {
      symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name));
    }
    const veneer = (...args: string[]) => stand.run("copy/bin/veneer", ...args);
    const { status, stderr } = await veneer("mount", "--transport", "fuse-native", "-o", "lowerdir=lower", "mnt");
    expect(status).toBe(38);
    expect(stderr).toMatch(
      /^veneer: the transport fuse-native can't be loaded \(Cannot find module 'fuse-native\/package.json'\): install .*\n$/,
    );
    expect(stand.mounts()).toEqual([]);
    expect(await stand.processesAfter(3000)).toEqual([]);
    expect((await veneer("mount", "-o", "lowerdir=lower", "mnt")).status).toBe(0);
  });
});

describe("what is mended", () => {
  test("names are bytes: of files, targets and xattrs, in the view and in the upper", async () => {
    const sys = agent();
    const [odd, replacement] = ["odd\xff\n", "\xef\xbf\xbd"];
    await sys.writeFile(join(stand.path, "lower", odd), "lower");
    await stand.mount("--transport", "fuse-native");
    await sys.mkdir(`${mnt}/\xfe`);
    await sys.rename(`${mnt}/${odd}`, `${mnt}/\xfe/\xc3`);
    await sys.writeFile(`${mnt}/${replacement}`, "another");
    await sys.link(`${mnt}/\xfe/\xc3`, `${mnt}/\xfe/\xed\xa0\x80`);
    await sys.symlink("\xff/target", `${mnt}/\xfe/link`);
    await sys.setxattr(`${mnt}/\xfe/link`, "trusted.\xff", "v");
    for (const root of [mnt, upper]) {
      expect(await sys.readFile(`${root}/\xfe/\xed\xa0\x80`)).toBe("lower");
      expect(await sys.readlink(`${root}/\xfe/link`)).toBe("\xff/target");
      expect(await sys.getxattr(`${root}/\xfe/link`, "trusted.\xff")).toBe("v");
      expect(await sys.list(`${root}/\xfe`)).toEqual(["link", "\xc3", "\xed\xa0\x80"]);
    }
    expect(await sys.list(mnt)).toEqual(["file", replacement, "\xfe"]);
    await refuses("ENOENT", sys.lstat(`${mnt}/${odd}`));
    await refuses("ENOENT", sys.lstat(`${mnt}/\xff`));
  });

  test("a file that is removed while it is open goes at once, and stays usable", async () => {
    const sys = agent();
    await stand.mount("--transport", "fuse-native");
    const fd = await sys.open(`${mnt}/file`, "O_RDWR");
    await sys.unlink(`${mnt}/file`);
    expect(await sys.list(mnt)).toEqual([]);
    await sys.pwrite(fd, "F", 0);
    expect(await sys.pread(fd, 20, 0)).toBe("From the lower\n");
    await sys.close(fd);
    expect((await sys.lstat(`${upper}/file`)).type).toBe("char");
    expect(await sys.list(upper)).toEqual(["file"]);
  });

  test("a file that is replaced while it is open is replaced in one step", async () => {
    const [sys, watcher] = [agent(), agent()];
    await stand.mount("--transport", "fuse-native");
    const fd = await sys.open(`${mnt}/file`, "O_RDONLY");
    await sys.writeFile(`${mnt}/new`, "new");
    const seen = await watcher.inotify(upper, [["rename", [`${mnt}/new`, `${mnt}/file`]]]);
    const movedTo = 0x80;
    expect(seen.filter(([, name]) => name === "file")).toEqual([[movedTo, "file"]]);
    expect(await watcher.readFile(`${mnt}/file`)).toBe("new");
    expect(await sys.pread(fd, 20, 0)).toBe("from the lower\n");
  });

  test("callers wait for one copy-up, and others do not", async () => {
    writeFileSync(join(stand.path, "lower/big"), "x".repeat(64 << 20));
    await stand.mount("--transport", "fuse-native");
    const writers = [agent(), agent(), agent()];
    const reader = agent();
    await reader.list(mnt);
    const written = writers.map((each, index) => outcomeOf(each.appendFile(`${mnt}/big`, String(index))));
    expect(await reader.readFile(`${mnt}/file`)).toBe("from the lower\n");
    expect(await Promise.all(written)).toEqual(["ok", "ok", "ok"]);
    expect((await reader.lstat(`${upper}/big`)).size).toBe((64 << 20) + 3);
  });
});
