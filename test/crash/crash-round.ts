/** One round of the crash matrix: each scenario once, with the daemon killed at one system call of it. */
import { CallError } from "../support/agent.ts";
import { buildScenario, type Reference } from "./groups.ts";
import type { Scenario } from "./scenarios.ts";
import type { Stand } from "./stand.ts";
import { afterCrash, differences, type State } from "./states.ts";

export interface CrashPoint {
  readonly scenario: Scenario;
  readonly reference: Reference;
  readonly kind: "before" | "after";
  /** Which of the mutating calls, from 1. */
  readonly at: number;
}

export interface RoundResult {
  /** What was wrong, one sentence each. */
  readonly complaints: readonly string[];
  /** Points at which the daemon was killed. */
  readonly kills: number;
  /** Scenarios that have fewer mutating calls than their point: they were done, and the daemon lives on. */
  readonly finished: ReadonlySet<Scenario>;
}

class Round {
  readonly complaints: string[] = [];
  readonly finished = new Set<Scenario>();
  kills = 0;
  readonly #stand: Stand;
  /** Of directories that Veneer has shown after a kill, and the kernel not yet. */
  readonly #unconfirmed = new Map<string, { readonly seen: State; readonly label: string }>();

  constructor(stand: Stand) {
    this.#stand = stand;
  }

  async run(point: CrashPoint, directory: string): Promise<void> {
    const stand = this.#stand;
    const { scenario, reference, kind, at } = point;
    await scenario.prepare?.(stand.sys, stand.inMount(directory));
    stand.faults.arm({ kind, at });
    const failure = await outcomeOf(scenario.act(stand.sys, stand.inMount(directory)));
    const { fired, calls } = stand.faults.disarm();
    const label = `${scenario.name}, killed ${kind} call ${at} (${calls.join(" ")})`;
    if (!fired) {
      this.finished.add(scenario);
      const wrong = differences(await stand.look(directory), reference.after);
      this.#complain(
        `${scenario.name}, undisturbed`,
        failure === undefined ? wrong : [`it fails: ${failure}`, ...wrong],
      );
      return;
    }
    this.kills += 1;
    await stand.clearKilled();
    // Who mounts first cleans the workdir: the kernel at every other point.
    if (this.kills % 2 === 0) {
      await this.#askKernel([[directory, label, point]]);
      await stand.mountVeneer();
    } else {
      await stand.mountVeneer();
      this.#complain(
        label,
        stand.staged.map((name) => `work/work/${name} is left`),
      );
    }
    const seen = await stand.look(directory);
    this.#complain(label, afterCrash(seen, reference.before, reference.after, scenario));
    this.#unconfirmed.set(directory, { seen, label });
  }

  /** The daemon is gone: what the kernel shows must be what Veneer has shown. */
  async confirm(): Promise<void> {
    await this.#askKernel([]);
  }

  async #askKernel(fresh: readonly (readonly [directory: string, label: string, point: CrashPoint])[]): Promise<void> {
    const stand = this.#stand;
    await stand.byKernel(async () => {
      for (const [directory, label, { reference, scenario }] of fresh) {
        const seen = await stand.look(directory);
        this.#complain(
          `${label}, as the kernel sees it`,
          afterCrash(seen, reference.before, reference.after, scenario),
        );
      }
      for (const [directory, { seen, label }] of this.#unconfirmed) {
        this.#complain(`${label}: the kernel disagrees`, differences(await stand.look(directory), seen));
      }
      this.#unconfirmed.clear();
    });
  }

  #complain(label: string, complaints: readonly string[]): void {
    this.complaints.push(...complaints.map((complaint) => `${label}: ${complaint}`));
  }
}

/** What an operation failed with; undefined where it went well. A call that never returned is not forgiven. */
export async function outcomeOf(operation: Promise<unknown>): Promise<string | undefined> {
  try {
    await operation;
    return undefined;
  } catch (error) {
    if (error instanceof CallError) {
      return error.code;
    }
    throw error;
  }
}

/** Does the round on an empty stand. */
export async function crashRound(stand: Stand, points: readonly CrashPoint[]): Promise<RoundResult> {
  const round = new Round(stand);
  for (const [index, { scenario }] of points.entries()) {
    await buildScenario(stand, `s${index}`, scenario);
  }
  await stand.seal();
  await stand.mountVeneer();
  for (const [index, point] of points.entries()) {
    await round.run(point, `s${index}`).catch((error: unknown) => {
      throw new Error(`${point.scenario.name}, killed ${point.kind} call ${point.at}: ${error}`);
    });
  }
  await stand.unmountVeneer();
  await round.confirm();
  const { kills, finished } = round;
  return { complaints: [...round.complaints, ...(await stand.harmToLowers())], kills, finished };
}
