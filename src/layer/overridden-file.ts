/** An open file of a layer that has owners and modes in an xattr. */
import type { Name } from "../contract/ids.ts";
import { accessAclName } from "../contract/xattr-names.ts";
import { changeOwner } from "../sys/names.ts";
import { getXattr, listXattrs } from "../sys/xattr.ts";
import { DiskFile, type OfLayer } from "./disk-file.ts";
import type { LayerFile, Stat } from "./layer.ts";
import { type MarkedLayer, readMark } from "./marks.ts";
import {
  chmodOverridden,
  chownOverridden,
  overriddenStat,
  type StoredObject,
  setAclOverridden,
} from "./override-stat.ts";

export class OverriddenFile extends DiskFile {
  #xattr: Name | undefined;

  /** @param xattr undefined: the file is what it is */
  constructor(fd: number, writable: boolean, ofLayer: OfLayer, xattr: Name | undefined) {
    super(fd, writable, ofLayer);
    this.#xattr = xattr;
  }

  override stat(): Stat {
    const stored = super.stat();
    return this.#xattr === undefined ? stored : overriddenStat(this.#stored, this.#xattr, stored);
  }

  override chmod(mode: number): void {
    if (this.#xattr === undefined) {
      super.chmod(mode);
    } else {
      chmodOverridden(this.#stored, this.#xattr, mode);
    }
  }

  override chown(uid: number, gid: number): void {
    if (this.#xattr === undefined) {
      super.chown(uid, gid);
    } else {
      chownOverridden(this.#stored, this.#xattr, uid, gid);
    }
  }

  override setXattr(name: Name, value: Buffer, flags: number): void {
    if (this.#xattr !== undefined && name === accessAclName) {
      setAclOverridden(this.#stored, this.#xattr, value, flags);
    } else {
      super.setXattr(name, value, flags);
    }
  }

  /** A file of a lower becomes its copy in the upper, whose xattr may be another. */
  override become(other: LayerFile): void {
    super.become(other);
    this.#xattr = other instanceof OverriddenFile ? other.#xattr : undefined;
  }

  get #stored(): StoredObject {
    const onDisk: MarkedLayer = {
      getXattr: (path, name) => getXattr(this.fd, path, name),
      listXattrs: (path) => listXattrs(this.fd, path),
    };
    return {
      stat: () => super.stat(),
      getXattr: (name) => readMark(onDisk, "", name),
      setXattr: (name, value, flags) => super.setXattr(name, value, flags),
      chmod: (mode) => super.chmod(mode),
      chown: (uid, gid) => changeOwner(this.fd, "", uid, gid),
    };
  }
}
