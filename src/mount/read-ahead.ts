/** How far the kernel reads ahead in the files of a mount. */
import { writeFileSync } from "node:fs";
import type { LiveMount } from "./mount-direct.ts";

/** One READ of the largest size is under way while another is read by the caller. */
const kibibytes = 2048;

/**
 * Lets the kernel read ahead as far as is worth it. By INIT a daemon can only ask for less than the 128 KiB that every mount
 * begins with; more takes sysfs, and root of the machine. Without it all goes on as it is.
 */
export function readAheadFar({ connection }: LiveMount): void {
  try {
    writeFileSync(`/sys/class/bdi/0:${connection}/read_ahead_kb`, String(kibibytes));
  } catch {
    // No sysfs, one that is read-only, or not ours to write to.
  }
}
