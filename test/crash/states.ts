/** What a directory shows before and after an operation, and whether what is seen is one of the two. */
import { isDeepStrictEqual } from "node:util";
import {
  type Described,
  describeTree,
  type Snapshot,
  type SnapshotEntry,
  type Tree,
  type TreeDescription,
} from "../support/tree.ts";

/** Objects by path, as of `normalised`. */
export type State = Readonly<Record<string, Entry>>;
type Entry = Omit<SnapshotEntry, "mtime"> & { readonly mtime?: string };

/** A tree in which every object has a time long ago, so that what an operation gives the present time shows. */
export type Dated = TreeDescription;

/** Everything that `dated` gives is of 2001. */
const longAgo = 1_000_000_000;
const nanoseconds = 1_000_000_000n;

/** The tree with mtimes of 2001; `age` tells layers apart. */
export function dated(tree: Tree | Described, age: number): Dated {
  const mtime = BigInt(longAgo + age) * nanoseconds;
  const date = (node: TreeDescription["children"][string]): TreeDescription["children"][string] => {
    if (node.kind === "hardlink") {
      return node;
    }
    const children = node.kind === "dir" ? { children: mapValues(node.children, date) } : {};
    return { mtime, ...node, ...children };
  };
  return date(describeTree(tree)) as Dated;
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

/** A snapshot that can be compared with that of another run: times of the run are "now". */
export function normalised(snapshot: Snapshot): State {
  return mapValues(snapshot, ({ mtime, ...entry }) => {
    if (mtime === undefined) {
      return entry;
    }
    const seconds = mtime / nanoseconds;
    return { ...entry, mtime: seconds > BigInt(longAgo + 1_000_000) ? "now" : String(mtime) };
  });
}

/** Whether two states are the same in everything. */
export function sameState(one: State, other: State): boolean {
  return isDeepStrictEqual(one, other);
}

/**
 * A copy-up puts back the times of the directory in a call of its own, which a crash may prevent: times of directories say
 * nothing of whether an operation was done.
 */
function withoutDirectoryTimes(state: State): State {
  return mapValues(state, (entry) => {
    const { mtime: _, ...rest } = entry;
    return entry.type === "dir" ? rest : entry;
  });
}

/** What a crash may leave that is neither the old state as a whole nor the new one. */
export interface Allowance {
  /** One object is changed by several calls. */
  readonly stepwise?: boolean;
  /** A renamed file has both names for a moment, each of which shows what it showed before or what it is to show. */
  readonly bothNames?: boolean;
}

/** What is wrong with a state that a crash has left: nothing if it is the old one or the new one, as a whole. */
export function afterCrash(seen: State, before: State, after: State, { stepwise, bothNames }: Allowance): string[] {
  const [now, old, done] = [seen, before, after].map(withoutDirectoryTimes) as [State, State, State];
  if (sameState(now, old) || sameState(now, done)) {
    return [];
  }
  const paths = [...new Set([now, old, done].flatMap((state) => Object.keys(state)))].sort();
  return paths.flatMap((path) => {
    if (bothNames && isOneOfTwo(now[path], old[path], done[path])) {
      return [];
    }
    const wrong = stepwise
      ? wrongFields(now[path], old[path], done[path])
      : wrongEntry(now[path], old[path], done[path]);
    return wrong === undefined ? [] : [`${path}: ${wrong}`];
  });
}

/** Where the whole is neither old nor new, all that has changed or should have is told. */
function wrongEntry(seen: Entry | undefined, old: Entry | undefined, done: Entry | undefined): string | undefined {
  return isDeepStrictEqual(old, done) && isDeepStrictEqual(seen, old)
    ? undefined
    : `${brief(seen)}; before ${brief(old)}; after ${brief(done)}`;
}

/** Whether an entry is the old or the new one but for being one of two names of its file. */
function isOneOfTwo(seen: Entry | undefined, old: Entry | undefined, done: Entry | undefined): boolean {
  const alone = (entry: Entry | undefined) => entry && { ...entry, nlink: 1, same: undefined };
  return seen?.nlink === 2 && [old, done].some((entry) => isDeepStrictEqual(alone(seen), alone(entry)));
}

/** An object that is changed by several calls may show some attributes old and some new, but none that is neither. */
function wrongFields(seen: Entry | undefined, old: Entry | undefined, done: Entry | undefined): string | undefined {
  if (seen === undefined || old === undefined || done === undefined) {
    return isDeepStrictEqual(seen, old) || isDeepStrictEqual(seen, done) ? undefined : wrongEntry(seen, old, done);
  }
  const fields = [...new Set([seen, old, done].flatMap((entry) => Object.keys(entry)))] as (keyof Entry)[];
  const wrong = fields.filter(
    (field) => !isDeepStrictEqual(seen[field], old[field]) && !isDeepStrictEqual(seen[field], done[field]),
  );
  return wrong.length === 0 ? undefined : `${wrong.join(", ")} neither old nor new: ${brief(seen)}`;
}

/** The differences of two states, one a line. */
export function differences(seen: State, expected: State): string[] {
  const paths = [...new Set([...Object.keys(seen), ...Object.keys(expected)])].sort();
  return paths
    .filter((path) => !isDeepStrictEqual(seen[path], expected[path]))
    .map((path) => `${path}: ${brief(seen[path])} instead of ${brief(expected[path])}`);
}

function brief(entry: Entry | undefined): string {
  return entry === undefined ? "absent" : JSON.stringify(entry);
}
