/** What programs that call the command rely on: when it returns, what it lets go of, and how it may be called. */
import { readFileSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { descriptorsOf, pause, Stand, veneerProgram } from "./stand.ts";

const success = { status: 0, stdout: "", stderr: "" };
let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

afterEach(() => stand.remove());

function statusField(pid: number, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
}

function commandLine(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "latin1");
}

describe("the command returns", () => {
  it("when the mount is usable and not before, and says nothing", async () => {
    for (let round = 0; round < 5; round++) {
      const result = await stand.shell(
        '"$V" -o lowerdir=lower,upperdir=upper,workdir=work mnt && cat mnt/file && echo x > mnt/made && "$V" umount mnt && cat upper/made',
      );
      expect(result).toEqual({ ...success, stdout: "from the lower\nx\n" });
    }
  });

  it("and lets go of the caller's pipes at once", async () => {
    // cat sees the end only when no process holds the other end any more.
    const start = Date.now();
    const result = await stand.shell('"$V" mount -o lowerdir=lower mnt 2>&1 7>&1 | cat; echo end; cat mnt/file');
    expect(result).toEqual({ ...success, stdout: "end\nfrom the lower\n" });
    expect(Date.now() - start).toBeLessThan(20_000);
    expect(stand.processes(), "the daemon").toHaveLength(1);
  });

  it("and keeps none of the caller's descriptors, whatever their numbers", async () => {
    const line =
      'exec 3<lower/file 4<lower/file 9<lower/file 40<lower/file 97<lower/file 800<lower/file; "$V" -o lowerdir=lower mnt';
    expect(await stand.run("bash", "-c", line.replace('"$V"', veneerProgram))).toEqual(success);
    const open = [...descriptorsOf(stand.onlyProcess()).values()];
    expect(open.filter((target) => target.endsWith("/lower/file"))).toEqual([]);
  });

  it("and leaves a daemon in a session of its own, in /, with umask 0 and 0, 1, 2 on /dev/null", async () => {
    const pid = await stand.mount();
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe("/");
    const afterName = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ") ?? [];
    expect({ group: Number(afterName[2]), session: Number(afterName[3]), terminal: afterName[4] }).toEqual({
      group: pid,
      session: pid,
      terminal: "0",
    });
    expect(statusField(pid, "Umask")).toBe("0000");
    const open = descriptorsOf(pid);
    expect([0, 1, 2].map((fd) => open.get(fd))).toEqual(["/dev/null", "/dev/null", "/dev/null"]);
    expect([...open.values()].filter((target) => target.startsWith("socket:"))).toEqual([]);
  });

  it("and the daemon keeps neither the mountpoint's nor the layers' file systems busy", async () => {
    const line = `mkdir fs && mount -t tmpfs none fs && mkdir fs/l fs/u fs/w && echo hi > fs/l/f && \
      "$V" -o lowerdir=fs/l,upperdir=fs/u,workdir=fs/w mnt && umount fs && cat mnt/f && echo x > mnt/g && cat mnt/g`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "hi\nx\n" });
  });
});

describe("a caller that does not wait", () => {
  /** The daemon of a mount that is just being made. */
  async function startingDaemon(): Promise<number> {
    for (let tries = 0; tries < 2_000; tries++) {
      const daemon = stand.processes().find((pid) => commandLine(pid).includes("daemon-process"));
      if (daemon !== undefined) {
        return daemon;
      }
      await pause(2);
    }
    throw new Error("no daemon was started");
  }

  it("for the command, being killed: no mount comes of it", async () => {
    const running = stand.veneer("mount", "-o", "lowerdir=lower", "mnt");
    const daemon = await startingDaemon();
    process.kill(daemon, "SIGSTOP");
    expect(stand.mounts(), "stopped in time").toEqual([]);
    for (const pid of stand.processes().filter((each) => each !== daemon)) {
      process.kill(pid, "SIGKILL");
    }
    expect((await running).status).toBe(-1);
    process.kill(daemon, "SIGCONT");
    expect(await stand.processesAfter(10_000)).toEqual([]);
    expect(stand.mounts()).toEqual([]);
  });

  it("learns of a daemon that is killed as soon as it has mounted, and finds no dead mount", async () => {
    for (let round = 0; round < 10; round++) {
      const running = stand.veneer("mount", "-o", "lowerdir=lower", "mnt");
      const daemon = await startingDaemon();
      while (stand.mounts().length === 0) {
        // Without a pause: what follows must come before the daemon is ready.
      }
      process.kill(daemon, "SIGKILL");
      const result = await running;
      if (result.status === 0) {
        // It was ready nevertheless.
        expect(await stand.veneer("umount", "mnt")).toEqual(success);
        continue;
      }
      expect(result).toEqual({
        status: 2,
        stdout: "",
        stderr: "veneer: the daemon ended before the mount was ready: try again with -f to see why\n",
      });
      expect(stand.mounts()).toEqual([]);
      return;
    }
    throw new Error("the daemon was ready each time before it could be killed");
  });

  it("between umount(8) and the next mount of the same layers", async () => {
    const again = "umount mnt && $V -o lowerdir=lower,upperdir=upper,workdir=work mnt";
    await stand.mount();
    expect(await stand.shell(`${again} && ${again} && ${again} && cat mnt/file`)).toEqual({
      ...success,
      stdout: "from the lower\n",
    });
  });
});

