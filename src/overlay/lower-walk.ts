/**
 * Of which lower objects a name consists: one file, or directories down to the one that is opaque or has a whiteout or a
 * file below it. A redirect on one of them says under which name, or path, the layers below it are asked.
 * The rules are those of ovl_lookup in Linux (fs/overlayfs/namei.c).
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { Stat } from "../layer/layer.ts";
import {
  isAnyWhiteout,
  isMarkFile,
  isOpaqueToOthers,
  markFileFor,
  readDirectoryMarks,
  requireData,
} from "../layer/marks.ts";
import { joinPath, type LowerPart, type Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { namesOf } from "./read-names.ts";
import { parseRedirect, type Redirect } from "./redirect.ts";

/** What a lower has of a name. */
export interface FoundPart {
  readonly place: LowerPart;
  readonly stat: Stat;
}

/** Which layers are still to be asked, and for what. */
interface Route {
  readonly parts: readonly LowerPart[];
  /** Below each of the parts. */
  readonly names: readonly Name[];
  /** The parts are known to have the name, and nothing above hides it. */
  readonly known: boolean;
}

/** The parts of a name on the lowers of a directory, topmost first. @throws what `parseRedirect` does */
export function lowerParts(overlay: Overlay, parent: Node, name: Name): FoundPart[] {
  return walk(overlay, parent, { parts: candidates(overlay, parent, name), names: [name], known: true }, false);
}

/** As `lowerParts`, of a directory whose upper part has a redirect. */
export function redirectedParts(overlay: Overlay, parent: Node, redirect: Redirect): FoundPart[] {
  const { root } = overlay.nodes;
  const parts = redirect.absolute ? root.lowers : parent.lowers;
  return walk(overlay, parent, { parts, names: redirect.names, known: false }, true);
}

/** Whether a lower of `parent` shows something for the name itself, so that it needs a whiteout to be gone. */
export function isOnLower(overlay: Overlay, parent: Node, name: Name): boolean {
  const [part] = candidates(overlay, parent, name);
  // With several parts it is known which have the name; a single one has to be asked.
  return part !== undefined && (parent.lowers.length > 1 || typeof findIn(overlay, part, name) === "object");
}

/** The parts of a directory in which a name has to be looked for. */
function candidates(overlay: Overlay, parent: Node, name: Name): readonly LowerPart[] {
  if (parent.lowers.length < 2) {
    return parent.lowers;
  }
  return namesOf(overlay, parent)
    .lowers(name)
    .map((index) => parent.lowers[index] as LowerPart);
}

function walk(overlay: Overlay, parent: Node, start: Route, directoriesOnly: boolean): FoundPart[] {
  const found: FoundPart[] = [];
  let route = start;
  for (let index = 0; index < route.parts.length; index++) {
    const part = route.parts[index] as LowerPart;
    const look = new Look(overlay, route.names, route.known, isBottom(overlay, parent, part));
    const object = look.in(part);
    if (object !== undefined) {
      if (!isDirectory(object.stat) && (directoriesOnly || found.length > 0)) {
        break;
      }
      found.push(object);
    }
    if (look.ends) {
      break;
    }
    if (look.redirect !== undefined) {
      const { absolute, names } = look.redirect;
      const parts = absolute ? overlay.nodes.root.lowers : route.known ? parent.lowers : route.parts;
      route = { parts: below(parts, part), names, known: false };
      index = -1;
    }
  }
  return found;
}

/** Nothing lies below this part: marks for the layers below it mean nothing. */
function isBottom(overlay: Overlay, parent: Node, part: LowerPart): boolean {
  const follows = overlay.features.redirect !== "nofollow";
  const { lowers } = follows ? overlay.nodes.root : parent;
  return part.layer === lowers[lowers.length - 1]?.layer;
}

/** Those of a directory's parts that lie in layers below that of `part`. */
function below(parts: readonly LowerPart[], { layer }: LowerPart): readonly LowerPart[] {
  return parts.slice(parts.findIndex((other) => other.layer === layer) + 1);
}

