/**
 * What Node is started with, a copy for each program and thread: runs the code beside it, NAME.js for NAME.cjs, with what
 * V8 made of it when it was built. Without a cache that fits, the code is compiled, which takes longer.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Script } from "node:vm";
import { crc32 } from "node:zlib";

const filename = import.meta.filename;
const codeFile = filename.replace(/cjs$/, "js");
const code = readFileSync(codeFile);
const script = new Script(code.toString("utf8"), { filename: codeFile, ...cacheFor(code) });
script.runInThisContext()(createRequire(filename), filename, import.meta.dirname);

/**
 * The last four bytes of a cache are the checksum of the code and of what is before them: V8 refuses a cache that another
 * version of it has made, but believes one that is damaged, or of another code that is as long.
 */
function cacheFor(code: Buffer): { cachedData?: Buffer } {
  const file = filename.replace(/cjs$/, "cache");
  if (!existsSync(file)) {
    return {};
  }
  const cache = readFileSync(file);
  const cachedData = cache.subarray(0, -4);
  const isSound = cache.length > 4 && crc32(cachedData, crc32(code)) === cache.readUInt32LE(cachedData.length);
  return isSound ? { cachedData } : {};
}
