/** Starting a daemon and waiting until its mount is usable. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { MountCommand } from "./command-line.ts";
import { exitCodes } from "./exit-codes.ts";
import type { Outcome } from "./outcome.ts";

/**
 * Node can't fork, so the daemon is a process of its own from the start: its own session, 0, 1 and 2 on /dev/null,
 * and nothing of ours but the socket over which it gets its orders and tells of its start.
 */
export function startDaemon(command: MountCommand): Promise<Outcome> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./daemon-process.js", import.meta.url))], {
    argv0: "veneer",
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const socket = child.stdio[3] as import("node:net").Socket;
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let end = "";
    const settle = (): void => {
      const text = Buffer.concat(parts).toString("utf8");
      resolve(
        text === ""
          ? {
              exitCode: exitCodes.internal,
              sentence: `the daemon ended before the mount was ready (${end}): try again with -f to see why`,
            }
          : (JSON.parse(text) as Outcome),
      );
    };
    child.on("error", (error) => {
      end = error.message;
      settle();
    });
    child.on("exit", (code, signal) => {
      end = signal ?? `exit code ${code}`;
    });
    socket.on("data", (part: Buffer) => parts.push(part));
    // A daemon that dies while it is told what to do says so by its end.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      if (parts.length > 0) {
        settle();
      } else {
        child.on("close", settle);
      }
    });
    socket.end(JSON.stringify(command));
  });
}
