/**
 * Serves a file system in this very process while a shell script, in another, uses its mount: `serve` blocks this thread
 * until the script has unmounted. The script runs under a time limit and always unmounts, lazily if need be.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Filesystem } from "../../src/contract/filesystem.ts";
import type { JobRunner } from "../../src/contract/slow.ts";
import { FsError } from "../../src/errno.ts";
import { type SessionOptions, serve } from "../../src/fuse/session.ts";
import { defaultFuseSettings, type FuseSettings } from "../../src/fuse/settings.ts";
import type { Logger } from "../../src/log.ts";
import { openFuseDevice, readRequest } from "../../src/sys/device.ts";
import { runJob } from "../../src/sys/jobs.ts";
import { mount } from "../../src/sys/mount.ts";
import { closeDescriptor } from "../../src/sys/open.ts";
import { isBeingKilled } from "../../src/sys/proc.ts";
import { MemoryFilesystem } from "./memory-filesystem.ts";

export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

/** A logger that keeps its lines. */
export function recordingLog(debugEnabled: boolean): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (fields: object, message: string) => {
    if (debugEnabled || level !== "debug") {
      lines.push({ level, fields: fields as Record<string, unknown>, message });
    }
  };
  return { log: { debugEnabled, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }, lines };
}

export interface MountedOutcome {
  /** What the script wrote to stdout and stderr. */
  readonly output: string;
  readonly lines: readonly LogLine[];
}

export interface MountedOptions {
  readonly settings?: Partial<FuseSettings>;
  readonly debug?: boolean;
  readonly seconds?: number;
  readonly ioThreadFile?: string;
}

const builtThread = join(import.meta.dirname, "../../dist/io-thread.js");

interface MountedDevice {
  readonly device: number;
  readonly mountpoint: string;
  readonly scratch: string;
}

/** Calls with a fresh mount that nobody serves yet; afterwards it is gone. */
function withMount<T>(use: (mounted: MountedDevice) => T): T {
  const scratch = mkdtempSync(join(tmpdir(), "veneer-fuse-"));
  const mountpoint = join(scratch, "mnt");
  mkdirSync(mountpoint);
  const device = openFuseDevice();
  try {
    const options = `fd=${device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`;
    mount("memory", mountpoint, "fuse.memory", 0, options);
    return use({ device, mountpoint, scratch });
  } finally {
    closeDescriptor(device);
    execFileSync("bash", ["-c", `umount -l ${mountpoint} 2>/dev/null; true`]);
    rmSync(scratch, { recursive: true });
  }
}

/** The errno with which serving ends where the kernel's first message has gone elsewhere. */
export function startWithoutFirstMessage(start: SessionOptions["start"]): number | undefined {
  return withMount(({ device }) => {
    readRequest(device, Buffer.alloc(1 << 20));
    try {
      serve({
        ...{ device, start, runJob, isBeingKilled },
        makeFilesystem: () => new MemoryFilesystem(),
        settings: defaultFuseSettings,
        log: recordingLog(false).log,
        ioThreadFile: builtThread,
        onReady: () => undefined,
      });
    } catch (error) {
      return error instanceof FsError ? error.code : undefined;
    }
    return undefined;
  });
}

/** Runs a bash script in a fresh mount (its working directory) of what `makeFilesystem` makes. */
export function runInMount(
  makeFilesystem: (jobs: JobRunner) => Filesystem,
  script: string,
  { settings, debug = false, seconds = 20, ioThreadFile = builtThread }: MountedOptions = {},
): MountedOutcome {
  if (!existsSync(builtThread)) {
    throw new Error("I/O threads run built code: npm run build comes before these tests");
  }
  const { log, lines } = recordingLog(debug);
  return withMount(({ device, mountpoint, scratch }) => {
    const files = { script: join(scratch, "script"), output: join(scratch, "output") };
    writeFileSync(files.script, `cd ${mountpoint}\n${script}\n`);
    // Its own session: a signal for the test run must not leave the mount behind.
    const limits = `exec >${files.output} 2>&1; timeout -k 1 ${seconds} bash ${files.script}; echo "exit $?"`;
    spawn("bash", ["-c", `${limits}; cd /; umount ${mountpoint} || umount -l ${mountpoint}`], {
      stdio: "ignore",
      detached: true,
    }).unref();
    serve({
      device,
      makeFilesystem,
      start: { silence: 10_000, interruption: -1 },
      settings: { ...defaultFuseSettings, ...settings },
      log,
      runJob,
      isBeingKilled,
      ioThreadFile,
      onReady: () => undefined,
    });
    return { output: readFileSync(files.output, "latin1"), lines };
  });
}
