/**
 * The program of a daemon in the background. Descriptor 3 is a socket to the command that started it: the mount to
 * make comes in as JSON, up to the end; the outcome goes out as JSON, once.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { exitNow } from "../sys/exit.ts";
import { inheritedDescriptors } from "../sys/proc.ts";
import type { MountCommand } from "./command-line.ts";
import { done, type Outcome } from "./outcome.ts";
import { serveMount } from "./serve.ts";

const socket = 3;

function report(outcome: Outcome): void {
  writeSync(socket, JSON.stringify(outcome));
  closeSync(socket);
}

function main(command: MountCommand): void {
  // Whoever waits for the end of a pipe must not wait for this process. 0, 1 and 2 are on /dev/null already.
  for (const fd of inheritedDescriptors()) {
    if (fd > socket) {
      closeSync(fd);
    }
  }
  let reported = false;
  const finish = (outcome: Outcome): void => {
    if (!reported) {
      report(outcome);
    }
    exitNow(outcome.exitCode);
  };
  void serveMount(command, () => {
    reported = true;
    report(done);
  }).then(finish);
}

main(JSON.parse(readFileSync(socket, "utf8")) as MountCommand);
