/** Whole small files, such as those of /proc and /sys. */
import { readFileSync } from "node:fs";
import { Errno, FsError } from "../errno.ts";

/** The content as latin1. @param path latin1 bytes. @throws FsError */
export function readWholeFile(path: string): string {
  try {
    return readFileSync(Buffer.from(path, "latin1"), "latin1");
  } catch (error) {
    throw nodeError(error, "read a file");
  }
}

/** The FsError that stands for an error of node:fs; anything else comes back as it is. */
export function nodeError(error: unknown, what: string): unknown {
  if (error instanceof Error && "errno" in error && typeof error.errno === "number") {
    return new FsError(-error.errno || Errno.EIO, what, { cause: error });
  }
  return error;
}
