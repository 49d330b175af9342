import { beforeEach, describe, expect, it, vi } from "vitest";
import { Gate, Parked } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import type { Logger } from "../log.ts";
import { HiddenFiles } from "./hidden-files.ts";
import type { Place } from "./paths.ts";

const place: Place = { parent: 1, name: "file" };
const hiddenName = ".fuse_hidden0000000200000001";
const removeFile = vi.fn<(parent: number, name: string) => void>();
const forget = vi.fn<(node: number, count: number) => void>();
const error = vi.fn();
let hidden: HiddenFiles;

beforeEach(() => {
  vi.resetAllMocks();
  vi.useFakeTimers();
  const filesystem = { removeFile, forget } as unknown as ConstructorParameters<typeof HiddenFiles>[0];
  hidden = new HiddenFiles(filesystem, { error } as unknown as Logger);
  hidden.hide(place, 7, hiddenName);
});

describe("a file that is removed while it is open", () => {
  it("is found by its hidden name at once, and removed once", () => {
    expect(hidden.find(hiddenName)).toBe(7);
    expect(removeFile).not.toHaveBeenCalled();
    vi.runAllTimers();
    hidden.removeAll();
    expect(removeFile.mock.calls).toEqual([[1, "file"]]);
    expect(hidden.find(hiddenName)).toBe(7);
    hidden.close(7);
    expect(forget.mock.calls).toEqual([[7, 1]]);
    expect(hidden.find(hiddenName)).toBe(undefined);
  });

  it("stays, and is told of, where it can't be removed after all", () => {
    removeFile.mockImplementation(() => {
      throw new FsError(Errno.ENOSPC, "whiteout");
    });
    hidden.removeAll();
    expect(error).toHaveBeenCalledTimes(1);
    hidden.removeAll();
    expect(removeFile).toHaveBeenCalledTimes(1);
    hidden.close(7);
    expect(hidden.find(hiddenName)).toBe(7);
  });

  it("is removed when a gate opens that it has to wait for", () => {
    const gate = new Gate();
    removeFile.mockImplementationOnce(() => {
      throw new Parked(gate);
    });
    vi.advanceTimersByTime(30);
    expect(removeFile).toHaveBeenCalledTimes(1);
    gate.open();
    vi.runAllTimers();
    expect(removeFile).toHaveBeenCalledTimes(2);
    expect(error).not.toHaveBeenCalled();
  });
});

describe("a file that is replaced while it is open", () => {
  it("is not removed, but replaced", () => {
    const rename = vi.fn();
    hidden.removeAll(place);
    hidden.replace(place, rename);
    vi.runAllTimers();
    expect(rename).toHaveBeenCalledTimes(1);
    expect(removeFile).not.toHaveBeenCalled();
    expect(hidden.find(hiddenName)).toBe(7);
  });

  it("has its name until a rename that is parked is served again", () => {
    const parked = () => {
      throw new Parked(new Gate());
    };
    expect(() => hidden.replace(place, parked)).toThrow();
    vi.runAllTimers();
    hidden.removeAll();
    expect(removeFile).not.toHaveBeenCalled();
    hidden.replace(place, () => undefined);
    hidden.close(7);
    expect(forget.mock.calls).toEqual([[7, 1]]);
  });

  it("keeps its name where the rename fails, and is known by both", () => {
    const failing = () => {
      throw new FsError(Errno.ENOSPC, "rename");
    };
    expect(() => hidden.replace(place, failing)).toThrow(FsError);
    vi.runAllTimers();
    hidden.close(7);
    expect(removeFile).not.toHaveBeenCalled();
    expect(forget).not.toHaveBeenCalled();
    expect(hidden.find(hiddenName)).toBe(7);
  });
});
