/** The data of open files: reading, writing, allocating, seeking, copying, syncing. */

import { FileRange } from "../contract/file-range.ts";
import type { AllocatedRange, WriteRequest } from "../contract/filesystem.ts";
import { HandleKind, isOfKind } from "../contract/handle.ts";
import type { Caller, HandleId } from "../contract/ids.ts";
import { type Deferred, JobCall } from "../contract/slow.ts";
import type { LayerFile } from "../layer/layer.ts";
import { killSetIds } from "./metadata.ts";
import type { Node } from "./node.ts";
import { OpenFlag } from "./open-flags.ts";
import type { Overlay } from "./overlay.ts";
import { requireOverwritable, requireWritable } from "./protection.ts";
import { deferred, deferredVoid } from "./slow-calls.ts";

/** An open file, and the handle by which it is asked for. */
interface OpenHandle {
  readonly file: LayerFile;
  readonly handle: HandleId;
}

/** A write this large may be made to wait for the disk: it leaves the core. */
const largeWrite = 256 * 1024;
/** From so many bytes on it takes longer to copy data once more than to tell where they are. */
const largeRead = 64 * 1024;
/** FALLOC_FL_KEEP_SIZE */
const keepSize = 1;

/**
 * Data in memory are read at once, others where nobody else has to wait for them. Where there are many, the transport may take them
 * from the file itself.
 */
export function read(
  node: Node,
  open: OpenHandle,
  offset: number,
  into: Buffer,
): number | Deferred<number> | FileRange {
  const { file } = open;
  const length = into.length < largeRead ? undefined : file.lengthIfCached(offset, into.length);
  return length === undefined || length < largeRead
    ? readInto(node, open, offset, into)
    : new FileRange(file.fd, offset, length, () => readInto(node, open, offset, into));
}

function readInto(node: Node, { file, handle }: OpenHandle, offset: number, into: Buffer): number | Deferred<number> {
  return (
    file.readIfCached(into, offset) ??
    deferred({
      call: JobCall.read,
      args: [file.fd, offset],
      forPages: isOfKind(handle, HandleKind.paged),
      // Nobody writes to a file of a lower, and keeps it to himself meanwhile.
      brief: !node.upper,
    })
  );
}

/** pwrite(2) to an upper file; on an I/O thread where it is large or has to reach the disk. Answers how many bytes were taken. */
export function write(
  overlay: Overlay,
  node: Node,
  { file, handle }: OpenHandle,
  request: WriteRequest,
): number | Deferred<number> {
  const sync = overlay.volatile ? 0 : request.flags & OpenFlag.sync;
  if (request.killSetIds) {
    killSetIds(overlay.upperPlace(node));
  }
  if (sync !== 0 || request.data.length >= largeWrite) {
    const forPages = isOfKind(handle, HandleKind.paged);
    return deferred({ call: JobCall.write, args: [file.fd, request.offset, sync], forPages, brief: sync === 0 });
  }
  return file.write(request.data, request.offset, 0);
}

/** fsync(2), or fdatasync(2). Nothing of a lower file needs it. */
export function sync(
  overlay: Overlay,
  node: Node,
  file: LayerFile,
  dataOnly: boolean,
): undefined | Deferred<undefined> {
  if (!node.upper || overlay.volatile) {
    return undefined;
  }
  if (node.data !== undefined) {
    // The upper has its metadata alone.
    return dataOnly ? undefined : syncObject(overlay, node);
  }
  return deferredVoid({ call: dataOnly ? JobCall.syncData : JobCall.sync, args: [file.fd] });
}

function syncObject(overlay: Overlay, node: Node): Deferred<undefined> {
  const { layer, path } = overlay.upperPlace(node);
  const object = layer.openFile(path, false);
  return deferredVoid({ call: JobCall.sync, args: [object.fd] }, () => object.close());
}

/** fallocate(2). */
export function allocate(
  overlay: Overlay,
  node: Node,
  file: LayerFile,
  { mode, offset, length }: AllocatedRange,
  caller: Caller,
): Deferred<undefined> {
  requireWritable(overlay, node);
  if ((mode & ~keepSize) !== 0) {
    requireOverwritable(overlay, node);
  }
  killSetIdsFor(overlay, node, caller);
  return deferredVoid({ call: JobCall.allocate, args: [file.fd, mode, offset, length] });
}

/** copy_file_range(2), which reflinks where the layers allow it. */
export function copyRange(
  overlay: Overlay,
  from: { readonly file: LayerFile; readonly offset: number },
  to: { readonly node: Node; readonly file: LayerFile; readonly offset: number },
  length: number,
  caller: Caller,
): Deferred<number> {
  requireWritable(overlay, to.node);
  killSetIdsFor(overlay, to.node, caller);
  return deferred({ call: JobCall.copyRange, args: [from.file.fd, from.offset, to.file.fd, to.offset, length] });
}

/**
 * The kernel does not say with these calls whether the caller has CAP_FSETID, as it does with WRITE: root is taken to
 * have it, and nobody else.
 */
function killSetIdsFor(overlay: Overlay, node: Node, caller: Caller): void {
  if (caller.uid !== 0) {
    killSetIds(overlay.upperPlace(node));
  }
}
