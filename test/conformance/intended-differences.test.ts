/**
 * Where the two overlays differ on purpose, each shown on both: what the kernel's does is asserted too, so that a difference that
 * has gone is noticed. docs/conformance.md has the reasons, and those that other tests assert.
 */
import { expect, test } from "vitest";
import { CallError } from "../support/agent.ts";
import { describeOverlay, type Mounted, type OverlayKind } from "../support/overlay.ts";
import { type Described, device, dir, file, hardlink, sparse, type Tree } from "../support/tree.ts";

interface Difference extends Readonly<Record<OverlayKind, unknown>> {
  readonly what: string;
  readonly lowers: readonly Tree[];
  readonly upper?: Tree | Described;
  readonly options?: readonly string[];
  readonly probe: (m: Mounted) => Promise<unknown>;
}

/** What the call answers, or the errno that it fails with. */
async function outcome(call: Promise<unknown>): Promise<unknown> {
  try {
    return (await call) ?? "done";
  } catch (error) {
    if (error instanceof CallError) {
      return error.code;
    }
    throw error;
  }
}

const openFile = (m: Mounted, path: string) => m.sys.open(`${m.mnt}/${path}`, "O_RDWR");
const superMagic = { overlay: 0x794c7630, fuse: 0x65735546 };

const differences: readonly Difference[] = [
  {
    what: "rmdir of a directory that is empty by a whiteout by xattr in a lower",
    lowers: [
      {
        e: dir(
          { f: file("", { xattrs: { "trusted.overlay.whiteout": "y" } }) },
          { xattrs: { "trusted.overlay.opaque": "x" } },
        ),
      },
      { e: { f: "1" } },
      {},
    ],
    probe: async (m) => [await m.sys.list(`${m.mnt}/e`), await outcome(m.sys.rmdir(`${m.mnt}/e`))],
    kernel: [[], "ENOTEMPTY"],
    veneer: [[], "done"],
  },
  {
    what: "link of a file without its data by a name that is too long for a redirect, where another name is not",
    lowers: [
      { [`${"d".repeat(100)}`]: { ["f".repeat(200)]: "data" }, g: hardlink(`${"d".repeat(100)}/${"f".repeat(200)}`) },
    ],
    options: ["redirect_dir=on", "metacopy=on", "index=on"],
    probe: async (m) => {
      const long = `${m.mnt}/${"d".repeat(100)}/${"f".repeat(200)}`;
      await m.sys.lstat(`${m.mnt}/g`);
      return [await outcome(m.sys.link(long, `${m.mnt}/new`)), await m.sys.readFile(long)];
    },
    kernel: ["EXDEV", "data"],
    veneer: ["done", "data"],
  },
  {
    what: "fchmod by a handle for reading, of a lower file whose name is gone",
    lowers: [{ f: "1" }],
    probe: async (m) => {
      const fd = await m.sys.open(`${m.mnt}/f`, "O_RDONLY");
      await m.sys.unlink(`${m.mnt}/f`);
      return outcome(m.sys.chmod(fd, 0o600));
    },
    kernel: "EEXIST",
    veneer: "done",
  },
  ...(["COLLAPSE_RANGE", "INSERT_RANGE"] as const).map((mode) => ({
    what: `fallocate ${mode}`,
    lowers: [{}],
    probe: async (m: Mounted) => {
      await m.sys.writeFile(`${m.mnt}/f`, "x".repeat(3 * 4096));
      return outcome(m.sys.fallocate(await openFile(m, "f"), mode, 4096, 4096));
    },
    kernel: "done",
    veneer: "EOPNOTSUPP",
  })),
  {
    what: "holes of less than 1 MiB in a copied-up file",
    lowers: [
      {
        f: sparse(200_000, [
          [0, "a"],
          [100_000, "b"],
        ]),
      },
    ],
    probe: async (m) => {
      await m.sys.chmod(`${m.mnt}/f`, 0o600);
      return (await m.sys.dataRanges(await openFile(m, "f"))).length;
    },
    kernel: 1,
    veneer: 2,
  },
  {
    what: "mtime of a file whose data come up after its metadata (`metacopy=on`)",
    lowers: [{ f: file("x".repeat(5000), { mtime: 5n }) }],
    options: ["redirect_dir=on", "metacopy=on"],
    probe: async (m) => {
      await m.sys.chmod(`${m.mnt}/f`, 0o600);
      await openFile(m, "f");
      return (await m.sys.lstat(`${m.mnt}/f`)).mtime === 5n ? "stays" : "moves";
    },
    kernel: "moves",
    veneer: "stays",
  },
  {
    what: "where a file of several names goes when it is copied up (`index=on`)",
    lowers: [{ a: { f: "1" }, b: { g: hardlink("a/f") } }],
    options: ["index=on"],
    probe: async (m) => {
      await m.sys.lstat(`${m.mnt}/a/f`);
      await m.sys.truncate(`${m.mnt}/b/g`, 0);
      return m.namesInUpper();
    },
    kernel: ["b"],
    veneer: ["a", "b"],
  },
  {
    what: "a setgid bit, when the owner of the file, who is not of its group, removes the access ACL",
    lowers: [{ f: file("1", { mode: 0o2775, uid: 5, gid: 6 }) }],
    probe: async (m) => {
      await m.sys.setAcl(`${m.mnt}/f`, [
        ["user_obj", null, 7],
        ["user", 9, 5],
        ["group_obj", null, 7],
        ["mask", null, 7],
        ["other", null, 5],
      ]);
      await m.sys.become(5, 5, []);
      await m.sys.removexattr(`${m.mnt}/f`, "system.posix_acl_access");
      return ((await m.sys.lstat(`${m.mnt}/f`)).mode & 0o2000) !== 0;
    },
    kernel: false,
    veneer: true,
  },
  {
    what: "a setgid bit without execution by the group, when a member of the group writes",
    lowers: [{ f: file("1", { mode: 0o2664, uid: 5, gid: 6 }) }],
    probe: async (m) => {
      await m.sys.become(7, 6, []);
      await m.sys.appendFile(`${m.mnt}/f`, "2");
      return (await m.sys.lstat(`${m.mnt}/f`)).mode.toString(8);
    },
    kernel: "2664",
    veneer: "664",
  },
  {
    what: "f_type of statfs(2)",
    lowers: [{}],
    probe: async (m) => (await m.sys.statvfs(m.mnt)).magic,
    kernel: superMagic.overlay,
    veneer: superMagic.fuse,
  },
  {
    what: "a mapping of a lower file, made before its copy-up",
    lowers: [{ f: "old" }],
    probe: async (m) => {
      const mapping = await m.sys.mmap(await m.sys.open(`${m.mnt}/f`, "O_RDONLY"), 3);
      await m.sys.pwrite(await openFile(m, "f"), "new", 0);
      return m.sys.mread(mapping, 0, 3);
    },
    kernel: "old",
    veneer: "new",
  },
  {
    what: "a rename of a directory that fails as the target is not empty",
    lowers: [{ d: { from: { f: "" } } }],
    options: ["redirect_dir=on"],
    probe: async (m) => {
      await m.sys.mkdir(`${m.mnt}/d/to`);
      await m.sys.writeFile(`${m.mnt}/d/to/f`, "");
      expect(await outcome(m.sys.rename(`${m.mnt}/d/from`, `${m.mnt}/d/to`))).toBe("ENOTEMPTY");
      return m.namesInUpper("d");
    },
    kernel: ["from", "to"],
    veneer: ["to"],
  },
  {
    what: "a rename of a directory onto an empty one that fails as its redirect would be too long",
    lowers: [{ d: { [`${"n".repeat(250)}`]: { from: {} } }, to: { f: "" } }],
    options: ["redirect_dir=on"],
    probe: async (m) => {
      await m.sys.unlink(`${m.mnt}/to/f`);
      const from = `${m.mnt}/d/${"n".repeat(250)}/from`;
      return [await outcome(m.sys.rename(from, `${m.mnt}/to`)), await m.isOpaque("to")];
    },
    kernel: ["EXDEV", true],
    veneer: ["EXDEV", false],
  },
  {
    what: "times set by the handle of a device of a lower whose name is gone",
    lowers: [{ null: device("char", 1, 3) }],
    probe: async (m) => {
      const fd = await m.sys.open(`${m.mnt}/null`, "O_RDWR");
      await m.sys.unlink(`${m.mnt}/null`);
      return [await outcome(m.sys.utimens(fd, 5n, 6n)), await m.isWhiteout("null")];
    },
    kernel: ["done", false],
    veneer: ["done", true],
  },
  {
    what: "the listing of an object of an impure directory that can't be looked up",
    lowers: [{ d: { low: "" } }],
    upper: dir({
      d: dir(
        { broken: file("", { xattrs: { "trusted.overlay.metacopy": "" } }) },
        { xattrs: { "trusted.overlay.impure": "y" } },
      ),
      pure: { broken: file("", { xattrs: { "trusted.overlay.metacopy": "" } }) },
    }),
    probe: async (m) => {
      expect(await outcome(m.sys.lstat(`${m.mnt}/d/broken`))).toBe("EPERM");
      expect(await m.sys.list(`${m.mnt}/pure`)).toEqual(["broken"]);
      return m.sys.list(`${m.mnt}/d`);
    },
    kernel: ["low"],
    veneer: ["broken", "low"],
  },
  {
    what: "the number listed for a hard link to a copied-up file, in an impure directory that was listed before",
    lowers: [{ a: "1", b: "2" }],
    probe: async (m) => {
      await m.sys.mkdir(`${m.mnt}/d`);
      const listed = async () => {
        const fd = await m.sys.open(`${m.mnt}/d`, "O_RDONLY|O_DIRECTORY");
        const found = (await m.sys.getdents(fd)).find(({ name }) => name === "b");
        await m.sys.close(fd);
        return found?.ino;
      };
      await m.sys.link(`${m.mnt}/a`, `${m.mnt}/d/a`);
      expect(await listed()).toBeUndefined();
      await m.sys.link(`${m.mnt}/b`, `${m.mnt}/d/b`);
      return (await listed()) === (await m.sys.lstat(`${m.mnt}/d/b`)).ino;
    },
    kernel: false,
    veneer: true,
  },
  {
    what: "files `.wh.NAME` and `.wh..wh..opq` in lowers",
    lowers: [
      { ".wh.f": "", d: { ".wh..wh..opq": "" } },
      { f: "", d: { below: "" } },
    ],
    probe: async (m) => [await m.sys.list(m.mnt), await m.sys.list(`${m.mnt}/d`)],
    kernel: [
      [".wh.f", "d", "f"],
      [".wh..wh..opq", "below"],
    ],
    veneer: [["d"], []],
  },
];

test.each(differences)("$what: is a difference", ({ kernel, veneer }) => {
  expect(veneer).not.toEqual(kernel);
});

describeOverlay("intended differences", (overlay) => {
  test.each(differences)("$what", async (difference) => {
    const { lowers, upper = {}, options = [] } = difference;
    const m = await overlay.mount({ lowers, upper, options });
    expect(await difference.probe(m)).toEqual(difference[overlay.kind]);
  });
});
