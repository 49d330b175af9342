/** argv -> a typed command. Pure: nothing is looked at but the arguments. */
import { Command, CommanderError, Option } from "commander";
import type { PassthroughMode } from "../contract/features.ts";
import { OptionError } from "../mount/option-error.ts";
import { parseOptions, passthroughModes } from "../mount/options.ts";
import { type MountPlan, makePlan, type Transport, transports } from "../mount/plan.ts";
import { exitCodeHelp } from "./exit-codes.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface MountCommand {
  readonly kind: "mount";
  readonly plan: MountPlan;
  readonly foreground: boolean;
  readonly logLevel: LogLevel;
  /** As given. Undefined: stderr in the foreground, syslog else. */
  readonly logFile: string | undefined;
}

export interface UmountCommand {
  readonly kind: "umount";
  readonly mountpoint: string;
}

/** Help or version: text for stdout. */
export interface PrintCommand {
  readonly kind: "print";
  readonly text: string;
}

/** What `mount -o remount` asks for. */
export interface RemountCommand {
  readonly kind: "remount";
  readonly mountpoint: string;
  /** MS_* bits for mount(2). */
  readonly flags: number;
}

export type CliCommand = MountCommand | RemountCommand | UmountCommand | PrintCommand;

/** First arguments that are not the beginning of a bare mount. */
const ownWords: ReadonlySet<string> = new Set([
  "mount",
  "mount-helper",
  "umount",
  "help",
  "-h",
  "--help",
  "-V",
  "--version",
]);

const exitCodeText = `
Exit codes:
${exitCodeHelp.map(([code, meaning]) => `  ${String(code).padStart(2)}  ${meaning}`).join("\n")}
`;

const mountText = `
Options of -o (repeatable, separated by commas):
  lowerdir=A[:B...][::C...]
                        the read-only layers, topmost first; "\\:" for a colon in a name; those behind
                        "::" are data-only
  lowerdir+=DIR, datadir+=DIR
                        the same one by one, taken literally
  upperdir=DIR          where changes go; without it the mount is read-only
  workdir=DIR           for staging: an own directory on the same file system as upperdir
  volatile              never sync: quick, but a crash of the machine loses the upper
  fsync=auto|strict|volatile
                        strict: sync the metadata of what is copied up too
  userxattr             keep the overlay's marks in user.overlay.* instead of trusted.overlay.*
  redirect_dir=on|follow|nofollow|off, index=on|off, metacopy=on|off, xino=on|auto|off,
  uuid=on|auto|null|off as with the kernel's overlayfs, by default follow, off, off, auto, auto;
                        nfs_export=off and verity=off are all that there is of these two
  uidmapping=STORED:SHOWN:COUNT[:...], gidmapping=STORED:SHOWN:COUNT[:...]
                        owners as the layers have them, and as they are shown
  squash_to_root, squash_to_uid=UID, squash_to_gid=GID
                        everything is shown as this owner's
  static_nlink          directories show a link count of 1
  noacl, noxattrs=1     without ACLs, or without all xattrs
  xattr_permissions=2   owners and modes are in xattrs (override_stat); 1: in privileged ones
  timeout=SECONDS       how long the kernel may keep names and attributes (default: for good);
                        also entry_timeout=, attr_timeout=, negative_timeout=
  allow_other           everyone may use the mount: the default, but not over fuse-native or by
                        fusermount3
  allow_root            root alone may use it
  passthrough=upper|all|off
                        which files the kernel reads and writes by itself, without the daemon
  max_read=BYTES, fsname=NAME, subtype=NAME, debug
  remount               other flags for a mount that is there
  context=LABEL         for SELinux; also fscontext=, defcontext=, rootcontext=
  ro rw nosuid suid nodev dev noexec exec noatime relatime strictatime sync dirsync
                        and the other generic options of mount(8)
Unknown options are named on stderr and ignored.
`;

/**
 * @param args what follows the program's name, as latin1 bytes
 * @throws OptionError with the sentence for the user
 */
