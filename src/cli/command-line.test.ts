import { describe, expect, it } from "vitest";
import { MountFlag } from "../mount/kernel-flags.ts";
import { OptionError } from "../mount/option-error.ts";
import { type MountCommand, parseCommandLine } from "./command-line.ts";

function mount(...args: string[]): MountCommand {
  const command = parseCommandLine(args, "0");
  if (command.kind !== "mount") {
    throw new Error(`not a mount: ${JSON.stringify(command)}`);
  }
  return command;
}

describe("mount", () => {
  it("is meant where no command is named, in any order of options and mountpoint", () => {
    const whole = mount("mount", "-o", "lowerdir=a:b,upperdir=u,workdir=w", "mnt");
    expect(whole.plan.mountpoint).toBe("mnt");
    expect(whole.plan.options).toMatchObject({ lowers: ["a", "b"], upper: "u", work: "w" });
    expect(mount("-o", "lowerdir=a:b,upperdir=u,workdir=w", "mnt")).toEqual(whole);
    expect(mount("mnt", "-o", "lowerdir=a:b", "-oupperdir=u,workdir=w")).toEqual(whole);
  });

  it("takes the last of two positionals as mountpoint and refuses a third", () => {
    expect(mount("veneer", "mnt", "-o", "lowerdir=a").plan.mountpoint).toBe("mnt");
    expect(() => mount("-o", "lowerdir=a", "x", "y", "z")).toThrow(/too many arguments \(x y z\)/);
  });

  it("takes layers by flags, literally, behind those of -o", () => {
    const { options } = mount(
      "--lower",
      "a:b",
      "-o",
      "lowerdir=c",
      "--lower=d\\",
      "--upper",
      "u,x",
      "--work",
      "w",
      "m",
    ).plan;
    expect(options).toMatchObject({ lowers: ["c", "a:b", "d\\"], upper: "u,x", work: "w" });
  });

  it("takes option values that begin with a dash, and bytes that are not UTF-8", () => {
    expect(mount("-o", "lowerdir=-x", "\xff\xfe").plan).toMatchObject({
      mountpoint: "\xff\xfe",
      options: { lowers: ["-x"] },
    });
    expect(mount("--lower", "-x", "m").plan.options.lowers).toEqual(["-x"]);
    expect(mount("--lower", "x", "--", "-m").plan.mountpoint).toBe("-m");
  });

  it("goes to the foreground for debugging, by flag or by option", () => {
    expect(mount("-o", "lowerdir=a", "m")).toMatchObject({ foreground: false, logLevel: "info" });
    expect(mount("-f", "-o", "lowerdir=a", "m")).toMatchObject({ foreground: true, logLevel: "info" });
    expect(mount("-d", "-o", "lowerdir=a", "m")).toMatchObject({ foreground: true, logLevel: "debug" });
    expect(mount("-fo", "lowerdir=a,debug", "m")).toMatchObject({ foreground: true, logLevel: "debug" });
    expect(mount("--log-level=warn", "--log-file", "x.log", "-o", "lowerdir=a", "m")).toMatchObject({
      foreground: false,
      logLevel: "warn",
      logFile: "x.log",
    });
  });

  it("takes the mode of passthrough by flag or by option, the flag first", () => {
    expect(mount("-o", "lowerdir=a", "m").plan.options.passthrough).toBe("upper");
    expect(mount("-o", "lowerdir=a,passthrough=off", "m").plan.options.passthrough).toBe("off");
    expect(mount("--passthrough=all", "-o", "lowerdir=a,passthrough=off", "m").plan.options.passthrough).toBe("all");
    expect(() => mount("--passthrough=on", "-o", "lowerdir=a", "m")).toThrow(/passthrough/);
  });

  it("keeps generic options as flags of mount(2)", () => {
    expect(mount("-o", "lowerdir=a,ro,nosuid", "-o", "rw,nodev", "m").plan.options.flags).toBe(
      MountFlag.noSuid | MountFlag.noDev,
    );
  });
});

describe("without an upper", () => {
  it("leaves out what is of no use, and says so", () => {
    const { plan } = mount("-o", "lowerdir=a,workdir=w,volatile,index=on,uuid=on,zzz", "m");
    expect(plan.options).toMatchObject({ work: undefined, fsync: "auto" });
    expect(plan.features.index).toBe(false);
    expect(plan.remarks).toEqual([
      "ignoring unknown option zzz",
      ...["workdir=w", "volatile", "index=on", "uuid=on"].map(
        (option) => `ignoring ${option}, which is of no use without an upperdir`,
      ),
    ]);
    expect(mount("-o", "lowerdir=a,upperdir=u,workdir=w,volatile,index=on,uuid=on", "m").plan).toMatchObject({
      options: { work: "w", fsync: "volatile" },
      features: { index: true },
      remarks: [],
    });
  });
});

describe("what is refused", () => {
  it.each([
    [[], /mountpoint is missing/],
    [["-o", "lowerdir=a", ""], /mountpoint is missing/],
    [["m"], /no lower layer/],
    [["-o", "lowerdir=a,upperdir=u", "m"], /upperdir=u needs a workdir/],
    [["-o", "lowerdir=a", "--upper", "", "m"], /--upper needs a path/],
    [["-o", "lowerdir=a", "--lower", "", "m"], /--lower needs a path/],
  ])("%j: the options don't go together", (args, sentence) => {
    expect(() => parseCommandLine(args, "0")).toThrow(OptionError);
    expect(() => parseCommandLine(args, "0")).toThrow(sentence);
  });

  it.each([
    [["mount", "-o"], /argument missing/],
    [["mount", "--nonsense", "m"], /--nonsense/],
    [["mount", "--log-level", "loud", "m"], /Allowed choices are debug, info, warn, error/],
    [["umount"], /missing required argument 'mountpoint'/],
    [["umount", "a", "b"], /too many arguments/],
  ])("%j: not a command line", (args, sentence) => {
    expect(() => parseCommandLine(args, "0")).toThrow(OptionError);
    expect(() => parseCommandLine(args, "0")).toThrow(sentence);
  });
});

describe("the other commands", () => {
  it("umount", () => {
    expect(parseCommandLine(["umount", "m"], "0")).toEqual({ kind: "umount", mountpoint: "m" });
  });

  it("prints its version and its help, exit codes included", () => {
    expect(parseCommandLine(["--version"], "1.2.3")).toEqual({ kind: "print", text: "veneer 1.2.3\n" });
    for (const args of [["--help"], ["help"], ["mount", "--help"], ["umount", "-h"]]) {
      expect(parseCommandLine(args, "0")).toMatchObject({
        kind: "print",
        text: expect.stringMatching(/Exit codes:[\s\S]*34 {2}the upper/),
      });
    }
  });
});
