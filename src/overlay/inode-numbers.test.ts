import fc from "fast-check";
import { expect, test } from "vitest";
import { InodeNumbers } from "./inode-numbers.ts";

test("the topmost file system keeps its numbers; others get an index above bit 48", () => {
  const numbers = new InodeNumbers([10], "auto");
  expect(numbers.number(10, 1234)).toBe(1234);
  expect(numbers.number(20, 1234)).toBe(2 ** 48 + 1234);
  expect(numbers.number(30, 1234)).toBe(2 * 2 ** 48 + 1234);
  expect(numbers.number(20, 1234)).toBe(2 ** 48 + 1234);
});

test("a number of 48 bits or more is numbered in the order met, and stays so", () => {
  const numbers = new InodeNumbers([10], "auto");
  const first = numbers.number(10, 2 ** 48);
  const second = numbers.number(10, 2 ** 50);
  expect(first).toBe(31 * 2 ** 48 + 1);
  expect(second).toBe(31 * 2 ** 48 + 2);
  expect(numbers.number(10, 2 ** 48)).toBe(first);
  expect(numbers.number(10, 2 ** 48 - 1)).toBe(2 ** 48 - 1);
});

test("from the 32nd file system on, numbers are given in the order met", () => {
  const numbers = new InodeNumbers([0], "on");
  for (let dev = 1; dev <= 30; dev++) {
    expect(numbers.number(dev, 5)).toBe(dev * 2 ** 48 + 5);
  }
  expect(numbers.number(31, 5)).toBe(31 * 2 ** 48 + 1);
  expect(numbers.number(32, 5)).toBe(31 * 2 ** 48 + 2);
});

test("layers' file systems get their index in the order of the layers, not in that of the questions", () => {
  const numbers = new InodeNumbers([10, 20, 10, 30], "on");
  expect(numbers.number(30, 7)).toBe(2 * 2 ** 48 + 7);
  expect(numbers.number(20, 7)).toBe(2 ** 48 + 7);
  expect(numbers.number(10, 7)).toBe(7);
});

test("with xino=off, numbers of other file systems are small and given in the order met", () => {
  const numbers = new InodeNumbers([10, 20], "off");
  expect(numbers.number(10, 2 ** 31 - 1)).toBe(2 ** 31 - 1);
  expect(numbers.number(20, 2 ** 40)).toBe(2 ** 31);
  expect(numbers.number(20, 5)).toBe(2 ** 31 + 1);
  expect(numbers.number(10, 2 ** 31)).toBe(2 ** 31 + 2);
  expect(numbers.number(20, 2 ** 40)).toBe(2 ** 31);
});

test("with xino=off, numbers on the one file system of all layers are kept", () => {
  expect(new InodeNumbers([10, 10], "off").number(10, 2 ** 40)).toBe(2 ** 40);
});

test.each(["on", "auto", "off"] as const)(
  "xino=%s: different objects never have the same number, which is exact and above 0",
  (xino) => {
    const object = fc.tuple(
      fc.integer({ min: 0, max: 40 }),
      fc.oneof(fc.integer({ min: 1, max: 100 }), fc.maxSafeNat()),
    );
    fc.assert(
      fc.property(
        fc.array(
          object.filter(([, ino]) => ino > 0),
          { minLength: 1 },
        ),
        (objects) => {
          const numbers = new InodeNumbers([3, 5, 7], xino);
          const byNumber = new Map<number, string>();
          for (const [dev, ino] of [...objects, ...objects]) {
            const number = numbers.number(dev, ino);
            expect(Number.isSafeInteger(number) && number > 0).toBe(true);
            const known = byNumber.get(number);
            expect(known ?? `${dev}:${ino}`).toBe(`${dev}:${ino}`);
            byNumber.set(number, `${dev}:${ino}`);
          }
        },
      ),
    );
  },
);
