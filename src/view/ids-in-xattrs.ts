/**
 * Ids within the values of xattrs: the users and groups that an ACL names (linux/posix_acl_xattr.h: a header of 4 bytes, entries of
 * tag, permissions and id), and the root user of the namespace that file capabilities hold in (linux/capability.h: a magic
 * word, two pairs of words; a version 3 has that id behind them, with a version 2 it is 0). What is malformed stays as it is.
 */
import type { Name } from "../contract/ids.ts";
import { capabilityName, isAcl } from "../contract/xattr-names.ts";
import { Errno, FsError } from "../errno.ts";

/** An id for its counterpart; undefined where it has none. */
export type MapId = (id: number) => number | undefined;

/** The value with its ids mapped, whatever the xattr. @throws as `mapAcl` and `mapCapability` do */
export function mapIdsInXattr(name: Name, value: Buffer, uid: MapId, gid: MapId): Buffer {
  if (isAcl(name)) {
    return mapAcl(value, uid, gid);
  }
  return name === capabilityName ? mapCapability(value, uid) : value;
}

const aclHeader = 4;
const aclEntry = 8;
const AclTag = { user: 0x02, group: 0x08 } as const;

/** @throws EINVAL where an entry's id has no counterpart */
export function mapAcl(value: Buffer, uid: MapId, gid: MapId): Buffer {
  const mapped = Buffer.from(value);
  for (let at = aclHeader; at + aclEntry <= mapped.length; at += aclEntry) {
    const tag = mapped.readUInt16LE(at);
    if (tag === AclTag.user || tag === AclTag.group) {
      const id = (tag === AclTag.user ? uid : gid)(mapped.readUInt32LE(at + 4));
      if (id === undefined) {
        throw new FsError(Errno.EINVAL, "an ACL with an id that is not mapped");
      }
      mapped.writeUInt32LE(id, at + 4);
    }
  }
  return mapped;
}

const revisionMask = 0xff00_0000;
const revision2 = 0x0200_0000;
const revision3 = 0x0300_0000;
const size2 = 20;
const size3 = 24;

/** @throws EOVERFLOW where the root user has no counterpart */
export function mapCapability(value: Buffer, uid: MapId): Buffer {
  const isPlain = value.length === size2;
  if (!isPlain && value.length !== size3) {
    return value;
  }
  const root = uid(isPlain ? 0 : value.readUInt32LE(size2));
  if (root === undefined) {
    throw new FsError(Errno.EOVERFLOW, "capabilities of a root user that is not mapped");
  }
  const mapped = Buffer.alloc(root === 0 ? size2 : size3);
  value.copy(mapped, 0, 0, size2);
  const flags = value.readUInt32LE(0) & ~revisionMask;
  mapped.writeUInt32LE((flags | (root === 0 ? revision2 : revision3)) >>> 0, 0);
  if (root !== 0) {
    mapped.writeUInt32LE(root, size2);
  }
  return mapped;
}
