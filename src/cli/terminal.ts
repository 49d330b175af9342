/** What the user gets to read. Texts are latin1 bytes, so that names come out as they went in. */
import { readFileSync, writeSync } from "node:fs";

/** The arguments behind the program's name as latin1 bytes: process.argv has lost what is not UTF-8. */
export function argumentBytes(): string[] {
  const all = readFileSync("/proc/self/cmdline", "latin1").split("\0");
  all.pop();
  const count = process.argv.length - 2;
  return count === 0 ? [] : all.slice(-count);
}

/** To stdout, as it is. */
export function printText(text: string): void {
  write(1, text);
}

/** One sentence, on a line of its own on stderr. */
export function printSentence(sentence: string): void {
  write(2, `veneer: ${sentence.replaceAll("\n", " ")}\n`);
}

function write(fd: number, text: string): void {
  const bytes = Buffer.from(text, "latin1");
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EPIPE" || code === "EBADF") {
        // No one reads it; the exit code still tells.
        return;
      }
      if (code !== "EAGAIN") {
        throw error;
      }
    }
  }
}