/** One layer is asked for a path, name by name. */
class Look {
  /** The layers below are not to be asked. */
  ends = false;
  /** What the layers below are to be asked for, if for something else. */
  redirect: Redirect | undefined;
  readonly #overlay: Overlay;
  readonly #names: readonly Name[];
  readonly #known: boolean;
  readonly #bottom: boolean;

  constructor(overlay: Overlay, names: readonly Name[], known: boolean, bottom: boolean) {
    this.#overlay = overlay;
    this.#names = names;
    this.#known = known;
    this.#bottom = bottom;
  }

  /** What lies at the path, below this part of a directory. */
  in(start: LowerPart): FoundPart | undefined {
    let part = start;
    for (const [index, name] of this.#names.entries()) {
      const isLast = index === this.#names.length - 1;
      const stat = this.#find(part, name);
      if (stat === undefined) {
        return undefined;
      }
      const path = joinPath(part.path, name);
      if (!isDirectory(stat)) {
        this.ends = true;
        if (isLast && !this.#bottom && (stat.mode & FileType.mask) === FileType.regular) {
          requireData(this.#overlay.marks, part.layer, path);
        }
        return isLast ? { place: { layer: part.layer, path, xattrWhiteouts: false }, stat } : undefined;
      }
      part = this.#enter(part, path, index);
      if (isLast) {
        return { place: part, stat };
      }
    }
    return undefined;
  }

  #find(part: LowerPart, name: Name): Stat | undefined {
    const stat = findIn(this.#overlay, part, name);
    if (stat === "whiteout" || (!this.#known && isHiddenBelow(part, name))) {
      this.ends = true;
    }
    return typeof stat === "object" ? stat : undefined;
  }

  /** Heeds the marks of a directory on the way, or at its end. */
  #enter({ layer }: LowerPart, path: string, index: number): LowerPart {
    const { marks } = this.#overlay;
    const { opaque, redirect, xattrWhiteouts } = readDirectoryMarks(marks, layer, path);
    if (!this.#bottom) {
      if (opaque || isOpaqueToOthers(layer, path)) {
        this.ends = true;
      } else if (redirect !== undefined) {
        this.#follow(parseRedirect(this.#overlay, redirect), index);
      }
    }
    return { layer, path, xattrWhiteouts };
  }

  /** @param index of the name that the redirect stands for */
  #follow({ absolute, names }: Redirect, index: number): void {
    const rest = this.#names.slice(index + 1);
    if (absolute) {
      // It leads out of whatever was opaque above it.
      this.ends = false;
      this.redirect = { absolute, names: [...names, ...rest] };
    } else {
      const sought = this.redirect?.names ?? this.#names;
      const before = sought.slice(0, sought.length - rest.length - 1);
      this.redirect = { absolute: this.redirect?.absolute ?? false, names: [...before, ...names, ...rest] };
    }
  }
}

/** What a part of a directory has of a name. @throws EACCES for a name that is none, as a redirect may have it */
function findIn(overlay: Overlay, part: LowerPart, name: Name): Stat | "absent" | "whiteout" {
  if (name === "" || name === "." || name === "..") {
    throw new FsError(Errno.EACCES, "a redirect out of its layer");
  }
  if (isMarkFile(name)) {
    return "absent";
  }
  const path = joinPath(part.path, name);
  const stat = findShort(part, path);
  return stat === undefined ? "absent" : isAnyWhiteout(overlay.marks, part.layer, path, stat) ? "whiteout" : stat;
}

/** Whether a mark of container engines in a part of a directory hides a name in the layers below. */
function isHiddenBelow(part: LowerPart, name: Name): boolean {
  return findShort(part, joinPath(part.path, markFileFor(name))) !== undefined;
}

/** As `Layer.find`; a redirect may have names that are too long to be there. */
function findShort({ layer }: LowerPart, path: string): Stat | undefined {
  try {
    return layer.find(path);
  } catch (error) {
    if (isErrno(error, Errno.ENAMETOOLONG)) {
      return undefined;
    }
    throw error;
  }
}

function isDirectory(stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.directory;
}
