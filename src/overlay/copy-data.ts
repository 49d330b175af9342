/** Brings the data of a file to the upper: at once where that takes no time, else by a job, while the file is parked at its gate. */
import { Gate, type Job, JobCall, Parked } from "../contract/slow.ts";
import { FsError } from "../errno.ts";
import type { LayerFile, Place } from "../layer/layer.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

/** Files up to this size are copied at once. */
const inlineCopyLimit = 128 * 1024;
/** Up to this size it is tried at once to share the data. How long that takes depends on the extents: some microseconds each. */
const inlineShareLimit = 1024 * 1024 * 1024;

/** Of JobCall.copyFile: sharing has not been tried. */
const mayShare = -1;

export interface DataCopy {
  readonly from: Place;
  /** Has no data yet. */
  readonly target: LayerFile;
  readonly size: number;
  /** The data are known to have no holes. */
  readonly dense: boolean;
  /**
   * What is left to do when the data are there, on disk unless the mount is volatile.
   * @param source where there were data to copy
   */
  finish(source: LayerFile | undefined): void;
  /** Is called in the end, well or not: the target is no longer needed. */
  end(): void;
}

/** @throws Parked while the data are being copied; those who wait are told what goes wrong */
export function copyData(overlay: Overlay, node: Node, copy: DataCopy): void {
  let source: LayerFile | undefined;
  let underWay = false;
  try {
    if (copy.size > 0) {
      source = copy.from.layer.openFile(copy.from.path, false);
      if (copy.size <= inlineCopyLimit) {
        source.copyTo(copy.target, copy.size, copy.dense);
        if (!overlay.volatile) {
          copy.target.sync();
        }
      } else if (copy.size > inlineShareLimit || !source.shareWith(copy.target, copy.size)) {
        underWay = true;
        throw startCopy(overlay, node, source, copy, copy.size > inlineShareLimit ? mayShare : 0);
      }
      // Shared data are on disk already, as Linux overlayfs sees it too: they are not synced.
    }
    copy.finish(source);
  } finally {
    if (!underWay) {
      close(source, copy);
    }
  }
}

/** @param begun as JobCall.copyFile has it */
function startCopy(overlay: Overlay, node: Node, source: LayerFile, copy: DataCopy, begun: number): Parked {
  const gate = new Gate();
  const job: Job = {
    call: JobCall.copyFile,
    args: [source.fd, copy.size, copy.target.fd, overlay.volatile ? 0 : 1, begun],
  };
  overlay.jobs.start(job, (result) => {
    node.copyingUp = undefined;
    gate.open(endCopy(source, copy, result));
    overlay.nodes.dropIfUnused(node);
  });
  node.copyingUp = gate;
  return new Parked(gate);
}

/** @returns what went wrong, for those who wait */
function endCopy(source: LayerFile, copy: DataCopy, result: number): unknown {
  try {
    if (result < 0) {
      throw new FsError(-result, "copy-up: copy data");
    }
    copy.finish(source);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    close(source, copy);
  }
}

function close(source: LayerFile | undefined, copy: DataCopy): void {
  source?.close();
  copy.end();
}