describe("options", () => {
  it("that are unknown are named once on stderr and ignored; those for others are not named", async () => {
    const result = await stand.veneer(
      "-o",
      "lowerdir=lower,yarg=0,frob,,x-y.z,user=root",
      "-o",
      "nofail,frob=2,",
      "mnt",
    );
    expect(result).toEqual({ ...success, stderr: "veneer: ignoring unknown options yarg, frob\n" });
  });

  /** Per-mount options and those of the superblock, sorted. */
  async function optionsWith(options: string): Promise<string[]> {
    expect(await stand.veneer("-o", `lowerdir=lower,upperdir=upper,workdir=work,${options}`, "mnt")).toEqual(success);
    const line = readFileSync("/proc/self/mountinfo", "latin1")
      .split("\n")
      .find((each) => each.split(" ")[4] === join(stand.path, "mnt"));
    expect(await stand.veneer("umount", "mnt")).toEqual(success);
    const fields = line?.split(" ") ?? [];
    return [...new Set([...(fields[5]?.split(",") ?? []), ...(fields.at(-1)?.split(",") ?? [])])].sort();
  }

  it("reach the kernel as those of any file system", async () => {
    const always = ["default_permissions", "group_id=0", "user_id=0"];
    expect(await optionsWith("suid")).toEqual(["allow_other", "relatime", "rw", ...always].sort());
    expect(await optionsWith("ro,nosuid,nodev,noexec,noatime,max_read=8192,default_permissions,allow_other")).toEqual(
      ["allow_other", "max_read=8192", "noatime", "nodev", "noexec", "nosuid", "ro", ...always].sort(),
    );
    expect(await optionsWith("ro,rw,nosuid,suid,allow_root,sync,nodiratime")).toEqual(
      ["nodiratime", "relatime", "rw", "sync", ...always].sort(),
    );
  });

  it("allow_root shuts out everyone but root; by default all may come in", async () => {
    const asNobody = "setpriv --reuid 65534 --regid 65534 --clear-groups cat mnt/file";
    const script = (options: string): string =>
      `"$V" -o lowerdir=lower${options} mnt; ${asNobody}; echo $?; cat mnt/file; "$V" umount mnt`;
    expect(await stand.shell(script(""))).toEqual({ ...success, stdout: "from the lower\n0\nfrom the lower\n" });
    expect(await stand.shell(script(",allow_root"))).toEqual({
      status: 0,
      stdout: "1\nfrom the lower\n",
      stderr: expect.stringContaining("Permission denied"),
    });
  });

  it("fsname and subtype show in the table of mounts; umount of ours knows only its own type", async () => {
    expect(await stand.veneer("-o", "lowerdir=lower,fsname=a b,subtype=odd", "mnt")).toEqual(success);
    const line = readFileSync("/proc/self/mountinfo", "latin1")
      .split("\n")
      .find((each) => each.includes(join(stand.path, "mnt")));
    expect(line).toContain(" - fuse.odd a\\040b ");
  });

  it("a mount without upper is read-only, whatever it was asked to be", async () => {
    expect(await stand.veneer("-o", "rw,lowerdir=lower", "mnt")).toEqual(success);
    expect(await stand.shell("touch mnt/new")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("Read-only"),
    });
  });
});

