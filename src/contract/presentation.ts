/** How objects are shown where that is not as they are stored. Types and prose only. */

/** `count` ids from `stored` on, as the layers have them, are those from `shown` on to the users of the mount. */
export interface IdRange {
  readonly stored: number;
  readonly shown: number;
  readonly count: number;
}

export interface Presentation {
  /** Empty: ids are shown as they are stored. */
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
  /** Whom everything belongs to, whatever is stored. */
  readonly squashUid: number | undefined;
  readonly squashGid: number | undefined;
  /** Directories have a link count of 1, whatever they hold. */
  readonly staticNlink: boolean;
  /** false: nothing has xattrs, or can get any. */
  readonly xattrs: boolean;
  /** false: the same of ACLs alone. */
  readonly acls: boolean;
}

/** Everything is shown as it is stored. */
export const asStored: Presentation = {
  uids: [],
  gids: [],
  squashUid: undefined,
  squashGid: undefined,
  staticNlink: false,
  xattrs: true,
  acls: true,
};
