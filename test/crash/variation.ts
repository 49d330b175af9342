/**
 * What the seed makes of a scenario: its objects get other names, contents, modes, owners and xattrs. The operation stays the
 * same, and so does what the scenario says of its objects itself.
 */
import { Described, describeTree, type Tree, type TreeDescription } from "../support/tree.ts";
import { type Numbers, numbersFor } from "./extent.ts";
import type { Scenario } from "./scenarios.ts";

type Node = TreeDescription["children"][string];

/** Bytes that a name may have and that someone may take for something else. */
const oddities = [
  " ",
  "\xff",
  "\n",
  "'\"",
  "\\",
  ":",
  ",=",
  "\xc3\xa9",
  "#",
  "%s",
  "\x01",
  "~",
  ".wh.",
  "\xed\xa0\x80",
];

const fileModes = [0o644, 0o640, 0o755, 0o664, 0o2755, 0o4711] as const;
const owners = [0, 5, 1001] as const;

/** @param longest of names, in bytes */
export function varied(scenario: Scenario, longest: number): Scenario {
  const name = namesOf(scenario, longest);
  const path = (from: string) => from.split("/").map(name).join("/");
  const { upper, lower, below, prepare, act } = scenario;
  const layer = (which: string, tree: Tree | Described | undefined) =>
    tree && new Described(variedTree(describeTree(tree), path, numbersFor(`${which} of ${scenario.name}`)));
  const layers = { upper: layer("upper", upper), lower: layer("lower", lower), below: layer("below", below) };
  const given = Object.fromEntries(Object.entries(layers).filter(([, tree]) => tree !== undefined));
  return {
    ...scenario,
    ...given,
    ...(prepare && { prepare: (sys, at) => prepare(sys, (from) => at(path(from))) }),
    act: (sys, at) => act(sys, (from) => at(path(from))),
  };
}

/** One name is always the same one, in all layers; no two become one, as each begins with what it was and ends there. */
function namesOf(scenario: Scenario, longest: number): (name: string) => string {
  return (name) => {
    if (name === "." || name === "..") {
      return name;
    }
    const next = numbersFor(`the name ${name} in ${scenario.name}`);
    let odd = "";
    for (let more = next(4); more > 0; more -= 1) {
      odd += oddities[next(oddities.length)];
    }
    const room = longest - name.length - odd.length - 1;
    const padding = next(4) === 0 ? "x".repeat(next(room)) : "";
    return odd === "" && padding === "" ? name : `${name}-${odd}${padding}`;
  };
}

function variedTree(tree: TreeDescription, path: (from: string) => string, next: Numbers): TreeDescription {
  const children = Object.entries(tree.children).map(([name, node]) => [path(name), variedNode(node, path, next)]);
  return { ...tree, children: Object.fromEntries(children) };
}

function variedNode(node: Node, path: (from: string) => string, next: Numbers): Node {
  switch (node.kind) {
    case "hardlink":
      return { ...node, to: path(node.to) };
    case "dir":
      return { ...variedTree(node, path, next), xattrs: { ...someXattrs(next), ...node.xattrs } };
    case "file": {
      const [piece] = node.data;
      const whole = node.data.length === 1 && piece !== undefined && piece[1].length === node.size;
      const content = whole ? `${piece[1]}${filler(next)}` : "";
      return {
        mode: fileModes[next(fileModes.length)] ?? 0,
        uid: owners[next(owners.length)] ?? 0,
        ...node,
        ...(whole && { data: [[0, content]] as const, size: content.length }),
        xattrs: { ...someXattrs(next), ...node.xattrs },
      };
    }
    default:
      return node;
  }
}

/** More of a file: often nothing, at times pages of it. */
function filler(next: Numbers): string {
  const length = [0, 1, next(100), next(10_000)][next(4)] ?? 0;
  return String.fromCharCode(32 + next(200)).repeat(length);
}

function someXattrs(next: Numbers): Record<string, string> {
  const xattrs: Record<string, string> = {};
  for (let more = next(3); more > 0; more -= 1) {
    const namespace = ["user.", "trusted.", "security."][next(3)];
    xattrs[`${namespace}${next(100)}`] = "v".repeat([0, 1, 30, 500][next(4)] ?? 0);
  }
  return xattrs;
}
