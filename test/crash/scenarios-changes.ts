/** Operations that change what an object is: on lower objects, which are copied up first, and on upper ones. */
import { device, dir, fifo, file, hardlink, socket, sparse, symlink } from "../support/tree.ts";
import { asUser, large, type Scenario, withFile } from "./scenarios.ts";

/** FS_NOATIME_FL; the other flags of a file stay. */
const noAtime = 0x80;

const rich = { mode: 0o4751, uid: 5, gid: 6, xattrs: { "user.a": "1", "trusted.b": "2", "security.c": "3" } };

const copyUps: readonly Scenario[] = [
  {
    name: "copy-up by chmod",
    lower: { d: { f: file("lower", rich) } },
    act: (sys, at) => sys.chmod(at("d/f"), 0o600),
  },
  {
    name: "copy-up by chown of a directory",
    lower: { d: dir({ e: dir({ x: "1" }, { mode: 0o1770, xattrs: { "user.a": "1" } }) }) },
    act: (sys, at) => sys.chown(at("d/e"), 3, 4),
  },
  {
    name: "copy-up by lchown of a symlink",
    lower: { d: { s: symlink("to") } },
    act: (sys, at) => sys.lchown(at("d/s"), 3, 4),
  },
  {
    name: "copy-up by utimens of a FIFO",
    lower: { p: fifo({ mode: 0o620 }) },
    act: (sys, at) => sys.utimens(at("p"), 5_000_000_000n, 6_000_000_000n),
  },
  {
    name: "copy-up by chmod of a device",
    lower: { n: device("char", 1, 3, { mode: 0o666 }) },
    act: (sys, at) => sys.chmod(at("n"), 0o600),
  },
  {
    name: "copy-up by chmod of a socket",
    lower: { s: socket({ mode: 0o666 }) },
    act: (sys, at) => sys.chmod(at("s"), 0o600),
  },
  {
    name: "copy-up by setxattr",
    lower: { f: file("lower", rich) },
    act: (sys, at) => sys.setxattr(at("f"), "user.new", "value"),
  },
  {
    name: "copy-up by removexattr",
    lower: { f: file("lower", rich) },
    act: (sys, at) => sys.removexattr(at("f"), "user.a"),
  },
  {
    name: "copy-up by open for writing",
    lower: { d: { f: large } },
    act: (sys, at) => withFile(sys, at("d/f"), "O_RDWR"),
  },
  {
    name: "copy-up by open of a sparse file",
    lower: {
      f: sparse(3_000_000, [
        [1_000_000, "in the middle"],
        [2_000_000, "and later"],
      ]),
    },
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY"),
  },
  {
    name: "copy-up by truncating open",
    lower: { d: { f: large } },
    act: (sys, at) => withFile(sys, at("d/f"), "O_WRONLY|O_TRUNC"),
  },
  {
    name: "copy-up by truncate",
    lower: { f: large },
    act: (sys, at) => sys.truncate(at("f"), 1000),
  },
  {
    name: "copy-up by truncate to nothing",
    lower: { f: file("lower", rich) },
    act: (sys, at) => sys.truncate(at("f"), 0),
  },
  {
    name: "copy-up by append",
    lower: { f: file("lower", { mode: 0o600 }) },
    act: (sys, at) => sys.appendFile(at("f"), " and more"),
  },
  {
    name: "copy-up of a file with two lower names",
    lower: { f: "lower", g: hardlink("f") },
    act: (sys, at) => sys.chmod(at("f"), 0o600),
    stepwise: true,
  },
];

const onUpper: readonly Scenario[] = [
  {
    name: "chmod",
    upper: { f: "upper" },
    act: (sys, at) => sys.chmod(at("f"), 0o600),
  },
  {
    name: "chown",
    upper: { f: file("upper", { mode: 0o4755 }) },
    act: (sys, at) => sys.chown(at("f"), 3, 4),
  },
  {
    name: "setxattr",
    upper: { f: file("upper", { xattrs: { "user.a": "1" } }) },
    act: (sys, at) => sys.setxattr(at("f"), "user.a", "22"),
  },
  {
    name: "removexattr",
    upper: { f: file("upper", { xattrs: { "user.a": "1" } }) },
    act: (sys, at) => sys.removexattr(at("f"), "user.a"),
  },
  {
    name: "setting an ACL",
    upper: { f: "upper" },
    act: (sys, at) =>
      sys.setAcl(at("f"), [
        ["user_obj", null, 6],
        ["user", 5, 4],
        ["group_obj", null, 4],
        ["mask", null, 6],
        ["other", null, 0],
      ]),
  },
  {
    name: "write",
    upper: { f: "upper" },
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY", (fd) => sys.pwrite(fd, "LOWER", 2)),
  },
  {
    name: "write by a user to a setuid file",
    upper: { f: file("upper", { mode: 0o6777 }) },
    act: (sys, at) => asUser(sys, () => withFile(sys, at("f"), "O_WRONLY", (fd) => sys.pwrite(fd, "LOWER", 0))),
    stepwise: true,
  },
  {
    name: "large write",
    upper: { f: "upper" },
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY", (fd) => sys.pwrite(fd, "0123456789abcdef".repeat(20_000), 0)),
  },
  {
    name: "synchronous write",
    upper: { f: "upper" },
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY|O_SYNC", (fd) => sys.pwrite(fd, "synced", 0)),
    stepwise: true,
  },
  {
    name: "write and fsync",
    upper: { f: "upper" },
    act: (sys, at) =>
      withFile(sys, at("f"), "O_WRONLY", async (fd) => {
        await sys.pwrite(fd, "synced", 0);
        await sys.fsync(fd);
        await sys.fdatasync(fd);
      }),
    stepwise: true,
  },
  {
    name: "fsync of a directory",
    upper: { d: { x: "1" } },
    act: (sys, at) => withFile(sys, at("d"), "O_RDONLY|O_DIRECTORY", (fd) => sys.fsync(fd)),
  },
  {
    name: "fallocate",
    upper: { f: "upper" },
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY", (fd) => sys.fallocate(fd, "", 0, 100_000)),
  },
  {
    name: "punching a hole",
    upper: { f: large },
    act: (sys, at) =>
      withFile(sys, at("f"), "O_WRONLY", (fd) => sys.fallocate(fd, "KEEP_SIZE|PUNCH_HOLE", 8192, 65536)),
  },
  {
    name: "truncating open",
    upper: { f: large },
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY|O_TRUNC"),
  },
  {
    name: "truncate to more",
    upper: { f: "upper" },
    act: (sys, at) => sys.truncate(at("f"), 1_000_000),
  },
  {
    name: "utimens",
    upper: { f: "upper" },
    act: (sys, at) => sys.utimens(at("f"), 5_000_000_000n, 6_000_000_000n),
  },
  {
    name: "copy_file_range",
    upper: { g: "upper" },
    lower: { f: "lower" },
    act: (sys, at) =>
      withFile(sys, at("f"), "O_RDONLY", (from) =>
        withFile(sys, at("g"), "O_WRONLY", (to) => sys.copyFileRange(from, to, 5, 0, 2)),
      ),
  },
  {
    name: "chattr",
    upper: { f: "upper" },
    act: (sys, at) =>
      withFile(sys, at("f"), "O_RDONLY", async (fd) => sys.setFlags(fd, (await sys.getFlags(fd)) | noAtime)),
  },
];

/** Each changes one object. */
export const changeScenarios: readonly Scenario[] = [...copyUps, ...onUpper];
