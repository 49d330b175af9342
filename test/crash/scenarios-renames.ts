/** Every form of rename: of files, of directories, over what there may be at the new name. */
import { device, dir, hardlink, opaque, symlink, type Tree } from "../support/tree.ts";
import { asUser, large, type Scenario, shared, whiteouts } from "./scenarios.ts";

function moves(
  name: string,
  [from, to]: readonly [from: string, to: string],
  layers: { upper?: Tree; lower?: Tree; below?: Tree },
  flags?: "NOREPLACE" | "EXCHANGE",
): Scenario {
  return {
    name: `rename ${name}`,
    ...layers,
    act: (sys, at) => (flags ? sys.renameat2(at(from), at(to), flags) : sys.rename(at(from), at(to))),
  };
}

const ofFiles: readonly Scenario[] = [
  moves("of an upper file", ["f", "d/new"], { upper: { f: "upper", d: {} }, lower: { d: { old: "x" } } }),
  moves("of a lower file", ["a/f", "d/new"], { lower: { a: { f: "lower" }, d: {} }, below: { a: { f: "below" } } }),
  moves("of a large lower file", ["f", "g"], { lower: { f: large } }),
  moves("of a file that both have", ["f", "g"], { upper: { f: "upper" }, lower: { f: "lower" } }),
  moves("of an upper file over an upper file", ["f", "g"], { upper: { f: "1", g: "2" } }),
  moves("of an upper file over a lower file", ["f", "g"], { upper: { f: "1" }, lower: { g: "2" } }),
  moves("of a lower file over a lower file", ["f", "d/g"], { lower: { f: "1", d: { g: "2" } } }),
  moves("of a lower file over one that both have", ["f", "g"], { upper: { g: "2" }, lower: { f: "1", g: "3" } }),
  moves("of a lower file over a whiteout", ["f", "g"], { upper: whiteouts("g"), lower: { f: "1", g: "2" } }),
  moves("of a lower symlink", ["s", "d/t"], { lower: { s: symlink("x"), d: {} } }),
  moves("of a lower device", ["n", "m"], { lower: { n: device("block", 7, 99) } }),
  moves("of one hard link over another file", ["f", "h"], { upper: { f: "1", g: hardlink("f"), h: "2" } }),
  moves("NOREPLACE of a lower file", ["f", "g"], { lower: { f: "1" } }, "NOREPLACE"),
  moves(
    "NOREPLACE over a whiteout",
    ["f", "g"],
    { upper: { f: "1", ...whiteouts("g") }, lower: { g: "2" } },
    "NOREPLACE",
  ),
  moves(
    "EXCHANGE of an upper and a lower file",
    ["f", "d/g"],
    { upper: { f: "1" }, lower: { d: { g: "2" } } },
    "EXCHANGE",
  ),
  moves("EXCHANGE of two lower files", ["f", "g"], { lower: { f: "1", g: "2" } }, "EXCHANGE"),
  moves("EXCHANGE of a file and a directory", ["f", "e"], { upper: { e: { x: "2" } }, lower: { f: "1" } }, "EXCHANGE"),
  {
    name: "rename by a user",
    upper: { d: shared({}) },
    lower: { c: shared({ f: "1" }), d: shared({}) },
    act: (sys, at) => asUser(sys, () => sys.rename(at("c/f"), at("d/g"))),
  },
];

const ofDirectories: readonly Scenario[] = [
  moves("of an upper directory", ["e", "f"], { upper: { e: { x: "1" } } }),
  moves("of an upper directory into a merged one", ["e", "d/f"], {
    upper: { e: { x: "1" }, d: {} },
    lower: { d: { old: "x" } },
  }),
  moves("of an upper directory to where a whiteout is", ["e", "f"], {
    upper: { e: { x: "1" }, ...whiteouts("f") },
    lower: { f: { gone: "x" } },
  }),
  moves("of an opaque directory over a lower's name", ["e", "g"], {
    upper: { e: opaque({ x: "1" }) },
    lower: { e: { hidden: "2" } },
  }),
  moves("of an upper directory over an empty one", ["e", "f"], { upper: { e: { x: "1" }, f: {} } }),
  moves("of an upper directory over an empty lower one", ["e", "f"], { upper: { e: { x: "1" } }, lower: { f: {} } }),
  // An empty directory takes the place of the merged one first, which moves the time of their parent.
  {
    stepwise: true,
    ...moves("of an upper directory over a merged one with whiteouts", ["e", "f"], {
      upper: { e: { x: "1" }, f: dir(whiteouts("a", "b"), { mode: 0o750, xattrs: { "user.a": "1" } }) },
      lower: { f: dir({ a: "2" }, { mode: 0o755 }) },
      below: { f: { b: "3" } },
    }),
  },
  moves(
    "EXCHANGE of two upper directories",
    ["e", "d/f"],
    { upper: { e: { x: "1" }, d: { f: { y: "2" } } }, lower: { d: {} } },
    "EXCHANGE",
  ),
];

/** One rename each. */
export const renameScenarios: readonly Scenario[] = [...ofFiles, ...ofDirectories];
