/** What becomes of attributes, owners and xattrs on their way between who uses the mount and the layers. */
import type { AttributeChanges, Attributes, Entry } from "../contract/filesystem.ts";
import { type Caller, FileType, type Name } from "../contract/ids.ts";
import type { Presentation } from "../contract/presentation.ts";
import { isAcl } from "../contract/xattr-names.ts";
import { Errno, FsError } from "../errno.ts";
import { IdMap, overflowId } from "./id-map.ts";
import { mapIdsInXattr } from "./ids-in-xattrs.ts";

export class Presenter {
  readonly #how: Presentation;
  readonly #uids: IdMap;
  readonly #gids: IdMap;

  constructor(how: Presentation) {
    this.#how = how;
    this.#uids = new IdMap(how.uids);
    this.#gids = new IdMap(how.gids);
  }

  attributes(stored: Attributes): Attributes {
    const { squashUid, squashGid, staticNlink } = this.#how;
    const isDirectory = (stored.mode & FileType.mask) === FileType.directory;
    return {
      ...stored,
      uid: squashUid ?? this.#uids.shown(stored.uid) ?? overflowId,
      gid: squashGid ?? this.#gids.shown(stored.gid) ?? overflowId,
      nlink: staticNlink && isDirectory ? 1 : stored.nlink,
    };
  }

  entry<T extends Entry>(stored: T): T {
    return { ...stored, attributes: this.attributes(stored.attributes) };
  }

  /** @throws EOVERFLOW for an owner who has no counterpart, as mapped mounts of the kernel have it */
  changes(shown: AttributeChanges): AttributeChanges {
    return {
      ...shown,
      ...(shown.uid === undefined ? {} : { uid: storable(this.#uids.stored(shown.uid)) }),
      ...(shown.gid === undefined ? {} : { gid: storable(this.#gids.stored(shown.gid)) }),
    };
  }

  /** Who owns what is made. Engines work in the mount as root, who need not be mapped: they give it to its owner afterwards. */
  owner(caller: Caller): Caller {
    return {
      ...caller,
      uid: this.#uids.stored(caller.uid) ?? overflowId,
      gid: this.#gids.stored(caller.gid) ?? overflowId,
    };
  }

  /**
   * Whether there can be one of this name. For permissions the kernel asks for ACLs, and must hear that there is none.
   * @throws ENOSYS where there are none at all, after which the kernel asks for none any more
   */
  mayHave(name: Name): boolean {
    this.requireXattrs();
    return this.#how.acls || !isAcl(name);
  }

  /** @throws ENOSYS as `mayHave`, and EOPNOTSUPP where this one can't be */
  requireXattr(name: Name): void {
    if (!this.mayHave(name)) {
      throw new FsError(Errno.EOPNOTSUPP, "no ACLs in this mount");
    }
  }

  /** @throws ENOSYS where there are none at all */
  requireXattrs(): void {
    if (!this.#how.xattrs) {
      throw new FsError(Errno.ENOSYS, "no xattrs in this mount");
    }
  }

  names(stored: readonly Name[]): readonly Name[] {
    return this.#how.acls ? stored : stored.filter((name) => !isAcl(name));
  }

  shownXattr(name: Name, value: Buffer): Buffer {
    return mapIdsInXattr(
      name,
      value,
      (id) => this.#uids.shown(id) ?? overflowId,
      (id) => this.#gids.shown(id) ?? overflowId,
    );
  }

  /** @throws EINVAL, EOVERFLOW where an id in it has no counterpart */
  storedXattr(name: Name, value: Buffer): Buffer {
    return mapIdsInXattr(
      name,
      value,
      (id) => this.#uids.stored(id),
      (id) => this.#gids.stored(id),
    );
  }
}

function storable(id: number | undefined): number {
  if (id === undefined) {
    throw new FsError(Errno.EOVERFLOW, "an id that is not mapped");
  }
  return id;
}
