/** What the fault points take for a change: a call that is passed over is one that is never killed or made to fail. */
import { constants } from "node:fs";
import { createRequire } from "node:module";
import { expect, test } from "vitest";

const { kindOf } = createRequire(import.meta.url)("./system-calls.cjs") as {
  kindOf(name: string, args: readonly unknown[]): string | undefined;
};

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_EXCL, O_APPEND, O_DIRECT, O_DIRECTORY, O_NOFOLLOW } = constants;
/** asm-generic/fcntl.h: O_TMPFILE is this and O_DIRECTORY. */
const __O_TMPFILE = 0o20000000;
const O_TMPFILE = __O_TMPFILE | O_DIRECTORY;

test.for([
  ["a new file", O_RDWR | O_CREAT | O_EXCL],
  ["a truncated file", O_WRONLY | O_TRUNC],
  ["an unnamed file", O_RDWR | O_TMPFILE],
  ["an unnamed file that can't be linked", O_RDWR | O_TMPFILE | O_EXCL],
  ["an unnamed file without the page cache", O_WRONLY | O_TMPFILE | O_DIRECT],
] as const)("%s is a change", ([, flags]) => {
  expect(kindOf("openat", [3, 0, flags, 0o600])).toBe("openat(O_CREAT)");
});

test.for([
  ["a file", O_RDWR],
  ["a file without the page cache", O_RDWR | O_DIRECT | O_APPEND],
  ["a directory", O_RDONLY | O_DIRECTORY | O_NOFOLLOW],
] as const)("opening %s is none", ([, flags]) => {
  expect(kindOf("openat", [3, 0, flags, 0])).toBe("open");
});