describe("ways to call it", () => {
  it("by another name, through symlinks, from anywhere", async () => {
    symlinkSync(veneerProgram, join(stand.path, "one"));
    symlinkSync("one", join(stand.path, "fuse-overlayfs"));
    const mount = "-o lowerdir=lower mnt && cat mnt/file && umount mnt";
    const wanted = { ...success, stdout: "from the lower\n" };
    expect(await stand.shell(`./fuse-overlayfs ${mount}`)).toEqual(wanted);
    expect(await stand.shell(`PATH=$PWD:$PATH fuse-overlayfs ${mount}`)).toEqual(wanted);
  });

  it("in every order that podman, buildah and mount(8) have, with empty options and quotes", async () => {
    const l = "lowerdir=lower";
    const u = "upperdir=upper,workdir=work";
    const calls = [
      ["-o", `${l},${u},,volatile`, "mnt"],
      ["any", "mnt", "-o", `${l},`, "-o", `,${u},`],
      ["-o", `${l},${u}`, "any", "mnt"],
      ["mnt", `-o${l}`, "-o", "", "-o", `${u},private`],
      ["-o", `context="u:o:t:s0:c1,c2",${l},${u},rw,noexec`, "mnt"],
      ["-o", `${l},fsync=0,timeout=10,${u},threaded=1,writeback=0`, "mnt"],
    ];
    for (const call of calls) {
      expect(await stand.veneer(...call), call.join(" ")).toEqual(success);
      const line = "cat mnt/file && echo x >mnt/new && $V umount mnt && cat upper/new && rm -rf upper/new work/work";
      expect(await stand.shell(line), call.join(" ")).toMatchObject({ status: 0, stdout: "from the lower\nx\n" });
    }
  });

  it("without any environment, as mount(8) calls its helpers", async () => {
    const node = process.execPath;
    const inPlace = ["/usr/local/bin/node", "/usr/bin/node"].includes(node);
    expect(inPlace, `this test wants node where a system has it, not at ${node}`).toBe(true);
    const result = await stand.run(
      "env",
      "-i",
      veneerProgram,
      "veneer",
      "mnt",
      "-o",
      "rw,lowerdir=lower",
      "-o",
      "dev,suid",
    );
    expect(result).toEqual(success);
    expect(await stand.veneer("umount", "mnt")).toEqual(success);
  });

  it("with layers as relative paths, through symlinks and .. behind them", async () => {
    const line = `mkdir -p store/A/diff store/B/diff l && echo a > store/A/diff/a && echo b > store/B/diff/b &&
      ln -s ../store/A/diff l/AAA && ln -s ../store/B/diff l/BBB && "$V" -o lowerdir=l/AAA:l/AAA/../../B/diff mnt && ls mnt`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "a\nb\n" });
  });

  it("with names of any bytes, colons, commas and backslashes among them", async () => {
    const line = `n=$(printf 'n\\377,:\\134 x'); mkdir "$n" "$n.u" "$n.w" "$n.m" && echo found > "$n/f" || exit
      esc() { printf %s "$1" | LC_ALL=C sed 's/[,:\\\\]/\\\\&/g'; }
      "$V" -o "lowerdir=$(esc "$n"),upperdir=$(esc "$n.u"),workdir=$(esc "$n.w")" "$n.m" && cat "$n.m/f" && "$V" umount "$n.m" || exit
      "$V" --lower "$n" --upper "$n.u" --work "$n.w" "$n.m" && cat "$n.m/f" && "$V" umount "$n.m"`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "found\nfound\n" });
  });

  it("with more lowers than a page holds", async () => {
    const line = `i=0; while [ $i -lt 600 ]; do d=layers/layer-with-a-rather-long-name-$i; mkdir -p $d; echo $i > $d/f$i; all=$all:$d; i=$((i+1)); done
      "$V" -o "lowerdir=\${all#:}" mnt && cat mnt/f0 mnt/f599 && ls mnt | wc -l`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "0\n599\n600\n" });
  });

  it("over itself: layers beneath the mountpoint, and the mountpoint beneath a layer", async () => {
    const line = `mkdir lower/u lower/w lower/m && "$V" -o lowerdir=lower,upperdir=lower/u,workdir=lower/w lower/m &&
      ls lower/m/m && cat lower/m/file && echo x > lower/m/new && cat lower/u/new && "$V" umount lower/m &&
      mkdir mnt/l && echo y > mnt/l/y && "$V" -o lowerdir=mnt/l mnt && ls mnt`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "from the lower\nx\ny\n" });
  });

  it("in the foreground: lines of JSON on stderr, two for each request when debugging", async () => {
    const running = stand.veneer("mount", "-d", "-o", "lowerdir=lower", "mnt");
    while (stand.mounts().length === 0) {
      await pause(20);
    }
    expect(await stand.shell("cat mnt/file; umount mnt")).toEqual({ ...success, stdout: "from the lower\n" });
    const { status, stdout, stderr } = await running;
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
    const lines = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const of = (msg: string, op: string): number => lines.filter((line) => line.msg === msg && line.op === op).length;
    expect(of("rx", "LOOKUP")).toBe(1);
    expect(of("tx", "LOOKUP")).toBe(1);
    expect(lines.map((line) => line.msg)).toEqual(expect.arrayContaining(["mounted", "unmounted"]));
  });

  it("with a log file: what is above its level, and nothing without one", async () => {
    const pid = await stand.mount("--log-file", "log", "--log-level", "info");
    expect(await stand.veneer("umount", "mnt")).toEqual(success);
    const lines = readFileSync(join(stand.path, "log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ level, pid: by, msg }) => ({ level, by, msg }))).toEqual([
      { level: "info", by: pid, msg: "mounted" },
      { level: "info", by: pid, msg: "unmounted" },
    ]);
  });
});
