/** stat(2), chmod(2), chown(2) and setting an ACL where an xattr of the object has its owner and mode: what the kernel does with inodes. */
import { FileType, type Name } from "../contract/ids.ts";
import { accessAclName } from "../contract/xattr-names.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { Stat } from "./layer.ts";
import { decodeOverride, encodeOverride } from "./override-value.ts";

const permissions = 0o7777;
const rwx = 0o777;
const setUid = 0o4000;
const setGid = 0o2000;
const groupExecute = 0o010;

/** An object as it is on disk: calls that know nothing of the xattr. */
export interface StoredObject {
  stat(): Stat;
  /** As `readMark`: undefined also where there can be none. */
  getXattr(name: Name): Buffer | undefined;
  setXattr(name: Name, value: Buffer, flags: number): void;
  chmod(mode: number): void;
  chown(uid: number | undefined, gid: number | undefined): void;
}

/** What the xattr makes of it; as it is where it has none. @throws EINVAL for a malformed one */
export function overriddenStat(object: StoredObject, xattr: Name, stored: Stat): Stat {
  const value = canBear(stored) ? object.getXattr(xattr) : undefined;
  if (value === undefined) {
    return stored;
  }
  const stat = decodeOverride(value, stored);
  if (stat === undefined) {
    throw new FsError(Errno.EINVAL, `a malformed value of ${xattr}`);
  }
  return stat;
}

/** The mode on disk of what has the xattr: all who share the layer read it, and its owner writes it, whatever the xattr says. */
export const modeOnDisk = 0o755;

/** Sets the permissions; those in an ACL follow, as acl(5) has it. */
export function chmodOverridden(object: StoredObject, xattr: Name, mode: number): void {
  const stored = object.stat();
  if (!canBear(stored)) {
    object.chmod(mode);
    return;
  }
  const before = overriddenStat(object, xattr, stored);
  write(object, xattr, { ...before, mode: (before.mode & FileType.mask) | (mode & permissions) });
  if (object.getXattr(accessAclName) !== undefined) {
    object.chmod(mode & rwx);
  }
}

/**
 * Sets the owner; setuid and setgid go, as chown(2) says, and capabilities by a call of the kernel. A symlink or a special file has its
 * owner on disk, which stays where this process may not change it: engines expect no error of that.
 */
export function chownOverridden(
  object: StoredObject,
  xattr: Name,
  uid: number | undefined,
  gid: number | undefined,
): void {
  const stored = object.stat();
  if (!canBear(stored)) {
    chownIfPermitted(object, uid, gid);
    return;
  }
  const before = overriddenStat(object, xattr, stored);
  const isDirectory = (stored.mode & FileType.mask) === FileType.directory;
  const mode = isDirectory ? before.mode : withoutSetIds(before.mode);
  write(object, xattr, { ...before, uid: uid ?? before.uid, gid: gid ?? before.gid, mode });
}

/** Sets an access ACL, which has permissions of the mode: on disk the file system works them out. */
export function setAclOverridden(object: StoredObject, xattr: Name, acl: Buffer, flags: number): void {
  const before = overriddenStat(object, xattr, object.stat());
  object.setXattr(accessAclName, acl, flags);
  const after = object.stat();
  if (canBear(after)) {
    write(object, xattr, { ...before, mode: (before.mode & ~rwx) | (after.mode & rwx) });
  }
}

/** xattr(7): those of users are for files and directories alone. */
function canBear({ mode }: Stat): boolean {
  const type = mode & FileType.mask;
  return type === FileType.regular || type === FileType.directory;
}

/** What chown(2) leaves of a mode: setgid without execution by the group means something else. */
function withoutSetIds(mode: number): number {
  return mode & ~(setUid | ((mode & groupExecute) === 0 ? 0 : setGid));
}

function write(object: StoredObject, xattr: Name, stat: Stat): void {
  object.setXattr(xattr, encodeOverride(stat), 0);
}

function chownIfPermitted(object: StoredObject, uid: number | undefined, gid: number | undefined): void {
  try {
    object.chown(uid, gid);
  } catch (error) {
    // EINVAL: the user namespace has no such id.
    if (!isErrno(error, Errno.EPERM, Errno.EINVAL)) {
      throw error;
    }
  }
}
