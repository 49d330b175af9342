/** fsync of directories and syncfs: what users ask for, unless the mount is volatile. */
import { Deferred, JobCall } from "../contract/slow.ts";
import { FsError } from "../errno.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

/** fsync(2) of the upper part of a directory; there is nothing to do for one that is only on lowers. */
export function syncDirectory(overlay: Overlay, node: Node): undefined | Deferred<undefined> {
  if (!node.upper || overlay.volatile) {
    return undefined;
  }
  const { layer, path } = overlay.upperPlace(node);
  const directory = layer.openDirectory(path);
  return new Deferred({ call: JobCall.sync, args: [directory.fd] }, (result) => {
    directory.close();
    return nothing(result, "fsync of a directory");
  });
}

/** syncfs(2) of the upper's file system. */
export function syncUpper(overlay: Overlay): undefined | Deferred<undefined> {
  if (overlay.upper === undefined || overlay.volatile) {
    return undefined;
  }
  return new Deferred(overlay.upper.syncJob(), (result) => nothing(result, "syncfs"));
}

function nothing(result: number, what: string): undefined {
  if (result < 0) {
    throw new FsError(-result, what);
  }
  return undefined;
}
