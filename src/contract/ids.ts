/** Identifiers and small types that pass between transport and overlay. */

/** A node as the kernel knows it: 1 is the root; never used twice in a mount. */
export type NodeId = number;
export const rootNodeId: NodeId = 1;

/** An open file as the kernel knows it. 0 means none (directories are opened without one). */
export type HandleId = number;

/** A file name or path as bytes, one byte a character (latin1): lossless, whatever the bytes are. */
export type Name = string;

/** Whose request it is: the ids that own new objects, in the ids of the mount's user namespace. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** The type bits of st_mode (S_IFMT and below it), from POSIX and inode(7). */
export const FileType = {
  mask: 0o170000,
  socket: 0o140000,
  symlink: 0o120000,
  regular: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
} as const;
