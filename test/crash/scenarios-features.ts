/** Operations that options of the mount change: renames of lower directories, files with several names on a lower, metadata alone. */
import type { Agent } from "../support/agent.ts";
import { dir, file, hardlink, opaque, type Tree } from "../support/tree.ts";
import { large, type Scenario, whiteouts, withFile } from "./scenarios.ts";

const lowerDirectory: Tree = { x: "1", sub: { y: "2" } };

/** With redirect_dir=on. */
export const redirectScenarios: readonly Scenario[] = [
  {
    name: "redirect: rename of a lower directory",
    lower: { e: dir(lowerDirectory, { mode: 0o750, xattrs: { "user.a": "1" } }) },
    act: (sys, at) => sys.rename(at("e"), at("f")),
  },
  {
    name: "redirect: rename of a merged directory to another directory",
    upper: { e: { u: "3", ...whiteouts("x") } },
    lower: { e: lowerDirectory, d: { old: "x" } },
    below: { e: { z: "4" } },
    act: (sys, at) => sys.rename(at("e"), at("d/f")),
  },
  {
    name: "redirect: second rename",
    lower: { e: lowerDirectory, d: {} },
    prepare: (sys, at) => sys.rename(at("e"), at("f")),
    act: (sys, at) => sys.rename(at("f"), at("d/g")),
  },
  {
    name: "redirect: rename back",
    lower: { e: lowerDirectory },
    prepare: (sys, at) => sys.rename(at("e"), at("f")),
    act: (sys, at) => sys.rename(at("f"), at("e")),
  },
  {
    name: "redirect: rename to where a whiteout is",
    upper: whiteouts("f"),
    lower: { e: lowerDirectory, f: { gone: "x" } },
    act: (sys, at) => sys.rename(at("e"), at("f")),
  },
  {
    name: "redirect: rename over an emptied directory",
    upper: { f: whiteouts("a", "b") },
    lower: { e: lowerDirectory, f: { a: "2" } },
    below: { f: { b: "3" } },
    act: (sys, at) => sys.rename(at("e"), at("f")),
    stepwise: true,
  },
  {
    name: "redirect: EXCHANGE of two lower directories",
    lower: { e: lowerDirectory, d: { f: { z: "3" } } },
    act: (sys, at) => sys.renameat2(at("e"), at("d/f"), "EXCHANGE"),
  },
  {
    name: "redirect: EXCHANGE of a lower directory and a file",
    upper: { f: "1" },
    lower: { e: lowerDirectory },
    act: (sys, at) => sys.renameat2(at("e"), at("f"), "EXCHANGE"),
  },
  {
    name: "redirect: copy-up below a renamed directory",
    lower: { e: lowerDirectory },
    prepare: (sys, at) => sys.rename(at("e"), at("f")),
    act: (sys, at) => sys.chmod(at("f/sub/y"), 0o600),
  },
  {
    name: "redirect: rmdir of a renamed directory that was emptied",
    lower: { e: { x: "1" } },
    prepare: async (sys, at) => {
      await sys.rename(at("e"), at("f"));
      await sys.unlink(at("f/x"));
    },
    act: (sys, at) => sys.rmdir(at("f")),
  },
  {
    name: "redirect: mkdir where a renamed directory was",
    lower: { e: lowerDirectory },
    prepare: (sys, at) => sys.rename(at("e"), at("f")),
    act: (sys, at) => sys.mkdir(at("e")),
  },
  {
    name: "redirect: rename of an opaque directory over a lower's name",
    upper: { e: opaque({ x: "1" }) },
    lower: { e: { hidden: "2" } },
    act: (sys, at) => sys.rename(at("e"), at("g")),
  },
];

const big = file("0123456789abcdef".repeat(20_000), { mode: 0o640, xattrs: { "user.a": "1", "security.b": "2" } });

/** A file of which the upper has metadata alone. */
async function chmodded(sys: Agent, at: (name: string) => string): Promise<void> {
  await sys.chmod(at("f"), 0o600);
}

