/**
 * The control file system of FUSE (fusectl). It is reached by a mount of our own that is attached nowhere, as containers
 * and minimal systems don't have it at /sys/fs/fuse/connections.
 */
import { FsError } from "../errno.ts";
import { writePipe } from "./device.ts";
import { check, pathAddress, syscall } from "./libc.ts";
import { closeDescriptor, OpenFlag, openAt } from "./open.ts";

/* Numbers from 424 on are the same on all architectures. */
const FSOPEN = 430;
const FSCONFIG = 431;
const FSMOUNT = 432;
const CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;

/**
 * Ends a FUSE connection at once: whoever waits for an answer gets ECONNABORTED, and the daemon reads ENODEV.
 * @param connection the minor number of the mount's device
 * @throws FsError EPERM (needs CAP_SYS_ADMIN in the initial user namespace), ENOENT (no such connection), ENOSYS (before Linux 5.2)
 */
export function cutFuseConnection(connection: number): void {
  const root = openFusectl();
  try {
    const fd = openAt(root, `${connection}/abort`, OpenFlag.writeOnly);
    const result = writePipe(fd, Buffer.from("1"), 1);
    closeDescriptor(fd);
    if (result < 0) {
      throw new FsError(-result, "abort of a FUSE connection");
    }
  } finally {
    closeDescriptor(root);
  }
}

/** A descriptor of the root of fusectl. */
function openFusectl(): number {
  const context = check(syscall(FSOPEN, pathAddress("fusectl"), CLOEXEC, 0, 0, 0, 0), "fsopen");
  try {
    check(syscall(FSCONFIG, context, FSCONFIG_CMD_CREATE, 0, 0, 0, 0), "fsconfig");
    return check(syscall(FSMOUNT, context, CLOEXEC, 0, 0, 0, 0), "fsmount");
  } finally {
    closeDescriptor(context);
  }
}
