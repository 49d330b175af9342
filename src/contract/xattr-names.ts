/** The xattrs that mean something to the kernel, as xattr(7), acl(5) and capabilities(7) have them. */
import type { Name } from "./ids.ts";

export const accessAclName: Name = "system.posix_acl_access";
export const defaultAclName: Name = "system.posix_acl_default";
/** File capabilities, which the file system takes away with every write. */
export const capabilityName: Name = "security.capability";

/** Whether it is one of the two that hold an ACL. */
export function isAcl(name: Name): boolean {
  return name === accessAclName || name === defaultAclName;
}
