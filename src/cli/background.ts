/** Starting a daemon and waiting until its mount is usable. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { MountCommand } from "./command-line.ts";
import { exitCodes } from "./exit-codes.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";

/**
 * A daemon process that waits for its order. Node can't fork, so the daemon is a process of its own from the start:
 * its own session, 0, 1 and 2 on /dev/null, and nothing of ours but the socket over which it gets its order and tells
 * of its start.
 */
export class WaitingDaemon {
  readonly #child: ChildProcess;
  readonly #socket: Socket;

  constructor() {
    const program = fileURLToPath(new URL("./daemon-process.js", import.meta.url));
    this.#child = spawn(process.execPath, [program], {
      argv0: "veneer",
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    this.#socket = this.#child.stdio[3] as Socket;
    // A daemon that dies while it is told what to do says so by its end.
    this.#socket.on("error", () => undefined);
  }

  /** Has the mount made. Resolves when it is usable, or when it is clear that it won't be: nothing is mounted then. */
  serve(command: MountCommand): Promise<Outcome> {
    const child = this.#child;
    const socket = this.#socket;
    return new Promise((resolve) => {
      let text = "";
      let end = "";
      const settleDeath = (): void => {
        diedEarly(command, end).then(resolve, (error) => resolve(outcomeOf(error)));
      };
      child.on("error", (error) => {
        end = error.message;
        settleDeath();
      });
      child.on("exit", (code, signal) => {
        end = signal ?? `exit code ${code}`;
      });
      socket.setEncoding("utf8");
      socket.on("data", (part: string) => {
        text += part;
      });
      socket.on("close", () => {
        if (text !== "") {
          resolve(JSON.parse(text) as Outcome);
        } else if (end !== "") {
          settleDeath();
        } else {
          child.on("exit", settleDeath);
        }
      });
      socket.end(JSON.stringify(command));
    });
  }

  /** There is no mount to make: the process ends, having done nothing. */
  dismiss(): void {
    this.#child.kill("SIGKILL");
    this.#child.unref();
    this.#socket.destroy();
  }
}

/** A daemon that is killed can't undo what it did. */
async function diedEarly(command: MountCommand, how: string): Promise<Outcome> {
  const { clearDeadMount } = await import("../mount/unmount.ts");
  clearDeadMount(command.plan.mountpoint);
  return {
    exitCode: exitCodes.internal,
    sentence: `the daemon ended before the mount was ready (${how}): try again with -f to see why`,
  };
}
