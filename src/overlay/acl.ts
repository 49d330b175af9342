/**
 * Inheritance of a default ACL by a new object that is made outside its directory, where the file system can't do it.
 * The xattr format is that of linux/posix_acl_xattr.h (version 2; entries of tag, permissions, id), the rule that of
 * acl(5), "Object creation and default ACLs".
 */
import { Errno, FsError } from "../errno.ts";

const headerSize = 4;
const entrySize = 8;
const permissionAt = 2;
const Tag = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;

export interface Inherited {
  /** The permission bits after the ACL, special bits as they were. */
  readonly mode: number;
  /** The access ACL to set; undefined where the mode says it all. */
  readonly access: Buffer | undefined;
}

/**
 * What a new object gets from its directory's default ACL. The umask does not apply.
 * @param mode as the creating call gave it
 * @throws EINVAL for an xattr that is no ACL
 */
export function inheritAcl(defaultAcl: Buffer, mode: number): Inherited {
  if ((defaultAcl.length - headerSize) % entrySize !== 0 || defaultAcl.length < headerSize) {
    throw new FsError(Errno.EINVAL, "default ACL of a malformed length");
  }
  const access = Buffer.from(defaultAcl);
  let permissions = mode & 0o777;
  let groupAt: number | undefined;
  let maskAt: number | undefined;
  let extended = false;
  /** Narrows an entry to what the mode allows, and the mode to what the entry allows. */
  const narrow = (at: number, shift: number) => {
    const permission = access.readUInt16LE(at + permissionAt) & ((mode >> shift) & 7);
    access.writeUInt16LE(permission, at + permissionAt);
    permissions = (permissions & ~(7 << shift)) | (permission << shift);
  };
  for (let at = headerSize; at < access.length; at += entrySize) {
    switch (access.readUInt16LE(at)) {
      case Tag.userObj:
        narrow(at, 6);
        break;
      case Tag.other:
        narrow(at, 0);
        break;
      case Tag.groupObj:
        groupAt = at;
        break;
      case Tag.mask:
        maskAt = at;
        extended = true;
        break;
      default:
        extended = true;
    }
  }
  const groupClassAt = maskAt ?? groupAt;
  if (groupClassAt !== undefined) {
    narrow(groupClassAt, 3);
  }
  return { mode: (mode & ~0o777) | permissions, access: extended ? access : undefined };
}
