/** The files below: made of numbers alone, so that they are the same everywhere. */
import { once } from "node:events";
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";

/** Numbers that a seed determines (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** As source code is: files of 0.2 to 40 kB, most of them small, twelve a directory. */
export function makeSourceTree(root: string, files: number): void {
  const random = randomFrom(1);
  const text = "export const value = compute(input, options); // and so on\n".repeat(700);
  const directories = [root];
  for (let count = 0; count < files / 12; count++) {
    const parent = directories[random(Math.min(directories.length, 200))] as string;
    const directory = join(parent, `package-${count}`);
    mkdirSync(directory);
    directories.push(directory);
  }
  for (let count = 0; count < files; count++) {
    const directory = directories[random(directories.length)] as string;
    const size = random(10) === 0 ? random(40_000) : 200 + random(5_000);
    writeFileSync(join(directory, `module-${count}.js`), text.slice(0, size));
  }
}

/** `many`: `count` files of 2 kB. */
export function makeManyFiles(root: string, count: number): void {
  mkdirSync(join(root, "many"));
  for (let index = 0; index < count; index++) {
    writeFileSync(join(root, "many", String(index).padStart(5, "0")), "z".repeat(2048));
  }
}

/** Directories of 500 empty files each. */
export function makeEmptyFiles(root: string, count: number): void {
  for (let index = 0; index < count; index++) {
    const directory = join(root, String(Math.floor(index / 500)));
    if (index % 500 === 0) {
      mkdirSync(directory);
    }
    writeFileSync(join(directory, `file-${index}`), "");
  }
}

/** Layers `0`, `1`, ...: each with a directory that all share and one of its own in it. */
export function makeLayers(root: string, count: number): void {
  for (let index = 0; index < count; index++) {
    const shared = join(root, String(index), "many");
    const own = join(shared, `own-${index}`);
    mkdirSync(own, { recursive: true });
    for (let file = 0; file < 20; file++) {
      writeFileSync(join(shared, `${index}-${file}`), "shared");
      writeFileSync(join(own, String(file)), "own");
    }
  }
}

/** `big`: one file of so many MB, of data that no file system can compress away. */
export async function makeBigFile(root: string, megabytes: number): Promise<void> {
  const random = randomFrom(2);
  const stream = createWriteStream(join(root, "big"));
  const chunk = Buffer.alloc(2 ** 20);
  for (let at = 0; at < chunk.length; at += 4) {
    chunk.writeUInt32LE(random(2 ** 32), at);
  }
  for (let count = 0; count < megabytes; count++) {
    chunk.writeUInt32LE(count, 0);
    if (!stream.write(Buffer.from(chunk))) {
      await once(stream, "drain");
    }
  }
  stream.end();
  await finished(stream);
}
