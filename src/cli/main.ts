/** The program of all that is done in the caller's own process: parse, check, run, exit. Loads what a command needs and no more. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CliCommand, type MountCommand, parseCommandLine } from "./command-line.ts";
import { exitCodes } from "./exit-codes.ts";
import { done, type Outcome, outcomeOf } from "./outcome.ts";
import { argumentBytes, printSentence, printText } from "./terminal.ts";

/** Milliseconds for which `umount` waits for the daemon to end. */
const umountPatience = 30_000;

async function run(command: CliCommand): Promise<Outcome> {
  switch (command.kind) {
    case "print":
      printText(command.text);
      return done;
    case "umount": {
      const { unmountAndWait } = await import("../mount/unmount.ts");
      await unmountAndWait(command.mountpoint, umountPatience);
      return done;
    }
    case "remount": {
      const { remount } = await import("../mount/remount.ts");
      remount(command.mountpoint, command.flags);
      return done;
    }
    case "mount":
      return command.foreground ? mountHere(command) : clearUp(command);
  }
}

async function mountHere(command: MountCommand): Promise<Outcome> {
  const { serveMount } = await import("./serve.ts");
  return serveMount(command, () => undefined);
}

/** bin/veneer leaves a mount in the background to us when its daemon was killed: that can't undo what it did. */
async function clearUp(command: MountCommand): Promise<Outcome> {
  const { clearDeadMount } = await import("../mount/unmount.ts");
  clearDeadMount(command.plan.mountpoint);
  return {
    exitCode: exitCodes.internal,
    sentence: "the daemon ended before the mount was ready: try again with -f to see why",
  };
}

/** Beside dist, where this file lies when it runs. */
function packageVersion(): string {
  const text = readFileSync(join(import.meta.dirname, "../package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

async function main(): Promise<void> {
  let outcome: Outcome;
  let command: CliCommand | undefined;
  try {
    command = parseCommandLine(argumentBytes(), packageVersion());
    outcome = await run(command);
  } catch (error) {
    outcome = outcomeOf(error);
  }
  if (outcome.sentence !== undefined) {
    printSentence(outcome.sentence);
  }
  if (command?.kind === "mount") {
    // Other threads may be stuck.
    const { exitNow } = await import("../sys/exit.ts");
    exitNow(outcome.exitCode);
  }
  process.exit(outcome.exitCode);
}

void main();
