/** The daemon ends with its mount, in whichever way that goes; and on a signal it takes the mount with it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pause, Stand, veneerProgram } from "./stand.ts";

const success = { status: 0, stdout: "", stderr: "" };
let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

afterEach(() => stand.remove());

/** No mount, no process, nothing staged; and the same layers can be mounted again. */
async function expectCleanEnd(): Promise<void> {
  expect(await stand.processesAfter(10_000), "processes left").toEqual([]);
  expect(stand.mounts(), "mounts left").toEqual([]);
  expect(readdirSync(join(stand.path, "work")), "left in workdir").toEqual([]);
  await stand.mount();
  expect(await stand.shell('cat mnt/file mnt/made; "$V" umount mnt')).toEqual({
    ...success,
    stdout: "from the lower\nx\n",
  });
}

/** Something for the daemon to have done before it ends. */
async function use(): Promise<void> {
  expect(await stand.shell("echo x > mnt/made && echo y > mnt/gone && rm mnt/gone")).toEqual(success);
}

/** FUSE's control file system in a namespace of its own: it is mounted nowhere on many machines. */
function abort(connection: string): Promise<object> {
  const file = `/sys/fs/fuse/connections/${connection}/abort`;
  return stand.shell(
    `unshare -m --propagation private sh -c 'mount -t fusectl none /sys/fs/fuse/connections && echo 1 > ${file}'`,
  );
}

describe("the daemon ends by itself", () => {
  it("after umount(8)", async () => {
    await stand.mount();
    await use();
    expect(await stand.run("umount", "mnt")).toEqual(success);
    await expectCleanEnd();
  });

  it("before `veneer umount` returns", async () => {
    await stand.mount();
    await use();
    expect(await stand.veneer("umount", "mnt")).toEqual(success);
    expect(stand.processes()).toEqual([]);
    await expectCleanEnd();
  });

  it("after umount -l, but not before the last user is done", async () => {
    const pid = await stand.mount();
    await use();
    const line = `exec 5<mnt/file 6>mnt/late; umount -l mnt; sleep 1; kill -0 ${pid} && cat <&5 && echo late >&6`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "from the lower\n" });
    expect(readFileSync(join(stand.path, "upper/late"), "latin1")).toBe("late\n");
    await expectCleanEnd();
  });

  it("after an abort of its connection, and takes the dead mount away", async () => {
    await stand.mount();
    await use();
    expect(await abort(stand.connection())).toEqual(success);
    await expectCleanEnd();
  });

  it("when the last mount namespace that has the mount is gone", async () => {
    await stand.mount();
    await use();
    const other = stand.run(
      "unshare",
      "-m",
      "--propagation",
      "private",
      "sh",
      "-c",
      "echo in > ready; sleep 2; cat mnt/file",
    );
    while (!readdirSync(stand.path).includes("ready")) {
      await pause(20);
    }
    expect(await stand.run("umount", "mnt")).toEqual(success);
    expect(await other, "the other namespace goes on using it").toEqual({ ...success, stdout: "from the lower\n" });
    await expectCleanEnd();
  });

  it("with the namespaces that it was started in", async () => {
    const line = `"$V" mount -o lowerdir=lower,upperdir=upper,workdir=work mnt && cat mnt/file && echo x > mnt/made`;
    const result = await stand.shell(
      `unshare -m -p --fork --kill-child --mount-proc --propagation private sh -c '${line}'`,
    );
    expect(result).toEqual({ ...success, stdout: "from the lower\n" });
    expect(await stand.processesAfter(10_000)).toEqual([]);
    expect(stand.mounts()).toEqual([]);
    // Killed, not ended: what was staged may lie in workdir until the next mount.
    await stand.mount();
    expect(await stand.veneer("umount", "mnt")).toEqual(success);
    await expectCleanEnd();
  });
});

describe("the daemon of a mount that is gone", () => {
  it("leaves the next mount alone, though that has got the same place and the same numbers", async (context) => {
    const numbers = (): string[] =>
      readFileSync("/proc/self/mountinfo", "latin1")
        .split("\n")
        .map((line) => line.split(" "))
        .filter((fields) => fields[4] === join(stand.path, "mnt"))
        .map((fields) => `${fields[0]} ${fields[2]}`);
    for (let round = 0; round < 10; round++) {
      // A mount of any kind, to go with the first one: the layer's clone of the second gets its id.
      expect(await stand.shell("mkdir -p place && mount --bind lower place")).toEqual(success);
      const pid = await stand.mount();
      const before = numbers();
      process.kill(pid, "SIGSTOP");
      // umount(8) would ask the daemon first.
      const line = `python3 -c 'import ctypes; print(ctypes.CDLL(None).umount2(b"mnt", 8))'; umount place`;
      expect(await stand.shell(line)).toEqual({ ...success, stdout: "0\n" });
      expect(await stand.veneer("-o", "lowerdir=lower", "mnt")).toEqual(success);
      const met = numbers()[0] === before[0];
      process.kill(pid, "SIGCONT");
      while (stand.processes().includes(pid)) {
        await pause(20);
      }
      expect(await stand.shell("cat mnt/file && umount mnt")).toEqual({ ...success, stdout: "from the lower\n" });
      if (met) {
        return;
      }
    }
    context.skip("the numbers never met: other mounts of the machine came between each time");
  });
});

