/** The error matrix in one mount: an operation whose system calls fail, one after the other, each with each errno. */
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { workingDirectory } from "../../src/sys/open.ts";
import { getXattr } from "../../src/sys/xattr.ts";
import { outcomeOf } from "./crash-round.ts";
import type { ErrorName } from "./faults.ts";
import { marks } from "./forms.ts";
import type { Reference } from "./groups.ts";
import { buildScenario, type Complain, type Round } from "./on-stands.ts";
import { otherWay, without } from "./other-ways.ts";
import type { Scenario } from "./scenarios.ts";
import type { Stand } from "./stand.ts";
import { afterCrash, differences, type State } from "./states.ts";

export const errorNames: readonly ErrorName[] = ["ENOSPC", "EIO", "EDQUOT", "EMFILE", "EACCES", "EOPNOTSUPP"];

export interface ErrorPoint {
  readonly scenario: Scenario;
  readonly reference: Reference;
  /** Which of the calls that change or open something, from 1. */
  readonly at: number;
  readonly error: ErrorName;
  /** How often the operation is tried while it fails. */
  readonly tries: number;
}

/** How often a call was made to fail. */
export interface ErrorTally {
  failures: number;
}

export function errorLabel({ scenario, at, error }: ErrorPoint): string {
  return `${scenario.name}, ${error} of call ${at}`;
}

/** What a daemon holds. */
interface Held {
  readonly descriptors: number;
  readonly nodes: number;
}

/** Whether the caller gets this errno in place of that of the call: what mv(1) is to copy, as Linux overlayfs has it. */
function isTold(failure: string, call: string | undefined, { scenario: { name }, error }: ErrorPoint): boolean {
  if (failure !== "EXDEV" || !/rename|link|EXCHANGE/.test(name)) {
    return false;
  }
  // It can't be given its redirect; or a directory replaces another without RENAME_WHITEOUT.
  return call === "setxattrat" || (call === "renameat2" && error === "EOPNOTSUPP" && / over an emptied dir/.test(name));
}

/**
 * Whether the caller hears that the xattr that it removes is not there: the copy-up has dropped it, and the file system of the upper
 * says so, with Linux overlayfs too.
 */
function isGoneAlready(failure: string | undefined, call: string | undefined, { name }: Scenario): boolean {
  return failure === "ENODATA" && call?.includes("setxattr") === true && name.includes("removexattr");
}

/** So many tries and more tell growth from what the kernel happens to forget and look up again. */
const enoughTries = 12;

/** What has grown with each of the tries. Nodes of the scenario itself come and go with the kernel's caches. */
function growth(first: Held, last: Held, tries: number): string[] {
  return (["descriptors", "nodes"] as const)
    .filter((what) => last[what] - first[what] >= tries)
    .map((what) => `${what} grow from ${first[what]} to ${last[what]} in ${tries} tries`);
}

export class ErrorRound implements Round<ErrorPoint> {
  readonly #stand: Stand;
  readonly #complain: Complain;
  readonly #tally: ErrorTally;
  #stagedBefore: ReadonlySet<string> = new Set();

  constructor(stand: Stand, complain: Complain, tally: ErrorTally) {
    this.#stand = stand;
    this.#complain = complain;
    this.#tally = tally;
  }

  async run(point: ErrorPoint, directory: string): Promise<void> {
    const { scenario, reference, error } = point;
    const stand = this.#stand;
    const at = stand.inMount(directory);
    await scenario.prepare?.(stand.sys, at);
    this.#complain(`${scenario.name}, at first`, differences(await stand.look(directory), reference.before));
    const logged = stand.errorsLogged.length;
    this.#stagedBefore = new Set(stand.staged);
    const done = await this.#fail(point, directory);
    if (!done) {
      stand.faults.arm({ kind: "none" });
      const failure = await outcomeOf(scenario.act(stand.sys, at));
      stand.faults.disarm();
      const wrong = this.#unlikeDone(await stand.look(directory), reference);
      const label = `${scenario.name}, after call ${point.at} has failed with ${error}`;
      this.#complain(label, failure === undefined ? wrong : [`it fails with ${failure}`, ...wrong]);
    }
    this.#complain(`${scenario.name}, call ${point.at}, ${error}`, stand.errorsLogged.slice(logged));
  }

