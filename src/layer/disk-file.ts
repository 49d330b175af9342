/** An open file or directory of a layer on disk. */
import type { TimeChange } from "../contract/filesystem.ts";
import { Errno, isErrno } from "../errno.ts";
import { copyDense, copyFile, type Sharing, shareData } from "../sys/copy.ts";
import {
  ioctl,
  isBusy,
  lengthIfCached,
  readCached,
  readFully,
  seekIn,
  sync,
  truncateTo,
  writeFully,
} from "../sys/file-data.ts";
import { changeModeOf, changeOwnerOf, setTimesOf } from "../sys/names.ts";
import { closeDescriptor, descriptorPath, OpenFlag, openAt, replaceDescriptor, workingDirectory } from "../sys/open.ts";
import { sizeOf, statAt } from "../sys/stat.ts";
import { setXattrOf } from "../sys/xattr.ts";
import type { LayerFile, Stat, WritableLayer } from "./layer.ts";
import { asOwner } from "./owner-access.ts";

/** What a layer says of all its files; `makeAnchor` anchors what an open descriptor stands for. */
export interface OfLayer {
  readonly passable: boolean;
  makeAnchor(fd: number): WritableLayer;
  /** Of copies of its files, all of which go to one upper. */
  readonly sharing: Sharing;
}

export class DiskFile implements LayerFile {
  readonly #layer: OfLayer;
  #writable: boolean;
  #passable: boolean;
  #fd: number;

  constructor(fd: number, writable: boolean, ofLayer: OfLayer) {
    this.#fd = fd;
    this.#writable = writable;
    this.#passable = ofLayer.passable;
    this.#layer = ofLayer;
  }

  /** -1 once closed, so that a late call fails with EBADF instead of reaching another file. */
  get fd(): number {
    return this.#fd;
  }

  get writable(): boolean {
    return this.#writable;
  }

  get passable(): boolean {
    return this.#passable;
  }

  takes(flags: number): boolean {
    if ((flags & OpenFlag.direct) === 0) {
      return true;
    }
    try {
      closeDescriptor(openAt(workingDirectory, descriptorPath(this.#fd), OpenFlag.readOnly | OpenFlag.direct));
      return true;
    } catch (error) {
      if (isErrno(error, Errno.EINVAL)) {
        return false;
      }
      throw error;
    }
  }

  read(into: Buffer, offset: number): number {
    return readFully(this.#fd, into, offset);
  }

  readIfCached(into: Buffer, offset: number): number | undefined {
    return readCached(this.#fd, into, offset);
  }

  lengthIfCached(offset: number, length: number): number | undefined {
    const there = lengthIfCached(this.#fd, offset, length);
    return there === undefined || isBusy(this.#fd, offset) ? undefined : there;
  }

  write(data: Buffer, offset: number, syncFlags: number): number {
    return writeFully(this.#fd, data, offset, syncFlags);
  }

  seek(offset: number, whence: number): number {
    return seekIn(this.#fd, offset, whence);
  }

  truncate(size: number): void {
    truncateTo(this.#fd, size);
  }

  sync(): void {
    sync(this.#fd);
  }

  size(): number {
    return sizeOf(this.#fd);
  }

  stat(): Stat {
    return statAt(this.#fd, "");
  }

  chmod(mode: number): void {
    changeModeOf(this.#fd, mode);
  }

  chown(uid: number, gid: number): void {
    changeOwnerOf(this.#fd, uid, gid);
  }

  setTimes(atime: TimeChange, mtime: TimeChange): void {
    setTimesOf(this.#fd, atime, mtime);
  }

  setXattr(name: string, value: Buffer, flags: number): void {
    asOwner(
      () => [this.anchor()],
      () => setXattrOf(this.#fd, name, value, flags),
    );
  }

  ioctl(command: number, buffer: Buffer): void {
    ioctl(this.#fd, command, buffer);
  }

  copyTo(target: LayerFile, size: number, dense: boolean): void {
    if (dense) {
      copyDense(this.#fd, target.fd, size, this.#layer.sharing);
    } else {
      copyFile(this.#fd, target.fd, size);
    }
  }

  shareWith(target: LayerFile, size: number): boolean {
    return shareData(this.#fd, target.fd, size);
  }

  anchor(): WritableLayer {
    return this.#layer.makeAnchor(this.#fd);
  }

  become(other: LayerFile): void {
    try {
      replaceDescriptor(this.#fd, other.fd, true);
      this.#writable = other.writable;
      this.#passable = other.passable;
    } finally {
      other.close();
    }
  }

  close(): void {
    const fd = this.#fd;
    if (fd !== -1) {
      this.#fd = -1;
      closeDescriptor(fd);
    }
  }
}
