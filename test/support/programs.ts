/** Programs with a time limit, and what is mounted where. Nothing here touches a mount under test. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";

export interface ProgramResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; one that takes over `limitMs` is killed and answers status -1. */
export function runProgram(argv: readonly string[], cwd = "/", limitMs = 20_000): Promise<ProgramResult> {
  const [program = "", ...args] = argv;
  return new Promise((resolve) => {
    execFile(program, args, { cwd, timeout: limitMs, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ status, stdout, stderr: stderr || (error === null ? "" : `${program}: ${error.message}`) });
    });
  });
}

/** As runProgram, but any status other than 0 is an error with what the program said. */
export async function runOk(argv: readonly string[], cwd = "/", limitMs = 20_000): Promise<string> {
  const result = await runProgram(argv, cwd, limitMs);
  if (result.status !== 0) {
    throw new Error(`${argv.join(" ").slice(0, 300)}: status ${result.status}: ${result.stderr.trim()}`);
  }
  return result.stdout;
}

interface MountLine {
  readonly mountpoint: string;
  readonly type: string;
  /** Minor number of the device: the name of a FUSE connection below /sys/fs/fuse/connections. */
  readonly minor: string;
}

/** Of the mounts whose mountpoint begins with `prefix`, the newest first; proc(5) has the format. */
export function mountsBelow(prefix: string): MountLine[] {
  const lines = readFileSync("/proc/self/mountinfo", "latin1").split("\n");
  const found = lines.flatMap((line) => {
    const [left = "", right = ""] = line.split(" - ");
    const fields = left.split(" ");
    const mountpoint = (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    const minor = (fields[2] ?? "").split(":")[1] ?? "";
    return mountpoint.startsWith(prefix) ? [{ mountpoint, type: right.split(" ")[0] ?? "", minor }] : [];
  });
  return found.reverse();
}

/**
 * Ends every request of a FUSE mount that hangs; its daemon sees the mount go. The control files are mounted for it: not
 * every machine has them below /sys. Answers why it could not.
 */
async function abortFuse(minor: string): Promise<string[]> {
  const control = mkdtempSync("/tmp/veneer-test-fusectl-");
  try {
    await runOk(["mount", "-t", "fusectl", "fusectl", control]);
    try {
      writeFileSync(`${control}/${minor}/abort`, "1");
    } finally {
      await runOk(["umount", control]);
    }
    return [];
  } catch (error) {
    return [`abort of FUSE connection ${minor}: ${error}`];
  } finally {
    rmdirSync(control);
  }
}

/**
 * Unmounts everything below `prefix` that is `wanted`, the newest first, whatever it takes.
 * @returns what did not go by itself, one sentence each
 */
export async function unmountAll(
  prefix: string,
  wanted: (mount: MountLine) => boolean = () => true,
): Promise<string[]> {
  const complaints: string[] = [];
  for (const mount of mountsBelow(prefix).filter(wanted)) {
    const result = await runProgram(["umount", mount.mountpoint], "/", 10_000);
    if (result.status === 0) {
      continue;
    }
    complaints.push(`umount ${mount.mountpoint}: status ${result.status}: ${result.stderr.trim()}`);
    if (mount.type.startsWith("fuse")) {
      complaints.push(...(await abortFuse(mount.minor)));
    }
    await runOk(["umount", "-l", mount.mountpoint], "/", 10_000);
  }
  return complaints;
}
