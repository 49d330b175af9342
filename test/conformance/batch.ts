/** Plays a batch of sequences on both overlays, over equal layers, and compares all there is to compare. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Agent, startAgent, startCalls } from "../support/agent.ts";
import { type MountPaths, mountOverlay, type OverlayKind, unmountOverlay } from "../support/overlay.ts";
import { makeFileSystem, makeScratch, removeScratch } from "../support/scratch.ts";
import {
  type Difference,
  differenceOfSteps,
  differenceOfViews,
  firstUnequal,
  type LeftOut,
  type Likeness,
  leavingOut,
  leftOut,
  like,
  partOnPurpose,
  type Stage,
  type View,
  whereUserXattrsMark,
  withoutNeedlessMarks,
  withTrueListings,
  withTrueNumbers,
} from "./compare.ts";
import type { OptionSet } from "./option-sets.ts";
import { type MarkFormat, type Sequence, type Step, treesOf } from "./sequence.ts";

/** An agent with the calls of player.py. */
interface Player extends Agent {
  play(
    root: string,
    sequences: readonly (readonly [string, readonly Step[]])[],
    final: boolean,
    leaveOut: readonly LeftOut[],
  ): Promise<unknown[][]>;
  view(root: string, directories: readonly string[]): Promise<View[]>;
}

const playerScript = fileURLToPath(new URL("player.py", import.meta.url));
const playLimitMs = 180_000;
const kinds = ["kernel", "veneer"] as const;
type Both<T> = Readonly<Record<OverlayKind, T>>;

async function both<T>(make: (kind: OverlayKind) => Promise<T>): Promise<Both<T>> {
  const [kernel, veneer] = await Promise.all(kinds.map(make));
  return { kernel, veneer } as Both<T>;
}

/** Where the sequence of this number works, below the mount. */
const place = (index: number) => `s${index}/t`;

class Batch {
  readonly #set: OptionSet;
  readonly #sequences: readonly Sequence[];
  readonly #area: string;
  readonly #host: Agent;
  readonly #places: readonly string[];
  readonly #leftOut: readonly LeftOut[];
  readonly found: (Difference | undefined)[];
  /** Those in which the two parted on purpose: nothing that comes after is compared. */
  readonly #parted = new Set<number>();
  /** How often each operation was played, and how often it was refused or had nothing to work on. */
  readonly tally = new Map<string, [played: number, refused: number]>();

  constructor(set: OptionSet, sequences: readonly Sequence[], area: string, host: Agent) {
    this.#set = set;
    this.#sequences = sequences;
    this.#area = area;
    this.#host = host;
    this.#leftOut = leftOut(set.options);
    this.#places = sequences.map((_, index) => place(index));
    this.found = sequences.map(() => undefined);
  }

