/** FUSE mounts whose daemon is gone: they stay in the tree, and every look into them fails. */
import { Errno, isErrno } from "../errno.ts";
import { closeDescriptor, OpenFlag, openAt, workingDirectory } from "../sys/open.ts";
import { statFileSystem } from "../sys/statfs.ts";

/** Asks the daemon of the FUSE mount at `path`: waits for one that lives, and learns of one that doesn't. */
export function isDead(path: string): boolean {
  const root = openAt(workingDirectory, path, OpenFlag.path | OpenFlag.directory);
  try {
    // statfs is never answered from a cache, as stat may be.
    statFileSystem(root);
    return false;
  } catch (error) {
    if (isErrno(error, Errno.ENOTCONN)) {
      return true;
    }
    throw error;
  } finally {
    closeDescriptor(root);
  }
}
