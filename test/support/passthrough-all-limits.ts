/** The tests of test/mount that `passthrough=all` can't pass, for the reasons that are in docs/decisions/0022-passthrough.md. */
import type { Limit } from "./limits.ts";

/** A handle of a lower file can't be turned to the upper: as long as there is one, what changes the data is ETXTBSY. */
const busy = "a lower file that is open can't be changed";
/** Nothing is read by the daemon, and so nothing of it is counted. */
const unseen = "the daemon sees no reads";

export const passthroughAllLimits: readonly Limit[] = [
  [busy, "copy-up", /^a read-only handle opened before reads|^a mapping made before/],
  [busy, "data", /^what one process writes|^holes are told|^reads and writes go wrong|^chattr/],
  [busy, "index", /^a file with several names on a lower, copied up without data/],
  [busy, "metacopy", /^handles that were open before|^an unlinked file, and one/],
  [busy, "mistakes", /^mistake 1: a handle opened|^mistake 2:/],
  [busy, "ownership", /^of a lower file go with copy_file_range by a user|^(stay|go) with copy_file_range by root/],
  [busy, "processes", /^a lock taken before a copy-up|^a file kept busy by others/],
  [busy, "redirect", /^carry known nodes/],
  [busy, "requests", /^small files that are open, and mapped/],
  [busy, "unlinked", /^a handle opened before a lower file's copy-up/],
  [unseen, "requests", /^of a large file that is read in order|^small files of a lower/],
];
