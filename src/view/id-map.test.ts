import { describe, expect, it } from "vitest";
import { IdMap } from "./id-map.ts";

describe("IdMap", () => {
  // As podman has it for --userns=keep-id of a user 1002.
  const map = new IdMap([
    { stored: 0, shown: 1, count: 1002 },
    { stored: 1002, shown: 0, count: 1 },
    { stored: 1003, shown: 1003, count: 64534 },
  ]);

  it.each([
    [0, 1],
    [1001, 1002],
    [1002, 0],
    [1003, 1003],
    [65536, 65536],
    [65537, undefined],
  ])("%d is shown as %s, and back", (stored, shown) => {
    expect(map.shown(stored)).toBe(shown);
    expect(map.stored(shown ?? 65537)).toBe(shown === undefined ? undefined : stored);
  });

  it("without ranges changes nothing, up to the highest id", () => {
    expect([0, 65534, 0xffff_fffe].map((id) => new IdMap([]).shown(id))).toEqual([0, 65534, 0xffff_fffe]);
  });

  it("knows the ends of a range at the end of all ids", () => {
    const last = new IdMap([{ stored: 0, shown: 0xffff_fff0, count: 15 }]);
    expect(last.shown(14)).toBe(0xffff_fffe);
    expect(last.shown(15)).toBe(undefined);
    expect(last.stored(0xffff_ffef)).toBe(undefined);
  });
});
