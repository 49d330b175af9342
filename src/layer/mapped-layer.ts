/** A layer that is read and whose objects have other owners than its mount tells. */
import type { Name } from "../contract/ids.ts";
import { DirectoryLayer, type LayerTraits } from "./directory-layer.ts";
import { DiskFile, type OfLayer } from "./disk-file.ts";
import type { LayerFile, LayerPath, Stat } from "./layer.ts";

/** What becomes of owners, for whoever works with the layer. */
export interface Owners {
  ofStat(told: Stat): Stat;
  /** The users and groups within the value of an xattr. */
  ofXattr(name: Name, told: Buffer): Buffer;
}

export class MappedLayer extends DirectoryLayer {
  readonly #owners: Owners;

  constructor(fd: number, traits: LayerTraits, owners: Owners, origin?: DirectoryLayer) {
    super(fd, traits, origin);
    this.#owners = owners;
  }

  override stat(path: LayerPath): Stat {
    return this.#owners.ofStat(super.stat(path));
  }

  override find(path: LayerPath): Stat | undefined {
    const told = super.find(path);
    return told && this.#owners.ofStat(told);
  }

  override statByHandle(type: number, bytes: Buffer): Stat | undefined {
    const told = super.statByHandle(type, bytes);
    return told && this.#owners.ofStat(told);
  }

  override getXattr(path: LayerPath, name: Name): Buffer | undefined {
    const told = super.getXattr(path, name);
    return told && this.#owners.ofXattr(name, told);
  }

  protected override anchored(fd: number, origin: DirectoryLayer): MappedLayer {
    return new MappedLayer(fd, this.traits, this.#owners, origin);
  }

  protected override opened(fd: number, writable: boolean, ofLayer: OfLayer): MappedFile {
    return new MappedFile(fd, writable, ofLayer, this.#owners);
  }
}

class MappedFile extends DiskFile {
  #owners: Owners | undefined;

  constructor(fd: number, writable: boolean, ofLayer: OfLayer, owners: Owners) {
    super(fd, writable, ofLayer);
    this.#owners = owners;
  }

  override stat(): Stat {
    const told = super.stat();
    return this.#owners === undefined ? told : this.#owners.ofStat(told);
  }

  /** A file of a lower becomes its copy in the upper, whose owners are as its mount tells. */
  override become(other: LayerFile): void {
    super.become(other);
    this.#owners = other instanceof MappedFile ? other.#owners : undefined;
  }
}
