/** Attributes: reading them, and chmod, chown, truncate and utimens. */
import type { AttributeChanges, Attributes } from "../contract/filesystem.ts";
import { FileType } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerFile } from "../layer/layer.ts";
import { copyUp } from "./copy-up.ts";
import { killSetIds } from "./metadata.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { requireDataFree } from "./passthrough.ts";
import { requireChangeable, requireOverwritable, requireWritable } from "./protection.ts";

/** What stat(2) shows of a node. */
export function getAttributes(overlay: Overlay, node: Node): Attributes {
  return overlay.attributes(node, overlay.stat(node));
}

/**
 * Whether nothing is to change but that set-id bits and capabilities are to go, for a write (which takes them itself) or for a chown(2) to
 * nobody. The kernel does not tell one from the other, nor whether the caller may chown.
 */
export function isAnnouncement({ mode, uid, gid, size, atime, mtime }: AttributeChanges): boolean {
  return (mode ?? uid ?? gid ?? size ?? atime ?? mtime) === undefined;
}

/** Applies what is present in `changes`, in the order in which one does not undo another. */
export function setAttributes(overlay: Overlay, node: Node, changes: AttributeChanges, byHandle: boolean): Attributes {
  if (changes.size !== undefined && node.type !== FileType.regular) {
    throw new FsError(node.type === FileType.directory ? Errno.EISDIR : Errno.EINVAL, "truncate");
  }
  requireAllowed(overlay, node, changes, byHandle);
  if (changes.size !== undefined) {
    requireDataFree(node);
  }
  const killsSetIds = changes.killSetIds === true;
  // As long as there is something to truncate: truncate(2) of an empty file moves no time.
  const empties = changes.size === 0 && !node.upper && overlay.stat(node).size > 0;
  copyUp(overlay, node, changes.size === undefined ? "leave" : empties ? { killsSetIds } : "keep");
  const { layer, path } = overlay.upperPlace(node);
  if (changes.uid !== undefined || changes.gid !== undefined) {
    // The file system clears setuid, setgid and security.capability with it, as chown(2) says.
    layer.chown(path, changes.uid, changes.gid);
  }
  if (changes.size !== undefined && !empties) {
    if (killsSetIds) {
      killSetIds({ layer, path });
    }
    truncate(overlay, node, changes.size, byHandle);
  }
  if (changes.mode !== undefined) {
    if (node.type === FileType.symlink) {
      throw new FsError(Errno.EOPNOTSUPP, "chmod of a symlink");
    }
    layer.chmod(path, changes.mode & 0o7777);
  }
  if (changes.atime !== undefined || changes.mtime !== undefined) {
    layer.setTimes(path, changes.atime, changes.mtime);
  }
  return getAttributes(overlay, node);
}

/**
 * What the flags of protection leave of a change. A descriptor that was opened for writing before its file became immutable
 * still truncates it, as with Linux; touch(1) works on append-only files.
 */
function requireAllowed(overlay: Overlay, node: Node, changes: AttributeChanges, byHandle: boolean): void {
  if (changes.size !== undefined) {
    requireOverwritable(overlay, node);
    if (!byHandle) {
      requireWritable(overlay, node);
    }
    return;
  }
  const touches = changes.atime === "now" && changes.mtime === "now";
  const setsTimes = changes.atime !== undefined || changes.mtime !== undefined;
  if (changes.mode !== undefined || changes.uid !== undefined || changes.gid !== undefined || (setsTimes && !touches)) {
    requireChangeable(overlay, node);
  } else if (touches) {
    requireWritable(overlay, node);
  }
}

/** Sets the size of an upper file as ftruncate(2) or truncate(2) does; the first through its descriptor if it has one that can. */
function truncate(overlay: Overlay, node: Node, size: number, byHandle: boolean): void {
  const file: LayerFile | undefined = byHandle ? node.open?.file : undefined;
  if (file?.writable === true) {
    file.truncate(size);
  } else {
    const { layer, path } = overlay.upperPlace(node);
    layer.truncate(path, size);
  }
}
