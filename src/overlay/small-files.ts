/**
 * Small files of lowers come to the kernel with their first open, so that reading them costs no further request.
 *
 * The kernel fills its pages with what it is given, and waits for a page that somebody is reading or writing. So nothing may be
 * under way in the file: it is open nowhere else, and as a lower file it has never been written to.
 */

import { largestStored } from "../contract/notifier.ts";
import type { LayerFile } from "../layer/layer.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

const memory = Buffer.allocUnsafeSlow(largestStored);

/** Gives the kernel all data of a file that has just been opened for reading, by its first handle, if they are few and in memory. */
export function giveSmallFile(overlay: Overlay, node: Node, file: LayerFile): void {
  if (node.upper || node.data !== undefined || node.wasGiven) {
    return;
  }
  // Once is enough: what the kernel drops again it asks for, if need be.
  node.wasGiven = true;
  const size = file.size();
  if (size === 0 || size > largestStored) {
    return;
  }
  const data = memory.subarray(0, size);
  if (file.readIfCached(data, 0) === size) {
    overlay.notifier.dataRead(node.id, data);
  }
}