export function parseCommandLine(args: readonly string[], version: string): CliCommand {
  const first = args[0];
  const words = first !== undefined && ownWords.has(first) ? [...args] : ["mount", ...args];
  let printed = "";
  let command: CliCommand | undefined;
  const program = new Command("veneer");
  const settle = (each: Command): Command =>
    each
      .exitOverride()
      .allowExcessArguments(false)
      .showHelpAfterError(false)
      .configureOutput({
        writeOut: (text) => {
          printed += text;
        },
        writeErr: () => undefined,
      });
  settle(program)
    .description("Mounts a stack of directories as one root file system, by FUSE.")
    .version(`veneer ${version}`, "-V, --version", "print the version")
    .addHelpText("after", `\nWithout a command, mount is meant: veneer -o OPTIONS MOUNTPOINT\n${exitCodeText}`);

  settle(program.command("mount"))
    .description("mount layers; returns when the mount is usable")
    .argument(
      "[mountpoint...]",
      "an existing directory; before it a source, as mount(8) gives one, which only shows in the mount table",
    )
    .usage("[options] [source] <mountpoint>")
    .option("-o <options>", "mount options, see below", collect, [])
    .option("--lower <dir>", "a lower layer, topmost first (repeatable); behind those of lowerdir=", collect, [])
    .option("--upper <dir>", "as -o upperdir=DIR, but taken literally")
    .option("--work <dir>", "as -o workdir=DIR, but taken literally")
    .addOption(
      new Option(
        "--transport <transport>",
        "who speaks with the kernel: Veneer, or libfuse 2 by the package fuse-native",
      )
        .choices(transports)
        .default("direct"),
    )
    .addOption(new Option("--passthrough <files>", "as -o passthrough=").choices(passthroughModes))
    .option("-f, --foreground", "stay in the foreground, log to stderr")
    .option("-d, --debug", "foreground, with two log lines for each request")
    .option("--log-file <file>", "append log lines (JSON) to this file instead of syslog or stderr")
    .addOption(new Option("--log-level <level>", "least level to log").choices(logLevels).default("info"))
    .addHelpText("after", mountText + exitCodeText)
    .action((positionals: string[], flags: MountFlags) => {
      command = mountCommand(positionals, flags);
    });

  settle(program.command("mount-helper", { hidden: true }))
    .description("mount, called as mount(8) and containerd call their helpers; bin/veneer is this by the name mount.*")
    .argument("[positionals...]")
    .usage("<source> <mountpoint> [-sfnv] [-o <options>] [-t <type>]")
    .option("-o <options>", "mount options", collect, [])
    .option("-f", "only look at the arguments")
    .option("-s, --sloppy", "ignored: unknown options never fail")
    .option("-n, --no-mtab", "ignored")
    .option("-v, --verbose", "ignored")
    .option("-N, --namespace <namespace>", "heeded by bin/veneer, which enters it")
    .option("-t <type>", "ignored")
    .action((positionals: string[], flags: HelperFlags) => {
      const wanted = mountCommand(positionals, { ...bareFlags, o: flags.o });
      command = flags.f === true ? { kind: "print", text: "" } : wanted;
    });

  settle(program.command("umount"))
    .description("unmount; returns when all is written and the daemon is gone")
    .argument("<mountpoint>")
    .addHelpText("after", exitCodeText)
    .action((mountpoint: string) => {
      command = { kind: "umount", mountpoint };
    });

  try {
    program.parse(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      throw error;
    }
    if (error.exitCode !== 0) {
      throw new OptionError(`${error.message.replace(/^error: /, "").replace(/\n/g, " ")}; see veneer --help`);
    }
  }
  return command ?? { kind: "print", text: printed };
}

interface MountFlags {
  readonly o: readonly string[];
  readonly lower: readonly string[];
  readonly upper?: string;
  readonly work?: string;
  readonly transport: Transport;
  readonly passthrough?: PassthroughMode;
  readonly foreground?: boolean;
  readonly debug?: boolean;
  readonly logFile?: string;
  readonly logLevel: LogLevel;
}

const bareFlags: Omit<MountFlags, "o"> = { lower: [], transport: "direct", logLevel: "info" };

/** Those of mount(8) for its helpers; the ones that are ignored left out. */
interface HelperFlags {
  readonly o: readonly string[];
  readonly f?: boolean;
}

/** @param positionals one or two: the mountpoint is the last */
function mountCommand(positionals: readonly string[], flags: MountFlags): MountCommand | RemountCommand {
  const [mountpoint, source] = positionals.toReversed();
  const parsed = parseOptions(flags.o, source === "" ? undefined : source);
  if (mountpoint === undefined || mountpoint === "") {
    throw new OptionError("the mountpoint is missing: veneer mount -o OPTIONS MOUNTPOINT");
  }
  if (positionals.length > 2) {
    throw new OptionError(
      `too many arguments (${positionals.join(" ")}): give one mountpoint, and the options as one word after each -o`,
    );
  }
  if (parsed.remount) {
    return { kind: "remount", mountpoint, flags: parsed.flags };
  }
  for (const [name, value] of [
    ["--upper", flags.upper],
    ["--work", flags.work],
    ["--log-file", flags.logFile],
    ...flags.lower.map((lower) => ["--lower", lower] as const),
  ] as const) {
    if (value === "") {
      throw new OptionError(`${name} needs a path, but what follows it is empty`);
    }
  }
  const options = {
    ...parsed,
    lowers: [...parsed.lowers, ...flags.lower],
    upper: flags.upper ?? parsed.upper,
    work: flags.work ?? parsed.work,
    passthrough: flags.passthrough ?? parsed.passthrough,
  };
  const plan = makePlan(mountpoint, options, flags.transport);
  const debug = flags.debug === true || parsed.debug;
  return {
    kind: "mount",
    plan,
    foreground: flags.foreground === true || debug,
    logLevel: debug ? "debug" : flags.logLevel,
    logFile: flags.logFile,
  };
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
