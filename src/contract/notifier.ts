/** What a file system tells the kernel unasked. */
import type { NodeId } from "./ids.ts";

export interface Notifier {
  /**
   * Attributes of a node changed by something else than a call on it: what the kernel remembers of them is void.
   * May be called while a request, also one on that node, is being served.
   */
  attributesChanged(node: NodeId): void;
  /** The listing of a directory changed, and its mtime did not: what the kernel remembers of it is void. */
  listingChanged(directory: NodeId): void;
}
