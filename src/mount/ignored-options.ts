/** Options that are taken and do nothing, as what they ask for is another program's affair, or can't matter here. */

/** What fstab and mount(8) write for themselves, for systemd or for udev; so do all that begin with `x-`. */
const forOthers: ReadonlySet<string> = new Set([
  "user",
  "nouser",
  "users",
  "owner",
  "noowner",
  "group",
  "nogroup",
  "auto",
  "noauto",
  "nofail",
  "_netdev",
  "comment",
  "uhelper",
  "helper",
]);

/** How a program that serves FUSE by libfuse or by threads of its own is to do it, and what this one does in its own way. */
const waysOfServing: ReadonlySet<string> = new Set([
  "threaded",
  "clone_fd",
  "max_idle_threads",
  "max_threads",
  "max_background",
  "congestion_threshold",
  "splice_read",
  "splice_write",
  "splice_move",
  "no_splice_read",
  "no_splice_write",
  "no_splice_move",
  "big_writes",
  "large_read",
  "max_write",
  "max_readahead",
  "async_read",
  "atomic_o_trunc",
  // Whether writes gather in the kernel, and pages stay in its cache: what is read and what fsync(2) promises is the same.
  "writeback",
  "kernel_cache",
  "noforget",
  // Whether a mountpoint may hold something, inode numbers are the overlay's, and unlinked files stay usable: always so.
  "nonempty",
  "use_ino",
  "readdir_ino",
  "hard_remove",
  // How many looks it takes to know an inode number.
  "fast_ino",
  "fast_ino_check",
]);

/** What the mount table shows of each FUSE mount, which mount(8) repeats when it remounts one. */
const ofTheMountTable: ReadonlySet<string> = new Set(["fd", "rootmode", "user_id", "group_id", "blksize"]);

/** Whether an option is known and does nothing. */
export function silentlyIgnored(name: string): boolean {
  return (
    forOthers.has(name) ||
    waysOfServing.has(name) ||
    ofTheMountTable.has(name) ||
    name.startsWith("x-") ||
    name.startsWith("X-")
  );
}
