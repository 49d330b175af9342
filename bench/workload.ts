/** What a workload is: layers, and steps that worker.py takes in the mounted tree. */
import type { FileSystemName } from "./area.ts";
import type { MaterialName, Materials } from "./materials.ts";

/** One thing that worker.py does; all paths are below the root of the tree. */
export type Step =
  /** A loop of calls.py. */
  | { readonly call: string; readonly count: number }
  /** A program: so many times one after the other, so many at once. Its output is thrown away. */
  | {
      readonly run: readonly string[];
      readonly times?: number;
      readonly atOnce?: number;
      readonly env?: Readonly<Record<string, string>>;
    }
  /** What fio is told beyond the usual. */
  | { readonly fio: readonly string[] };

export interface Workload {
  /** What the tables call it. */
  readonly name: string;
  /** What lies below. */
  readonly lower: MaterialName;
  /** The lowers, the topmost first, where they are not simply that one directory. */
  lowers?(directory: string, materials: Materials): Promise<readonly string[]>;
  /** Where layers and upper lie. */
  readonly on?: FileSystemName;
  /** There is no upper. */
  readonly readOnly?: true;
  /** It changes the tree: where nothing is mounted it gets a copy. */
  readonly changes?: true;
  /** Whether what is copied up gets synced: by those who do so, or by no one. */
  readonly copyUp?: "synced" | "volatile";
  /** Why it means nothing in a bare directory. */
  readonly notBare?: string;
  /** Why it is left out over fuse-native. */
  readonly notFuseNative?: string;
  /** It has to do with no overlay: for comparison. */
  readonly onlyBare?: true;
  /** It shows something else than speed, and has no part in means. */
  readonly aside?: true;
  /** Names and inodes are dropped from the kernel's caches before it is timed; pages are kept. */
  readonly cold?: true;
  /** Programs without which it can't run. */
  readonly needs?: readonly string[];
  /** What comes before, untimed. */
  prepare?(materials: Materials): Promise<readonly Step[]>;
  /** What is timed; absent: the mount itself. */
  timed?(materials: Materials): Promise<Step>;
}
