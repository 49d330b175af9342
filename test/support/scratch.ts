/** Directories for tests on a real file system, and loop-mounted file systems of other kinds. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk, runProgram, unmountAll } from "./programs.ts";

/** Where scratch directories are made: VENEER_TEST_SCRATCH, else /var/tmp. It must not be an overlay. */
const home = process.env.VENEER_TEST_SCRATCH ?? "/var/tmp";

/** A new empty directory; `removeScratch` takes it away. */
export function makeScratch(): string {
  const path = mkdtempSync(join(home, "veneer-test-"));
  // Other users work in the mounts too.
  chmodSync(path, 0o755);
  return path;
}

/** Unmounts all below a scratch directory and removes it; answers what did not unmount by itself. */
export async function removeScratch(scratch: string): Promise<string[]> {
  const complaints = await unmountAll(`${scratch}/`);
  const removal = ["rm", "-rf", "--one-file-system", scratch];
  if ((await runProgram(removal, "/", 60_000)).status !== 0) {
    // A test that failed half-way may leave files that nobody may remove.
    await runOk(["chattr", "-R", "-f", "-ia", scratch], "/", 60_000);
    await runOk(removal, "/", 60_000);
  }
  return complaints;
}

export type FileSystemKind = "ext4" | "xfs" | "btrfs" | "tmpfs";

const makers: Readonly<Record<Exclude<FileSystemKind, "tmpfs">, readonly string[]>> = {
  ext4: ["mkfs.ext4", "-q", "-F"],
  xfs: ["mkfs.xfs", "-q", "-f"],
  btrfs: ["mkfs.btrfs", "-q", "-f"],
};

/** Why this machine can't make such a file system; undefined where it can. For a test to skip, saying so. */
export function whyWithout(kind: FileSystemKind): string | undefined {
  if (kind !== "tmpfs" && !existsSync("/dev/loop-control")) {
    return "there are no loop devices here: /dev/loop-control is missing";
  }
  const known = readFileSync("/proc/filesystems", "latin1").split(/\s/).includes(kind);
  return known ? undefined : `the kernel has no ${kind}, or not loaded its module`;
}

/**
 * A new file system of 400 MB (sparse) mounted at `mountpoint`, from an image beside it; it goes with the scratch directory that it lies in.
 * Fails, saying why, where there is no loop device, mkfs or kernel support.
 */
export async function makeFileSystem(kind: FileSystemKind, mountpoint: string): Promise<void> {
  mkdirSync(mountpoint);
  if (kind === "tmpfs") {
    await runOk(["mount", "-t", "tmpfs", "-o", "size=400m", "veneer-test", mountpoint]);
    return;
  }
  const image = `${mountpoint}.img`;
  writeFileSync(image, "");
  await runOk(["truncate", "-s", "400M", image]);
  await runOk([...makers[kind], image], "/", 60_000);
  // -n: umount would take the loop device from utab and fail to free what the kernel has freed already.
  await runOk(["mount", "-n", "-t", kind, "-o", "loop", image, mountpoint]);
}
