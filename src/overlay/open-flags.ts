/** What the flags of open(2) say of a handle. */

/** Access modes and flags of open(2), as the kernel's generic ABI numbers them (asm-generic/fcntl.h). */
export const OpenFlag = {
  accessMode: 3,
  readOnly: 0,
  readWrite: 2,
  truncate: 0o1000,
  append: 0o2000,
  /** O_SYNC, which contains O_DSYNC. */
  sync: 0o4010000,
} as const;

/** Whether an open with these flags may change the file. */
export function opensForChange(flags: number): boolean {
  return (flags & OpenFlag.accessMode) !== OpenFlag.readOnly || (flags & OpenFlag.truncate) !== 0;
}

/** Whether a handle with these flags can be mapped so that the mapping changes the file: only one for both can. */
export function mayMapShared(flags: number): boolean {
  return (flags & OpenFlag.accessMode) === OpenFlag.readWrite;
}
