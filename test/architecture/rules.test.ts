/** Each rule has to fail where it should: small trees that keep to all rules but one. */
import { describe, expect, test } from "vitest";
import { breaches } from "./rules.ts";
import { exportedFunctions, importsOf, linesWith } from "./source-text.ts";

const soundTree = {
  "errno.ts": "/** One error class. */\nexport class FsError extends Error {}\n",
  "log.ts": "export interface Logger { debug(): void }\n",
  "contract/ids.ts": "export type Name = string;\n",
  "sys/libc.ts":
    'import koffi from "koffi";\nimport "../errno.ts";\n/** Loads. */\nexport function load() { return koffi; }\n',
  "sys/device.ts":
    'import { load } from "./libc.ts";\n/** Opens. */\nexport function openDevice() { return load(); }\n',
  "fuse/protocol/flags.ts": 'import type { Name } from "../../contract/ids.ts";\nexport const flag: Name = "a";\n',
  "fuse/operations.ts":
    'import { flag } from "./protocol/flags.ts";\nimport "../sys/device.ts";\nexport { flag as f };\n',
  "layer/layer.ts": 'import "../sys/libc.ts";\nexport interface Layer { x: 1 }\n',
  "layer/directory-layer.ts": 'import type { Layer } from "./layer.ts";\nexport const layer: Layer = { x: 1 };\n',
  "overlay/node.ts": 'import type { Layer } from "../layer/layer.ts";\nexport type Node = Layer;\n',
  "mount/plan.ts": 'import "../sys/libc.ts";\n',
  "daemon.ts": 'import "./overlay/node.ts";\nimport "./mount/plan.ts";\nimport "node:worker_threads";\n',
  "cli/main.ts": 'import "commander";\nimport "../daemon.ts";\nconsole.log(1);\nprocess.exit(0);\n',
};

function breachesWith(changes: Record<string, string>): string[] {
  return breaches(new Map(Object.entries({ ...soundTree, ...changes })));
}

test("a tree that keeps to the rules has no breach", () => {
  expect(breachesWith({})).toEqual([]);
});

describe("the layout", () => {
  test.each(["utils.ts", "helpers/strings.ts", "overlay/deep/node.ts"])("has no place for %s", (file) => {
    expect(breachesWith({ [file]: "" })).toEqual([`src/${file}:1: is in no area of the layout`]);
  });
});

describe("the import table", () => {
  test.each([
    ["overlay/x.ts", 'import "../sys/libc.ts";', "overlay may not import sys/libc.ts"],
    ["overlay/x.ts", 'import "../layer/directory-layer.ts";', "overlay may not import layer/directory-layer.ts"],
    ["overlay/x.ts", 'import type { F } from "../fuse/operations.ts";', "overlay may not import fuse/operations.ts"],
    ["overlay/x.ts", 'import { readFileSync } from "node:fs";', "overlay may not use node:fs"],
    ["fuse/x.ts", 'import "../sys/libc.ts";', "fuse may not import sys/libc.ts"],
    ["fuse/x.ts", 'import "../layer/layer.ts";', "fuse may not import layer/layer.ts"],
    ["fuse/protocol/x.ts", 'import "../../sys/device.ts";', "fuse/protocol may not import sys/device.ts"],
    ["fuse/protocol/x.ts", 'import "../operations.ts";', "fuse/protocol may not import fuse/operations.ts"],
    ["layer/x.ts", 'import "../overlay/node.ts";', "layer may not import overlay/node.ts"],
    ["layer/x.ts", 'import koffi from "koffi";', "layer may not use koffi"],
    ["sys/x.ts", 'import "../contract/ids.ts";', "sys may not import contract/ids.ts"],
    ["contract/x.ts", 'import "../sys/libc.ts";', "contract may not import sys/libc.ts"],
    ["mount/x.ts", 'import "../layer/layer.ts";', "mount may not import layer/layer.ts"],
    ["mount/x.ts", 'import pino from "pino";', "mount may not use pino"],
    ["daemon.ts", 'import { Command } from "commander";', "composition may not use commander"],
    ["daemon.ts", 'import { x } from "./cli/x.ts";', "composition may not import cli/x.ts"],
    ["overlay/x.ts", 'const fs = await import("node:fs");', "overlay may not use node:fs"],
    ["overlay/x.ts", 'let s: import("node:net").Socket;', "overlay may not use node:net"],
    ["overlay/x.ts", 'import "./gone.ts";', "imports ./gone.ts, which is not in the layout"],
    ["overlay/x.ts", 'import "./x.test.ts";', "imports the test overlay/x.test.ts"],
  ])("%s: %s", (file, line, objection) => {
    expect(breachesWith({ "cli/x.ts": "export const x = 1;", "overlay/x.test.ts": "", [file]: `\n${line}\n` })).toEqual(
      [`src/${file}:2: ${objection}`],
    );
  });

  test("does not bind tests", () => {
    expect(breachesWith({ "overlay/node.test.ts": 'import "node:fs";\nimport "vitest";\n' })).toEqual([]);
  });
});