describe("a signal takes the mount down", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("%s, in the background", async (signal) => {
    const pid = await stand.mount();
    await use();
    process.kill(pid, signal);
    await expectCleanEnd();
  });

  it.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)("%s, in the foreground: exit code 0", async (signal) => {
    const running = stand.veneer(
      "mount",
      "-f",
      "--log-level",
      "warn",
      "-o",
      "lowerdir=lower,upperdir=upper,workdir=work",
      "mnt",
    );
    while (stand.mounts().length === 0) {
      await pause(20);
    }
    await use();
    // env and sh have become node by exec: one process.
    process.kill(stand.onlyProcess(), signal);
    expect(await running).toEqual(success);
    await expectCleanEnd();
  });

  it("SIGHUP means nothing to a daemon", async () => {
    const pid = await stand.mount();
    process.kill(pid, "SIGHUP");
    await pause(300);
    expect(await stand.shell("cat mnt/file")).toEqual({ ...success, stdout: "from the lower\n" });
    expect(stand.onlyProcess()).toBe(pid);
  });

  it("also where it is busy: what was written is kept, the users are cut off", async () => {
    const pid = await stand.mount("--log-file", "log");
    await use();
    // Pages that only the page cache knows, in a mapping that stays.
    const user = stand.run(
      "python3",
      "-c",
      `import mmap, os, sys, time
fd = os.open("mnt/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8192)
m = mmap.mmap(fd, 8192)
m[0:5] = b"begin"
m[8189:8192] = b"end"
open("ready", "w").close()
for _ in range(1000):
    try:
        os.stat(fd)
        os.pread(fd, 1, 0)
        os.listdir("mnt")
        os.fsync(fd)
    except OSError as error:
        print(error.strerror)
        sys.exit()
    time.sleep(0.05)`,
    );
    while (!readdirSync(stand.path).includes("ready")) {
      await pause(20);
    }
    process.kill(pid, "SIGTERM");
    expect(await user).toMatchObject({ status: 0, stdout: expect.stringMatching(/not connected|abort/) });
    const mapped = readFileSync(join(stand.path, "upper/mapped"), "latin1");
    expect([mapped.length, mapped.slice(0, 5), mapped.slice(-3)]).toEqual([8192, "begin", "end"]);
    expect(readFileSync(join(stand.path, "log"), "utf8")).toContain("the mount is busy");
    await expectCleanEnd();
  });
});

describe("a mount that is bound elsewhere too", () => {
  it("keeps its daemon until the last one is gone", async () => {
    const pid = await stand.mount();
    await use();
    const line = `mkdir copy && mount --bind mnt copy && umount mnt && sleep 0.5 && kill -0 ${pid} && cat copy/file && umount copy && rmdir copy`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "from the lower\n" });
    await expectCleanEnd();
  });

  it("is cut off by a signal", async () => {
    const pid = await stand.mount();
    await use();
    expect(await stand.shell("mkdir copy && mount --bind mnt copy")).toEqual(success);
    process.kill(pid, "SIGTERM");
    expect(await stand.processesAfter(10_000)).toEqual([]);
    expect(await stand.shell("cat copy/file || umount copy && rmdir copy")).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("not connected"),
    });
    await expectCleanEnd();
  });
});

describe("what goes wrong in a daemon without a log file", () => {
  it("is told to syslog", async () => {
    const script = `import os, signal, socket, subprocess, sys, time
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
log.settimeout(20)
subprocess.check_call([sys.argv[1], "-o", "lowerdir=lower,upperdir=upper,workdir=work", "mnt"])
held = open("mnt/file")
lines = [line.split() for line in open("/proc/self/mountinfo")]
minor = next(line[2].split(":")[1] for line in lines if line[4] == os.getcwd() + "/mnt")
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        name = open("/proc/" + pid + "/comm").read()
    except OSError:
        continue
    if name == "veneer-" + minor + "\\n":
        os.kill(int(pid), signal.SIGTERM)
print(log.recv(4096).decode())`;
    const line = `unshare -m --propagation private sh -c 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod /dev/fuse c 10 229 && mknod /dev/urandom c 1 9 && exec python3 -c "$SCRIPT" "$V"'`;
    const result = await stand.run("env", `SCRIPT=${script}`, `V=${veneerProgram}`, "sh", "-c", line);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/^<28>.* veneer\[\d+\]: \{"level":"warn",.*"msg":"the mount is busy: .*"\}$/m);
    expect(await stand.processesAfter(10_000)).toEqual([]);
  });
});

describe("a daemon that is killed", () => {
  it("leaves a dead mount, which umount removes, and layers that mount again", async () => {
    const pid = await stand.mount();
    await use();
    process.kill(pid, "SIGKILL");
    expect(await stand.processesAfter(5_000)).toEqual([]);
    expect(await stand.shell("cat mnt/file")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("not connected"),
    });
    expect(await stand.veneer("-o", "lowerdir=lower", "mnt"), "over the dead mount").toMatchObject({
      status: 35,
      stderr: expect.stringContaining("daemon is gone"),
    });
    expect(await stand.veneer("umount", "mnt")).toEqual(success);
    await stand.mount();
    expect(await stand.veneer("umount", "mnt")).toEqual(success);
    await expectCleanEnd();
  });
});
