import { expect, test } from "vitest";
import { decodeLinkCount, encodeLinkCount } from "./link-count.ts";

const links = { lower: 3, upper: 2 };
const decoded = (text: string) => decodeLinkCount(Buffer.from(text), links);

test("values are those of Linux overlayfs", () => {
  expect(encodeLinkCount("U", 1).toString()).toBe("U+1");
  expect(encodeLinkCount("U", -1).toString()).toBe("U-1");
  expect(encodeLinkCount("L", 0).toString()).toBe("L+0");
});

test("they count from the lower or from the upper", () => {
  expect(decoded("L+0")).toBe(3);
  expect(decoded("L-1")).toBe(2);
  expect(decoded("U+1")).toBe(3);
  expect(decoded("U-1")).toBe(1);
});

test("what tells no count, or none above zero, counts for nothing", () => {
  expect(decodeLinkCount(undefined, links)).toBeUndefined();
  for (const value of ["", "U", "U1", "X+1", "U+1x", "U+", "U-2", "L-9", "U+99999999999", "\nU+1", "U+1\n"]) {
    expect(decoded(value), value).toBeUndefined();
  }
});
