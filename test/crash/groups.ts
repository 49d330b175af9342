/** All scenarios, with the mount options that they run with, and what the kernel's overlayfs makes of each. */
import { buildScenario, onStand } from "./on-stands.ts";
import type { Group, Scenario } from "./scenarios.ts";
import { changeScenarios } from "./scenarios-changes.ts";
import { indexScenarios, metacopyScenarios, redirectScenarios } from "./scenarios-features.ts";
import { nameScenarios } from "./scenarios-names.ts";
import { renameScenarios } from "./scenarios-renames.ts";
import type { State } from "./states.ts";
import { varied } from "./variation.ts";

const scenarios: readonly Scenario[] = [...nameScenarios, ...renameScenarios, ...changeScenarios];

/** VENEER_TEST_SCENARIO, a regular expression, picks scenarios by name. */
const wanted = new RegExp(process.env.VENEER_TEST_SCENARIO ?? "");

/** A file that replaces another can't leave a whiteout in the same call. */
const renamesInSteps = renameScenarios
  // What can't be done in steps is EXDEV.
  .filter(({ name }) => !name.includes("opaque directory over"))
  .map((scenario) => ({ ...scenario, bothNames: / file over /.test(scenario.name) }));

/** Those in which whiteouts come and go. */
const withWhiteouts: readonly Scenario[] = [
  ...nameScenarios.filter(({ name }) => /whiteout|unlink|rmdir|lower/.test(name)),
  ...renamesInSteps,
  ...changeScenarios.filter(({ name }) => /copy-up by (chmod|open for writing|setxattr)$/.test(name)),
];

/** A directory with files for whiteouts in it can't be replaced by another: EXDEV. */
const withoutReplacing = withWhiteouts.filter(({ name }) => !name.includes("over a merged one with whiteouts"));

const allGroups: readonly Group[] = [
  { name: "default options", options: [], scenarios },
  { name: "no RENAME_WHITEOUT", options: [], without: "RENAME_WHITEOUT", scenarios: renamesInSteps },
  { name: "whiteouts by xattr", options: [], without: "whiteout devices", scenarios: withWhiteouts },
  { name: "whiteouts by file", options: [], without: "whiteout devices and marks", scenarios: withoutReplacing },
  { name: "redirect_dir=on", options: ["redirect_dir=on"], scenarios: redirectScenarios },
  { name: "index=on", options: ["index=on"], scenarios: indexScenarios },
  { name: "metacopy=on", options: ["redirect_dir=on", "metacopy=on"], scenarios: metacopyScenarios },
  {
    name: "index=on, metacopy=on",
    options: ["index=on", "redirect_dir=on", "metacopy=on"],
    scenarios: indexScenarios
      .filter(({ name }) => /chmod|write|open|rename/.test(name))
      // The data of a copy of metadata come up before they are changed, which moves mtime.
      .map((scenario) => (/write/.test(scenario.name) ? { ...scenario, stepwise: true } : scenario)),
  },
  {
    name: "volatile",
    options: ["volatile"],
    scenarios: changeScenarios.filter(({ name }) => /copy-up|write|fsync/.test(name)),
    disposable: true,
  },
];

/** A redirect has room for a path of 256 bytes; a whiteout `.wh.NAME` for a name of 251. */
function longestName({ options }: Group): number {
  return options.includes("redirect_dir=on") ? 60 : 240;
}

export const groups: readonly Group[] = allGroups
  .map((group) => ({
    ...group,
    scenarios: group.scenarios
      .filter(({ name }) => wanted.test(name))
      .map((scenario) => varied(scenario, longestName(group))),
  }))
  .filter((group) => group.scenarios.length > 0);

/** What a scenario's directory shows before its operation and after it. */
export interface Reference {
  readonly before: State;
  readonly after: State;
}

/** Does all operations on the kernel's overlayfs, which is the oracle of what comes before and after. */
export function kernelReferences(home: string, { without: _, ...group }: Group): Promise<Map<Scenario, Reference>> {
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
