/** What a scenario of the matrices is, and what the tables of scenarios share. */

import type { Agent } from "../support/agent.ts";
import { type Described, dir, file, type Tree, whiteout } from "../support/tree.ts";
import type { Lacking } from "./faults.ts";
import type { Allowance } from "./states.ts";

export interface Scenario extends Allowance {
  readonly name: string;
  /** What the layers hold in the scenario's own directory: the upper one, two lowers. All is root's, and of 2001. */
  readonly upper?: Tree | Described;
  readonly lower?: Tree | Described;
  readonly below?: Tree | Described;
  /** What has to happen in the mount before, undisturbed. */
  prepare?(sys: Agent, at: (name: string) => string): Promise<unknown>;
  /** The operation, in the mount. Descriptors that it opens it closes, whatever happens. */
  act(sys: Agent, at: (name: string) => string): Promise<unknown>;
}

/** Scenarios that run with one set of mount options. */
export interface Group {
  readonly name: string;
  readonly options: readonly string[];
  readonly scenarios: readonly Scenario[];
  /** What the upper's file system lacks, as Veneer sees it. */
  readonly without?: Lacking;
  /** After a crash the upper is not to be used again: there is nothing to see for the crash matrix. */
  readonly disposable?: true;
}

/** Directories that all may write to. */
export function shared(children: Tree): Tree[string] {
  return dir(children, { mode: 0o777 });
}

/** A directory of the upper that hides all of these names. */
export function whiteouts(...names: string[]): Tree {
  return Object.fromEntries(names.map((name) => [name, whiteout()]));
}

/** More than is copied or written at once: it goes by an I/O thread. */
export const large = file("abcdefghijklmnop".repeat(20_000));

/** Opens a file for `use` and closes it again, whatever happens. */
export async function withFile(
  sys: Agent,
  path: string,
  flags: string,
  use: (fd: number) => Promise<unknown> = async () => undefined,
  mode?: number,
): Promise<void> {
  const fd = await sys.open(path, flags, mode);
  try {
    await use(fd);
  } finally {
    await sys.close(fd).catch(() => undefined);
  }
}

/** Does something as a user other than root. */
export async function asUser(sys: Agent, act: () => Promise<unknown>): Promise<void> {
  await sys.setFsIds(1000, 1000);
  try {
    await act();
  } finally {
    await sys.setFsIds(0, 0);
  }
}
