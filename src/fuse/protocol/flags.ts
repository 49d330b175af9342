/** Flag bits of linux/fuse.h that this transport reads or writes. */

/** INIT flags, bits 0..31 (`flags`). */
export const InitFlag = {
  asyncRead: 1 << 0,
  atomicTruncate: 1 << 3,
  bigWrites: 1 << 5,
  dontMask: 1 << 6,
  autoInvalidateData: 1 << 12,
  doReaddirplus: 1 << 13,
  parallelDirectoryOperations: 1 << 18,
  posixAcl: 1 << 20,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendirSupport: 1 << 24,
  explicitInvalidateData: 1 << 25,
  handleKillPrivV2: 1 << 28,
  setxattrExtended: 1 << 29,
  initExtended: 1 << 30,
} as const;

/** INIT flags, bits 32..63 (`flags2`). */
export const InitFlag2 = {
  passthrough: 1 << 5,
} as const;

/** fuse_getattr_in.getattr_flags: `fh` is valid. */
export const getattrHandle = 1 << 0;

/** fuse_setattr_in.valid. */
export const SetattrValid = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  handle: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killSetIds: 1 << 11,
} as const;

/** fuse_open_in.open_flags and fuse_create_in.open_flags: setuid and setgid are to go. */
export const openKillSetIds = 1 << 0;

/** fuse_open_out.open_flags. */
export const OpenReplyFlag = {
  directIo: 1 << 0,
  keepCache: 1 << 1,
  passthrough: 1 << 7,
} as const;

/** fuse_write_in.write_flags: the writer lacks CAP_FSETID. */
export const writeKillSetIds = 1 << 2;

/** fuse_fsync_in.fsync_flags: data only, as fdatasync(2). */
export const fsyncDataOnly = 1 << 0;

/** fuse_setxattr_in.setxattr_flags: setgid is to go with a new access ACL. */
export const setxattrKillSetGid = 1 << 0;

/** fuse_ioctl_in.flags that mean a layout of the data which restricted ioctls never have. */
export const ioctlUnrestricted = 1 << 1;