describe("cycles", () => {
  test("of two files", () => {
    const a = 'import "./b.ts";\nexport const a = 1;\n';
    const b = 'import "./a.ts";\nexport const b = 1;\n';
    expect(breachesWith({ "overlay/a.ts": a, "overlay/b.ts": b })).toEqual([
      "src/overlay/a.ts:1: imports itself by way of overlay/b.ts, overlay/a.ts",
    ]);
  });

  test("of three, by imports of types", () => {
    const to = (name: string) => `import type { T } from "./${name}.ts";\n`;
    expect(breachesWith({ "sys/a.ts": to("b"), "sys/b.ts": to("c"), "sys/c.ts": to("a") })).toEqual([
      "src/sys/a.ts:1: imports itself by way of sys/b.ts, sys/c.ts, sys/a.ts",
    ]);
  });
});

describe("what a file must not do", () => {
  test.each([
    ['export * from "./node.ts";', "hands on the exports of ./node.ts: import from where they are"],
    ['export type { Node } from "./node.ts";', "hands on the exports of ./node.ts: import from where they are"],
    ["process.exit(1);", "process.exit is for cli alone"],
    ['console.error("x");', "console is for cli alone"],
    ["export function f() {}", "the exported function f has no docstring"],
    ["export async function f() {}", "the exported function f has no docstring"],
    ["export const f = (a: number): number => a;", "the exported function f has no docstring"],
    ["export const f = async a => a;", "the exported function f has no docstring"],
  ])("%s", (line, objection) => {
    expect(breachesWith({ "overlay/x.ts": `\n${line}\n` })).toEqual([`src/overlay/x.ts:2: ${objection}`]);
  });

  test("be an index.ts", () => {
    expect(breachesWith({ "overlay/index.ts": "" })).toEqual(["src/overlay/index.ts:1: a barrel file by its name"]);
  });

  test("have more than 400 lines, unless it is a table of the wire", () => {
    const lines = (count: number) => "// x\n".repeat(count);
    expect(breachesWith({ "overlay/x.ts": lines(400), "fuse/operations.ts": lines(401) })).toEqual([]);
    expect(breachesWith({ "overlay/x.ts": lines(401) })).toEqual([
      "src/overlay/x.ts:401: has 401 lines, more than 400",
    ]);
  });
});

describe("reading source text", () => {
  test("comments, strings, templates and regular expressions are not code", () => {
    const source = [
      '// import "a";',
      '/* import "b"; */',
      `const s = 'import "c"; console.log';`,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a template is what is tested
      'const t = `import "d" ${console.log(`${1}`)} console.log`;',
      "const r = /[/\"'`]console\\.log/; console.log(1);",
      'import "e";',
      "const half = 1 / 2; console.log(half / 3);",
    ].join("\n");
    expect(importsOf(source).map(({ specifier, line }) => [specifier, line])).toEqual([["e", 6]]);
    expect(linesWith(source, /console\s*\./)).toEqual([4, 5, 7]);
  });

  test("an import over several lines", () => {
    expect(importsOf('\nimport {\n  type A,\n  b as c,\n} from "./a.ts";\n')).toEqual([
      { specifier: "./a.ts", line: 2, reexport: false },
    ]);
  });

  test("a default import with names, and all of a module", () => {
    const source = 'import a, { b } from "a";\nimport * as c from "c";\nimport type d from "d";\n';
    expect(importsOf(source).map(({ specifier }) => specifier)).toEqual(["a", "c", "d"]);
  });

  test("an export of its own is no import", () => {
    expect(importsOf('export const a = "x";\nexport { a as b };\nexport default "y";\n')).toEqual([]);
  });

  test("a docstring right above belongs to the function; a plain comment is none", () => {
    const source = [
      "/** Says so. */",
      "export function a() {}",
      "/* Not this. */",
      "export function b() {}",
      "/** Of the constant. */",
      "const c = 1;",
      "export function d() {}",
      "export const notAFunction = 3;",
    ].join("\n");
    expect(exportedFunctions(source).map(({ name, documented }) => [name, documented])).toEqual([
      ["a", true],
      ["b", false],
      ["d", false],
    ]);
  });
});
