/**
 * Owners of a lower on an id-mapped mount (mount_setattr(2)), where the overlay maps ids as well. Such a mount tells the ids that are to
 * be shown already; the overlay knows objects by the ids that would be stored for these, so that what is copied up is stored by them, and
 * everything is mapped once. podman before 4.5 asks for both at a time.
 */
import type { Name } from "../contract/ids.ts";
import type { Presentation } from "../contract/presentation.ts";
import { IdMap, overflowId } from "./id-map.ts";
import { mapIdsInXattr } from "./ids-in-xattrs.ts";

export class StoredOwners {
  readonly #uid: (shown: number) => number;
  readonly #gid: (shown: number) => number;

  constructor(how: Presentation) {
    const uids = new IdMap(how.uids);
    const gids = new IdMap(how.gids);
    this.#uid = (shown) => uids.stored(shown) ?? overflowId;
    this.#gid = (shown) => gids.stored(shown) ?? overflowId;
  }

  ofStat<T extends { readonly uid: number; readonly gid: number }>(told: T): T {
    return { ...told, uid: this.#uid(told.uid), gid: this.#gid(told.gid) };
  }

  ofXattr(name: Name, told: Buffer): Buffer {
    return mapIdsInXattr(name, told, this.#uid, this.#gid);
  }
}
