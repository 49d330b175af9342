import { beforeEach, expect, test } from "vitest";
import { CoreTurn, StandbyTurn, turnSize } from "./turn.ts";

let core: CoreTurn;
let standby: StandbyTurn;
beforeEach(() => {
  const memory = new SharedArrayBuffer(turnSize);
  core = new CoreTurn(memory);
  standby = new StandbyTurn(memory);
});

test("the standby takes the device only from a core that is at the same thing as when it looked before", () => {
  expect([standby.take(), standby.take()], "nothing was begun").toEqual([false, false]);
  core.begin();
  expect(standby.take()).toBe(false);
  core.rest();
  core.begin();
  expect(standby.take(), "another thing").toBe(false);
  expect(standby.take()).toBe(true);
  expect(standby.take(), "it has it already").toBe(false);
});

test("the standby takes nothing from a core that waits for the kernel", () => {
  core.begin();
  expect(core.rest()).toBe(true);
  expect([standby.take(), standby.take()]).toEqual([false, false]);
});

test("a core that has lost the device learns of it, and has it again when the standby gives it back", async () => {
  core.begin();
  standby.take();
  expect(standby.take()).toBe(true);
  expect(core.rest()).toBe(false);
  expect(standby.coreWaits).toBe(false);
  standby.giveBack();
  core.takeBack(); // does not wait: it is back already
  expect(core.rest()).toBe(true);
});
