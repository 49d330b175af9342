/** What a file system tells the kernel unasked. */
import type { NodeId } from "./ids.ts";

/** The most bytes that `dataRead` takes. */
export const largestStored: number = 64 * 1024;

export interface Notifier {
  /**
   * Attributes of a node changed by something else than a call on it: what the kernel remembers of them is void.
   * May be called while a request, also one on that node, is being served.
   */
  attributesChanged(node: NodeId): void;
  /** The listing of a directory changed, and its mtime did not: what the kernel remembers of it is void. */
  listingChanged(directory: NodeId): void;
  /**
   * All data of a file, so that the kernel need not ask for them. Waits for a page of it that is being read or written: to be
   * called only where none can be.
   */
  dataRead(node: NodeId, data: Buffer): void;
}
