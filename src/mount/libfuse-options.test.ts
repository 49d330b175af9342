import { describe, expect, it } from "vitest";
import { flagsBesideLibfuse, libfuseOptions } from "./libfuse-options.ts";
import { OptionError } from "./option-error.ts";
import { parseOptions } from "./options.ts";

function words(text: string, readOnly = false): string[] {
  return libfuseOptions(parseOptions([text]), readOnly, ['context="a,b"']).split(/(?<!\\),/);
}

describe("libfuseOptions", () => {
  it("lets names be kept, and no attributes, unless told otherwise", () => {
    expect(words("lowerdir=a")).toEqual([
      ...["default_permissions", "nonempty", "use_ino", "big_writes"],
      ...["entry_timeout=31536000", "negative_timeout=31536000", "attr_timeout=0"],
      ...["fsname=veneer", "subtype=veneer", 'context="a\\,b"', "suid", "dev"],
    ]);
    expect(words("timeout=2,negative_timeout=0.5")).toEqual(
      expect.arrayContaining(["entry_timeout=2", "attr_timeout=2", "negative_timeout=0.5"]),
    );
  });

  it("passes on what is given", () => {
    const all = words("allow_other,max_read=4096,nosuid,noexec,sync,dirsync,fsname=a\\,b\\\\c,subtype=x");
    expect(all).toEqual(expect.arrayContaining(["allow_other", "max_read=4096", "noexec", "sync", "dirsync", "dev"]));
    expect(all).toEqual(expect.arrayContaining(["fsname=a\\,b\\\\c", "subtype=x"]));
    expect(all).not.toContain("suid");
    expect(words("ro")).toContain("ro");
    expect(words("rw", true)).toContain("ro");
  });

  it("has no more than the addon has room for", () => {
    expect(() => words(`fsname=${"x".repeat(1000)}`)).toThrow(OptionError);
  });
});

describe("flagsBesideLibfuse", () => {
  it("are those of the mount that libfuse has no words for, and those that must not get lost by them", () => {
    const [remountBind, noSuid, noDirAtime, readOnly] = [0x1020, 2, 2048, 1];
    expect(flagsBesideLibfuse(parseOptions(["nosuid,sync"]), false)).toBe(0);
    expect(flagsBesideLibfuse(parseOptions(["nosuid,nodiratime,sync"]), true)).toBe(
      remountBind | noSuid | noDirAtime | readOnly,
    );
  });
});
