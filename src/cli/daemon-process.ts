/**
 * The program of a mount in the background, as bin/veneer starts it: it has the caller's stderr until the mount is usable.
 * The first argument is the process that waits, the shell of that script. Descriptor 1 is a pipe to it, for one answer: the
 * exit code, as soon as the mount is usable or has failed, or "foreground" where the command is none for the background.
 */
import { closeSync, writeSync } from "node:fs";
import { namedDescriptor } from "../mount/given-mount.ts";
import { exitNow } from "../sys/exit.ts";
import { replaceDescriptor } from "../sys/open.ts";
import { descriptorsSharedWith } from "../sys/proc.ts";
import { startSession } from "../sys/process.ts";
import { parseCommandLine } from "./command-line.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { serveMount } from "./serve.ts";
import { argumentBytes, printSentence } from "./terminal.ts";

/** On /dev/null from the start. */
const nowhere = 0;
const pipe = 1;
let isAnswered = false;

/** @throws an error of node:fs (EPIPE) where nobody waits any more */
function answer(text: string): void {
  isAnswered = true;
  writeSync(pipe, text);
}

/** Whoever waits for the end of a pipe must not wait for this process. A mount may be given by a descriptor, though. */
function closeInherited(shell: number, args: readonly string[]): void {
  const given = args.map(namedDescriptor);
  for (const fd of descriptorsSharedWith(shell)) {
    if (fd > 2 && !given.includes(fd)) {
      closeSync(fd);
    }
  }
}

async function run(args: readonly string[]): Promise<Outcome | "foreground"> {
  // The version is printed by main.ts.
  const command = parseCommandLine(args, "");
  if (command.kind !== "mount" || command.foreground) {
    return "foreground";
  }
  startSession();
  return serveMount(command, () => {
    replaceDescriptor(2, nowhere);
    answer("0");
    // The shell waits for the end of the pipe.
    replaceDescriptor(pipe, nowhere);
  });
}

async function main(): Promise<void> {
  const [shell, ...args] = argumentBytes();
  closeInherited(Number(shell), args);
  const outcome = await run(args).catch(outcomeOf);
  if (outcome === "foreground") {
    answer(outcome);
    exitNow(0);
    return;
  }
  if (!isAnswered) {
    if (outcome.sentence !== undefined) {
      printSentence(outcome.sentence);
    }
    answer(String(outcome.exitCode));
  }
  exitNow(outcome.exitCode);
}

void main();
