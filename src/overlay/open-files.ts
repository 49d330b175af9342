/**
 * Open files: one descriptor a file, however many handles. It always belongs to the object that the node shows, so that
 * a handle opened for reading before a copy-up reads what is written after it.
 */
import { descriptorOf, HandleKind, makeHandle } from "../contract/handle.ts";
import { FileType, type HandleId } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerFile } from "../layer/layer.ts";
import type { Node, OpenFile } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { Protection, protection, requireOverwritable, requireWritable } from "./protection.ts";
import { giveSmallFile } from "./small-files.ts";

/** Access modes and flags of open(2), as the kernel's generic ABI numbers them (asm-generic/fcntl.h). */
export const OpenFlag = { accessMode: 3, readOnly: 0, truncate: 0o1000, append: 0o2000 } as const;

/** Whether an open with these flags may change the file. */
export function opensForChange(flags: number): boolean {
  return (flags & OpenFlag.accessMode) !== OpenFlag.readOnly || (flags & OpenFlag.truncate) !== 0;
}

/** What the flags of protection say to an open: an append-only file is opened for appending. @throws EPERM */
export function requireOpenable(overlay: Overlay, node: Node, flags: number): void {
  if (!opensForChange(flags)) {
    return;
  }
  requireWritable(overlay, node);
  if ((flags & OpenFlag.append) === 0 || (flags & OpenFlag.truncate) !== 0) {
    requireOverwritable(overlay, node);
  }
}

export class OpenFiles {
  readonly #overlay: Overlay;
  /** By descriptor. */
  readonly #nodes = new Map<number, Node>();

  constructor(overlay: Overlay) {
    this.#overlay = overlay;
  }

  /** Opens the object that the node shows; for writing it must be an upper one. @throws EINVAL for what is no regular file */
  open(node: Node, writable: boolean): HandleId {
    if (node.type !== FileType.regular) {
      throw new FsError(Errno.EINVAL, "open of what is not a regular file");
    }
    // The kernel does not know that the file is append-only: it would map it as shared, and let fcntl(2) take O_APPEND away.
    const appends = writable && (protection(this.#overlay, node) & Protection.append) !== 0;
    const kind = appends ? HandleKind.appending : HandleKind.paged;
    if (node.open === undefined) {
      const { layer, path } = this.#overlay.dataPlace(node);
      const file = layer.openFile(path, writable);
      const handle = this.adopt(node, file, kind);
      if (!writable) {
        giveSmallFile(this.#overlay, node, file);
      }
      return handle;
    }
    if (writable && !node.open.file.writable) {
      this.#reopenForWriting(node.open, node);
    }
    node.open.handles += 1;
    return makeHandle(node.open.file.fd, kind);
  }

  /** The first handle of a file that was just made. */
  adopt(node: Node, file: LayerFile, kind: number = HandleKind.paged): HandleId {
    node.open = { file, handles: 1 };
    this.#nodes.set(file.fd, node);
    return makeHandle(file.fd, kind);
  }

  /** @throws EBADF for a handle that is not open */
  file(handle: HandleId): LayerFile {
    const file = this.#nodes.get(descriptorOf(handle))?.open?.file;
    if (file === undefined) {
      throw new FsError(Errno.EBADF, `handle ${handle} is not open`);
    }
    return file;
  }

  /** As `file`, for a call that changes it: the descriptor of an upper file, open for writing. */
  writableFile(node: Node, handle: HandleId): LayerFile {
    const file = this.file(handle);
    const { open, upper } = node;
    if (!upper || open?.file !== file) {
      throw new FsError(Errno.EBADF, `node ${node.id} is not open for writing by handle ${handle}`);
    }
    if (!file.writable) {
      this.#reopenForWriting(open, node);
    }
    return file;
  }

  release(handle: HandleId): void {
    const node = this.#nodes.get(descriptorOf(handle));
    const open = node?.open;
    if (node === undefined || open === undefined) {
      return;
    }
    open.handles -= 1;
    if (open.handles === 0) {
      this.#nodes.delete(open.file.fd);
      node.open = undefined;
      open.file.close();
      this.#overlay.nodes.dropIfUnused(node);
    }
  }

  /** For the end of the mount: whatever is still open is closed. */
  closeAll(): void {
    for (const node of this.#nodes.values()) {
      node.open?.file.close();
      node.open = undefined;
    }
    this.#nodes.clear();
  }

  #reopenForWriting(open: OpenFile, node: Node): void {
    const { layer, path } = this.#overlay.upperPlace(node);
    open.file.become(layer.openFile(path, true));
  }
}