  /** @param last what is compared last */
  async run(last: Stage): Promise<void> {
    const paths = await this.#build();
    await this.#settleUppers(paths);
    const lowers = [...new Set(kinds.flatMap((kind) => paths[kind].lowers))];
    const before = await this.#views(lowers);
    const played = await both((kind) => this.#onMount(kind, paths[kind], (player) => this.#play(player, paths[kind])));
    this.#compareSteps(played);
    const without = (how: Likeness) => leavingOut(this.#leftOut, how);
    const ofVeneer = played.veneer.views;
    const shown = {
      kernel: played.kernel.views.map((view, index) => withTrueListings(view, ofVeneer[index] as View)),
      veneer: ofVeneer,
    };
    this.#compareViews("the view", shown.kernel, shown.veneer, without(like.other), "view");
    if (last !== "later") {
      return;
    }
    const again = await both((kind) => this.#viewBy(kind, paths[kind]));
    for (const kind of kinds) {
      this.#compareViews(`${kind}'s view after a remount`, shown[kind], again[kind], like.self[kind]);
    }
    this.#compareViews("a lower, before and after", before, await this.#views(lowers), like.self.veneer);
    if (this.#set.ownOptions.length === 0) {
      await this.#compareUppers(paths, shown);
    }
  }

  async #compareUppers(paths: Both<MountPaths>, shown: Both<readonly View[]>): Promise<void> {
    const without = (how: Likeness) => leavingOut(this.#leftOut, how);
    const uppers = await both((kind) => this.#views([paths[kind].upper as string]));
    const shared = paths.kernel.lowers[0] === paths.veneer.lowers[0];
    const ofKernel = uppers.kernel.map((view, index) =>
      withoutNeedlessMarks(view, uppers.veneer[index] as View, `/${place(index)}`),
    );
    if (!this.#leftOut.includes("directory links")) {
      this.#compareViews("the upper", ofKernel, uppers.veneer, without(shared ? like.upper : like.upperEqual));
    }
    const cross = shared ? like.cross : like.crossEqual;
    const crossed = await both((kind) => {
      const { upper, work } = paths[kind === "kernel" ? "veneer" : "kernel"];
      return this.#viewBy(kind, { ...paths[kind], upper, work });
    });
    this.#compareViews("veneer's upper, mounted by the kernel", crossed.kernel, shown.veneer, cross);
    this.#compareViews("the kernel's upper, mounted by veneer", shown.kernel, crossed.veneer, cross);
  }

  #compareSteps(played: Both<{ outcomes: readonly unknown[][] }>): void {
    for (const [index, { steps }] of this.#sequences.entries()) {
      const veneer = played.veneer.outcomes[index] as unknown[];
      const kernel = (played.kernel.outcomes[index] as unknown[]).map((outcome, at) =>
        isListing(steps[at] as Step) ? withTrueNumbers(outcome, veneer[at]) : outcome,
      );
      const parting = steps.findIndex((_, at) => partOnPurpose(this.#set, kernel[at], veneer[at]));
      const first = firstUnequal(kernel, veneer) ?? steps.length;
      if (parting !== -1 && parting <= first) {
        this.#parted.add(index);
      } else {
        this.found[index] ??= differenceOfSteps(steps, kernel, veneer);
      }
      for (const [at, [, operation]] of steps.entries()) {
        const outcome = kernel[at];
        const refused = outcome === "skipped" || (typeof outcome === "string" && /^E[A-Z0-9]+$/.test(outcome));
        const [times, refusals] = this.tally.get(operation) ?? [0, 0];
        this.tally.set(operation, [times + 1, refusals + (refused ? 1 : 0)]);
      }
    }
  }

  /** The views of each sequence, of several layers one after the other. */
  #compareViews(
    what: string,
    expected: readonly View[],
    found: readonly View[],
    how: Likeness,
    stage: Stage = "later",
  ): void {
    for (const [index, view] of expected.entries()) {
      if (this.#parted.has(index % this.#sequences.length)) {
        continue;
      }
      const fitting = this.#set.options.includes("userxattr") ? whereUserXattrsMark(how) : how;
      this.found[index % this.#sequences.length] ??= differenceOfViews(
        what,
        view,
        found[index] as View,
        fitting,
        stage,
      );
    }
  }

  /** The layers on disk; where the forms of marks differ each overlay has lowers of its own. */
  async #build(): Promise<Both<MountPaths>> {
    const { options, format } = this.#set;
    const marks = options.includes("userxattr") ? "user.overlay." : "trusted.overlay.";
    const forms: Both<MarkFormat> = { kernel: format === "files" ? "native" : format, veneer: format };
    const depth = Math.max(...this.#sequences.map(({ layers }) => layers.length));
    return both(async (kind) => {
      const home = join(this.#area, kind);
      const shared = forms.kernel === forms.veneer;
      const lowers = Array.from({ length: depth - 1 }, (_, at) => join(shared ? this.#area : home, `l${at + 1}`));
      const paths = { upper: join(home, "upper"), work: join(home, "work"), mountpoint: join(home, "mnt") };
      for (const path of [paths.upper, paths.work, paths.mountpoint, ...lowers]) {
        mkdirSync(path, { recursive: true });
      }
      for (const [index, sequence] of this.#sequences.entries()) {
        for (const [at, tree] of treesOf(sequence, { marks, format: forms[kind] }).entries()) {
          const wanted = at === 0 ? (sequence.layers[0]?.length ?? 0) > 0 : kind === "kernel" || !shared;
          if (wanted) {
            const root = join([paths.upper, ...lowers][at] as string, place(index), "..");
            mkdirSync(root);
            await this.#host.build(root, tree);
          }
        }
      }
      return { ...paths, lowers, options };
    });
  }

  /** The kernel completes the marks of an upper that it finds: both start with one that it has seen. */
  async #settleUppers(paths: Both<MountPaths>): Promise<void> {
    if (this.#sequences.some(({ layers }) => layers[0]?.length !== 0)) {
      await both((kind) => this.#viewBy("kernel", { ...paths[kind], lowers: paths.kernel.lowers }));
    }
  }

  async #onMount<T>(by: OverlayKind, paths: MountPaths, work: (player: Player) => Promise<T>): Promise<T> {
    const own = by === "veneer" ? this.#set.ownOptions : [];
    await mountOverlay(by, { ...paths, options: [...paths.options, ...own] });
    const player = startCalls<Player>(playerScript, playLimitMs);
    // When this fails the mount may be busy: it is left to the end of the batch.
    const result = await work(player).finally(() => player.end());
    await unmountOverlay(by, paths.mountpoint);
    // After a volatile mount the kernel takes the workdir only when its mark is gone.
    rmSync(join(paths.work as string, "work/incompat"), { recursive: true, force: true });
    return result;
  }

  /** Half of all steps, then the rest when the kernel has forgotten what it could. */
  async #play(player: Player, paths: MountPaths): Promise<{ outcomes: unknown[][]; views: View[] }> {
    const half = (from: (steps: readonly Step[]) => readonly Step[]) =>
      this.#sequences.map(({ steps }, index) => [place(index), from(steps)] as const);
    const middle = (steps: readonly Step[]) => Math.floor(steps.length / 2);
    const first = await player.play(
      paths.mountpoint,
      half((steps) => steps.slice(0, middle(steps))),
      false,
      this.#leftOut,
    );
    await this.#host.dropCaches();
    const second = await player.play(
      paths.mountpoint,
      half((steps) => steps.slice(middle(steps))),
      true,
      this.#leftOut,
    );
    const outcomes = first.map((some, index) => [...some, ...(second[index] as unknown[])]);
    return { outcomes, views: await player.view(paths.mountpoint, this.#places) };
  }

  #viewBy(kind: OverlayKind, paths: MountPaths): Promise<View[]> {
    return this.#onMount(kind, paths, (player) => player.view(paths.mountpoint, this.#places));
  }

  async #views(directories: readonly string[]): Promise<View[]> {
    const player = startCalls<Player>(playerScript, playLimitMs);
    try {
      const views: View[] = [];
      for (const directory of directories) {
        views.push(...(await player.view(directory, this.#places)));
      }
      return views;
    } finally {
      await player.end();
    }
  }
}

function isListing([, operation]: Step): boolean {
  return operation === "list" || operation === "flist";
}

interface Result {
  /** For each sequence the first difference found, if there is one. */
  readonly found: readonly (Difference | undefined)[];
  readonly tally: Batch["tally"];
}

/**
 * Plays the sequences in one pair of mounts, each in a directory of its own. Throws where the batch as a whole could not be played: an overlay
 * that did not mount, or a call that did not return.
 */
export async function runBatch(set: OptionSet, sequences: readonly Sequence[], last: Stage = "later"): Promise<Result> {
  const scratch = makeScratch();
  const host = startAgent();
  const area = join(scratch, "area");
  const batch = new Batch(set, sequences, area, host);
  try {
    await (set.on === "tmpfs" ? makeFileSystem("tmpfs", area) : Promise.resolve(mkdirSync(area)));
    await batch.run(last);
  } catch (error) {
    // What went wrong first is told, not that it can't be cleaned up either.
    await removeScratch(scratch).catch(() => undefined);
    throw error;
  } finally {
    await host.end();
  }
  await removeScratch(scratch);
  return batch;
}
