/** The program: parse, check, run, exit. Loads what a command needs and no more, as start-up is waited for. */
import { readFileSync } from "node:fs";
import { type CliCommand, type MountCommand, parseCommandLine } from "./command-line.ts";
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
    case "mount":
      return runMountCommand(command);
  }
}

async function runMountCommand(command: MountCommand): Promise<Outcome> {
  const { unknown } = command.plan.options;
  if (unknown.length > 0) {
    printSentence(`ignoring unknown ${unknown.length === 1 ? "option" : "options"} ${unknown.join(", ")}`);
  }
  if (!command.foreground) {
    const { startDaemon } = await import("./background.ts");
    return startDaemon(command);
  }
  const { serveMount } = await import("./serve.ts");
  return serveMount(command, () => undefined);
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
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
  if (command?.kind === "mount" && command.foreground) {
    const { exitNow } = await import("../sys/exit.ts");
    exitNow(outcome.exitCode);
  }
  process.exit(outcome.exitCode);
}

void main();