  /** Tries the operation as often as is to be, with its call failing. True where it was done nevertheless. */
  async #fail(point: ErrorPoint, directory: string): Promise<boolean> {
    const { scenario, reference, at, error, tries } = point;
    const stand = this.#stand;
    let first: Held | undefined;
    for (let time = 1; time <= tries; time += 1) {
      stand.faults.arm({ kind: "fail", at, error, opens: true });
      const failure = await outcomeOf(scenario.act(stand.sys, stand.inMount(directory)));
      const { fired, calls, nodes } = stand.faults.disarm();
      const label = `${scenario.name}, ${error} of call ${at} (${calls.join(" ")})`;
      if (failure === error && time > 1 && time < tries) {
        // As the first time: it is only to be seen what adds up.
        this.#tally.failures += 1;
        continue;
      }
      const seen = await stand.look(directory);
      if (!fired) {
        this.#complain(label, failure === undefined ? this.#unlikeDone(seen, reference) : [`it fails with ${failure}`]);
        return true;
      }
      this.#tally.failures += 1;
      if (failure === undefined || isGoneAlready(failure, calls[at - 1], scenario)) {
        const way = otherWay({ calls, at, error, leftovers: this.#leftovers() });
        this.#complain(label, way === undefined ? ["the caller is not told"] : []);
        const lost = way ?? "nothing";
        this.#complain(label, differences(without(lost, seen), without(lost, reference.after)));
        return true;
      }
      if (calls[at - 1] !== "unlinkat") {
        this.#complain(label, this.#leftovers());
      }
      this.#complain(
        label,
        failure === error || isTold(failure, calls[at - 1], point) ? [] : [`the caller gets ${failure}`],
      );
      const { before, after } = reference;
      // What was prepared for a rename, or taken back, or a file that is a whiteout, has moved the times of directories.
      const tolerant =
        scenario.stepwise === true || stand.form === "beside" || calls.slice(at - 1).includes("renameat2");
      const expected = scenario.stepwise ? after : before;
      this.#complain(
        label,
        tolerant ? afterCrash(seen, before, expected, { stepwise: true }) : differences(seen, before),
      );
      if (time === 1) {
        first = { descriptors: await this.#descriptors(), nodes };
      }
      if (time === tries && first !== undefined && tries >= enoughTries) {
        this.#complain(
          label,
          growth(first, { descriptors: await this.#descriptors(first.descriptors), nodes }, tries - 2),
        );
      }
    }
    return false;
  }

  /** How it differs from the done operation, which has failed before: a file that marks a directory has moved its time then. */
  #unlikeDone(seen: State, { after }: Reference): string[] {
    const lost = this.#stand.form === "beside" ? "times of directories" : "nothing";
    return differences(without(lost, seen), without(lost, after));
  }

  /** How many the daemon has; what a file that was closed has held goes a moment after the close. */
  async #descriptors(atMost = 0): Promise<number> {
    let count = this.#stand.descriptors;
    for (let wait = 0; count > atMost && wait < 20; wait += 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      count = this.#stand.descriptors;
    }
    return count;
  }

  /** New in the staging area, but for the one whiteout that all deletions share. */
  #leftovers(): string[] {
    const { stagingPath } = this.#stand;
    const staged = this.#stand.staged.filter((name) => !this.#stagedBefore.has(name));
    const whiteouts = staged.filter((name) => isWhiteout(join(stagingPath, name)));
    const others = staged.filter((name) => !whiteouts.includes(name));
    return [...others, ...whiteouts.slice(1)].map((name) => `work/work/${name} is left`);
  }
}

/** The device, or a file where there are none. */
function isWhiteout(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isCharacterDevice() || (stat.isFile() && getXattr(workingDirectory, path, marks.whiteout) !== undefined);
}

/** How many calls each operation makes that change or open something, in a mount that others have used before. */
export async function countCalls(stand: Stand, scenarios: readonly Scenario[], opens: boolean): Promise<number[]> {
  for (const [index, scenario] of scenarios.entries()) {
    await buildScenario(stand, `c${index}`, scenario);
  }
  await stand.mountVeneer();
  const counts: number[] = [];
  for (const [index, scenario] of scenarios.entries()) {
    await scenario.prepare?.(stand.sys, stand.inMount(`c${index}`));
    stand.faults.arm(opens ? { kind: "fail", at: 0, error: "EIO", opens } : { kind: "none" });
    await scenario.act(stand.sys, stand.inMount(`c${index}`));
    const { calls } = stand.faults.disarm();
    if (calls.length === 0) {
      throw new Error(
        `${scenario.name} makes no call that is seen: the fault points are not where Veneer makes its calls`,
      );
    }
    counts.push(calls.length);
  }
  await stand.unmountVeneer();
  return counts;
}
