/** The signals that ask for the end of a mount. */
import type { Logger } from "../log.ts";
import { type CaughtSignals, nextSignal, type SignalName, takeSignal } from "../sys/signals.ts";

/** Those that a mount must not simply die of. */
export const caughtNames: readonly SignalName[] = ["SIGTERM", "SIGINT", "SIGHUP"];

/** A daemon has no terminal that could hang up. */
function asksForTheEnd(name: SignalName, foreground: boolean): boolean {
  return foreground || name !== "SIGHUP";
}

/** The name of one that has come, if any asks for the end. */
export function stopSoFar(signals: CaughtSignals, foreground: boolean): string | undefined {
  for (;;) {
    const name = takeSignal(signals);
    if (name === undefined || asksForTheEnd(name, foreground)) {
      return name;
    }
  }
}

/** Resolves with the name of the first that asks for the end, or with what else makes the mount pointless; later ones change nothing. */
export function stopSignal(signals: CaughtSignals, foreground: boolean, log: Logger): Promise<string> {
  return new Promise((resolve) => {
    process.on("uncaughtException", (error) => {
      log.error({ error }, "something unforeseen went wrong: the mount is taken down");
      resolve("an unforeseen error");
    });
    void firstToEnd(signals, foreground, log).then(resolve);
  });
}

async function firstToEnd(signals: CaughtSignals, foreground: boolean, log: Logger): Promise<string> {
  for (;;) {
    const name = await nextSignal(signals);
    if (asksForTheEnd(name, foreground)) {
      return name;
    }
    log.debug({}, "SIGHUP has no meaning for a daemon");
  }
}
