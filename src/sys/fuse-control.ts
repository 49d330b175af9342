/**
 * The control file system of FUSE (fusectl). It is reached by a mount of our own that is attached nowhere, as containers
 * and minimal systems don't have it at /sys/fs/fuse/connections.
 */
import { FsError } from "../errno.ts";
import { writePipe } from "./device.ts";
import { type Address, check, declare, pathAddress, scratch, syscall } from "./libc.ts";
import { closeDescriptor, OpenFlag, openAt } from "./open.ts";
import { readProcFile } from "./proc.ts";

const poll = declare<(fds: Address, count: number, timeout: number) => number>(
  "int poll(intptr_t, unsigned long, int)",
);
const POLLERR = 8;

/**
 * Whether the connection behind an open /dev/fuse is neither unmounted nor aborted. While it lives, so does its mount's
 * device number; afterwards the next mount may have been given that number, and the mount's id too.
 */
export function connectionLives(device: number): boolean {
  /* struct pollfd: fd i32, events i16, revents i16; the halves of a word are little-endian. Errors need no asking for. */
  scratch.words[0] = device;
  scratch.words[1] = 0;
  check(poll(scratch.address, 1, 0), "poll");
  return ((scratch.words[1] >>> 16) & POLLERR) === 0;
}

/** The number of the connection behind an open /dev/fuse, as the minor number of its mount's device; undefined where the kernel does not tell. */
export function connectionOf(device: number): number | undefined {
  const told = /^fuse_connection:\s*(\d+)$/m.exec(readProcFile(`self/fdinfo/${device}`));
  return told === null ? undefined : Number(told[1]);
}

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
