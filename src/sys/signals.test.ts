import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { expect, test } from "vitest";
import { pollTwo, Ready } from "./device.ts";
import { catchSignals, leaveSignalsToOthers, nextSignal, signalsDescriptor, takeSignal } from "./signals.ts";

// For good, as it is for a mount. Vitest ends this process in other ways.
const caught = catchSignals(["SIGHUP", "SIGINT"]);
const sendToSelf = (name: "SIGHUP" | "SIGINT") => process.kill(process.pid, name);
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

function blocked(): readonly string[] {
  const mask = /^SigBlk:\s*(\w+)$/m.exec(readFileSync("/proc/thread-self/status", "latin1"))?.[1];
  const bits = BigInt(`0x${mask}`);
  return (["SIGHUP", "SIGINT", "SIGCHLD", "SIGTERM"] as const).filter(
    (name) => (bits >> BigInt(constants.signals[name] - 1)) & 1n,
  );
}

test("what has come is taken once, and can be waited for by poll", () => {
  expect(pollTwo(-1, signalsDescriptor(caught), 0)).toBe(0);
  sendToSelf("SIGINT");
  expect(pollTwo(-1, signalsDescriptor(caught), 5_000)).toBe(Ready.second);
  expect(takeSignal(caught)).toBe("SIGINT");
  expect(takeSignal(caught)).toBeUndefined();
});

test("each of several is taken", () => {
  sendToSelf("SIGINT");
  sendToSelf("SIGHUP");
  expect([takeSignal(caught), takeSignal(caught), takeSignal(caught)].sort()).toEqual(["SIGHUP", "SIGINT", undefined]);
});

test("the next one is one that has come before, or else one that comes", async () => {
  sendToSelf("SIGHUP");
  await pause();
  expect(await nextSignal(caught)).toBe("SIGHUP");
  const next = nextSignal(caught);
  await pause();
  sendToSelf("SIGINT");
  expect(await next).toBe("SIGINT");
});

test("a thread that leaves them to others blocks them, and they come all the same", async () => {
  expect(blocked()).toEqual([]);
  leaveSignalsToOthers(caught);
  expect(blocked()).toEqual(["SIGHUP", "SIGINT", "SIGCHLD"]);
  sendToSelf("SIGHUP");
  expect(await nextSignal(caught)).toBe("SIGHUP");
});
