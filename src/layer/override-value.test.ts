import { describe, expect, it } from "vitest";
import { FileType } from "../contract/ids.ts";
import { decodeOverride, encodeOverride, typeOfFile } from "./override-value.ts";

const plain = { uid: 0, gid: 0, mode: FileType.regular | 0o755, rdevMajor: 0, rdevMinor: 0 };
const directory = { ...plain, mode: FileType.directory | 0o755 };

describe("decodeOverride", () => {
  // As containers/storage writes them (FormatContainersOverrideXattrDevice), and fuse-overlayfs (write_permission_xattr).
  it.each([
    ["1000:2000:0644:file", plain, { uid: 1000, gid: 2000, mode: FileType.regular | 0o644 }],
    ["0:0:4755", plain, { mode: FileType.regular | 0o4755 }],
    ["3:4:100640", plain, { uid: 3, gid: 4, mode: FileType.regular | 0o640 }],
    ["-2:-1294967296:41777", directory, { uid: 4294967294, gid: 3000000000, mode: FileType.directory | 0o1777 }],
    ["0:5:0660:block-8-1", plain, { gid: 5, mode: FileType.block | 0o660, rdevMajor: 8, rdevMinor: 1 }],
    ["0:0:0666:char-1-3-later", plain, { mode: FileType.character | 0o666, rdevMajor: 1, rdevMinor: 3 }],
    ["0:0:0600:pipe:later", plain, { mode: FileType.fifo | 0o600 }],
    ["0:0:0700:socket", plain, { mode: FileType.socket | 0o700 }],
    ["0:0:0777:symlink", plain, { mode: FileType.regular | 0o777 }],
    ["0:0:0700:char-1-3", directory, { mode: FileType.directory | 0o700 }],
  ])("%s", (value, stored, wanted) => {
    expect(decodeOverride(Buffer.from(value), stored)).toEqual({ ...stored, ...wanted });
  });

  it.each(["", "0", "0:0", "0:0:", "0:0:8", "a:0:644", "0:0:644:tape", "0:0:644:char", "0:0:644:block-8", " 0:0:644"])(
    "takes %j for malformed",
    (value) => {
      expect(decodeOverride(Buffer.from(value), plain)).toBeUndefined();
      expect(typeOfFile(Buffer.from(value))).toBe(FileType.regular);
    },
  );
});

describe("encodeOverride", () => {
  it.each([
    [plain, "0:0:0755:file"],
    [{ ...directory, uid: 7, gid: 4294967294, mode: FileType.directory | 0o1777 }, "7:4294967294:1777:dir"],
    [{ ...plain, mode: FileType.character | 0o600, rdevMajor: 5, rdevMinor: 256 }, "0:0:0600:char-5-256"],
    [{ ...plain, mode: FileType.block, rdevMajor: 7 }, "0:0:0000:block-7-0"],
    [{ ...plain, mode: FileType.fifo | 0o644 }, "0:0:0644:pipe"],
    [{ ...plain, mode: FileType.socket | 0o644 }, "0:0:0644:socket"],
  ])("%j", (stat, wanted) => {
    expect(encodeOverride(stat).toString()).toBe(wanted);
  });
});
