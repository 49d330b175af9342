/** The program: parse, check, run, exit. Loads what a command needs and no more, as start-up is waited for. */
import { readFileSync } from "node:fs";
import { WaitingDaemon } from "./background.ts";
import type { CliCommand, MountCommand } from "./command-line.ts";
import { done, type Outcome, outcomeOf } from "./outcome.ts";
import { argumentBytes, printSentence, printText } from "./terminal.ts";

/** Milliseconds for which `umount` waits for the daemon to end. */
const umountPatience = 30_000;

async function run(command: CliCommand, daemon: WaitingDaemon | undefined): Promise<Outcome> {
  switch (command.kind) {
    case "print":
      printText(command.text);
      return done;
    case "umount": {
      const { unmountAndWait } = await import("../mount/unmount.ts");
      await unmountAndWait(command.mountpoint, umountPatience);
      return done;
    }
    case "mount":
      return runMountCommand(command, daemon);
  }
}

async function runMountCommand(command: MountCommand, daemon: WaitingDaemon | undefined): Promise<Outcome> {
  for (const remark of command.plan.remarks) {
    printSentence(remark);
  }
  if (!command.foreground) {
    return (daemon ?? new WaitingDaemon()).serve(command);
  }
  daemon?.dismiss();
  const { ServingThread } = await import("../serving-thread.ts");
  const thread = new ServingThread();
  const { serveMount } = await import("./serve.ts");
  return serveMount(command, thread, () => undefined);
}

/** A guess, before the command line is parsed: a wrong one costs a process, or some time. */
function looksLikeBackgroundMount(args: readonly string[]): boolean {
  return args.some((arg) => /lowerdir\+?=/.test(arg) || arg.startsWith("--lower")) && !args.some(isForegroundFlag);
}

function isForegroundFlag(arg: string): boolean {
  return /^-[fd]|^--(foreground|debug)$/.test(arg);
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

async function main(): Promise<void> {
  const args = argumentBytes();
  // Node takes its time to start: the daemon's does so while the command line is parsed.
  const daemon = looksLikeBackgroundMount(args) ? new WaitingDaemon() : undefined;
  let outcome: Outcome;
  let command: CliCommand | undefined;
  try {
    const { parseCommandLine } = await import("./command-line.ts");
    command = parseCommandLine(args, packageVersion());
    outcome = await run(command, daemon);
  } catch (error) {
    daemon?.dismiss();
    outcome = outcomeOf(error);
  }
  if (outcome.sentence !== undefined) {
    printSentence(outcome.sentence);
  }
  if (command?.kind === "mount" && command.foreground) {
    const { exitNow } = await import("../sys/exit.ts");
    exitNow(outcome.exitCode);
  }
  process.exit(outcome.exitCode);
}

void main();
