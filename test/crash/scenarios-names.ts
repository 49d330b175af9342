/** Operations that make and remove names. */
import type { Agent } from "../support/agent.ts";
import { device, dir, fifo, file, hardlink, symlink } from "../support/tree.ts";
import { asUser, type Scenario, shared, whiteouts, withFile } from "./scenarios.ts";

/** A file that gets its data, and only then its name. */
function makeUnnamed(sys: Agent, directory: string, name: string, flags: string, data = "data"): Promise<void> {
  const fill = async (fd: number) => {
    await sys.write(fd, data);
    await sys.linkFd(fd, name);
  };
  return withFile(sys, directory, flags, fill, 0o640);
}

const newFlags = "O_RDWR|O_CREAT|O_EXCL";

const creations: readonly Scenario[] = [
  {
    name: "create",
    upper: { d: {} },
    lower: { d: { old: "x" } },
    act: (sys, at) => withFile(sys, at("d/new"), newFlags),
  },
  {
    name: "create over a whiteout",
    upper: { d: whiteouts("f") },
    lower: { d: { f: "lower" } },
    act: (sys, at) => withFile(sys, at("d/f"), newFlags),
  },
  {
    name: "create in a lower's directory",
    lower: { d: dir({ e: dir({}, { mode: 0o750, xattrs: { "user.x": "1" } }) }, { mode: 0o2775, gid: 7 }) },
    act: (sys, at) => withFile(sys, at("d/e/new"), newFlags),
  },
  {
    name: "create by a user",
    upper: { d: shared({}) },
    lower: { d: shared({ old: "x" }) },
    act: (sys, at) => asUser(sys, () => withFile(sys, at("d/new"), newFlags)),
  },
  {
    name: "create by a user over a whiteout",
    upper: { d: dir(whiteouts("f"), { mode: 0o2777, gid: 7 }) },
    lower: { d: shared({ f: "lower" }) },
    act: (sys, at) => asUser(sys, () => withFile(sys, at("d/f"), newFlags)),
  },
  {
    name: "mkdir",
    upper: { d: {} },
    lower: { d: { old: "x" } },
    act: (sys, at) => sys.mkdir(at("d/new")),
  },
  {
    name: "mkdir over a whiteout",
    upper: { d: whiteouts("e") },
    lower: { d: { e: { gone: "lower" } } },
    act: (sys, at) => sys.mkdir(at("d/e")),
  },
  {
    name: "mkdir by a user over a whiteout",
    upper: { d: dir(whiteouts("e"), { mode: 0o777 }) },
    lower: { d: shared({ e: { gone: "lower" } }) },
    act: (sys, at) => asUser(sys, () => sys.mkdir(at("d/e"))),
  },
  {
    name: "mknod of a FIFO",
    lower: { d: {} },
    act: (sys, at) => sys.mknod(at("d/new"), "fifo", 0o640),
  },
  {
    name: "mknod of a device over a whiteout",
    upper: { d: whiteouts("n") },
    lower: { d: { n: "lower" } },
    act: (sys, at) => sys.mknod(at("d/n"), "char", 0o640, 1, 3),
  },
  {
    name: "symlink",
    lower: { d: {} },
    act: (sys, at) => sys.symlink("to/somewhere", at("d/new")),
  },
  {
    name: "symlink by a user over a whiteout",
    upper: { d: dir(whiteouts("s"), { mode: 0o777 }) },
    lower: { d: shared({ s: symlink("old") }) },
    act: (sys, at) => asUser(sys, () => sys.symlink("to/somewhere", at("d/s"))),
  },
];

const links: readonly Scenario[] = [
  {
    name: "link of an upper file",
    upper: { f: "upper", d: {} },
    lower: { d: { old: "x" } },
    act: (sys, at) => sys.link(at("f"), at("d/new")),
  },
  {
    name: "link of a lower file",
    lower: { f: "lower", d: {} },
    act: (sys, at) => sys.link(at("f"), at("d/new")),
  },
  {
    name: "link of a lower symlink",
    lower: { s: symlink("lower"), d: {} },
    act: (sys, at) => sys.link(at("s"), at("d/new")),
  },
  {
    name: "link over a whiteout",
    upper: { d: whiteouts("f") },
    lower: { g: "lower", d: { f: "gone" } },
    act: (sys, at) => sys.link(at("g"), at("d/f")),
  },
  {
    name: "O_TMPFILE and link",
    upper: { d: {} },
    lower: { d: { old: "x" } },
    act: (sys, at) => makeUnnamed(sys, at("d"), at("d/new"), "O_TMPFILE|O_RDWR"),
  },
  {
    name: "O_TMPFILE with O_DIRECT and link",
    upper: { d: {} },
    lower: { d: { old: "x" } },
    act: (sys, at) => makeUnnamed(sys, at("d"), at("d/new"), "O_TMPFILE|O_WRONLY|O_DIRECT", ""),
  },
  {
    name: "O_TMPFILE and link in a lower's directory",
    lower: { d: {} },
    act: (sys, at) => makeUnnamed(sys, at("d"), at("d/new"), "O_TMPFILE|O_RDWR"),
  },
  {
    name: "O_TMPFILE and link over a whiteout, by a user",
    upper: { d: dir(whiteouts("f"), { mode: 0o777 }) },
    lower: { d: shared({ f: "gone" }) },
    act: (sys, at) => asUser(sys, () => makeUnnamed(sys, at("d"), at("d/f"), "O_TMPFILE|O_RDWR")),
  },
];

const removals: readonly Scenario[] = [
  {
    name: "unlink of an upper file",
    upper: { f: "upper" },
    act: (sys, at) => sys.unlink(at("f")),
  },
  {
    name: "unlink of a lower file",
    lower: { d: { f: "lower" } },
    below: { d: { f: "below" } },
    act: (sys, at) => sys.unlink(at("d/f")),
  },
  {
    name: "unlink of a file that both have",
    upper: { d: { f: "upper" } },
    lower: { d: { f: "lower" } },
    act: (sys, at) => sys.unlink(at("d/f")),
  },
  {
    name: "unlink of one of two hard links",
    upper: { f: "upper", g: hardlink("f") },
    lower: { f: "lower" },
    act: (sys, at) => sys.unlink(at("f")),
  },
  {
    name: "unlink of a lower FIFO",
    lower: { p: fifo() },
    act: (sys, at) => sys.unlink(at("p")),
  },
  {
    name: "unlink of a file that is open",
    upper: { f: "upper" },
    lower: { f: "lower" },
    act: (sys, at) => withFile(sys, at("f"), "O_RDWR", () => sys.unlink(at("f"))),
  },
  {
    name: "rmdir of an upper directory",
    upper: { d: {} },
    act: (sys, at) => sys.rmdir(at("d")),
  },
  {
    name: "rmdir of a lower directory",
    lower: { d: { e: {} } },
    act: (sys, at) => sys.rmdir(at("d/e")),
  },
  {
    name: "rmdir of a merged directory with whiteouts",
    upper: { d: whiteouts("a", "b") },
    lower: { d: { a: "1" } },
    below: { d: { a: "2", b: { c: "3" } } },
    act: (sys, at) => sys.rmdir(at("d")),
  },
  {
    name: "unlink of a device that both have",
    upper: { n: device("char", 1, 5) },
    lower: { n: file("lower") },
    act: (sys, at) => sys.unlink(at("n")),
  },
];

/** Each makes or removes one name. */
export const nameScenarios: readonly Scenario[] = [...creations, ...links, ...removals];
