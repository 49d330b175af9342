/** How far the kernel reads ahead in the files of a mount. */
import { FsError } from "../errno.ts";
import { writePipe } from "../sys/device.ts";
import { closeDescriptor, OpenFlag, openAt, workingDirectory } from "../sys/open.ts";
import type { LiveMount } from "./mount-direct.ts";

/** One READ of the largest size is under way while another is read by the caller. */
const kibibytes = 2048;

/**
 * Lets the kernel read ahead as far as is worth it. By INIT a daemon can only ask for less than the 128 KiB that every mount
 * begins with; more takes sysfs, and root of the machine. Without it all goes on as it is.
 */
export function readAheadFar({ connection }: LiveMount): void {
  let fd: number;
  try {
    fd = openAt(workingDirectory, `/sys/class/bdi/0:${connection}/read_ahead_kb`, OpenFlag.writeOnly);
  } catch (error) {
    if (error instanceof FsError) {
      // No sysfs, one that is read-only, or not ours to write to.
      return;
    }
    throw error;
  }
  const value = Buffer.from(String(kibibytes));
  writePipe(fd, value, value.length);
  closeDescriptor(fd);
}
