/** The last step of every reply. */
import { Errno } from "../errno.ts";
import { writeReply } from "../sys/device.ts";
import type { ReplyWriter } from "./protocol/reply-writer.ts";

/**
 * Whether there is nothing more to be done after a write of a reply with this result. ENOENT: nobody waits for it any more, as the
 * connection was aborted; the node counts and handles of such a reply go with the mount. ENODEV: it is gone already.
 */
export function isTaken(result: number): boolean {
  return result >= 0 || result === -Errno.ENOENT || result === -Errno.ENODEV;
}

/**
 * Hands a finished reply to the kernel, from any thread.
 * @returns 0, or the errno with which it was not taken: its caller was told EIO then
 */
export function sendReply(device: number, reply: ReplyWriter): number {
  const result = writeReply(device, reply.bytes, reply.length);
  if (isTaken(result)) {
    return 0;
  }
  // Else its caller might wait for ever.
  reply.turnToError(Errno.EIO);
  writeReply(device, reply.bytes, reply.length);
  return -result;
}
