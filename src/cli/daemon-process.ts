/**
 * The program of a mount in the background, as bin/veneer starts it: it has the caller's stderr until the mount is usable.
 * The first argument is the process that waits, the shell of that script. Descriptor 3 is a pipe to it, for one answer: the
 * exit code, as soon as the mount is usable or has failed, or "foreground" where the command is none for the background.
 */
import { closeSync, writeSync } from "node:fs";
import { ServingThread } from "../serving-thread.ts";
import { descriptorsSharedWith } from "../sys/proc.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { argumentBytes, printSentence } from "./terminal.ts";

const pipe = 3;
let isAnswered = false;

/** @throws an error of node:fs (EPIPE) where nobody waits any more */
function answer(text: string): void {
  isAnswered = true;
  writeSync(pipe, text);
  closeSync(pipe);
}

/** Whoever waits for the end of a pipe must not wait for this process. */
function closeInherited(shell: number): void {
  for (const fd of descriptorsSharedWith(shell)) {
    if (fd > pipe) {
      closeSync(fd);
    }
  }
}

async function run(args: readonly string[], thread: ServingThread): Promise<Outcome | "foreground"> {
  const { parseCommandLine } = await import("./command-line.ts");
  // The version is printed by main.ts.
  const command = parseCommandLine(args, "");
  if (command.kind !== "mount" || command.foreground) {
    return "foreground";
  }
  const { replaceDescriptor } = await import("../sys/open.ts");
  const { startSession } = await import("../sys/process.ts");
  const { serveMount } = await import("./serve.ts");
  startSession();
  return serveMount(command, thread, () => {
    // 0 and 1 are on /dev/null from the start.
    replaceDescriptor(2, 1);
    answer("0");
  });
}

async function main(): Promise<void> {
  // Before everything else: the thread starts while all the rest is loaded and the arguments are read.
  const thread = new ServingThread();
  const [shell, ...args] = argumentBytes();
  closeInherited(Number(shell));
  const outcome = await run(args, thread).catch(outcomeOf);
  const { exitNow } = await import("../sys/exit.ts");
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
