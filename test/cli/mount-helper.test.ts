/** As a helper of mount(8), of an fstab and of containerd: /sbin/mount.fuse.veneer, which is bin/veneer by another name. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Descriptors, descriptorsOf, pause, Stand, veneerProgram } from "./stand.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const success = { status: 0, stdout: "", stderr: "" };
const layers = "lowerdir=lower,upperdir=upper,workdir=work";
let stand: Stand;

beforeEach(() => {
  stand = new Stand();
  mkdirSync(join(stand.path, "sbin"));
  symlinkSync(veneerProgram, join(stand.path, "sbin/mount.fuse.veneer"));
});

afterEach(() => stand.remove());

/** The line in a mount namespace where /sbin has the helper too, and mount(8) finds it. */
function withHelper(line: string): Promise<object> {
  const sbin = 'mount -t overlay -o "lowerdir=$PWD/sbin:$(readlink -f /sbin)" none "$(readlink -f /sbin)"';
  return stand.run("unshare", "--mount", "sh", "-c", `${sbin} && ${line}`);
}

describe("mount(8)", () => {
  it("mounts, remounts and unmounts the type fuse.veneer", async () => {
    const options = "findmnt -n -o FS-OPTIONS,VFS-OPTIONS --mountpoint $PWD/mnt";
    const line = `mount -t fuse.veneer any mnt -o lowerdir=$PWD/lower -o upperdir=$PWD/upper,workdir=$PWD/work,nodev &&
      echo 1 >mnt/one && mount -o remount,ro mnt && { touch mnt/two; echo $?; ${options} | grep -o -w ro; } 2>/dev/null
      mount -o remount,rw mnt && echo 2 >mnt/two && umount mnt && cat upper/one upper/two`;
    expect(await withHelper(line)).toEqual({ ...success, stdout: "1\nro\nro\n1\n2\n" });
    expect(await stand.processesAfter(5_000)).toEqual([]);
  });

  it("mounts what an fstab says, with all that it says to others", async () => {
    const others = "user,users,nofail,noauto,auto,_netdev,x-systemd.requires=/srv,X-any,comment=c,suid,exec";
    const absolute = layers.replaceAll("=", `=${stand.path}/`);
    writeFileSync(join(stand.path, "fstab"), `none ${stand.path}/mnt fuse.veneer ${absolute},${others} 0 0\n`);
    expect(await withHelper("mount --fstab fstab $PWD/mnt && cat mnt/file && umount mnt")).toEqual({
      ...success,
      stdout: "from the lower\n",
    });
  });

  it("mounts by mount -a what is not mounted, remounts it by its line, and unmounts it, as with the kernel's overlayfs", async () => {
    const { path } = stand;
    mkdirSync(join(path, "kernel"));
    const kernel = `lowerdir=${path}/lower,upperdir=${path}/kernel/upper,workdir=${path}/kernel/work`;
    const fstab = `none ${path}/kernel/mnt overlay ${kernel} 0 0
      none ${path}/mnt fuse.veneer ${layers.replaceAll("=", `=${path}/`)},noatime 0 0\n`;
    writeFileSync(join(path, "fstab"), fstab);
    const seen = (at: string) => `findmnt -n -o SOURCE,VFS-OPTIONS --mountpoint $PWD/${at}`;
    const line = `mkdir kernel/upper kernel/work kernel/mnt; M="mount --fstab fstab"
      $M -a && $M -a && $M -a -t fuse.veneer; echo $?; ${seen("kernel/mnt")}; ${seen("mnt")}
      for at in kernel/mnt mnt; do $M -o remount,ro $PWD/$at; echo $?; touch $at/x 2>/dev/null; echo $?; ${seen("$at")}
        $M -o remount,rw $PWD/$at; echo $?; touch $at/x; ${seen("$at")}; umount $PWD/$at; echo $?; mountpoint -q $at; echo $?; done
      $M $PWD/mnt && ls mnt && umount mnt`;
    const ofOne = (flags: string) => `0\n1\nnone   ro,${flags}\n0\nnone   rw,${flags}\n0\n32\n`;
    const both = `0\nnone   rw,relatime\nnone   rw,noatime\n${ofOne("relatime")}${ofOne("noatime")}file\nx\n`;
    expect(await withHelper(line)).toEqual({ ...success, stdout: both });
  });

  it("mounts for a plain user a line that lets him", async () => {
    const { path } = stand;
    writeFileSync(
      join(path, "fstab"),
      `none ${path}/mnt fuse.veneer noauto,user,${layers.replaceAll("=", `=${path}/`)} 0 0\n`,
    );
    // As most systems have /dev/fuse; fusermount3 wants users to have a name; and the program may lie where he can't go.
    const line = `chmod 755 . && chown -R 4242:4242 lower upper work mnt && mkdir repository
      mount --bind '${repository}' repository && ln -s -f "$PWD/repository/bin/veneer" sbin/mount.fuse.veneer
      { cat /etc/passwd; echo "veneer-test:x:4242:4242::/:/bin/sh"; } >passwd && mknod -m 666 fuse c 10 229
      mount --bind passwd /etc/passwd && mount --bind fuse /dev/fuse && mount --bind fstab /etc/fstab
      setpriv --reuid 4242 --regid 4242 --clear-groups sh -c "mount $PWD/mnt && cat mnt/file && echo his >mnt/new; findmnt -n -o OPTIONS mnt; umount $PWD/mnt"
      stat -c "%u %n" upper/*`;
    const options = "rw,nosuid,nodev,noexec,relatime,user_id=4242,group_id=4242,default_permissions";
    expect(await withHelper(line)).toEqual({ ...success, stdout: `from the lower\n${options}\n4242 upper/new\n` });
  });

  it("says why it can't", async () => {
    expect(await withHelper("mount -t fuse.veneer any mnt -o lowerdir=/absent; echo $?; mountpoint -q mnt")).toEqual({
      status: 32,
      stdout: "33\n",
      stderr: "veneer: lowerdir /absent does not exist: create the directory, or correct the path\n",
    });
  });

  it("mounts in another mount namespace, whose paths hold", async () => {
    const line = `mount -t tmpfs none upper && unshare --mount sh -c 'mount -t tmpfs none lower && echo there >lower/file && touch ready && exec sleep 30' &
      pid=$!; while ! [ -e ready ]; do sleep 0.02; done
      mount -N $pid -t fuse.veneer any $PWD/mnt -o lowerdir=$PWD/lower && nsenter --mount=/proc/$pid/ns/mnt cat $PWD/mnt/file; ls mnt; kill $pid`;
    expect(await withHelper(line)).toEqual({ ...success, stdout: "there\n" });
  });
});

