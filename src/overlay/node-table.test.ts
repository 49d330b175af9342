import { beforeEach, describe, expect, test } from "vitest";
import { FileType } from "../contract/ids.ts";
import { Gate } from "../contract/slow.ts";
import { Errno } from "../errno.ts";
import type { Stat, WritableLayer } from "../layer/layer.ts";
import { isMerged, isRemoved, joinPath, type Node } from "./node.ts";
import { type Discovery, NodeTable } from "./node-table.ts";

const onUpper = { upper: true, lowers: [], ino: 5, hasOrigin: false };

function discovery(type: number, { ino = 5, nlink = 1 } = {}): Discovery {
  return { ...onUpper, stat: { mode: type | 0o644, dev: 1, ino, nlink } as Stat };
}

const aFile = discovery(FileType.regular);
const aDirectory = discovery(FileType.directory, { nlink: 2 });
const linkedFile = discovery(FileType.regular, { ino: 77, nlink: 2 });

/** An anchor that only notes whether it was closed. */
function anchor(): { closed: number; layer: WritableLayer } {
  const noted = { closed: 0, layer: {} as WritableLayer };
  noted.layer = {
    close: () => {
      noted.closed += 1;
    },
  } as WritableLayer;
  return noted;
}

let table: NodeTable;
let dropped: Node[];
let releases: number;

beforeEach(() => {
  dropped = [];
  releases = 0;
  table = new NodeTable(
    { ...onUpper, ino: 1 },
    { dropped: (node) => dropped.push(node), releaseMemory: () => void releases++ },
  );
});

function lookedUp(parent: Node, name: string, found: Discovery): Node {
  const node = table.add(parent, name, found);
  node.lookups += 1;
  return node;
}

describe("ids", () => {
  test("1 is the root, and no id comes twice", () => {
    expect(table.get(1)).toBe(table.root);
    const first = lookedUp(table.root, "a", aFile);
    table.forget(first, 1);
    const second = lookedUp(table.root, "a", aFile);
    expect(second.id).not.toBe(first.id);
  });

  test("of a node that was forgotten are stale", () => {
    const node = lookedUp(table.root, "a", aFile);
    table.forget(node, 1);
    expect(() => table.get(node.id)).toThrowError(expect.objectContaining({ code: Errno.ESTALE }));
    expect(table.find(node.id)).toBeUndefined();
  });
});

describe("a node is held", () => {
  test("by each lookup", () => {
    const node = lookedUp(table.root, "a", aFile);
    node.lookups += 2;
    table.forget(node, 2);
    expect(table.find(node.id)).toBe(node);
    table.forget(node, 1);
    expect(dropped).toEqual([node]);
    expect(table.root.directory?.children.size).toBe(0);
  });

  test("by its children: a forgotten directory goes with the last of them, and so does its parent", () => {
    const outer = lookedUp(table.root, "outer", aDirectory);
    const inner = lookedUp(outer, "inner", aDirectory);
    const file = lookedUp(inner, "file", aFile);
    table.forget(outer, 1);
    table.forget(inner, 1);
    expect(table.size).toBe(4);
    table.forget(file, 1);
    expect(dropped).toEqual([file, inner, outer]);
    expect(table.size).toBe(1);
  });

  test("by an open file, and by a copy-up under way", () => {
    const node = lookedUp(table.root, "a", aFile);
    node.open = { handles: 1 } as unknown as NonNullable<Node["open"]>;
    table.forget(node, 1);
    expect(dropped).toEqual([]);
    node.open = undefined;
    node.copyingUp = new Gate();
    table.dropIfUnused(node);
    expect(dropped).toEqual([]);
    node.copyingUp = undefined;
    table.dropIfUnused(node);
    expect(dropped).toEqual([node]);
  });

  test("the root by itself: more is forgotten than was looked up", () => {
    table.forget(table.root, 10);
    expect(table.get(1)).toBe(table.root);
    expect(dropped).toEqual([]);
  });
});

describe("memory is released", () => {
  const fill = (count: number) =>
    Array.from({ length: count }, (_, index) =>
      lookedUp(table.root, `n${index}`, discovery(FileType.regular, { ino: index + 2 })),
    );
  const forgetAll = (nodes: readonly Node[]) => {
    for (const node of nodes) {
      table.forget(node, 1);
    }
  };

  test("when half of many nodes went, and again when half of the rest did", () => {
    const nodes = fill(80_000);
    forgetAll(nodes.slice(0, 39_000));
    expect(releases).toBe(0);
    forgetAll(nodes.slice(39_000, 41_000));
    expect(releases).toBe(1);
    forgetAll(nodes.slice(41_000, 61_000));
    expect(releases).toBe(2);
    forgetAll(nodes.slice(61_000));
    expect(releases).toBe(2);
  });

  test("not for few", () => {
    forgetAll(fill(15_000));
    expect(releases).toBe(0);
  });
});

