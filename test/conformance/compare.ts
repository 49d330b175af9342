/** What has to be equal, and how the first difference is told. */
import type { OptionSet } from "./option-sets.ts";
import type { Step } from "./sequence.ts";

/** What player.py tells of an object. */
type ViewEntry = Readonly<Record<string, unknown>>;
/** Of every object below the directory of a sequence, by its path. */
export type View = Readonly<Record<string, ViewEntry>>;

/** In the order in which they are compared: what steps said, the view then, and what is found later. */
export type Stage = "steps" | "view" | "later";

export interface Difference {
  readonly stage: Stage;
  /** Equal for differences that may have the same reason. */
  readonly kind: string;
  readonly text: string;
}

/** Makes comparable what is told of an object. */
export type Likeness = (entry: ViewEntry) => ViewEntry;

function without(entry: ViewEntry, ...fields: readonly string[]): ViewEntry {
  return Object.fromEntries(Object.entries(entry).filter(([field]) => !fields.includes(field)));
}

/** The kernel tidies the marks of a directory when it reads it, which moves its ctime. */
const exceptTidied: Likeness = (entry) => (entry.type === "dir" ? without(entry, "ctime") : entry);

export const like = {
  /** The same tree by the same overlay once more: everything. */
  self: { kernel: exceptTidied, veneer: (entry: ViewEntry) => entry },
  /** The same upper by the other overlay: everything, if the lowers are the same too. */
  cross: exceptTidied,
  /** The same upper by the other overlay, over equal lowers: an origin leads to nothing, and numbers are new. */
  crossEqual: (entry: ViewEntry) => without(entry, "ino", "mtime", "ctime"),
  /** A tree of the other overlay, made by the same steps: inode numbers and the times of this run are its own. */
  other: (entry: ViewEntry) => without(entry, "ino", "mtime", "ctime"),
  /**
   * An upper: whiteouts may be links of each other or not, and mean nothing but that they are there. The kernel takes the
   * mark impure away when it reads a directory that needs none; where one is missing the views tell.
   */
  upper: (entry: ViewEntry) =>
    entry.rdev === "0:0"
      ? { type: "whiteout" }
      : withoutMarks(without(entry, "ino", "mtime", "ctime"), /\.overlay\.impure$/),
  /** An upper over lowers of its own. */
  upperEqual: (entry: ViewEntry) => withoutMarks(like.upper(entry), /\.overlay\.origin$/),
};

/**
 * With userxattr: only files and directories can bear an origin, so that other numbers are new in each mount, and with the kernel's
 * overlayfs also when it has forgotten one name while another is open.
 */
export function whereUserXattrsMark(how: Likeness): Likeness {
  return (entry) => how(entry.type === "file" || entry.type === "dir" ? entry : without(entry, "ino", "same"));
}

const xattrsOf = (entry: ViewEntry | undefined) => (entry?.xattrs ?? {}) as Readonly<Record<string, string>>;

/**
 * The kernel's upper without what only a rename that fails in the end leaves on the directory that was to be moved. That may be an
 * opaque mark or a redirect; where one is needed the views tell. Or its redirect is a path where Veneer's, made by the next rename
 * within the directory, is a name that leads there.
 * @param root of the views, in the layers
 */
export function withoutNeedlessMarks(kernel: View, veneer: View, root: string): View {
  const entries = Object.entries(kernel).map(([path, entry]) => {
    const others = xattrsOf(veneer[path]);
    const xattrs = Object.entries(xattrsOf(entry)).flatMap(([name, value]) => {
      if (!/\.overlay\.(opaque|redirect)$/.test(name)) {
        return [[name, value]];
      }
      const other = others[name];
      const samePlace = entry.type === "dir" && value.startsWith("/") && placeInLowers(veneer, path, root) === value;
      return other === undefined ? [] : [[name, samePlace ? other : value]];
    });
    return [path, { ...entry, xattrs: xattrs.length === 0 ? undefined : Object.fromEntries(xattrs) }];
  });
  return Object.fromEntries(entries);
}

/** Where the lower parts of a directory of an upper lie, by the redirects on the way: a path from the root of the layers. */
function placeInLowers(upper: View, path: string, root: string): string {
  const redirect = xattrsOf(upper[path])["trusted.overlay.redirect"];
  if (redirect?.startsWith("/")) {
    return redirect;
  }
  const slash = path.lastIndexOf("/");
  const parent = slash === -1 ? root : placeInLowers(upper, path.slice(0, slash), root);
  return `${parent}/${redirect ?? path.slice(slash + 1)}`;
}

/**
 * What the kernel told of a listing, without the numbers that differ from those of stat(2) where Veneer's don't: it does not read a
 * listing anew for a hard link. Veneer's must be right in any case.
 * @param kernel,veneer outcomes of one step
 */