describe("the helper", () => {
  const helper = (...args: string[]) => stand.run("env", "-i", join(stand.path, "sbin/mount.fuse.veneer"), ...args);

  it("needs no environment, takes the flags of mount(8), and lets go of the caller's descriptors", async () => {
    expect(await helper("any", "mnt", "-s", "-n", "-v", "-o", `rw,${layers},dev,suid`, "-t", "fuse.veneer")).toEqual(
      success,
    );
    expect(await stand.shell("cat mnt/file && $V umount mnt")).toEqual({ ...success, stdout: "from the lower\n" });
  });

  it("with -f looks at its arguments alone", async () => {
    expect(await helper("any", "mnt", "-f", "-o", layers)).toEqual(success);
    expect(await helper("any", "mnt", "-f", "-o", "upperdir=upper")).toMatchObject({ status: 1 });
    expect(stand.mounts()).toEqual([]);
  });

  it("gives a mount without an upper no right to write", async () => {
    expect(await helper("any", "mnt", "-o", "lowerdir=lower")).toEqual(success);
    expect(await helper("any", "mnt", "-o", "remount,rw")).toEqual({
      ...success,
      status: 38,
      stderr: "veneer: mnt has no upperdir, so that it stays read-only: mount it with one\n",
    });
    expect(await stand.shell("touch mnt/x")).toMatchObject({ stderr: expect.stringContaining("Read-only") });
  });

  it("does not make read-only what is being written to", async () => {
    await stand.mount();
    const line = 'exec 5>mnt/open; "$V" -o remount,ro mnt; echo $?; exec 5>&-; "$V" -o remount,ro mnt && touch mnt/x';
    const { stdout, stderr } = await stand.shell(line);
    expect(stdout).toBe("38\n");
    expect(stderr).toMatch(/^veneer: mnt can't become read-only, as files in it are open for writing.*\n.*Read-only/);
  });

  it("remounts only what is ours and is there", async () => {
    expect(await helper("any", "mnt", "-o", "remount,ro")).toMatchObject({
      status: 35,
      stderr: "veneer: mnt is not a mountpoint: nothing is to be remounted\n",
    });
    expect(await helper("any", "absent", "-o", "remount,ro")).toMatchObject({ status: 35 });
    expect(await helper("any", "/proc", "-o", "remount,ro")).toMatchObject({ status: 35 });
  });
});

describe("a mountpoint /dev/fd/N, which is the /dev/fuse of a mount that is there", () => {
  const script = fileURLToPath(new URL("../support/given-fuse.py", import.meta.url));
  const given = (number: number, mountpoint: string, ...command: string[]) =>
    stand.run("python3", script, String(number), mountpoint, ...command);
  const sources = () =>
    readFileSync("/proc/self/mounts", "latin1")
      .split("\n")
      .filter((line) => line.includes(stand.path));

  it.each([3, 7, 250])("is served, and nothing mounted: N=%d", async (number) => {
    expect(await given(number, "mnt", veneerProgram, "-o", layers, `/dev/fd/${number}`)).toEqual(success);
    const pid = stand.onlyProcess();
    expect(sources()).toEqual([expect.stringMatching(/^given .*,default_permissions,allow_other/)]);
    expect([...descriptorsOf(pid)].filter(([, target]) => target === "/dev/fuse")).toEqual([[number, "/dev/fuse"]]);
    expect(await stand.shell("cat mnt/file && echo x >mnt/made && umount mnt && cat upper/made")).toEqual({
      ...success,
      stdout: "from the lower\nx\n",
    });
    expect(await stand.processesAfter(5_000)).toEqual([]);
  });

  it("is unmounted and ends by SIGTERM, as any mount; also in the foreground", async () => {
    expect(await given(5, "mnt", veneerProgram, "-o", layers, "/dev/fd/5")).toEqual(success);
    process.kill(stand.onlyProcess(), "SIGTERM");
    expect(await stand.processesAfter(10_000)).toEqual([]);
    expect(stand.mounts()).toEqual([]);
    const line = `python3 ${script} 5 mnt "$V" -f -o ${layers} /dev/fd/5 2>log & until [ -e mnt/file ]; do sleep 0.05; done; umount mnt; wait $!; echo $?`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "0\n" });
  });

  it.each(["SIGTERM", "SIGINT"] as const)(
    "is unmounted by %s while the kernel has yet to speak, and the command fails",
    async (signal) => {
      const running = stand.run(
        "env",
        "FIRST_MESSAGE=taken",
        "python3",
        script,
        "5",
        "mnt",
        veneerProgram,
        "-o",
        layers,
        "/dev/fd/5",
      );
      let daemon: number | undefined;
      while (daemon === undefined) {
        await pause(20);
        daemon = stand.daemon();
      }
      process.kill(daemon, signal);
      expect(await running).toEqual({
        status: 38,
        stdout: "",
        stderr: `veneer: interrupted by ${signal} before the mount was ready\n`,
      });
      expect(stand.mounts()).toEqual([]);
      expect(await stand.processesAfter(5_000)).toEqual([]);
    },
  );

  it("by mount.fuse3 -o drop_privileges: the daemon has none", async () => {
    symlinkSync(veneerProgram, join(stand.path, "veneer"));
    const argv = ["any", "mnt", "-o", `drop_privileges,allow_other,${layers}`, "-t", "veneer"];
    const path = `PATH=${stand.path}:/usr/sbin:/usr/bin:/sbin:/bin`;
    expect(await stand.run("env", path, "mount.fuse3", ...argv)).toEqual(success);
    const status = readFileSync(`/proc/${stand.onlyProcess()}/status`, "latin1");
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(
      await stand.shell(
        "echo x >>mnt/file; mkdir mnt/d; mv mnt/file mnt/d; ls mnt mnt/d; umount mnt; stat -c %F upper/file",
      ),
    ).toEqual({
      ...success,
      stdout: "mnt:\nd\n\nmnt/d:\nfile\ncharacter special file\n",
    });
    expect(await stand.processesAfter(5_000)).toEqual([]);
  });

  it("is refused where there is no such descriptor, or none that is mounted", async () => {
    const refused = (sentence: string) => ({ status: 35, stdout: "", stderr: expect.stringContaining(sentence) });
    expect(await given(5, "", veneerProgram, "-o", layers, "/dev/fd/5")).toEqual(
      refused("by which nothing is mounted"),
    );
    expect(await given(5, "", veneerProgram, "-o", layers, "/dev/fd/300")).toEqual(refused("does not exist"));
    expect(await stand.shell(`exec 5<lower/file; "$V" -o ${layers} /dev/fd/5`)).toEqual(refused("is not a directory"));
    expect(await stand.processesAfter(3_000)).toEqual([]);
  });

  it("may still be a directory", async () => {
    expect(await stand.shell(`exec 5<mnt; "$V" -o ${layers} /dev/fd/5; exec 5<&-; cat mnt/file; umount mnt`)).toEqual({
      ...success,
      stdout: "from the lower\n",
    });
  });
});

describe("containerd's types fuse3.X", () => {
  it("by mount.fuse3, which starts a program of that name", async () => {
    symlinkSync(veneerProgram, join(stand.path, "veneer"));
    const argv = ["any", "mnt", "-o", "lowerdir=lower", "-o", "upperdir=upper,workdir=work", "-t", "veneer"];
    const path = `PATH=${stand.path}:/usr/sbin:/usr/bin:/sbin:/bin`;
    expect(await stand.run("env", path, "mount.fuse3", ...argv)).toEqual(success);
    const open: Descriptors = descriptorsOf(stand.onlyProcess());
    expect([0, 1, 2].map((fd) => open.get(fd))).toEqual(["/dev/null", "/dev/null", "/dev/null"]);
    expect(await stand.shell("cat mnt/file && umount mnt")).toEqual({ ...success, stdout: "from the lower\n" });
  });
});
