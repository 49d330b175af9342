/**
 * Open files: one descriptor a file, however many handles. It always belongs to the object that the node shows, so that
 * a handle opened for reading before a copy-up reads what is written after it.
 */
import type { Opened } from "../contract/filesystem.ts";
import { descriptorOf, HandleKind, makeHandle } from "../contract/handle.ts";
import { FileType, type HandleId } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerFile } from "../layer/layer.ts";
import type { Node, OpenFile } from "./node.ts";
import { mayMapShared, OpenFlag, opensForChange } from "./open-flags.ts";
import type { Overlay } from "./overlay.ts";
import { backingFor } from "./passthrough.ts";
import { Protection, protection, requireOverwritable, requireWritable } from "./protection.ts";
import { giveSmallFile } from "./small-files.ts";

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

  /**
   * Opens the object that the node shows; for writing it must be an upper one. `opened` says what has become of it; until then,
   * and where something fails before, the handle is good for `file` and `release`.
   * @throws EINVAL for what is no regular file
   */
  open(node: Node, writable: boolean): HandleId {
    if (node.type !== FileType.regular) {
      throw new FsError(Errno.EINVAL, "open of what is not a regular file");
    }
    if (node.open === undefined) {
      const { layer, path } = this.#overlay.dataPlace(node);
      return this.adopt(node, layer.openFile(path, writable));
    }
    if (writable && !node.open.file.writable) {
      this.#reopenForWriting(node.open, node);
    }
    node.open.handles += 1;
    return makeHandle(node.open.file.fd, 0);
  }

  /** As `open`, for a file that was just made. */
  adopt(node: Node, file: LayerFile): HandleId {
    node.open = { file, handles: 1, backing: "undecided", lacksCapabilities: false };
    this.#nodes.set(file.fd, node);
    return makeHandle(file.fd, 0);
  }

  /**
   * What the kernel is to be told of a handle that was opened with these flags.
   * @param mode of a file that was just made; of others it is looked up
   * @throws EINVAL where the file's file system has no O_DIRECT, and the kernel would say EIO; EBUSY where the file became append-only while it is open in passthrough: the kernel could not be kept from mapping it as
   * shared. The handle is released then
   */
  opened(node: Node, handle: HandleId, flags: number, mode?: number): Opened {
    try {
      return this.#decide(node, flags, mode);
    } catch (error) {
      this.release(handle);
      throw error;
    }
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
      this.#close(open);
      this.#overlay.nodes.dropIfUnused(node);
    }
  }

  /** For the end of the mount: whatever is still open is closed. */
  closeAll(): void {
    for (const node of this.#nodes.values()) {
      if (node.open !== undefined) {
        this.#close(node.open);
        node.open = undefined;
      }
    }
    this.#nodes.clear();
  }

  #reopenForWriting(open: OpenFile, node: Node): void {
    const { layer, path } = this.#overlay.upperPlace(node);
    open.file.become(layer.openFile(path, true));
  }

  #decide(node: Node, flags: number, mode: number | undefined): Opened {
    const { open } = node;
    if (open === undefined) {
      throw new Error(`node ${node.id} is not open`);
    }
    if (open.backing === "undecided") {
      open.backing = backingFor(this.#overlay, node, open.file, flags, mode);
      if (open.backing === undefined && !opensForChange(flags)) {
        giveSmallFile(this.#overlay, node, open.file);
      }
    }
    const { file, backing } = open;
    if (backing !== undefined && !file.takes(flags)) {
      throw new FsError(Errno.EINVAL, "O_DIRECT on a file system without it");
    }
    if (opensForChange(flags) && (protection(this.#overlay, node) & Protection.append) !== 0) {
      if (backing !== undefined && mayMapShared(flags)) {
        throw new FsError(Errno.EBUSY, "an append-only file that is open in passthrough");
      }
      // The kernel does not know the flag: it would map the file as shared, and let fcntl(2) take O_APPEND away.
      return { handle: makeHandle(file.fd, HandleKind.appending), cache: "bypass", backing: backing?.id };
    }
    if (backing !== undefined) {
      node.stalePages ||= opensForChange(flags);
      node.mappedUnseen ||= mayMapShared(flags);
      return { handle: makeHandle(file.fd, 0), cache: "drop", backing: backing.id };
    }
    const cache = node.stalePages ? "drop" : "keep";
    node.stalePages &&= node.mappedUnseen;
    return { handle: makeHandle(file.fd, HandleKind.paged), cache, backing: undefined };
  }

  #close(open: OpenFile): void {
    if (open.backing !== undefined && open.backing !== "undecided") {
      this.#overlay.backing.close(open.backing.id);
    }
    open.file.close();
  }
}
