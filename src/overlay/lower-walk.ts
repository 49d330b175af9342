/**
 * Of which lower objects a name consists: directories down to the one that is opaque or has a whiteout or a file below it, or
 * one file, and where its data are if it has none (metacopy). A redirect on one of them says under which name, or path, the
 * layers below it are asked. The rules are those of ovl_lookup in Linux (fs/overlayfs/namei.c).
 */
import { FileType, type Name } from "../contract/ids.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { Layer, LayerPath, Stat } from "../layer/layer.ts";
import {
  isAnyWhiteout,
  isMarkFile,
  isMetacopy,
  isOpaqueToOthers,
  markFileFor,
  readDirectoryMarks,
  readMark,
} from "../layer/marks.ts";
import { type DataSource, isMerged, joinPath, LowerFile, type LowerPart, type Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { knownNames } from "./read-names.ts";
import { follows, parseRedirect, type Redirect } from "./redirect.ts";

/** What a lower has of a name. */
export interface FoundPart {
  readonly place: LowerPart;
  readonly stat: Stat;
}

/** What the lowers have of a name. */
export interface LowerObject {
  /** One file, or directories; the topmost first. */
  readonly parts: readonly FoundPart[];
  /** Of a file that has none itself. */
  readonly data?: DataSource;
}

/** What the upper has of the name, which says what the lowers may add to it. */
export type Above = "nothing" | "directory" | "metacopy";

/** Which layers are still to be asked, and for what. */
interface Route {
  readonly parts: readonly LowerPart[];
  /** Below each of the parts. */
  readonly names: readonly Name[];
  /** The parts are known to have the name, and nothing above hides it. */
  readonly known: boolean;
}

/**
 * What the lowers of a directory have of a name.
 * @param redirect of the object in the upper
 * @throws EPERM for marks of features that are off; EIO for a metacopy whose data are nowhere; EINVAL and EACCES for redirects
 * that are none
 */
export function lowerObject(
  overlay: Overlay,
  parent: Node,
  name: Name,
  above: Above = "nothing",
  redirect: Redirect | undefined = undefined,
): LowerObject {
  if (redirect === undefined && above !== "metacopy") {
    const route = routeTo(overlay, parent, name);
    const plain = above === "nothing" && route.known ? plainObject(overlay, route.parts, name) : undefined;
    return plain ?? new Walk(overlay, parent, above, route).run();
  }
  const walk = new Walk(overlay, parent, above, { parts: parent.lowers, names: [name], known: false });
  if (redirect !== undefined) {
    walk.turn(redirect);
  }
  return walk.run();
}

const nothing: LowerObject = { parts: [] };

/** What nearly all names are, found without a walk: nothing, or a file in the topmost layer that has the name. Undefined: walk. */
function plainObject(overlay: Overlay, parts: readonly LowerPart[], name: Name): LowerObject | undefined {
  const part = parts[0];
  if (part === undefined) {
    return nothing;
  }
  const path = joinPath(part.path, name);
  const stat = findIn(overlay, part, name, path);
  if (typeof stat !== "object") {
    return parts.length === 1 ? nothing : undefined;
  }
  if (isDirectory(stat)) {
    return undefined;
  }
  return isMetacopyFile(overlay, part.layer, path, stat)
    ? undefined
    : { parts: [{ place: new LowerFile(part, name), stat }] };
}

function isMetacopyFile(overlay: Overlay, layer: Layer, path: LayerPath, stat: Stat): boolean {
  return (stat.mode & FileType.mask) === FileType.regular && isMetacopy(overlay.marks, layer, path);
}

/** Whether a lower of `parent` shows something for the name itself, so that it needs a whiteout to be gone. */
export function isOnLower(overlay: Overlay, parent: Node, name: Name): boolean {
  const { parts, known } = routeTo(overlay, parent, name);
  // That one of several parts lists it is enough; of a single one it may be an unmarked whiteout.
  if (known && parent.lowers.length > 1) {
    return parts.length > 0;
  }
  const topmost = parts.map((part) => findIn(overlay, part, name)).find((found) => found !== "absent");
  return typeof topmost === "object";
}

/** The parts of a directory in which a name has to be looked for: mostly the names of a merged one are known. */
function routeTo(overlay: Overlay, parent: Node, name: Name): Route {
  const names = knownNames(overlay, parent);
  const parts = names?.lowers(name).map((index) => parent.lowers[index] as LowerPart);
  return { parts: parts ?? parent.lowers, names: [name], known: parts !== undefined || !isMerged(parent) };
}

/** A lookup on its way down the layers. */
class Walk {
  readonly #overlay: Overlay;
  readonly #parent: Node;
  #route: Route;
  #above: Above;
  #redirected = false;
  readonly #found: FoundPart[] = [];
  #data: DataSource | undefined;
  /** The path that a metacopy names; only such a one is looked for in data-only layers. */
  #named: readonly Name[] | undefined;

  constructor(overlay: Overlay, parent: Node, above: Above, route: Route) {
    this.#overlay = overlay;
    this.#parent = parent;
    this.#above = above;
    this.#route = route;
  }

  run(): LowerObject {
    let index = 0;
    while (index < this.#route.parts.length) {
      this.#requireFeatures();
      const part = this.#route.parts[index] as LowerPart;
      const look = new Look(this.#overlay, this.#route, this.#isBottom(part));
      const object = look.in(part);
      if (object !== undefined && !this.#take(object, look)) {
        break;
      }
      if (look.ends) {
        break;
      }
      index += 1;
      if (look.redirect !== undefined) {
        this.turn(look.redirect, part);
        index = 0;
      } else if (look.isMetacopy && this.#route.known) {
        // The layers below are known by the names of directories alone.
        this.#route = { ...this.#route, parts: below(this.#parent.lowers, part), known: false };
        index = 0;
      }
    }
    this.#findData();
    return this.#data === undefined ? { parts: this.#found } : { parts: this.#found, data: this.#data };
  }

  /** The layers below `from`, or all, are asked for something else. */
  turn({ absolute, names }: Redirect, from?: LowerPart): void {
    this.#redirected = true;
    const { known, parts } = this.#route;
    const directory = absolute ? this.#overlay.nodes.root.lowers : from && !known ? parts : this.#parent.lowers;
    this.#route = { parts: from === undefined ? directory : below(directory, from), names, known: false };
  }

  /** @returns whether it goes with what lies above it */
  #take(object: FoundPart, look: Look): boolean {
    const type = object.stat.mode & FileType.mask;
    if (this.#above === "metacopy") {
      if (type !== FileType.regular) {
        return false;
      }
      this.#data = look.isMetacopy ? undefined : { kind: "found", place: object.place };
      if (this.#found.length === 0) {
        this.#found.push(object);
      }
    } else if (this.#above === "directory" && type !== FileType.directory) {
      return false;
    } else {
      this.#found.push(object);
    }
    if (type === FileType.directory) {
      this.#above = "directory";
    } else if (look.isMetacopy) {
      this.#above = "metacopy";
      this.#named = look.redirect?.absolute === true ? look.redirect.names : undefined;
    }
    return true;
  }

  /** Data that no lower had may be in a data-only layer; that needs no feature. */
  #findData(): void {
    if (this.#above === "metacopy" && this.#data === undefined && this.#found.length > 0) {
      if (this.#overlay.dataLowers.length > 0 && this.#named !== undefined) {
        this.#data = { kind: "sought", names: this.#named };
        return;
      }
    }
    this.#requireFeatures();
    if (this.#above === "metacopy" && this.#data === undefined) {
      throw new FsError(Errno.EIO, "a file without its data (metacopy), which are nowhere");
    }
  }

  #requireFeatures(): void {
    if (this.#above === "metacopy" && !this.#overlay.features.metacopy) {
      throw new FsError(Errno.EPERM, "a file without its data (metacopy), which are not looked for");
    }
    if (this.#redirected && !follows(this.#overlay)) {
      throw new FsError(Errno.EPERM, "a redirect, which is not followed");
    }
  }

  /** Nothing lies below this part: marks for the layers below it mean nothing. */
  #isBottom(part: LowerPart): boolean {
    const { dataLowers, nodes } = this.#overlay;
    if (dataLowers.length > 0 && this.#above !== "directory") {
      return false;
    }
    const { lowers } = follows(this.#overlay) || dataLowers.length > 0 ? nodes.root : this.#parent;
    return part.layer === lowers[lowers.length - 1]?.layer;
  }
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
  /** What was found is a file whose data are further down. */
  isMetacopy = false;
  readonly #overlay: Overlay;
  readonly #names: readonly Name[];
  readonly #known: boolean;
  readonly #bottom: boolean;

  constructor(overlay: Overlay, { names, known }: Route, bottom: boolean) {
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
      if (!isDirectory(stat)) {
        this.ends = true;
        return isLast ? this.#file(part, name, stat) : undefined;
      }
      part = this.#enter(part, joinPath(part.path, name), index);
      if (isLast) {
        return { place: part, stat };
      }
    }
    return undefined;
  }

  #file(part: LowerPart, name: Name, stat: Stat): FoundPart {
    const { marks } = this.#overlay;
    const { layer } = part;
    const path = joinPath(part.path, name);
    this.isMetacopy = isMetacopyFile(this.#overlay, layer, path, stat);
    if (this.isMetacopy) {
      this.ends = false;
      const redirect = this.#bottom ? undefined : readMark(layer, path, marks.redirect);
      if (redirect !== undefined) {
        this.#follow(parseRedirect(redirect), this.#names.length - 1);
      }
    }
    return { place: new LowerFile(part, name), stat };
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
        this.#follow(parseRedirect(redirect), index);
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

/**
 * What a part of a directory has of a name.
 * @param path the name below that part, for those who need it too
 * @throws EACCES for a name that is none, as a redirect may have it
 */
function findIn(
  overlay: Overlay,
  part: LowerPart,
  name: Name,
  path = joinPath(part.path, name),
): Stat | "absent" | "whiteout" {
  if (name === "" || name === "." || name === "..") {
    throw new FsError(Errno.EACCES, "a redirect out of its layer");
  }
  if (isMarkFile(name)) {
    return "absent";
  }
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
