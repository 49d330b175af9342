/** Code of dist in one piece, NAME.js, beside which lies what V8 made of it when it was built, NAME.cache. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { Script } from "node:vm";

export interface BuiltCode {
  readonly file: string;
  /** Of a function that is called with what Node gives to a module. */
  readonly text: string;
  /** Without a cache that fits, the code is compiled, which takes longer. */
  readonly cachedData?: Uint8Array;
}

/** @throws an error of node:fs */
export function readBuiltCode(file: string): BuiltCode {
  const code = readFileSync(file);
  return { file, text: code.toString("utf8"), ...cacheFor(file, code) };
}

/** Runs it as a module of its own. */
export function runBuiltCode({ file, text, cachedData }: BuiltCode): void {
  const script = new Script(text, { filename: file, ...(cachedData && { cachedData: Buffer.from(cachedData) }) });
  script.runInThisContext()(createRequire(file), file, dirname(file));
}

/**
 * The last four bytes of a cache are the checksum of the code and of what is before them: V8 refuses a cache that another
 * version of it has made, but believes one that is damaged, or of another code that is as long.
 */
function cacheFor(file: string, code: Buffer): { cachedData?: Buffer } {
  const cacheFile = file.replace(/js$/, "cache");
  if (!existsSync(cacheFile)) {
    return {};
  }
  const cache = readFileSync(cacheFile);
  const cachedData = cache.subarray(0, -4);
  // Loaded here and no sooner: it is large, and quick to load when the flags of the heap are forgotten.
  const { crc32 } = process.getBuiltinModule("node:zlib");
  const isSound = cache.length > 4 && crc32(cachedData, crc32(code)) === cache.readUInt32LE(cachedData.length);
  return isSound ? { cachedData } : {};
}
