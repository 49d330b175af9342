/** A mount that is killed at one of its system calls, and the mounts after it. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "../support/programs.ts";
import { dir, file, hardlink, opaque } from "../support/tree.ts";
import { numbersFor } from "./extent.ts";
import type { Lacking } from "./faults.ts";
import { buildScenario, onStand } from "./on-stands.ts";
import { type Scenario, whiteouts } from "./scenarios.ts";
import { DaemonEnded, type Stand } from "./stand.ts";
import { differences, type State } from "./states.ts";

export interface MountKind {
  readonly name: string;
  readonly options: readonly string[];
  readonly without?: Lacking;
  /** The upper and the workdir have been mounted before, by the kernel's overlayfs. */
  readonly used?: true;
}

/** `when` the daemon is killed: before call number `at`, or after it. */
interface MountPoint {
  readonly when: "before" | "after";
  readonly at: number;
}

const directory = "s";

const scenario: Scenario = {
  name: "what is mounted",
  upper: { d: { u: "upper", ...whiteouts("gone") }, o: opaque({ x: "1" }) },
  lower: { d: { gone: "lower", kept: "2" }, o: { hidden: "3" }, f: "lower", g: hardlink("f"), e: dir({ y: "4" }) },
  below: { d: { kept: "5", deep: file("6", { mode: 0o600 }) } },
  act: (sys, at) => sys.chmod(at("f"), 0o640),
};

/** What the mount shows of the tree, by the kernel's overlayfs. */
export function treeToMount(home: string, { without: _, ...kind }: MountKind): Promise<State> {
  return onStand(home, kind, async (stand) => {
    await make(stand, kind);
    // A volatile mount is one for an upper.
    return stand.byKernel(() => stand.look(directory));
  });
}

/** The calls of a mount that changes nothing but what every mount does. */
export function mountCalls(home: string, kind: MountKind): Promise<readonly string[]> {
  return onStand(home, kind, async (stand) => {
    await make(stand, kind);
    await leaveMuch(stand, "veneer");
    stand.faults.arm({ kind: "none" });
    await stand.mountVeneer();
    const { calls } = stand.faults.disarm();
    await stand.unmountVeneer();
    return calls;
  });
}

/** @returns what is wrong after it */
export function killMount(home: string, kind: MountKind, { when, at }: MountPoint, tree: State): Promise<string[]> {
  return onStand(home, kind, async (stand) => {
    await make(stand, kind);
    const indexed = indexOf(stand);
    // Who mounts first cleans up.
    const number = numbersFor(`who mounts first: ${kind.name}, ${when} ${at}`)(2);
    const first = stand.isForKernel && number === 0 ? "kernel" : "veneer";
    await leaveMuch(stand, first);
    await stand.seal();
    stand.faults.arm({ kind: when, at });
    const refusal = await refusalOf(stand.mountVeneer());
    if (!stand.faults.disarm().fired) {
      throw new Error(`not killed: ${refusal ?? "it mounts"}`);
    }
    await stand.clearKilled();
    const complaints: string[] = [];
    const byKernel = async () =>
      stand.byKernel(async () => {
        complaints.push(...differences(await stand.look(directory), tree).map((each) => `to the kernel, ${each}`));
      });
    const byVeneer = async () => {
      await stand.mountVeneer();
      const isKept = (name: string) => kind.options.includes("volatile") && name === "incompat";
      complaints.push(
        ...differences(await stand.look(directory), tree),
        ...stand.staged.filter((name) => !isKept(name)).map((name) => `work/work/${name} is left`),
        ...indexOf(stand).flatMap((name) => (indexed.includes(name) ? [] : [`work/index/${name} is left`])),
        ...indexed.flatMap((name) => (indexOf(stand).includes(name) ? [] : [`work/index/${name} is gone`])),
      );
      await stand.unmountVeneer();
    };
    const ways = [byVeneer, ...(stand.isForKernel ? [byKernel] : [])];
    if (first === "kernel") {
      ways.reverse();
    }
    if (!kind.options.includes("volatile")) {
      for (const mount of ways) {
        await mount();
      }
    } else if (existsSync(join(stand.stagingPath, "incompat", "volatile"))) {
      for (const mount of ways) {
        complaints.push(...((await refusalOf(mount())) === undefined ? ["an upper that may be lost is mounted"] : []));
      }
    } else {
      // The mount that succeeds leaves the mark.
      await ways[0]?.();
    }
    return [...complaints, ...(await stand.harmToLowers())];
  });
}

async function make(stand: Stand, { used }: MountKind): Promise<void> {
  await buildScenario(stand, directory, scenario);
  if (used) {
    await stand.byKernel(() => scenario.act(stand.sys, stand.inMount(directory)));
  }
}

function indexOf(stand: Stand): string[] {
  return existsSync(stand.indexPath) ? readdirSync(stand.indexPath) : [];
}

/**
 * What killed mounts, of Veneer and of the kernel, may have left in the workdir. More than that for Veneer: the kernel removes no
 * full directory within one that was staged (ovl_workdir_cleanup_recurse), and mounts read-only then, without the index.
 */
async function leaveMuch(stand: Stand, first: "kernel" | "veneer"): Promise<void> {
  const staged = join(stand.stagingPath, "7");
  const below = join(staged, "below");
  mkdirSync(staged, { recursive: true });
  if (first === "veneer") {
    mkdirSync(below);
  } else {
    writeFileSync(below, "");
  }
  writeFileSync(join(first === "veneer" ? below : staged, "file"), "half of a file");
  writeFileSync(join(stand.stagingPath, "8"), "");
  await runOk(["mknod", join(stand.stagingPath, "#9"), "c", "0", "0"]);
  const [entry] = indexOf(stand);
  if (entry !== undefined) {
    // Unfinished work, and an entry that is not that of the file that it says.
    copyFileSync(join(stand.indexPath, entry), join(stand.indexPath, "#1f"));
    const other = `${entry.slice(0, -2)}${entry.endsWith("00") ? "01" : "00"}`;
    await runOk(["cp", "--preserve=all", join(stand.indexPath, entry), join(stand.indexPath, other)]);
  }
}

/** What a mount that is refused or ends says; undefined where it is mounted. */
async function refusalOf(mount: Promise<void>): Promise<string | undefined> {
  try {
    await mount;
    return undefined;
  } catch (error) {
    if (error instanceof DaemonEnded || String(error).includes("mount -t overlay")) {
      return String(error);
    }
    throw error;
  }
}
