/**
 * The UUID of the overlay itself, kept in the xattr overlay.uuid of the upper's root. The kernel's overlayfs shows it in
 * statfs(2); FUSE has no way to, so here it is only given and kept, for the kernel's next mount.
 */
import type { Features } from "../contract/features.ts";
import { FsError } from "../errno.ts";
import type { WritableLayer } from "../layer/layer.ts";
import { type MarkNames, readMark } from "../layer/marks.ts";
import type { Logger } from "../log.ts";

/**
 * Gives the upper a UUID unless it has one: with uuid=on, and with uuid=auto where this is its first mount (no object has
 * been copied up to its root), as overlayfs.rst says under "UUID and fsid". Where it can't be kept the mount goes without.
 */
export function giveUuid(upper: WritableLayer, marks: MarkNames, mode: Features["uuid"], log: Logger): void {
  if (mode === "off" || mode === "null") {
    return;
  }
  try {
    if (readMark(upper, "", marks.uuid) !== undefined) {
      return;
    }
    if (mode === "auto" && readMark(upper, "", marks.impure) !== undefined) {
      return;
    }
    upper.setXattr("", marks.uuid, Buffer.from(crypto.randomUUID().replaceAll("-", ""), "hex"), 0);
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    log.warn({ error: error.message }, "the upper can't be given a UUID: the mount goes without");
  }
}
