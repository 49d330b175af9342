/** All scenarios, with the mount options that they run with, and what the kernel's overlayfs makes of each. */
import { chmodSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import type { Group, Scenario } from "./scenarios.ts";
import { changeScenarios } from "./scenarios-changes.ts";
import { indexScenarios, metacopyScenarios, redirectScenarios } from "./scenarios-features.ts";
import { nameScenarios } from "./scenarios-names.ts";
import { renameScenarios } from "./scenarios-renames.ts";
import { Stand } from "./stand.ts";
import { dated, type State } from "./states.ts";

const scenarios: readonly Scenario[] = [...nameScenarios, ...renameScenarios, ...changeScenarios];

/** VENEER_TEST_SCENARIO, a regular expression, picks scenarios by name. */
const wanted = new RegExp(process.env.VENEER_TEST_SCENARIO ?? "");

const allGroups: readonly Group[] = [
  { name: "default options", options: [], scenarios },
  {
    name: "no RENAME_WHITEOUT",
    options: [],
    without: "RENAME_WHITEOUT",
    scenarios: renameScenarios
      .filter(({ name }) => !name.includes("opaque directory over"))
      // A file that replaces another can't leave a whiteout in the same call.
      .map((scenario) => ({ ...scenario, bothNames: / file over /.test(scenario.name) })),
  },
  { name: "redirect_dir=on", options: ["redirect_dir=on"], scenarios: redirectScenarios },
  { name: "index=on", options: ["index=on"], scenarios: indexScenarios },
  { name: "metacopy=on", options: ["redirect_dir=on", "metacopy=on"], scenarios: metacopyScenarios },
  {
    name: "index=on, metacopy=on",
    options: ["index=on", "redirect_dir=on", "metacopy=on"],
    scenarios: indexScenarios.filter(({ name }) => /chmod|write|open|rename/.test(name)),
  },
  {
    name: "volatile",
    options: ["volatile"],
    scenarios: changeScenarios.filter(({ name }) => /copy-up|write|fsync/.test(name)),
    disposable: true,
  },
];

export const groups: readonly Group[] = allGroups
  .map((group) => ({ ...group, scenarios: group.scenarios.filter(({ name }) => wanted.test(name)) }))
  .filter((group) => group.scenarios.length > 0);

/** What a scenario's directory shows before its operation and after it. */
export interface Reference {
  readonly before: State;
  readonly after: State;
}

/** Makes the directory of a scenario in all layers. */
export async function buildScenario(stand: Stand, directory: string, scenario: Scenario): Promise<void> {
  await stand.build(directory, {
    lower: dated(scenario.lower ?? {}, 1),
    ...(scenario.below && { below: dated(scenario.below, 2) }),
    ...(scenario.upper && { upper: dated(scenario.upper, 0) }),
  });
}

/** A stand in a directory of its own below `home`; it goes with `home`. */
export async function onStand<T>(
  home: string,
  { options, without }: Group,
  use: (stand: Stand) => Promise<T>,
): Promise<T> {
  const area = mkdtempSync(join(home, "stand-"));
  // Other users work in the mounts too.
  chmodSync(area, 0o755);
  const stand = new Stand(area, options, without);
  try {
    return await use(stand);
  } finally {
    await stand.discard();
  }
}

/** Does all operations on the kernel's overlayfs, which is the oracle of what comes before and after. */
export function kernelReferences(home: string, group: Group): Promise<Map<Scenario, Reference>> {
  return onStand(home, group, async (stand) => {
    for (const [index, scenario] of group.scenarios.entries()) {
      await buildScenario(stand, `s${index}`, scenario);
    }
    return stand.byKernel(async () => {
      const references = new Map<Scenario, Reference>();
      for (const [index, scenario] of group.scenarios.entries()) {
        const directory = `s${index}`;
        await scenario.prepare?.(stand.sys, stand.inMount(directory));
        const before = await stand.look(directory);
        await scenario.act(stand.sys, stand.inMount(directory)).catch((error: unknown) => {
          throw new Error(`${scenario.name}, by the kernel: ${error}`);
        });
        references.set(scenario, { before, after: await stand.look(directory) });
      }
      return references;
    });
  });
}
