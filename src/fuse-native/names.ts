/** Names as the addon has them, strings of UTF-8, and as everyone else here has them: bytes. */
import { isUtf8 } from "node:buffer";
import type { Name } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";

/**
 * The bytes of a text from the addon. It puts U+FFFD in the place of what is no UTF-8, so that a name which has that
 * character may have been another one.
 * @throws FsError EILSEQ for such
 */
export function bytesOf(text: string): Name {
  if (text.includes("\ufffd")) {
    throw new FsError(Errno.EILSEQ, "a name that may not be UTF-8");
  }
  return Buffer.from(text, "utf8").toString("latin1");
}

/** @throws FsError EILSEQ for a name that could not be asked for by what the addon would make of it */
export function requireUtf8(name: Name): void {
  if (!isUtf8(Buffer.from(name, "latin1"))) {
    throw new FsError(Errno.EILSEQ, "a name that is not UTF-8");
  }
}