export function withTrueNumbers(kernel: unknown, veneer: unknown): unknown {
  if (!Array.isArray(kernel) || !Array.isArray(veneer) || kernel.length !== veneer.length) {
    return kernel;
  }
  return kernel.map((told, at) => (told === false && veneer[at] === true ? true : withTrueNumbers(told, veneer[at])));
}

/** The same of views. */
export function withTrueListings(kernel: View, veneer: View): View {
  const entries = Object.entries(kernel).map(([path, entry]) => {
    const isForgiven = /another inode number/.test(String(entry.listed)) && veneer[path]?.listed === undefined;
    return [path, isForgiven ? without(entry, "listed") : entry];
  });
  return Object.fromEntries(entries);
}

/** What can't be compared of two overlays under some options. */
export type LeftOut = "file times" | "directory links";

/**
 * With metacopy the kernel moves the mtime of a file when its data come up after its metadata, Veneer does not. With index
 * the kernel copies a file up to the name that was used; Veneer, which is not told that name, to all that it knows. So the
 * uppers differ, and other directories are merged.
 */
export function leftOut(options: readonly string[]): LeftOut[] {
  const times = options.includes("metacopy=on") ? (["file times"] as const) : [];
  const links = options.includes("index=on") ? (["directory links"] as const) : [];
  return [...times, ...links];
}

/** The same likeness without these. */
export function leavingOut(out: readonly LeftOut[], how: Likeness): Likeness {
  return (entry) => {
    const fields = [
      ...(entry.type === "file" && out.includes("file times") ? ["when"] : []),
      ...(entry.type === "dir" && out.includes("directory links") ? ["nlink"] : []),
    ];
    return without(how(entry), ...fields);
  };
}

function withoutMarks(entry: ViewEntry, marks: RegExp): ViewEntry {
  const xattrs = Object.entries((entry.xattrs ?? {}) as Record<string, unknown>).filter(([name]) => !marks.test(name));
  return { ...entry, xattrs: xattrs.length === 0 ? undefined : Object.fromEntries(xattrs) };
}

/** The first difference of two views. */
export function differenceOfViews(
  what: string,
  expected: View,
  found: View,
  how: Likeness,
  stage: Stage,
): Difference | undefined {
  for (const path of [...new Set([...Object.keys(expected), ...Object.keys(found)])].sort()) {
    const [a, b] = [expected, found].map((view) => view[path] && how(view[path]));
    if (a === undefined || b === undefined) {
      const [who, entry] = a === undefined ? ["only the second has it", b] : ["only the first has it", a];
      return {
        stage,
        kind: `${what}: ${who}`,
        text: `${what}: ${JSON.stringify(path)}: ${who}: ${JSON.stringify(entry)}`,
      };
    }
    const fields = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const unequal = fields.filter((field) => JSON.stringify(a[field]) !== JSON.stringify(b[field]));
    if (unequal.length > 0) {
      const told = unequal.map((field) => `${field} ${JSON.stringify(a[field])} and ${JSON.stringify(b[field])}`);
      const text = `${what}: ${JSON.stringify(path)}: ${told.join("; ")}`;
      return { stage, kind: `${what}: ${unequal.join(" ")}`, text };
    }
  }
  return undefined;
}

/**
 * Whether the two ended a step differently on purpose, so that what comes after it can't be compared. The kernel takes a
 * directory with a whiteout by xattr in a lower for one that is not empty, though it lists nothing. And it refuses a redirect that is too
 * long where another name of the same file would do; where such a rename was to replace a directory, it has made that opaque by then.
 */
export function partOnPurpose({ format, options }: OptionSet, kernel: unknown, veneer: unknown): boolean {
  const seemsFull = format === "xattr" && kernel === "ENOTEMPTY";
  const seemsLong = options.includes("index=on") && options.includes("metacopy=on") && kernel === "EXDEV";
  const leftOpaque = options.includes("redirect_dir=on") && kernel === "EXDEV onto a directory";
  // A link tells of the file that has the name then.
  const succeeds = veneer === null || Array.isArray(veneer);
  return (succeeds && (seemsFull || seemsLong)) || leftOpaque;
}

/** Which step was the first to end differently; undefined if none did. */
export function firstUnequal(kernel: readonly unknown[], veneer: readonly unknown[]): number | undefined {
  const step = kernel.findIndex((outcome, index) => JSON.stringify(outcome) !== JSON.stringify(veneer[index]));
  return step === -1 ? undefined : step;
}

/** The first step that ended differently, told. */
export function differenceOfSteps(
  steps: readonly Step[],
  kernel: readonly unknown[],
  veneer: readonly unknown[],
): Difference | undefined {
  const step = firstUnequal(kernel, veneer);
  if (step === undefined) {
    return undefined;
  }
  const told = [kernel, veneer].map((outcomes) => JSON.stringify(outcomes[step])?.slice(0, 1000));
  return {
    stage: "steps",
    kind: steps[step]?.[1] as string,
    text: `step ${step}, ${JSON.stringify(steps[step])}: the kernel ${told[0]}, Veneer ${told[1]}`,
  };
}
