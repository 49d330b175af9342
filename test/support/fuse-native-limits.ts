/** The tests of test/mount that fuse-native can't pass, by the headings of docs/fuse-native.md, where the reasons are. */
import type { Limit } from "./limits.ts";

export const fuseNativeLimits: readonly Limit[] = [
  [
    "Who makes a file",
    "ownership",
    /^a new \w+ belongs to its maker|^a new \w+ in a setgid directory|^fsuid and fsgid own/,
  ],
  ["Who makes a file", "ownership", /^modes with special bits|go with copy_file_range by root without/],
  ["Who makes a file", "ownership", /go with (write|truncate|open O_TRUNC|copy_file_range) by a user/],
  ["Who makes a file", "special-files", /users make no devices/],
  ["Who makes a file", "remove", /^sticky directories/],
  ["Who makes a file", "xattrs", /^who may/],
  ["ACLs", "ownership", /^a default ACL|^an access ACL is enforced/],
  ["ACLs", "mistakes", /^mistake 6/],
  ["ACLs", "copy-up", /^keeps access and default ACLs/],
  ["Times", "copy-up", /^keeps mode with special bits|^onto \w+: data, holes|^a symlink's own times/],
  ["Times", "times", /given, now and omitted|^before 1970|^mtime and ctime move|^a time set through|^cp -a and tar/],
  ["Times", "mistakes", /^mistake 10/],
  ["Birth times", "times", /^statx tells the birth time/],
  ["Flags of rename", "rename", /^EXCHANGE swaps|^NOREPLACE moves/],
  ["Flags of rename", "redirect", /^exchange two of them/],
  ["Files without a name", "unnamed", /./],
  ["Calls that libfuse 2 does not have", "data", /^holes are told|^fallocate: each|^chattr|^reflinks: FICLONE/],
  ["Calls that libfuse 2 does not have", "metacopy", /^a change of metadata copies no data|^the first change of data/],
  ["Calls that libfuse 2 does not have", "ownership", /with fallocate by/],
  ["Calls that libfuse 2 does not have", "unlinked", /: every call on a read-write handle$/],
  [
    "Removed directories",
    "unlinked",
    /after rm -r of its directory: a read-only handle|^an open directory that is removed/,
  ],
  ["Removed directories", "readdir", /^an open directory that is removed/],
  ["Removed directories", "processes", /^cwd in a removed directory/],
  ["Data past the daemon", "requests", /^small files of a lower|^of a large file that is read in order/],
  [
    "Data past the daemon",
    "passthrough",
    /^data of an upper file do not|^all files of a read-only|^passthrough=all: a lower/,
  ],
  ["Data past the daemon", "passthrough", /^a mapping writes|^O_DIRECT where/],
  ["Calls that libfuse 2 does not have", "passthrough", /^all calls on handles|^a file that becomes append-only/],
  ["Files without a name", "passthrough", /^files without a name/],
  ["Set-id bits", "passthrough", /^set-id bits that a file gets while it is open, and what/],
];

/** Of what random.test.ts does. */
export const missingCalls =
  /^rename [A-Z]|O_TMPFILE|^fallocate$|^punch$|^make a set-id file$|^set one time$|^use what was in a removed directory$/;
