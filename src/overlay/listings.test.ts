import { expect, test } from "vitest";
import { FileType } from "../contract/ids.ts";
import { Listing } from "./listing.ts";
import { Listings } from "./listings.ts";
import { Node } from "./node.ts";

let nextId = 1;

function directory(): Node {
  nextId += 1;
  return new Node(nextId, FileType.directory, true, [], nextId, false);
}

function listingOf(count: number): Listing {
  const listing = new Listing();
  for (let index = 0; index < count; index++) {
    listing.fill(`n${index}`, FileType.regular, index + 1, false);
  }
  return listing;
}

test("a listing is kept until it is deleted", () => {
  const listings = new Listings();
  const node = directory();
  const listing = listingOf(3);
  expect(listings.use(node)).toBeUndefined();
  listings.keep(node, listing);
  expect(listings.get(node)).toBe(listing);
  expect(listings.use(node)).toBe(listing);
  listings.delete(node);
  expect(listings.get(node)).toBeUndefined();
});

test("beyond 250,000 names the least recently used go, until half of that is left; the newest stays", () => {
  const listings = new Listings();
  const nodes = [directory(), directory(), directory()];
  for (const node of nodes) {
    listings.keep(node, listingOf(80_000));
  }
  const [first, second, third] = nodes as [Node, Node, Node];
  // The first is used once more: it is the second that has not been used for longest now.
  listings.use(first);
  const newest = directory();
  listings.keep(newest, listingOf(40_000));
  expect([first, second, third, newest].map((node) => listings.get(node) !== undefined)).toEqual([
    true,
    false,
    false,
    true,
  ]);
});

test("a listing that changed is never let go: its offsets could not be made again", () => {
  const listings = new Listings();
  const changed = directory();
  const listing = listingOf(100_000);
  listing.put("made", FileType.regular, 7);
  listings.keep(changed, listing);
  const others = Array.from({ length: 4 }, directory);
  for (const node of others) {
    listings.keep(node, listingOf(60_000));
  }
  expect(listings.get(changed)).toBe(listing);
  expect(others.map((node) => listings.get(node) !== undefined)).toContain(false);
});

test("one listing above the limit is kept all the same", () => {
  const listings = new Listings();
  const node = directory();
  listings.keep(node, listingOf(260_000));
  expect(listings.get(node)?.size).toBe(260_000);
});
