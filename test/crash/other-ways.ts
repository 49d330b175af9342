/** Where Veneer does not fail with the system call: it goes another way, or does without something. */
import type { ErrorName } from "./faults.ts";
import type { State } from "./states.ts";

/** What the result then lacks. */
type Lost = "nothing" | "xattrs" | "times of directories";

interface FailedCall {
  /** All calls of the operation; the one that failed is number `at`, from 1. */
  readonly calls: readonly string[];
  readonly at: number;
  readonly error: ErrorName;
  readonly leftovers: readonly string[];
}

/** What may be lost by a call that failed and of which the caller was not told; undefined where it should have been. */
export function otherWay({ calls, at, error, leftovers }: FailedCall): Lost | undefined {
  const call = calls[at - 1];
  const previous = calls[at - 2];
  switch (call) {
    case "ioctl(FICLONE)":
      // The data are copied instead.
      return "nothing";
    case "copy_file_range":
      // By Veneer through memory; the kernel does the same for the user's own call.
      return error === "EOPNOTSUPP" ? "nothing" : undefined;
    case "linkat":
      // The whiteout itself goes where it can't be linked.
      return ["EOPNOTSUPP", "ENOSPC", "EDQUOT"].includes(error) && calls[at] === "renameat2" ? "nothing" : undefined;
    case "renameat2":
      // Without RENAME_WHITEOUT the whiteout is there first, or a second hard link bridges the moment. A directory that changes
      // places with a whiteout of another directory gets a new mtime on xfs.
      return error === "EOPNOTSUPP" && madeOtherwise(calls.slice(at)) ? "times of directories" : undefined;
    case "fsetxattr":
    case "setxattr":
    case "setxattrat":
      // How many names an indexed file has is known without it once the name is linked.
      if (previous === "linkat" || (previous === "utimensat" && calls[at - 3] === "linkat")) {
        return "nothing";
      }
      // In a directory that was just made it is the mark that spares lookups. Else xattrs that the upper can't keep.
      return previous === "mkdirat" ? "nothing" : error === "EOPNOTSUPP" ? "xattrs" : undefined;
    case "utimensat":
      // After the commit of a copy-up.
      return previous === "renameat2" || previous === "linkat" ? "times of directories" : undefined;
    case "unlinkat":
      // What was to be discarded stays in the staging area for the next mount; or a whiteout stays where it hides nothing.
      return leftovers.length > 0 || previous === "renameat2" ? "nothing" : undefined;
    case "open":
      // The same, of a directory; or a copy-up opens what has no file flags, or may not be opened for them; or a directory that may not
      // be listed is asked for each name.
      return leftovers.length > 0 || error === "EOPNOTSUPP" || error === "EACCES" ? "nothing" : undefined;
    default:
      return undefined;
  }
}

function madeOtherwise(later: readonly string[]): boolean {
  return later.some((call) => ["linkat", "mknodat", "renameat2"].includes(call));
}

/** The state without what was lost. */
export function without(lost: Lost, state: State): State {
  return Object.fromEntries(
    Object.entries(state).map(([path, entry]) => {
      const { xattrs, mtime, ...rest } = entry;
      return [
        path,
        {
          ...rest,
          ...(lost !== "xattrs" && xattrs !== undefined && { xattrs }),
          ...(!(lost === "times of directories" && entry.type === "dir") && mtime !== undefined && { mtime }),
        },
      ];
    }),
  );
}
