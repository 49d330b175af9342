/**
 * What `rolldown -c` makes dist of. For each program and each thread: NAME.js, its code in one piece; NAME.cache, what V8
 * made of that code; and, for programs, NAME.cjs, what Node is started with, which runs the one with the help of the other (src/load.ts).
 */
import { execFileSync } from "node:child_process";
import { defineConfig, type OutputOptions, type Plugin } from "rolldown";

const programs = {
  main: "src/cli/main.ts",
  "daemon-process": "src/cli/daemon-process.ts",
};
const threads = { "attendant-thread": "src/cli/attendant-thread.ts", "io-thread": "src/io-thread.ts" };
const output: OutputOptions = {
  dir: "dist",
  format: "cjs",
  codeSplitting: false,
  dynamicImportInCjs: false,
  comments: false,
};

/** What Node 20 lacks is put in terms of what it has. */
const transform = { target: "es2023" } as const;

/** A function to be called with what Node gives to a module. */
const asFunction: Plugin = {
  name: "as function",
  generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle)) {
      if (chunk.type === "chunk") {
        chunk.code = `(function (require, __filename, __dirname) {\n${chunk.code}\n})`;
      }
    }
  },
};

/**
 * All functions are compiled, those too that V8 would leave for later. The flags are noted in a cache, which fits no program
 * with others: so it is made by a process of its own, and they are again what they were.
 */
const withCache: Plugin = {
  name: "with cache",
  writeBundle(_, bundle) {
    for (const file of Object.keys(bundle)) {
      execFileSync(process.execPath, ["-e", makeCache, `dist/${file}`]);
    }
  },
};
const makeCache = `
const { readFileSync, writeFileSync } = require("node:fs");
const { setFlagsFromString } = require("node:v8");
const { Script } = require("node:vm");
const { crc32 } = require("node:zlib");
const [, file] = process.argv;
const code = readFileSync(file);
setFlagsFromString("--no-lazy");
const script = new Script(code.toString("utf8"), { filename: file });
setFlagsFromString("--lazy");
const data = script.createCachedData();
const checksum = Buffer.alloc(4);
checksum.writeUInt32LE(crc32(data, crc32(code)));
writeFileSync(file.replace(/js$/, "cache"), Buffer.concat([data, checksum]));
`;

export default defineConfig([
  {
    // What the main thread loads for one of the transports.
    input: { "serve-fuse-native": "src/serve-fuse-native.ts" },
    platform: "node" as const,
    transform,
    output: { ...output, entryFileNames: "[name].cjs" },
  },
  ...Object.keys(programs).map((name) => ({
    input: { [name]: "src/load.ts" },
    platform: "node" as const,
    transform,
    output: { ...output, entryFileNames: "[name].cjs" },
  })),
  ...Object.entries({ ...programs, ...threads }).map(([name, input]) => ({
    input: { [name]: input },
    platform: "node" as const,
    transform,
    plugins: [asFunction, ...(name === "io-thread" ? [] : [withCache])],
    output: { ...output, entryFileNames: "[name].js" },
  })),
]);
