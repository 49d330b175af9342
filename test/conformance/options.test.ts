/**
 * Which combinations of options are taken: each row is mounted by the kernel's overlayfs and by Veneer, and both take it or
 * both refuse it, save for the differences at the end, each with its reason.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseCommandLine } from "../../src/cli/command-line.ts";
import { OptionError } from "../../src/mount/option-error.ts";
import { veneerProgram } from "../support/overlay.ts";
import { runOk, runProgram } from "../support/programs.ts";
import { makeScratch, removeScratch } from "../support/scratch.ts";

const rw = "lowerdir=a,upperdir=upper,workdir=work";
const ro = "lowerdir=a:b";
const add = "upperdir=upper,workdir=work";
let scratch: string;

beforeAll(() => {
  scratch = makeScratch();
  for (const name of ["a", "b", "c", "d", "a:b", "a/inner", "mnt"]) {
    mkdirSync(join(scratch, name));
  }
});

afterAll(async () => {
  expect(await removeScratch(scratch)).toEqual([]);
});

/** Mounts over fresh directories, and unmounts if that worked. */
async function attempt(argv: readonly string[], options: string): Promise<boolean> {
  for (const name of ["upper", "work"]) {
    rmSync(join(scratch, name), { recursive: true, force: true });
    mkdirSync(join(scratch, name));
  }
  const { status } = await runProgram([...argv, "-o", options, "mnt"], scratch, 30_000);
  if (status === 0) {
    await runOk(["umount", "mnt"], scratch);
  }
  return status === 0;
}

/** What the command says of its options before it looks at the disk; test/cli/wrong-input.test.ts shows how it says so. */
function isRefused(options: string): boolean {
  try {
    parseCommandLine(["mount", "-o", options, "mnt"], "0");
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(OptionError);
    return true;
  }
}

/** What each of the two says of the options. */
async function taken(options: string): Promise<{ kernel: boolean; veneer: boolean }> {
  const kernel = await attempt(["mount", "-t", "overlay", "overlay"], options);
  return { kernel, veneer: !isRefused(options) && (await attempt([veneerProgram, "mount"], options)) };
}

describe("taken by both", () => {
  test.each([
    rw,
    ro,
    // metacopy takes redirect_dir=on with it; without an upper, following redirects is enough.
    `${rw},metacopy=on`,
    `${rw},metacopy=on,redirect_dir=on`,
    `${rw},metacopy=off,redirect_dir=nofollow`,
    `${ro},metacopy=on,redirect_dir=off`,
    // userxattr implies redirect_dir=nofollow,metacopy=off.
    `${rw},userxattr,redirect_dir=nofollow,metacopy=off,index=on`,
    // What is of no use without an upper.
    `${ro},workdir=work,index=on,volatile,uuid=on,xino=on,redirect_dir=on`,
    `${rw},uuid=off,xino=off,nfs_export=off,verity=off,default_permissions,override_creds`,
    `${rw},nooverride_creds,uuid=on,xino=on,volatile,fsync=strict`,
    `${rw},uuid=null,xino=auto,fsync=volatile`,
    // Layers, also data-only ones.
    "lowerdir=a::b",
    `lowerdir=a:b::c::d,${add},userxattr`,
    `lowerdir+=a,lowerdir+=b,datadir+=c,${add}`,
    `lowerdir+=a:b,${add}`,
    `lowerdir+=a,datadir+=b,lowerdir=c,${add}`,
    `lowerdir=a,lowerdir=,lowerdir+=b,${add}`,
  ])("%s", async (options) => {
    expect(await taken(options)).toEqual({ kernel: true, veneer: true });
  });
});

describe("refused by both", () => {
  test.each([
    ...["follow", "off", "nofollow"].map((value) => `${rw},metacopy=on,redirect_dir=${value}`),
    `${ro},metacopy=on,redirect_dir=nofollow`,
    ...["on", "follow", "off"].map((value) => `${rw},userxattr,redirect_dir=${value}`),
    `${ro},userxattr,redirect_dir=follow`,
    `${rw},userxattr,metacopy=on`,
    `${rw},nfs_export=on,index=off`,
    `${rw},nfs_export=on,metacopy=on`,
    ...["index", "index=yes", "uuid=1", "xino=yes", "volatile=on", "override_creds=off", "fsync=on"].map(
      (option) => `${rw},${option}`,
    ),
    "lowerdir=a,upperdir=upper",
    ...["", ":a", "::a", "a:", "a::", "a:::b", "a::b:c"].map((value) => `lowerdir=${value},${add}`),
    `lowerdir+=,${add}`,
    `lowerdir=a,lowerdir+=b,${add}`,
    `lowerdir=a,datadir+=b,${add}`,
    `lowerdir+=a,datadir+=b,lowerdir+=c,${add}`,
  ])("%s", async (options) => {
    expect(await taken(options)).toEqual({ kernel: false, veneer: false });
  });
});

describe("differences that are meant", () => {
  test.each([
    ["one lower is as good as two where nothing is written", "lowerdir=a", { kernel: false, veneer: true }],
    ["a lower may be given twice", `lowerdir=a:a,${add}`, { kernel: false, veneer: true }],
    ["what mount programs put there is named and ignored", `${rw},squash_to_uid=1`, { kernel: false, veneer: true }],
    ["lowers may lie within each other", `lowerdir=a/inner:a,${add}`, { kernel: false, veneer: true }],
    ["nfs_export is not built", `${rw},nfs_export=on`, { kernel: true, veneer: false }],
    ["verity is not built", `${rw},verity=on`, { kernel: true, veneer: false }],
  ])("%s", async (_, options, expected) => {
    expect(await taken(options)).toEqual(expected);
  });
});
