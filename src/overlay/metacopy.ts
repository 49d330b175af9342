/**
 * Copies of metadata alone (metacopy): a file in the upper that has size and metadata, and a mark that its data are still on
 * a lower. The first change of the data brings them up.
 */
import { capabilityName } from "../contract/xattr-names.ts";
import { FsError } from "../errno.ts";
import type { LayerFile } from "../layer/layer.ts";
import { readMark } from "../layer/marks.ts";
import { copyData } from "./copy-data.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

/** Makes a staged file a copy of metadata alone; those are still to be given to it. */
export function markMetacopy(overlay: Overlay, staged: LayerFile, size: number): void {
  staged.truncate(size);
  staged.setXattr(overlay.marks.metacopy, Buffer.alloc(0), 0);
}

/**
 * Copies the data of a file right into its upper object. Until the mark is taken away the data on the lower count, so that
 * is the commit point. Capabilities, which the file system takes away with every write, and times are put back before.
 * @throws Parked while the data are being copied
 */
export function bringDataUp(overlay: Overlay, node: Node): void {
  const { layer, path } = overlay.upperPlace(node);
  const { size, atime, mtime } = layer.stat(path);
  const kept = readMark(layer, path, capabilityName);
  const from = overlay.dataPlace(node);
  const restore = () => {
    // Directories above may have been renamed meanwhile.
    const place = overlay.upperPlace(node);
    if (kept !== undefined) {
      place.layer.setXattr(place.path, capabilityName, kept, 0);
    }
    place.layer.setTimes(place.path, atime, mtime);
    return place;
  };
  const target = layer.openFile(path, true);
  copyData(overlay, node, {
    from,
    target,
    size,
    dense: false,
    finish: () => {
      const place = restore();
      place.layer.removeXattr(place.path, overlay.marks.metacopy);
      node.data = undefined;
      node.lowers = [];
      node.open?.file.become(target);
      overlay.notifier.attributesChanged(node.id);
    },
    end: () => {
      target.close();
      if (node.data !== undefined) {
        tolerant(overlay, restore);
      }
    },
  });
}

/** Those who wait are told why the data could not be brought up; that this fails too is for the log. */
function tolerant(overlay: Overlay, restore: () => unknown): void {
  try {
    restore();
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    overlay.log.warn({ err: error }, "times and capabilities of a file could not be put back");
  }
}
