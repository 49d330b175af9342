/**
 * Which features of the on-disk format are in use. Types and prose only; words and defaults are those of Linux overlayfs
 * (Documentation/filesystems/overlayfs.rst).
 */

/** What reaches the disk by itself. volatile: nothing; auto: data that are copied up; strict: all that is copied up or staged. */
export type SyncMode = "volatile" | "auto" | "strict";

/**
 * Which files the kernel reads and writes by itself, where it can: none; those of the upper, and all of a mount without one;
 * those of lowers too.
 */
export type PassthroughMode = "off" | "upper" | "all";

/**
 * Where owners, modes and types of objects are. 0: in the objects. 1, 2: in an xattr of theirs, in layers whose root has it. The upper
 * becomes such a layer if it is none: by an xattr of `security.` (1), or of `user.` (2).
 */
export type XattrPermissions = "0" | "1" | "2";

export interface Features {
  /**
   * Directories of lowers that were renamed. on: renaming them leaves a redirect; follow: redirects are understood;
   * nofollow: what bears one is refused (EPERM).
   */
  readonly redirect: "on" | "follow" | "nofollow";
  /** Hard links of a lower stay one file when one of them is copied up. */
  readonly index: boolean;
  /** A change of metadata alone copies no data up. Off: files without their data are refused (EPERM). */
  readonly metacopy: boolean;
  /** off: numbers of inodes on other file systems than the upper's are small, and not the same in the next mount. */
  readonly xino: "on" | "auto" | "off";
  /**
   * on, auto: the upper bears a UUID of its own; auto gives it one at its first mount only. off: origins name no file
   * system, for lowers that are copied to another one.
   */
  readonly uuid: "on" | "auto" | "null" | "off";
}
