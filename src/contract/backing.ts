/** Files that the kernel reads and writes by itself (FUSE passthrough). Types and prose only. */

/** What the kernel knows a registered file by; never 0. */
export type BackingId = number;

export interface BackingFiles {
  /**
   * Registers the file that an open descriptor stands for, for handles of any access: what the descriptor itself was opened
   * for does not count, nor does it have to stay open. Undefined where the kernel takes none, or not this one.
   */
  open(fd: number): BackingId | undefined;
  /** Handles that were told the id keep what they have. */
  close(id: BackingId): void;
}
