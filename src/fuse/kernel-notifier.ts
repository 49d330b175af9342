/** Messages to the kernel that answer no request, over the device that the requests come from. */
import type { NodeId } from "../contract/ids.ts";
import { largestStored, type Notifier } from "../contract/notifier.ts";
import { Errno, errnoName } from "../errno.ts";
import type { Logger } from "../log.ts";
import { writeReply } from "../sys/device.ts";
import { encodeInvalidateAttributes, encodeInvalidatePages, encodeStore, storeSize } from "./protocol/notify.ts";
import { ReplyWriter } from "./protocol/reply-writer.ts";

export class KernelNotifier implements Notifier {
  readonly #device: number;
  readonly #log: Logger;
  /** A writer of its own: the reply of the request being served may be half made. */
  readonly #message = new ReplyWriter(Buffer.alloc(storeSize(largestStored)));

  constructor(device: number, log: Logger) {
    this.#device = device;
    this.#log = log;
  }

  attributesChanged(node: NodeId): void {
    encodeInvalidateAttributes(node, this.#message);
    this.#send("NOTIFY_INVAL_INODE");
  }

  listingChanged(directory: NodeId): void {
    encodeInvalidatePages(directory, this.#message);
    this.#send("NOTIFY_INVAL_INODE");
  }

  dataRead(node: NodeId, data: Buffer): void {
    encodeStore(node, data, this.#message);
    this.#send("NOTIFY_STORE");
  }

  #send(what: string): void {
    const result = writeReply(this.#device, this.#message.bytes, this.#message.length);
    // ENOENT: the kernel has forgotten the node, and what it knew of it. ENODEV: the mount is gone.
    if (result < 0 && result !== -Errno.ENOENT && result !== -Errno.ENODEV) {
      this.#log.error({ op: what, error: errnoName(-result) }, "a notification was not taken");
    }
  }
}
