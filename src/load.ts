/**
 * What Node is started with, a copy for each program and thread: runs the code beside it, NAME.js for NAME.cjs, with what
 * V8 made of it when it was built. A cache that is missing, or that another version of Node made, costs the time to compile.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Script } from "node:vm";

const filename = import.meta.filename;
const cache = filename.replace(/cjs$/, "cache");
const code = filename.replace(/cjs$/, "js");
const script = new Script(readFileSync(code, "utf8"), {
  filename: code,
  ...(existsSync(cache) && { cachedData: readFileSync(cache) }),
});
script.runInThisContext()(createRequire(filename), filename, import.meta.dirname);
