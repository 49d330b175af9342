/** fsync of directories and syncfs: what users ask for, unless the mount is volatile. */
import { type Deferred, JobCall } from "../contract/slow.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { deferredVoid } from "./slow-calls.ts";

/** fsync(2) of the upper part of a directory; there is nothing to do for one that is only on lowers. */
export function syncDirectory(overlay: Overlay, node: Node): undefined | Deferred<undefined> {
  if (!node.upper || overlay.volatile) {
    return undefined;
  }
  const { layer, path } = overlay.upperPlace(node);
  const directory = layer.openDirectory(path);
  return deferredVoid({ call: JobCall.sync, args: [directory.fd] }, () => directory.close());
}

/** syncfs(2) of the upper's file system. */
export function syncUpper(overlay: Overlay): undefined | Deferred<undefined> {
  if (overlay.upper === undefined || overlay.volatile) {
    return undefined;
  }
  return deferredVoid(overlay.upper.syncJob());
}
