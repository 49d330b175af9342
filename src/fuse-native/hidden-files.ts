/**
 * Files that are removed while they are open. libfuse 2 finds files by paths alone: it renames such a file to
 * `.fuse_hidden` and 16 digits, in the same directory, and removes that when it is closed. Here the file is removed indeed,
 * and the hidden name is but a name for its node. The removal waits for a moment: where libfuse makes room for a rename, that
 * comes at once, and replaces the file in one step, as it should be; so nothing is lost in between, or if the rename fails.
 */
import type { Filesystem } from "../contract/filesystem.ts";
import type { Name, NodeId } from "../contract/ids.ts";
import { Parked } from "../contract/slow.ts";
import { Errno, FsError } from "../errno.ts";
import type { Logger } from "../log.ts";
import type { Place } from "./paths.ts";

/** Milliseconds; a rename mostly follows within one. What could see the difference has the removal made before it. */
const pause = 20;
const pattern = /^\.fuse_hidden[0-9a-f]{16}$/;

interface Doomed {
  readonly place: Place;
  readonly hiddenName: Name;
}

export class HiddenFiles {
  readonly #filesystem: Filesystem;
  readonly #log: Logger;
  /** By their hidden names, which libfuse gives but once. Each holds a lookup. */
  readonly #nodes = new Map<Name, NodeId>();
  /** Hidden, but they have their names still. */
  #doomed: readonly Doomed[] = [];
  /** They keep their names, unless a rename takes them: what libfuse knows by the hidden one is needed for as long. */
  readonly #kept = new Map<Name, Place>();

  constructor(filesystem: Filesystem, log: Logger) {
    this.#filesystem = filesystem;
    this.#log = log;
  }

  /** Whether a rename is libfuse's way to remove a file that is open. */
  isHiding(from: Place, to: Place): boolean {
    return from.parent === to.parent && pattern.test(to.name);
  }

  find(name: Name): NodeId | undefined {
    return this.#nodes.get(name);
  }

  /** @param node what lies at the place, with a lookup that this takes over */
  hide(place: Place, node: NodeId, hiddenName: Name): void {
    this.#nodes.set(hiddenName, node);
    this.#doomed = [...this.#doomed, { place, hiddenName }];
    setTimeout(() => this.#removeInTime(), pause);
  }

  /** No handle of the file is left. libfuse then removes the hidden name, but not where it knows no path to it any more. */
  close(node: NodeId): void {
    for (const [name, hidden] of this.#nodes) {
      if (hidden === node && !this.#kept.has(name)) {
        this.#nodes.delete(name);
        this.#filesystem.forget(node, 1);
      }
    }
  }

  /**
   * Removes what was hidden. To be called before anything that could see the difference.
   * @param except a place that something else is about to take
   * @throws Parked
   */
  removeAll(except?: Place): void {
    for (const doomed of this.#doomed) {
      if (!isSame(doomed.place, except)) {
        this.#remove(doomed);
      }
    }
  }

  /** Replaces what lies at `place`, hidden or not, by a rename that may fail. */
  replace(place: Place, rename: () => void): void {
    const replaced = this.#doomed.find((doomed) => isSame(doomed.place, place));
    if (replaced !== undefined) {
      // Also while the rename is parked the name is the rename's to take.
      this.#settle(replaced);
      this.#kept.set(replaced.hiddenName, place);
    }
    rename();
    for (const [hiddenName, kept] of this.#kept) {
      if (isSame(kept, place)) {
        this.#kept.delete(hiddenName);
      }
    }
  }

  #remove(doomed: Doomed): void {
    const { parent, name } = doomed.place;
    try {
      this.#filesystem.removeFile(parent, name);
    } catch (error) {
      if (error instanceof Parked) {
        throw error;
      }
      this.#kept.set(doomed.hiddenName, doomed.place);
      this.#log.error(
        { name, error },
        "an open file could not be removed, though its user was told so: it is still there",
      );
    }
    this.#settle(doomed);
  }

  #removeInTime(): void {
    try {
      this.removeAll();
    } catch (error) {
      if (!(error instanceof Parked)) {
        throw error;
      }
      error.gate.whenOpen(() => setImmediate(() => this.#removeInTime()));
    }
  }

  #settle(doomed: Doomed): void {
    this.#doomed = this.#doomed.filter((each) => each !== doomed);
  }
}

function isSame(place: Place, other: Place | undefined): boolean {
  return place.parent === other?.parent && place.name === other.name;
}

/** Names of this form are libfuse's. @throws FsError EPERM where a user wants to make one */
export function requireOrdinary(name: Name): void {
  if (pattern.test(name)) {
    throw new FsError(Errno.EPERM, "a name that libfuse hides files by");
  }
}
