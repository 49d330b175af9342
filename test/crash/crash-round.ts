/** The crash matrix on one stand: each scenario once, with the daemon killed at one system call of it. */
import { CallError } from "../support/agent.ts";
import { numbersFor } from "./extent.ts";
import type { Reference } from "./groups.ts";
import type { Complain, Round } from "./on-stands.ts";
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

/** What came of the points, beside complaints. */
export interface Tally {
  kills: number;
  /** Points behind the last call: the operation was done, and the daemon lives on. */
  readonly undisturbed: Set<CrashPoint>;
}

export function crashLabel({ scenario, kind, at }: CrashPoint): string {
  return `${scenario.name}, killed ${kind} call ${at}`;
}

export class CrashRound implements Round<CrashPoint> {
  readonly #stand: Stand;
  readonly #complain: Complain;
  readonly #tally: Tally;
  /** Of directories that Veneer has shown after a kill, and the kernel not yet. */
  readonly #unconfirmed = new Map<string, { readonly seen: State; readonly label: string }>();

  constructor(stand: Stand, complain: Complain, tally: Tally) {
    this.#stand = stand;
    this.#complain = complain;
    this.#tally = tally;
  }

  async run(point: CrashPoint, directory: string): Promise<void> {
    const stand = this.#stand;
    const { scenario, reference, kind, at } = point;
    await scenario.prepare?.(stand.sys, stand.inMount(directory));
    stand.faults.arm({ kind, at });
    const failure = await outcomeOf(scenario.act(stand.sys, stand.inMount(directory)));
    const { fired, calls } = stand.faults.disarm();
    const label = `${crashLabel(point)} (${calls.join(" ")})`;
    if (!fired) {
      this.#tally.undisturbed.add(point);
      const wrong = differences(await stand.look(directory), reference.after);
      this.#complain(
        `${scenario.name}, undisturbed`,
        failure === undefined ? wrong : [`it fails: ${failure}`, ...wrong],
      );
      return;
    }
    this.#tally.kills += 1;
    await stand.clearKilled();
    // Who mounts first cleans the workdir; until then a file has the links that were staged.
    if (stand.isKernelsUpper && numbersFor(`who mounts first: ${crashLabel(point)}`)(2) === 0) {
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

  /** What the kernel shows must be what Veneer has shown. */
  async end(): Promise<void> {
    if (this.#stand.isForKernel) {
      await this.#askKernel([]);
    }
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
