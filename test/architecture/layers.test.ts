/** Holds the source to the layout and the import table of ARCHITECTURE.md. The table itself is `areas` in rules.ts. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { areaOf, areas, breaches, wireTables } from "./rules.ts";

const sourceRoot = fileURLToPath(new URL("../../src", import.meta.url));

function readTree(): Map<string, string> {
  const files = readdirSync(sourceRoot, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(sourceRoot.length + 1))
    .sort();
  return new Map(files.map((file) => [file, readFileSync(join(sourceRoot, file), "utf8")]));
}

const tree = readTree();

test("the source keeps to the layout and the import table", () => {
  expect(breaches(tree)).toEqual([]);
});

test("every area and every exemption of the table is in use", () => {
  const used = new Set([...tree.keys()].map(areaOf));
  expect(Object.keys(areas).filter((area) => !used.has(area))).toEqual([]);
  expect(wireTables.filter((file) => !tree.has(file))).toEqual([]);
});
