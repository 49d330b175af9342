/** What holds when an unmount has returned, and a second later; and what does not end a mount. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pause, Stand } from "./stand.ts";

const success = { status: 0, stdout: "", stderr: "" };
let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

afterEach(() => stand.remove());

/** A busy machine has three tries to be quick once. */
const prompt = { retry: 2 };

async function waitFor(name: string): Promise<void> {
  while (!existsSync(join(stand.path, name))) {
    await pause(20);
  }
}

async function expectNoDaemonWithinASecond(): Promise<void> {
  expect(await stand.processesAfter(1_000), "processes a second later").toEqual([]);
}

describe("nothing is unwritten when the unmount has returned", () => {
  /* Pages that were dirtied in a mapping, which nothing but the unmount has written; and plain writes without fsync. */
  const write = `import mmap, os
fd = os.open("mnt/file", os.O_RDWR)
os.ftruncate(fd, 8 << 20)
pages = mmap.mmap(fd, 8 << 20)
for at in range(0, 8 << 20, 4096):
    pages[at:at + 8] = at.to_bytes(8, "little")
os.write(os.open("mnt/made", os.O_WRONLY | os.O_CREAT), b"x" * 3_000_000)`;
  const check = `import os
mapped = open("upper/file", "rb").read()
made = open("upper/made", "rb").read()
print([at for at in range(0, 8 << 20, 4096) if mapped[at:at + 8] != at.to_bytes(8, "little")], len(mapped), made == b"x" * 3_000_000)`;

  it.each([
    ["umount mnt", "upper"],
    ["umount mnt", "off"],
    ["umount -l mnt", "off"],
    ['"$V" umount mnt', "off"],
  ])("%s, passthrough=%s", async (unmount, passthrough) => {
    await stand.mount("-o", `passthrough=${passthrough}`);
    const line = `python3 -c '${write}' && ${unmount} && python3 -c '${check}'`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: `[] ${8 << 20} True\n` });
  });
});

describe("a second later there is no daemon", () => {
  it.each(["umount mnt", "umount -l mnt", '"$V" umount mnt'])("after %s", prompt, async (unmount) => {
    await stand.mount();
    expect(await stand.shell(`echo x >mnt/made && ${unmount}`)).toEqual(success);
    await expectNoDaemonWithinASecond();
  });

  it("after umount -l and the end of the last user", prompt, async () => {
    await stand.mount();
    expect(await stand.shell("exec 5<mnt/file; umount -l mnt; cat <&5")).toEqual({
      ...success,
      stdout: "from the lower\n",
    });
    await expectNoDaemonWithinASecond();
  });

  it("after the mount namespace was killed that was the last to have the mount", prompt, async () => {
    const daemon = await stand.mount();
    const other = stand.run("unshare", "-m", "--propagation", "private", "sh", "-c", ": >ready; exec sleep 100");
    await waitFor("ready");
    expect(await stand.run("umount", "mnt")).toEqual(success);
    for (const pid of stand.processes().filter((each) => each !== daemon)) {
      process.kill(pid, "SIGKILL");
    }
    expect((await other).status).not.toBe(0);
    await expectNoDaemonWithinASecond();
  });

  it("after the container was killed that it was started in", prompt, async () => {
    const inside = '"$V" -o lowerdir=lower,upperdir=upper,workdir=work mnt && cat mnt/file >ready && exec sleep 100';
    const container = stand.shell(
      `exec unshare -m -p --fork --kill-child --mount-proc --propagation private sh -c '${inside}'`,
    );
    await waitFor("ready");
    const first = stand
      .processes()
      .find((pid) => /\nNSpid:\t\d+\t1\n/.test(readFileSync(`/proc/${pid}/status`, "latin1")));
    expect(first).toBeDefined();
    process.kill(first ?? 0, "SIGKILL");
    expect((await container).status).not.toBe(0);
    await expectNoDaemonWithinASecond();
    expect(stand.mounts()).toEqual([]);
  });
});

describe("a mount outlives", () => {
  async function expectServed(): Promise<void> {
    expect(await stand.shell("cat mnt/file; echo x >mnt/made; umount mnt; cat upper/made")).toEqual({
      ...success,
      stdout: "from the lower\nx\n",
    });
  }

  it("Ctrl-C in the process group of its caller", async () => {
    const line = '"$V" -o lowerdir=lower,upperdir=upper,workdir=work mnt && : >ready; kill -INT 0; sleep 100';
    expect((await stand.shell(`exec setsid --wait sh -c '${line}'`)).status).not.toBe(0);
    expect(readdirSync(stand.path)).toContain("ready");
    expect(stand.processes(), "the daemon alone").toHaveLength(1);
    await expectServed();
  });

  it("the terminal and the session that it was started from", async () => {
    const script = `import os, pty, signal, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", '"$V" -o lowerdir=lower,upperdir=upper,workdir=work mnt; : >ready; sleep 100'])
while not os.path.exists("ready"):
    time.sleep(0.02)
os.close(terminal)
print(os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGHUP)`;
    expect(await stand.shell(`python3 -c '${script.replaceAll("'", "'\\''")}'`)).toEqual({
      ...success,
      stdout: "True\n",
    });
    expect(stand.processes(), "the daemon alone").toHaveLength(1);
    await expectServed();
  });

  it("a full disk: of the upper, and of its log", async () => {
    const line = `mkdir fs log && mount -t tmpfs -o size=1m none fs && mount -t tmpfs -o size=64k none log && mkdir fs/u fs/w
      "$V" --log-level debug --log-file log/file -o lowerdir=lower,upperdir=fs/u,workdir=fs/w mnt || exit
      dd if=/dev/zero of=mnt/big bs=64k 2>&1 | grep -o 'No space left'
      i=0; while [ $i -lt 200 ]; do ls -l mnt >/dev/null; i=$((i+1)); done; dd if=/dev/zero of=log/more bs=4k 2>/dev/null
      cat mnt/file && rm mnt/big && echo x >mnt/made && cat fs/u/made && "$V" umount mnt && umount fs log`;
    expect(await stand.shell(line)).toEqual({ ...success, stdout: "No space left\nfrom the lower\nx\n" });
  });
});
