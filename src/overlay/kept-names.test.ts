import { expect, test, vi } from "vitest";
import { FileType } from "../contract/ids.ts";
import { KeptNames } from "./kept-names.ts";
import { Listing } from "./listing.ts";
import { MergedNames } from "./merged-names.ts";
import { Node } from "./node.ts";

let nextId = 1;

function directory(): Node {
  nextId += 1;
  return new Node(nextId, FileType.directory, true, [], nextId, false);
}

function namesOf(count: number): MergedNames {
  const names = new MergedNames();
  for (let index = 0; index < count; index++) {
    names.listing.fill(`n${index}`, FileType.regular, index + 1, false);
  }
  return names;
}

test("names are kept until they are deleted", () => {
  const kept = new KeptNames();
  const node = directory();
  const names = namesOf(3);
  expect(kept.use(node)).toBeUndefined();
  kept.keep(node, names);
  expect(kept.get(node)).toBe(names);
  expect(kept.use(node)).toBe(names);
  kept.delete(node);
  expect(kept.get(node)).toBeUndefined();
});

test("beyond 250,000 names the least recently used go, until half of that is left; the newest stays", () => {
  const kept = new KeptNames();
  const nodes = [directory(), directory(), directory()];
  for (const node of nodes) {
    kept.keep(node, namesOf(80_000));
  }
  const [first, second, third] = nodes as [Node, Node, Node];
  // The first is used once more: it is the second that has not been used for longest now.
  kept.use(first);
  const newest = directory();
  kept.keep(newest, namesOf(40_000));
  expect([first, second, third, newest].map((node) => kept.get(node) !== undefined)).toEqual([
    true,
    false,
    false,
    true,
  ]);
});

test("names that changed are never let go: their offsets could not be made again", () => {
  const kept = new KeptNames();
  const changed = directory();
  const names = namesOf(100_000);
  names.listing.put("made", FileType.regular, 7, false);
  kept.keep(changed, names);
  const others = Array.from({ length: 4 }, directory);
  for (const node of others) {
    kept.keep(node, namesOf(60_000));
  }
  expect(kept.get(changed)).toBe(names);
  expect(others.map((node) => kept.get(node) !== undefined)).toContain(false);
});

test("one directory above the limit is kept all the same", () => {
  const kept = new KeptNames();
  const node = directory();
  kept.keep(node, namesOf(260_000));
  expect(kept.get(node)?.listing.size).toBe(260_000);
});

test("names that are added one by one count too: a new directory that grows goes, once it was not used for longest", () => {
  const kept = new KeptNames();
  const [first, second] = [directory(), directory()];
  for (const node of [first, second]) {
    const names = new MergedNames(Listing.ofNewDirectory());
    kept.keep(node, names);
    for (let index = 0; index < 130_000; index++) {
      names.listing.put(`n${index}`, FileType.regular, index + 1, false);
      kept.grew();
    }
  }
  expect([first, second].map((node) => kept.get(node) !== undefined)).toEqual([false, true]);
});

test("where nothing may go, it is not looked through with each name that comes", () => {
  const kept = new KeptNames();
  const node = directory();
  const names = namesOf(1);
  kept.keep(node, names);
  const looks = vi.spyOn(Listing.prototype, "isRepeatable", "get");
  for (let index = 0; index < 600_000; index++) {
    names.listing.put(`made${index}`, FileType.regular, index + 1, false);
    kept.grew();
  }
  expect(looks.mock.calls.length).toBeGreaterThan(0);
  expect(looks.mock.calls.length).toBeLessThan(10);
  looks.mockRestore();
  expect(kept.get(node)).toBe(names);
});
