/**
 * Open files: one descriptor a file, however many handles. It always belongs to the object that the node shows, so that
 * a handle opened for reading before a copy-up reads what is written after it.
 */
import { FileType, type HandleId } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerFile } from "../layer/layer.ts";
import type { Node } from "./node.ts";
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
  readonly #nodes = new Map<HandleId, Node>();
  readonly #appending = new Set<HandleId>();
  #nextHandle: HandleId = 1;

  constructor(overlay: Overlay) {
    this.#overlay = overlay;
  }

  /** Opens the object that the node shows; for writing it must be an upper one. @throws EINVAL for what is no regular file */
  open(node: Node, writable: boolean): HandleId {
    if (node.type !== FileType.regular) {
      throw new FsError(Errno.EINVAL, "open of what is not a regular file");
    }
    if (node.open === undefined) {
      const { layer, path } = this.#overlay.dataPlace(node);
      const file = layer.openFile(path, writable);
      const handle = this.adopt(node, file);
      if (!writable) {
        giveSmallFile(this.#overlay, node, file);
      }
      return this.#remember(node, handle, writable);
    }
    if (writable && !node.open.file.writable) {
      this.#reopenForWriting(node);
    }
    return this.#remember(node, this.#addHandle(node), writable);
  }

  /**
   * Whether the handle was opened for writing when its file was append-only. The kernel does not know that the file
   * is: it would map it as shared, and let fcntl(2) take O_APPEND away.
   */
  appendsOnly(handle: HandleId): boolean {
    return this.#appending.has(handle);
  }

  /** The first handle of a file that was just made. */
  adopt(node: Node, file: LayerFile): HandleId {
    node.open = { file, handles: 0, retired: [] };
    return this.#addHandle(node);
  }

  /** @throws EBADF for a handle that is not open */
  file(handle: HandleId): LayerFile {
    const file = this.#nodes.get(handle)?.open?.file;
    if (file === undefined) {
      throw new FsError(Errno.EBADF, `handle ${handle} is not open`);
    }
    return file;
  }

  /** As `file`, for a call that changes it: the descriptor of an upper file, open for writing. */
  writableFile(node: Node, handle: HandleId): LayerFile {
    const file = this.file(handle);
    if (!node.upper || node.open?.file !== file) {
      throw new FsError(Errno.EBADF, `node ${node.id} is not open for writing by handle ${handle}`);
    }
    if (file.writable) {
      return file;
    }
    this.#reopenForWriting(node);
    return this.file(handle);
  }

  release(handle: HandleId): void {
    const node = this.#nodes.get(handle);
    const open = node?.open;
    if (node === undefined || open === undefined) {
      return;
    }
    this.#nodes.delete(handle);
    this.#appending.delete(handle);
    open.handles -= 1;
    if (open.handles === 0) {
      node.open = undefined;
      closeAll(open);
      this.#overlay.nodes.dropIfUnused(node);
    }
  }

  /** For the end of the mount: whatever is still open is closed. */
  closeAll(): void {
    for (const node of new Set(this.#nodes.values())) {
      if (node.open !== undefined) {
        closeAll(node.open);
        node.open = undefined;
      }
    }
    this.#nodes.clear();
  }

  #reopenForWriting(node: Node): void {
    const { layer, path } = this.#overlay.upperPlace(node);
    replaceDescriptor(node, layer.openFile(path, true));
  }

  #remember(node: Node, handle: HandleId, writable: boolean): HandleId {
    if (writable && (protection(this.#overlay, node) & Protection.append) !== 0) {
      this.#appending.add(handle);
    }
    return handle;
  }

  #addHandle(node: Node): HandleId {
    if (node.open !== undefined) {
      node.open.handles += 1;
    }
    const handle = this.#nextHandle;
    this.#nextHandle += 1;
    this.#nodes.set(handle, node);
    return handle;
  }
}

/**
 * Gives an open file, if the node is one, this descriptor of its upper object, which has the data, in place of the one it has.
 * @returns whether it was taken: it is closed with the file then
 */
export function replaceDescriptor(node: Node, file: LayerFile): boolean {
  if (node.open === undefined) {
    return false;
  }
  node.open.retired.push(node.open.file);
  node.open.file = file;
  return true;
}

function closeAll(open: NonNullable<Node["open"]>): void {
  open.file.close();
  for (const file of open.retired) {
    file.close();
  }
}
