import { describe, expect, it } from "vitest";
import { asStored } from "../contract/presentation.ts";
import { MountFlag } from "./kernel-flags.ts";
import { OptionError } from "./option-error.ts";
import { parseOptions, splitOptions } from "./options.ts";

describe("splitOptions", () => {
  it.each([
    ["a,b=c,d", ["a", "b=c", "d"]],
    ["a,,b,", ["a", "b"]],
    ["", []],
    [",", []],
    ['context="u:r:t:s0:c1,c2",ro', ["context=u:r:t:s0:c1,c2", "ro"]],
    ['x="a"b,c",y', ['x=a"b,c', "y"]],
    ['na"me,x', ['na"me', "x"]],
    ["lowerdir=a\\,b,ro", ["lowerdir=a\\,b", "ro"]],
    ["lowerdir=a\\\\,ro", ["lowerdir=a\\\\", "ro"]],
    ["a\\", ["a\\"]],
  ])("%s", (text, options) => {
    expect(splitOptions(text)).toEqual(options);
  });

  it("refuses a quote that stays open", () => {
    expect(() => splitOptions('ro,context="a,b')).toThrow(/never closed/);
  });
});

describe("parseOptions", () => {
  it("has everything at rest by default", () => {
    expect(parseOptions([])).toEqual({
      lowers: [],
      upper: undefined,
      work: undefined,
      flags: 0,
      propagation: 0,
      allowOther: undefined,
      maxRead: undefined,
      source: "veneer",
      subtype: "veneer",
      entryTimeout: undefined,
      attrTimeout: undefined,
      negativeTimeout: undefined,
      fsync: "auto",
      dataLowers: [],
      features: {},
      userXattr: false,
      xattrPermissions: "0",
      presentation: asStored,
      passthrough: "upper",
      debug: false,
      labels: [],
      remount: false,
      unknown: [],
    });
  });

  it("reads a real call of podman", () => {
    const text = "lowerdir=/o/l/AAA:/o/l/BBB,upperdir=/o/x/diff,workdir=/o/x/work,,volatile,nodev,private,";
    expect(parseOptions([text])).toMatchObject({
      lowers: ["/o/l/AAA", "/o/l/BBB"],
      upper: "/o/x/diff",
      work: "/o/x/work",
      fsync: "volatile",
      flags: MountFlag.noDev,
      propagation: MountFlag.private,
      unknown: [],
    });
  });

  it("lets the later of two win", () => {
    expect(parseOptions(["lowerdir=a:b,ro", "lowerdir=c,rw,nosuid,suid"])).toMatchObject({ lowers: ["c"], flags: 0 });
    expect(parseOptions(["noatime,relatime"]).flags).toBe(MountFlag.relAtime);
    expect(parseOptions(["relatime,strictatime,noatime"]).flags).toBe(MountFlag.noAtime);
    expect(parseOptions(["allow_root,allow_other"]).allowOther).toBe(true);
    expect(parseOptions(["allow_root"]).allowOther).toBe(false);
  });

  it("lets timeout= fill only what the finer options leave open, wherever it stands", () => {
    const wanted = { entryTimeout: 2.5, attrTimeout: 7, negativeTimeout: 2.5 };
    expect(parseOptions(["timeout=2.5,attr_timeout=7"])).toMatchObject(wanted);
    expect(parseOptions(["attr_timeout=7", "timeout=1,timeout=2.5"])).toMatchObject(wanted);
  });

  it("takes the options of the kernel that ask for what is so anyway, and fsync=volatile for volatile", () => {
    const parsed = parseOptions(["nfs_export=off,verity=off,override_creds,default_permissions,fsync=auto"]);
    expect(parsed).toMatchObject({ features: {}, fsync: "auto", unknown: [] });
    expect(parseOptions(["fsync=volatile"]).fsync).toBe("volatile");
    expect(parseOptions(["fsync=0"]).fsync).toBe("volatile");
    expect(parseOptions(["fsync=0,fsync=1"]).fsync).toBe("auto");
    expect(parseOptions(["volatile,fsync=strict"]).fsync).toBe("strict");
    expect(parseOptions(["fsync=strict,volatile"]).fsync).toBe("volatile");
    expect(parseOptions(["passthrough=off", "passthrough=all"]).passthrough).toBe("all");
  });

  it("passes over those that are for others, or about how to serve", () => {
    const others = ["user=root,users,nofail,_netdev,x-systemd.automount,X-mount.mkdir,auto,noauto,comment=x"];
    const serving = ["threaded=1,writeback=0,kernel_cache,max_write=131072,splice_read,clone_fd,user_id=0,group_id=0"];
    expect(parseOptions([...others, ...serving])).toEqual(parseOptions([]));
  });

  it("keeps labels for the kernel, commas and all", () => {
    expect(parseOptions(['context="u:o:t:s0:c1,c2",ro,rootcontext=u:o:t:s0']).labels).toEqual([
      'context="u:o:t:s0:c1,c2"',
      'rootcontext="u:o:t:s0"',
    ]);
  });

  it("takes the backslashes out of upperdir and workdir", () => {
    expect(parseOptions(["upperdir=a\\,b\\:c,workdir=w\\\\"])).toMatchObject({ upper: "a,b:c", work: "w\\" });
  });

  it("names unknown options once, by name, and not those that are for others", () => {
    expect(parseOptions(["yyy=1,user=root,x-any,zzz", "yyy=2"]).unknown).toEqual(["yyy", "zzz"]);
    expect(parseOptions(["toString,constructor=1"]).unknown).toEqual(["toString", "constructor"]);
  });

  it.each([
    ["lowerdir", /lowerdir needs a value/],
    ["lowerdir+=", /lowerdir\+ needs a value/],
    ["upperdir=", /upperdir needs a value/],
    ["lowerdir=a:::b", /empty layer/],
    ["index", /index= is none of its values: write index=on, index=off/],
    ["redirect_dir=yes", /redirect_dir=yes is none of its values/],
    ["uuid=1", /uuid=1 is none of its values/],
    ["nfs_export=on", /nfs_export=on is not supported/],
    ["verity=require", /verity=require is not supported/],
    ["fsync=on", /fsync=on is none of its values/],
    ["xattr_permissions=3", /xattr_permissions=3 is none of its values: write xattr_permissions=0/],
    ["passthrough=on", /passthrough=on is none of its values: write passthrough=upper/],
    ["override_creds=off", /override_creds takes no value/],
    ["max_read=lots", /max_read=lots is not a whole number/],
    ["timeout=-1", /timeout=-1 is not a number of seconds/],
    ["attr_timeout=1e3", /attr_timeout=1e3 is not/],
    ["ro=1", /ro takes no value, but "ro=1"/],
    ["volatile=yes", /volatile takes no value/],
  ])("refuses %s", (text, sentence) => {
    expect(() => parseOptions([text])).toThrow(OptionError);
    expect(() => parseOptions([text])).toThrow(sentence);
  });
});