/** With redirect_dir=on and metacopy=on. Data are brought up right into the upper file, which moves its time until that is put back. */
export const metacopyScenarios: readonly Scenario[] = [
  {
    name: "metacopy: chmod of a lower file",
    lower: { f: large },
    act: (sys, at) => sys.chmod(at("f"), 0o600),
  },
  {
    name: "metacopy: rename of a lower file to another directory",
    lower: { f: "data", d: { old: "x" } },
    act: (sys, at) => sys.rename(at("f"), at("d/g")),
  },
  {
    name: "metacopy: rename of a copy of metadata",
    lower: { f: "data" },
    prepare: (sys, at) => sys.chmod(at("f"), 0o600),
    act: (sys, at) => sys.rename(at("f"), at("g")),
  },
  {
    name: "metacopy: EXCHANGE of two lower files",
    lower: { f: "data", d: { g: "other" } },
    act: (sys, at) => sys.renameat2(at("f"), at("d/g"), "EXCHANGE"),
  },
  {
    name: "metacopy: link to a lower file",
    lower: { d: { f: "data" } },
    act: (sys, at) => sys.link(at("d/f"), at("g")),
  },
  {
    name: "metacopy: write to a large copy of metadata",
    lower: { f: large },
    prepare: (sys, at) => sys.chmod(at("f"), 0o600),
    act: (sys, at) => withFile(sys, at("f"), "O_RDWR", (fd) => sys.pwrite(fd, "X", 3)),
    stepwise: true,
  },
  {
    name: "metacopy: write to a linked copy of metadata",
    lower: { f: "data" },
    prepare: (sys, at) => sys.link(at("f"), at("g")),
    act: (sys, at) => sys.appendFile(at("g"), " and more"),
    stepwise: true,
  },
  {
    name: "metacopy: truncating open of a copy of metadata",
    lower: { f: "data" },
    prepare: (sys, at) => sys.chmod(at("f"), 0o600),
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY|O_TRUNC"),
    stepwise: true,
  },
  {
    name: "metacopy: truncating open of a lower file",
    lower: { f: "data" },
    act: (sys, at) => withFile(sys, at("f"), "O_WRONLY|O_TRUNC"),
  },
  {
    name: "metacopy: chown below directories of a lower",
    lower: { d: { e: { f: big } } },
    act: (sys, at) => sys.chown(at("d/e/f"), 3, 4),
  },
  {
    name: "metacopy: setxattr",
    lower: { f: big },
    prepare: chmodded,
    act: (sys, at) => sys.setxattr(at("f"), "user.new", "value"),
  },
  {
    name: "metacopy: truncate",
    lower: { f: big },
    prepare: chmodded,
    act: (sys, at) => sys.truncate(at("f"), 1000),
    stepwise: true,
  },
  {
    name: "metacopy: data of a renamed file",
    lower: { f: big, d: {} },
    prepare: (sys, at) => sys.rename(at("f"), at("d/g")),
    act: (sys, at) => sys.appendFile(at("d/g"), " and more"),
    stepwise: true,
  },
  {
    name: "metacopy: unlink",
    lower: { f: big },
    prepare: chmodded,
    act: (sys, at) => sys.unlink(at("f")),
  },
  {
    name: "metacopy: EXCHANGE with an upper file",
    upper: { u: "upper" },
    lower: { f: big, d: {} },
    act: (sys, at) => sys.renameat2(at("u"), at("f"), "EXCHANGE"),
  },
];

const twoNames: Tree = { f: file("lower", { mode: 0o644 }), d: { g: hardlink("f") } };

/** With index=on. */
export const indexScenarios: readonly Scenario[] = [
  {
    name: "index: chmod by one of two names",
    lower: twoNames,
    act: (sys, at) => sys.chmod(at("f"), 0o600),
  },
  {
    name: "index: chmod of a large file whose names are known",
    lower: { f: large, d: { g: hardlink("f") } },
    prepare: (sys, at) => sys.lstat(at("d/g")),
    act: (sys, at) => sys.chmod(at("f"), 0o600),
  },
  {
    name: "index: write by the second name after the first was changed",
    lower: twoNames,
    prepare: (sys, at) => sys.chmod(at("f"), 0o600),
    act: (sys, at) => sys.appendFile(at("d/g"), " and more"),
  },
  {
    name: "index: truncating open",
    lower: twoNames,
    act: (sys, at) => withFile(sys, at("d/g"), "O_WRONLY|O_TRUNC"),
    stepwise: true,
  },
  {
    name: "index: unlink of one of two names",
    lower: twoNames,
    act: (sys, at) => sys.unlink(at("f")),
  },
  {
    name: "index: unlink of the last name",
    lower: twoNames,
    prepare: (sys, at) => sys.unlink(at("f")),
    act: (sys, at) => sys.unlink(at("d/g")),
  },
  {
    name: "index: unlink of the last name of a changed file",
    lower: twoNames,
    prepare: async (sys, at) => {
      await sys.chmod(at("f"), 0o600);
      await sys.unlink(at("f"));
    },
    act: (sys, at) => sys.unlink(at("d/g")),
  },
  {
    name: "index: a third name",
    lower: twoNames,
    act: (sys, at) => sys.link(at("f"), at("d/h")),
  },
  {
    name: "index: a third name over a whiteout",
    upper: { d: whiteouts("h") },
    lower: { f: "lower", d: { g: hardlink("f"), h: "gone" } },
    act: (sys, at) => sys.link(at("f"), at("d/h")),
  },
  {
    name: "index: rename of one of two names",
    lower: twoNames,
    act: (sys, at) => sys.rename(at("f"), at("d/h")),
  },
  {
    name: "index: rename over one of two names",
    upper: { u: "upper" },
    lower: twoNames,
    act: (sys, at) => sys.rename(at("u"), at("d/g")),
  },
  {
    name: "index: EXCHANGE of one of two names and another file",
    upper: { u: "upper" },
    lower: twoNames,
    act: (sys, at) => sys.renameat2(at("u"), at("d/g"), "EXCHANGE"),
  },
];
