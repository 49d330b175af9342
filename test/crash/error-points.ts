/** The error matrix in one mount: an operation whose system calls fail, one after the other, each with each errno. */
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { outcomeOf } from "./crash-round.ts";
import type { ErrorName } from "./faults.ts";
import { buildScenario, type Reference } from "./groups.ts";
import { otherWay, without } from "./other-ways.ts";
import type { Scenario } from "./scenarios.ts";
import type { Stand } from "./stand.ts";
import { afterCrash, differences } from "./states.ts";

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

export interface ErrorResult {
  readonly complaints: readonly string[];
  /** How often a call was made to fail. */
  readonly failures: number;
}

/** What a daemon holds. */
interface Held {
  readonly descriptors: number;
  readonly nodes: number;
}

/** Whether the caller gets this errno in place of that of the call. */
function isTold(failure: string, call: string | undefined, { name }: Scenario): boolean {
  // What can't be given its redirect is for mv(1) to copy, as Linux overlayfs has it.
  return failure === "EXDEV" && call === "setxattrat" && /rename|link|EXCHANGE/.test(name);
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

class Tries {
  readonly complaints: string[] = [];
  failures = 0;
  readonly #stand: Stand;
  #stagedBefore: ReadonlySet<string> = new Set();

  constructor(stand: Stand) {
    this.#stand = stand;
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
      const wrong = differences(await stand.look(directory), reference.after);
      const label = `${scenario.name}, after call ${point.at} has failed with ${error}`;
      this.#complain(label, failure === undefined ? wrong : [`it fails with ${failure}`, ...wrong]);
    }
    this.#complain(`${scenario.name}, call ${point.at}, ${error}`, stand.errorsLogged.slice(logged));
  }

  /** Tries the operation as often as is to be, with its call failing. True where it was done nevertheless. */
  async #fail({ scenario, reference, at, error, tries }: ErrorPoint, directory: string): Promise<boolean> {
    const stand = this.#stand;
    let first: Held | undefined;
    for (let time = 1; time <= tries; time += 1) {
      stand.faults.arm({ kind: "fail", at, error, opens: true });
      const failure = await outcomeOf(scenario.act(stand.sys, stand.inMount(directory)));
      const { fired, calls, nodes } = stand.faults.disarm();
      const label = `${scenario.name}, ${error} of call ${at} (${calls.join(" ")})`;
      if (failure === error && time > 1 && time < tries) {
        // As the first time: it is only to be seen what adds up.
        this.failures += 1;
        continue;
      }
      const seen = await stand.look(directory);
      if (!fired) {
        this.#complain(
          label,
          failure === undefined ? differences(seen, reference.after) : [`it fails with ${failure}`],
        );
        return true;
      }
      this.failures += 1;
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
        failure === error || isTold(failure, calls[at - 1], scenario) ? [] : [`the caller gets ${failure}`],
      );
      const { before, after } = reference;
      // What was prepared for a rename, or taken back, has moved the times of directories.
      const tolerant = scenario.stepwise === true || calls.slice(at - 1).includes("renameat2");
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
    const whiteouts = staged.filter((name) => lstatSync(join(stagingPath, name)).isCharacterDevice());
    const others = staged.filter((name) => !whiteouts.includes(name));
    return [...others, ...whiteouts.slice(1)].map((name) => `work/work/${name} is left`);
  }

  #complain(label: string, complaints: readonly string[]): void {
    this.complaints.push(...complaints.map((complaint) => `${label}: ${complaint}`));
  }
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
    counts.push(stand.faults.disarm().calls.length);
  }
  await stand.unmountVeneer();
  return counts;
}

/** Does all of the points in one mount of an empty stand. */
export async function errorPoints(stand: Stand, points: readonly ErrorPoint[]): Promise<ErrorResult> {
  const tries = new Tries(stand);
  for (const [index, { scenario }] of points.entries()) {
    await buildScenario(stand, `s${index}`, scenario);
  }
  await stand.seal();
  await stand.mountVeneer();
  for (const [index, point] of points.entries()) {
    await tries.run(point, `s${index}`).catch((error: unknown) => {
      throw new Error(`${point.scenario.name}, ${point.error} of call ${point.at}: ${error}`);
    });
  }
  await stand.unmountVeneer();
  return { complaints: [...tries.complaints, ...(await stand.harmToLowers())], failures: tries.failures };
}
