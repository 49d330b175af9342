/** What a workload is. */
import type { MaterialName, Materials } from "./materials.ts";
import type { Mounted } from "./stand.ts";

export interface Workload {
  readonly name: string;
  /** What the layers below are, the topmost first. */
  readonly materials: readonly MaterialName[];
  /** What else is needed. */
  readonly further?: readonly MaterialName[];
  /** The layers below where they are not simply `materials`. */
  lowers?(materials: Materials): readonly string[];
  readonly readOnly: boolean;
  /** Why it means nothing in a bare directory. */
  readonly notBare?: string;
  /** Names and inodes are dropped from the kernel's caches before it runs. */
  readonly cold?: boolean;
  /** Where the upper is to be, if not on the file system of everything else. */
  readonly upperOn?: MaterialName;
  /** Why it can't run here; undefined if it can. */
  missing?(): string | undefined;
  /** Comes before, untimed. */
  prepare?(root: string, materials: Materials): Promise<void>;
  /** @returns seconds */
  run(mounted: Mounted, materials: Materials): Promise<number>;
}
