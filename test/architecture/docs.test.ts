/** What the documents say that can be held against the code: paths, tables, options, exit codes. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { exitCodeHelp } from "../../src/cli/exit-codes.ts";
import { parseOptions } from "../../src/mount/options.ts";
import { areas } from "./rules.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (file: string) => readFileSync(join(root, file), "utf8");

const documents = ["docs", "docs/decisions", "man", "."].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name)),
);

/** The rows of the first table behind `heading`, as trimmed cells, without the head. */
function table(text: string, heading: string): string[][] {
  const lines = text.slice(text.indexOf(heading)).split("\n");
  const start = lines.findIndex((line) => line.startsWith("|"));
  const end = lines.findIndex((line, index) => index > start && !line.startsWith("|"));
  return lines.slice(start + 2, end === -1 ? undefined : end).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}

const inBackticks = (text: string) => [...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] as string);

describe.each(documents)("%s", (file) => {
  const text = read(file);

  test("names files that are there", () => {
    const path = /^(?:[\w.-]+\/)*[\w.-]+\.(?:ts|md|sh|json|txt)$|^(?:src|test|docs|scripts|bin|man|bench)\/[\w./-]*$/;
    const missing = inBackticks(text)
      .filter((word) => path.test(word))
      .filter((word) => ![word, `src/${word}`].some((candidate) => existsSync(join(root, candidate))));
    expect(missing).toEqual([]);
  });

  test("links to what is there", () => {
    const targets = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] as string);
    const local = targets.filter((target) => !/^[a-z]+:/.test(target));
    expect(local.filter((target) => !existsSync(join(root, dirname(file), target)))).toEqual([]);
  });
});

test("the import table of ARCHITECTURE.md is the one that is held", () => {
  const told = table(read("ARCHITECTURE.md"), "<!-- import table -->").map(
    ([area = "", mayImport = "", packages = ""]) => {
      const [name, ...files] = inBackticks(area);
      return [name, files.sort(), inBackticks(mayImport), packages === "" ? [] : packages.split(", ")];
    },
  );
  const held = Object.entries(areas).map(([name, { holds, mayImport, packages }]) => [
    name,
    holds === "folder" ? [] : [...holds].sort(),
    mayImport,
    packages,
  ]);
  expect(told).toEqual(held);
});

test.each([
  ["README.md", "## Exit codes"],
  ["man/veneer.1.md", "## EXIT STATUS"],
])("the exit codes of %s are those of the command", (file, heading) => {
  const told = table(read(file), heading).map(([code, meaning]) => [Number(code), meaning?.replaceAll("`", "")]);
  expect(told).toEqual(exitCodeHelp);
});

describe("the options of the README", () => {
  const options = table(read("README.md"), "## Options").flatMap(([option = ""]) => inBackticks(option));

  test.each(options)("%s is known", (option) => {
    const sample = option
      .replace(/\[.*$/, "")
      .replace(/=(SECONDS|BYTES|UID|GID)$/, "=1")
      .replace("STORED:SHOWN:COUNT", "0:1:1");
    const { unknown } = parseOptions([sample]);
    expect(unknown).toEqual([]);
  });

  test("are there at all", () => {
    expect(options.length).toBeGreaterThan(15);
  });
});