describe("names", () => {
  test("make the path in the upper", () => {
    const directory = lookedUp(table.root, "d", aDirectory);
    const file = lookedUp(directory, "f", aFile);
    expect(table.upperPath(table.root)).toBe("");
    expect(table.upperPath(file)).toBe("d/f");
    expect(table.upperPathOf(directory, "new")).toBe("d/new");
  });

  test("of a renamed directory reach all below it", () => {
    const directory = lookedUp(table.root, "d", aDirectory);
    const below = lookedUp(directory, "e", aDirectory);
    const file = lookedUp(below, "f", aFile);
    expect(table.upperPath(file)).toBe("d/e/f");
    table.addLink(directory, table.root, "moved");
    table.removeLink(directory, table.root, "d");
    table.directoryWasRenamed();
    expect(table.upperPath(file)).toBe("moved/e/f");
    expect(table.root.directory?.children.get("moved")).toBe(directory);
    expect(table.root.directory?.children.has("d")).toBe(false);
  });

  test("a node without one has no path: ENOENT; what is no directory holds none: ENOTDIR", () => {
    const file = lookedUp(table.root, "f", aFile);
    expect(() => table.upperPathOf(file, "x")).toThrowError(expect.objectContaining({ code: Errno.ENOTDIR }));
    table.removeLink(file, table.root, "f");
    expect(() => table.upperPath(file)).toThrowError(expect.objectContaining({ code: Errno.ENOENT }));
  });
});

describe("hard links in the upper", () => {
  test("are one node under all their names", () => {
    const node = lookedUp(table.root, "a", linkedFile);
    expect(lookedUp(table.root, "b", linkedFile)).toBe(node);
    expect(node.lookups).toBe(2);
    expect(lookedUp(table.root, "c", discovery(FileType.regular, { ino: 78, nlink: 2 }))).not.toBe(node);
  });

  test("a file that goes by one name stays by the other", () => {
    const node = lookedUp(table.root, "a", linkedFile);
    lookedUp(table.root, "b", linkedFile);
    table.removeLink(node, table.root, "a");
    expect(table.upperPath(node)).toBe("b");
    expect(node.moreLinks).toBeUndefined();
  });

  test("a file with one name is found again once it was given another", () => {
    const node = lookedUp(table.root, "a", discovery(FileType.regular, { ino: 90 }));
    table.rememberInode(node, discovery(FileType.regular, { ino: 90, nlink: 2 }).stat);
    expect(lookedUp(table.root, "b", discovery(FileType.regular, { ino: 90, nlink: 2 }))).toBe(node);
  });

  test("when the last name is gone the inode may belong to another file", () => {
    const node = lookedUp(table.root, "a", linkedFile);
    table.forgetInode(node);
    expect(lookedUp(table.root, "b", linkedFile)).not.toBe(node);
  });

  test("a forgotten file leaves no name behind in any directory", () => {
    const directory = lookedUp(table.root, "d", aDirectory);
    const node = lookedUp(table.root, "a", linkedFile);
    lookedUp(directory, "b", linkedFile);
    table.forget(directory, 1);
    expect(dropped).toEqual([]);
    table.forget(node, 2);
    expect(new Set(dropped)).toEqual(new Set([node, directory]));
    expect(table.root.directory?.children.size).toBe(0);
    expect(table.size).toBe(1);
  });

  test("two names on a lower stay two nodes: a change breaks the link", () => {
    const onLower = { ...linkedFile, upper: false };
    expect(lookedUp(table.root, "a", onLower)).not.toBe(lookedUp(table.root, "b", onLower));
  });
});

describe("anchors", () => {
  test("of a removed file close with the node", () => {
    const node = lookedUp(table.root, "a", aFile);
    const noted = anchor();
    table.removeLink(node, table.root, "a");
    node.anchor = noted.layer;
    expect(isRemoved(node)).toBe(true);
    table.forget(node, 1);
    expect(noted.closed).toBe(1);
  });

  test("of an unnamed file close when it gets a name", () => {
    const node = table.addUnnamed(aFile);
    const noted = anchor();
    node.anchor = noted.layer;
    table.addLink(node, table.root, "named");
    expect(noted.closed).toBe(1);
    expect(isRemoved(node)).toBe(false);
    expect(table.upperPath(node)).toBe("named");
  });
});

test("merged is a directory of more than one layer", () => {
  const place = { layer: {} as WritableLayer, path: "d" };
  const merged = (upper: boolean, lowers: number) =>
    isMerged(table.add(table.root, `${upper}${lowers}`, { ...aDirectory, upper, lowers: Array(lowers).fill(place) }));
  expect([merged(true, 0), merged(true, 1), merged(false, 1), merged(false, 2)]).toEqual([false, true, false, true]);
});

test("paths are joined without a slash at the root", () => {
  expect(joinPath("", "a")).toBe("a");
  expect(joinPath("a/b", "c")).toBe("a/b/c");
});
