/**
 * The program of a daemon in the background. Descriptor 3 is a socket to the command that started it: the mount to
 * make comes in as JSON, up to the end; the outcome goes out as JSON, once.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { ServingThread } from "../serving-thread.ts";
import { inheritedDescriptors } from "../sys/proc.ts";
import type { MountCommand } from "./command-line.ts";
import { done, type Outcome } from "./outcome.ts";

const socket = 3;

/** Whoever waits for the end of a pipe must not wait for this process. 0, 1 and 2 are on /dev/null already. */
function releaseInherited(): void {
  for (const fd of inheritedDescriptors()) {
    if (fd > socket) {
      closeSync(fd);
    }
  }
}

async function main(): Promise<void> {
  releaseInherited();
  const thread = new ServingThread();
  const [{ serveMount }, { exitNow }] = await Promise.all([import("./serve.ts"), import("../sys/exit.ts")]);
  const order = readFileSync(socket, "utf8");
  if (order === "") {
    // The command line turned out to be no mount for the background, or nobody waits any more.
    exitNow(0);
  }
  let reported = false;
  const report = (outcome: Outcome): void => {
    reported = true;
    writeSync(socket, JSON.stringify(outcome));
    closeSync(socket);
  };
  const outcome = await serveMount(JSON.parse(order) as MountCommand, thread, () => report(done));
  if (!reported) {
    report(outcome);
  }
  exitNow(outcome.exitCode);
}

void main();
