import { describe, expect, test } from "vitest";
import { FileType } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { Stat } from "./layer.ts";
import { escapedXattr, isMarked, isWhiteout, markNames, readMark, visibleXattr } from "./marks.ts";

const trusted = markNames(false);
const user = markNames(true);

test("the names are those of Linux overlayfs, in the namespace that was chosen", () => {
  expect(trusted).toEqual({
    prefix: "trusted.overlay.",
    inUserXattrs: false,
    opaque: "trusted.overlay.opaque",
    origin: "trusted.overlay.origin",
    upper: "trusted.overlay.upper",
    nlink: "trusted.overlay.nlink",
    impure: "trusted.overlay.impure",
    protection: "trusted.overlay.protattr",
    whiteout: "trusted.overlay.whiteout",
    uuid: "trusted.overlay.uuid",
    redirect: "trusted.overlay.redirect",
    metacopy: "trusted.overlay.metacopy",
  });
  expect(user.opaque).toBe("user.overlay.opaque");
});

describe("a whiteout", () => {
  const stat = (mode: number, rdevMajor: number, rdevMinor: number) => ({ mode, rdevMajor, rdevMinor }) as Stat;

  test("is a character device 0:0, whatever its permissions", () => {
    expect(isWhiteout(stat(FileType.character, 0, 0))).toBe(true);
    expect(isWhiteout(stat(FileType.character | 0o644, 0, 0))).toBe(true);
  });

  test.each([
    ["/dev/null", FileType.character, 1, 3],
    ["a device of major 0", FileType.character, 0, 1],
    ["a device of minor 0", FileType.character, 7, 0],
    ["a block device 0:0", FileType.block, 0, 0],
    ["a regular file", FileType.regular, 0, 0],
    // S_IFBLK has the bit of S_IFCHR: the type must be compared whole.
    ["a socket", FileType.socket, 0, 0],
  ])("is not %s", (_, mode, major, minor) => {
    expect(isWhiteout(stat(mode, major, minor))).toBe(false);
  });
});

test.each([
  ["y", true],
  ["n", false],
  ["", false],
  ["yes", false],
  [undefined, false],
])("a mark with the value %j is %j", (value, marked) => {
  const layer = { getXattr: () => (value === undefined ? undefined : Buffer.from(value)), listXattrs: () => [] };
  expect(isMarked(layer, "a", trusted.opaque)).toBe(marked);
});

describe("a layer", () => {
  const failing = (code: number, ...names: string[]) => ({
    getXattr: () => {
      throw new FsError(code, "getxattr");
    },
    listXattrs: () => names,
  });

  test("that can't have xattrs has no marks", () => {
    expect(readMark(failing(Errno.EOPNOTSUPP), "a", trusted.opaque)).toBeUndefined();
    expect(isMarked(failing(Errno.EOPNOTSUPP), "a", trusted.opaque)).toBe(false);
  });

  test("that does not list a mark has none, where it may not be read", () => {
    expect(readMark(failing(Errno.EACCES, "user.other"), "a", trusted.opaque)).toBeUndefined();
    expect(() => readMark(failing(Errno.EACCES, trusted.opaque), "a", trusted.opaque)).toThrowError(
      expect.objectContaining({ code: Errno.EACCES }),
    );
  });

  test("that can't be read is not taken for one without marks", () => {
    expect(() => isMarked(failing(Errno.EIO), "a", trusted.opaque)).toThrowError(
      expect.objectContaining({ code: Errno.EIO }),
    );
  });
});

describe("xattrs of users", () => {
  test.each([
    ["user.comment", "user.comment"],
    ["trusted.other", "trusted.other"],
    ["trusted.overlay", "trusted.overlay"],
    ["trusted.overlay.opaque", "trusted.overlay.overlay.opaque"],
    ["trusted.overlay.overlay.opaque", "trusted.overlay.overlay.overlay.opaque"],
    ["user.overlay.opaque", "user.overlay.opaque"],
  ])("%s is kept as %s", (name, kept) => {
    expect(escapedXattr(trusted, name)).toBe(kept);
    expect(visibleXattr(trusted, kept)).toBe(name);
  });

  test("the marks of the overlay itself are not shown, also such as it does not know", () => {
    expect(visibleXattr(trusted, "trusted.overlay.opaque")).toBeUndefined();
    expect(visibleXattr(trusted, "trusted.overlay.something-new")).toBeUndefined();
    expect(visibleXattr(user, "user.overlay.origin")).toBeUndefined();
  });

  test("with userxattr, it is the other namespace that is free for all", () => {
    expect(escapedXattr(user, "trusted.overlay.opaque")).toBe("trusted.overlay.opaque");
    expect(escapedXattr(user, "user.overlay.opaque")).toBe("user.overlay.overlay.opaque");
  });
});
