/** What has to be equal, and how the first difference is told. */
import type { Step } from "./sequence.ts";

/** What player.py tells of an object. */
type ViewEntry = Readonly<Record<string, unknown>>;
/** Of every object below the directory of a sequence, by its path. */
export type View = Readonly<Record<string, ViewEntry>>;

export interface Difference {
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
  /** An upper: whiteouts may be links of each other or not, and mean nothing but that they are there. */
  upper: (entry: ViewEntry) => (entry.rdev === "0:0" ? { type: "whiteout" } : without(entry, "ino", "mtime", "ctime")),
  /** An upper over lowers of its own. */
  upperEqual: (entry: ViewEntry) => like.upper(withoutOrigin(entry)),
};

/** With userxattr: only files and directories can bear an origin, so that other numbers are new in each mount. */
export function whereUserXattrsMark(how: Likeness): Likeness {
  return (entry) => how(entry.type === "file" || entry.type === "dir" ? entry : without(entry, "ino"));
}

/**
 * The kernel's upper without the opaque marks that Veneer's has not: a rename that fails in the end leaves one on the
 * directory that was to be moved. Where one is needed the views tell.
 */
export function withoutNeedlessMarks(kernel: View, veneer: View): View {
  const entries = Object.entries(kernel).map(([path, entry]) => {
    const [own, other] = [entry, veneer[path]].map((side) => (side?.xattrs ?? {}) as Record<string, unknown>);
    const xattrs = Object.entries(own ?? {}).filter(
      ([name]) => !name.endsWith(".overlay.opaque") || other?.[name] !== undefined,
    );
    return [path, { ...entry, xattrs: xattrs.length === 0 ? undefined : Object.fromEntries(xattrs) }];
  });
  return Object.fromEntries(entries);
}

function withoutOrigin(entry: ViewEntry): ViewEntry {
  const {
    "trusted.overlay.origin": _origin,
    "trusted.overlay.impure": _impure,
    ...xattrs
  } = (entry.xattrs ?? {}) as Record<string, unknown>;
  return { ...entry, xattrs: Object.keys(xattrs).length === 0 ? undefined : xattrs };
}

/** The first difference of two views. */
export function differenceOfViews(what: string, expected: View, found: View, how: Likeness): Difference | undefined {
  for (const path of [...new Set([...Object.keys(expected), ...Object.keys(found)])].sort()) {
    const [a, b] = [expected, found].map((view) => view[path] && how(view[path]));
    if (a === undefined || b === undefined) {
      const [who, entry] = a === undefined ? ["only the second has it", b] : ["only the first has it", a];
      return { kind: `${what}: ${who}`, text: `${what}: ${JSON.stringify(path)}: ${who}: ${JSON.stringify(entry)}` };
    }
    const fields = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const unequal = fields.filter((field) => JSON.stringify(a[field]) !== JSON.stringify(b[field]));
    if (unequal.length > 0) {
      const told = unequal.map((field) => `${field} ${JSON.stringify(a[field])} and ${JSON.stringify(b[field])}`);
      const text = `${what}: ${JSON.stringify(path)}: ${told.join("; ")}`;
      return { kind: `${what}: ${unequal.join(" ")}`, text };
    }
  }
  return undefined;
}

/** The first step that ended differently. */
export function differenceOfSteps(
  steps: readonly Step[],
  kernel: readonly unknown[],
  veneer: readonly unknown[],
): Difference | undefined {
  const step = steps.findIndex((_, index) => JSON.stringify(kernel[index]) !== JSON.stringify(veneer[index]));
  if (step === -1) {
    return undefined;
  }
  const told = [kernel, veneer].map((outcomes) => JSON.stringify(outcomes[step])?.slice(0, 1000));
  return {
    kind: steps[step]?.[1] as string,
    text: `step ${step}, ${JSON.stringify(steps[step])}: the kernel ${told[0]}, Veneer ${told[1]}`,
  };
}
