import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FileType } from "../contract/ids.ts";
import { Listing } from "./listing.ts";

const { regular, directory } = FileType;

function listingOf(...names: string[]): Listing {
  const listing = new Listing();
  for (const [index, name] of names.entries()) {
    listing.fill(name, regular, index + 1, false);
  }
  return listing;
}

const namesFrom = (listing: Listing, offset: number) => [...listing.from(offset)].map(({ name }) => name);

describe("filling", () => {
  test("keeps the order and the first object of a name: the one of the topmost layer", () => {
    const listing = new Listing();
    listing.fill("b", directory, 7, false);
    listing.fill("a", regular, 8, false);
    listing.fill("b", regular, 9, false);
    expect([...listing.from(0)]).toEqual([
      { offset: 3, name: "b", type: directory, ino: 7, foreign: false },
      { offset: 4, name: "a", type: regular, ino: 8, foreign: false },
    ]);
    expect(listing.size).toBe(2);
    expect(listing.isRepeatable).toBe(true);
  });

  test("offsets 1 and 2 are left to the dots: from there on all names come", () => {
    const listing = listingOf("a", "b");
    for (const offset of [0, 1, 2]) {
      expect(namesFrom(listing, offset)).toEqual(["a", "b"]);
    }
    expect(namesFrom(listing, 3)).toEqual(["b"]);
    expect(namesFrom(listing, 4)).toEqual([]);
  });
});

describe("changes", () => {
  test("put makes a name, or gives it another object and a new offset", () => {
    const listing = listingOf("a", "b");
    listing.put("a", directory, 9, false);
    expect([...listing.from(0)]).toEqual([
      { offset: 4, name: "b", type: regular, ino: 2, foreign: false },
      { offset: 5, name: "a", type: directory, ino: 9, foreign: false },
    ]);
    expect(listing.isRepeatable).toBe(false);
  });

  test("remove takes a name out; an absent one changes nothing", () => {
    const listing = listingOf("a", "b");
    listing.remove("gone");
    expect(listing.isRepeatable).toBe(true);
    listing.remove("a");
    expect(listing.has("a")).toBe(false);
    expect(namesFrom(listing, 0)).toEqual(["b"]);
    expect(listing.isRepeatable).toBe(false);
  });

  test("the listing of a new directory can be read anew until somebody has read in it", () => {
    const listing = Listing.ofNewDirectory();
    listing.put("a", regular, 1, false);
    expect(listing.isRepeatable).toBe(true);
    expect(namesFrom(listing, 0)).toEqual(["a"]);
    expect(listing.isRepeatable).toBe(false);
  });

  test("a name made while a reader is on its way is for the next one who starts", () => {
    const listing = listingOf("a", "b");
    expect(namesFrom(listing, 0)).toEqual(["a", "b"]);
    listing.put("c", regular, 3, false);
    expect(namesFrom(listing, 3)).toEqual(["b"]);
    expect(namesFrom(listing, 0)).toEqual(["a", "b", "c"]);
    expect(namesFrom(listing, 4)).toEqual(["c"]);
  });

  test("a program that renames each name it reads comes to an end", () => {
    const listing = listingOf("a", "b", "c");
    const seen: string[] = [];
    for (let offset = 0, calls = 0; calls < 100; calls++) {
      const [next] = listing.from(offset);
      if (next === undefined) {
        break;
      }
      seen.push(next.name);
      offset = next.offset;
      listing.remove(next.name);
      listing.put(`${next.name}-renamed`, regular, next.ino, false);
    }
    expect(seen).toEqual(["a", "b", "c"]);
  });

  test("offsets hold through the compaction that many removals bring", () => {
    const names = Array.from({ length: 1000 }, (_, index) => `n${index}`);
    const listing = listingOf(...names);
    const middle = [...listing.from(0)][499];
    for (const name of names.slice(0, 990)) {
      listing.remove(name);
    }
    expect(namesFrom(listing, middle?.offset ?? 0)).toEqual(names.slice(990));
    expect(listing.size).toBe(10);
  });
});

test("whatever comes and goes, a reader sees each name that was there all the while exactly once", () => {
  const change = fc.record({ put: fc.boolean(), name: fc.integer({ min: 0, max: 120 }).map((n) => `n${n}`) });
  const step = fc.record({ read: fc.integer({ min: 1, max: 9 }), changes: fc.array(change, { maxLength: 12 }) });
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 120 })), fc.array(step, { maxLength: 40 }), (start, steps) => {
      const listing = listingOf(...start.map((n) => `n${n}`));
      const present = new Set(start.map((n) => `n${n}`));
      const untouched = new Set(present);
      const seen: string[] = [];
      let offset = 0;
      const read = (count: number) => {
        let room = count;
        for (const entry of listing.from(offset)) {
          if (room === 0) {
            return;
          }
          room -= 1;
          seen.push(entry.name);
          offset = entry.offset;
          expect(present.has(entry.name)).toBe(true);
        }
      };
      for (const { read: count, changes } of steps) {
        read(count);
        for (const { put, name } of changes) {
          untouched.delete(name);
          if (put) {
            listing.put(name, regular, 1, false);
            present.add(name);
          } else {
            listing.remove(name);
            present.delete(name);
          }
        }
      }
      read(Number.POSITIVE_INFINITY);
      const seenUntouched = seen.filter((name) => untouched.has(name));
      expect(seenUntouched.sort()).toEqual([...untouched].sort());
      expect(new Set(namesFrom(listing, 0))).toEqual(present);
      expect(listing.size).toBe(present.size);
    }),
    { numRuns: 300 },
  );
});
