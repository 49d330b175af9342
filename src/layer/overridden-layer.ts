/**
 * Layers on disk whose objects have owners, modes and types in an xattr (override-value.ts). Who works with the layer meets what the
 * xattr says, and never the xattr.
 */
import { FileType, type Name } from "../contract/ids.ts";
import { accessAclName } from "../contract/xattr-names.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import { DirectoryLayer, type LayerTraits } from "./directory-layer.ts";
import type { OfLayer } from "./disk-file.ts";
import type { LayerFile, LayerPath, ListedName, Stat } from "./layer.ts";
import { type MarkedLayer, readMark } from "./marks.ts";
import { OverriddenFile } from "./overridden-file.ts";
import {
  chmodOverridden,
  chownOverridden,
  modeOnDisk,
  overriddenStat,
  type StoredObject,
  setAclOverridden,
} from "./override-stat.ts";
import { encodeOverride, isOverrideXattr, typeOfFile } from "./override-value.ts";

/** What is read. */
export class OverriddenLayer extends DirectoryLayer {
  readonly #xattr: Name | undefined;

  /** @param xattr undefined: objects are what they are. Such xattrs are hidden all the same: in a copy in the upper they would count */
  constructor(fd: number, traits: LayerTraits, xattr: Name | undefined, origin?: DirectoryLayer) {
    super(fd, traits, origin);
    this.#xattr = xattr;
  }

  override stat(path: LayerPath): Stat {
    return this.#shown(path, super.stat(path));
  }

  override find(path: LayerPath): Stat | undefined {
    const stored = super.find(path);
    return stored && this.#shown(path, stored);
  }

  override list(path: LayerPath): ListedName[] {
    const listed = super.list(path);
    const xattr = this.#xattr;
    return xattr === undefined ? listed : listed.map((entry) => this.#withType(path, entry, xattr));
  }

  override getXattr(path: LayerPath, name: Name): Buffer | undefined {
    return isOverrideXattr(name) ? undefined : super.getXattr(path, name);
  }

  override listXattrs(path: LayerPath): Name[] {
    return super.listXattrs(path).filter((name) => !isOverrideXattr(name));
  }

  protected override anchored(fd: number, origin: DirectoryLayer): OverriddenLayer {
    return new OverriddenLayer(fd, this.traits, this.#xattr, origin);
  }

  protected override opened(fd: number, writable: boolean, ofLayer: OfLayer): OverriddenFile {
    return new OverriddenFile(fd, writable, ofLayer, this.#xattr);
  }

  /** The object as it is on disk. */
  protected stored(path: LayerPath): StoredObject {
    const onDisk: MarkedLayer = {
      getXattr: (of, name) => super.getXattr(of, name),
      listXattrs: (of) => super.listXattrs(of),
    };
    return {
      stat: () => super.stat(path),
      getXattr: (name) => readMark(onDisk, path, name),
      setXattr: (name, value, flags) => super.setXattr(path, name, value, flags),
      chmod: (mode) => super.chmod(path, mode),
      chown: (uid, gid) => super.chown(path, uid, gid),
    };
  }

  #shown(path: LayerPath, stored: Stat): Stat {
    return this.#xattr === undefined ? stored : overriddenStat(this.stored(path), this.#xattr, stored);
  }

  /** A regular file may stand for a special one. */
  #withType(directory: LayerPath, entry: ListedName, xattr: Name): ListedName {
    if (entry.type !== FileType.regular) {
      return entry;
    }
    const value = this.stored(directory === "" ? entry.name : `${directory}/${entry.name}`).getXattr(xattr);
    return value === undefined ? entry : { ...entry, type: typeOfFile(value) };
  }
}

/** What is written as well. Each object that can bear the xattr gets it when it is made. */
export class OverriddenUpper extends OverriddenLayer {
  readonly #xattr: Name;
  override readonly overridesStat: boolean = true;

  constructor(fd: number, traits: LayerTraits, xattr: Name, origin?: DirectoryLayer) {
    super(fd, traits, xattr, origin);
    this.#xattr = xattr;
  }

  override createFile(path: LayerPath, mode: number): LayerFile {
    const file = super.createFile(path, modeOnDisk);
    file.chmod(mode);
    return file;
  }

  override createUnnamedFile(path: LayerPath, mode: number): LayerFile {
    const file = super.createUnnamedFile(path, modeOnDisk);
    file.chmod(mode);
    return file;
  }

  override makeDirectory(path: LayerPath, mode: number): void {
    super.makeDirectory(path, modeOnDisk);
    this.chmod(path, mode);
  }

  /** A device that this process may not make is a file that stands for it. Not so a whiteout, which has other forms. */
  override makeNode(path: LayerPath, mode: number, major: number, minor: number): void {
    try {
      super.makeNode(path, mode, major, minor);
    } catch (error) {
      if (!isErrno(error, Errno.EPERM) || (major === 0 && minor === 0)) {
        throw error;
      }
      super.createFile(path, modeOnDisk).close();
      const stored = this.stored(path);
      const special = { ...stored.stat(), mode, rdevMajor: major, rdevMinor: minor };
      stored.setXattr(this.#xattr, encodeOverride(special), 0);
    }
  }

  override chmod(path: LayerPath, mode: number): void {
    chmodOverridden(this.stored(path), this.#xattr, mode);
  }

  override chown(path: LayerPath, uid: number | undefined, gid: number | undefined): void {
    chownOverridden(this.stored(path), this.#xattr, uid, gid);
  }

  /** @throws EPERM, as fuse-overlayfs has it, for an xattr that would say who the object belongs to */
  override setXattr(path: LayerPath, name: Name, value: Buffer, flags: number): void {
    if (isOverrideXattr(name)) {
      throw new FsError(Errno.EPERM, "an xattr that overrides stat");
    }
    if (name === accessAclName) {
      setAclOverridden(this.stored(path), this.#xattr, value, flags);
    } else {
      super.setXattr(path, name, value, flags);
    }
  }

  /** @throws ENODATA for such an xattr, as nobody sees one */
  override removeXattr(path: LayerPath, name: Name): void {
    if (isOverrideXattr(name)) {
      throw new FsError(Errno.ENODATA, "an xattr that overrides stat");
    }
    super.removeXattr(path, name);
  }

  protected override anchored(fd: number, origin: DirectoryLayer): OverriddenUpper {
    return new OverriddenUpper(fd, this.traits, this.#xattr, origin);
  }
}
