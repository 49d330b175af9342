/** What one or several runs say of each peer: of each run its median or ratio, and of these the one in the middle. */
import type { Figures, Omission, PeerFacts, Run, WorkloadFacts } from "./run.ts";
import { geometricMean, median } from "./statistics.ts";

/** A figure of several runs. */
export interface Spread {
  readonly middle: number;
  readonly least: number;
  readonly most: number;
}

type Measured = readonly [workload: string, peer: string];

type Quantity = "seconds" | "cpu" | "requests" | "memory";

export class Comparison {
  readonly runs: readonly Run[];

  /** @throws where the runs are not of the same peers and workloads */
  constructor(runs: readonly Run[]) {
    const kindOf = ({ peers, workloads, scale }: Run) => JSON.stringify([peers, workloads, scale]);
    if (new Set(runs.map(kindOf)).size !== 1) {
      throw new Error("the runs are not of the same peers, workloads and sizes");
    }
    this.runs = runs;
  }

  get first(): Run {
    return this.runs[0] as Run;
  }

  get peers(): readonly PeerFacts[] {
    return this.first.peers;
  }

  get workloads(): readonly WorkloadFacts[] {
    return this.first.workloads;
  }

  /** What was left out in any run. */
  get omissions(): readonly Omission[] {
    const all = this.runs.flatMap(({ omissions }) => omissions);
    return [...new Map(all.map((omission) => [JSON.stringify(omission), omission])).values()];
  }

  /** Which fuse-overlayfs is to be beaten: the fastest in the mean. */
  get fastestPeer(): PeerFacts | undefined {
    const mean = ({ name }: PeerFacts) => this.mean(name, "kernel")?.middle ?? Number.POSITIVE_INFINITY;
    return this.peers.filter(({ kind }) => kind === "fuse-overlayfs").sort((a, b) => mean(a) - mean(b))[0];
  }

  /** A quantity of a workload with a peer; undefined where it was not measured. */
  figure(quantity: Quantity, workload: string, peer: string): Spread | undefined {
    return spread(this.runs.map((run) => medianOf(run, quantity, workload, peer)));
  }

  /** How many requests of each kind a workload took in the first run, the most frequent first; empty where none tells. */
  kinds(workload: string, peer: string): readonly (readonly [kind: string, count: number])[] {
    return Object.entries(figuresOf(this.first, workload, peer)?.kinds ?? {}).sort(([, a], [, b]) => b - a);
  }

  /** Time over time of another peer, each in one run. */
  ratio(workload: string, peer: string, to: string): Spread | undefined {
    return this.ratioBetween([workload, peer], [workload, to]);
  }

  /** Time over time of another workload and peer, each in one run. */
  ratioBetween(of: Measured, to: Measured): Spread | undefined {
    return spread(this.runs.map((run) => ratioIn(run, of, to)));
  }

  /** The geometric mean of the ratios of all workloads that count. */
  mean(peer: string, to: string, without: readonly string[] = []): Spread | undefined {
    const names = this.counting(to).filter((name) => !without.includes(name));
    return spread(
      this.runs.map((run) => {
        const ratios = names
          .map((name) => ratioIn(run, [name, peer], [name, to]))
          .filter((ratio) => ratio !== undefined);
        return ratios.length === 0 ? undefined : geometricMean(ratios);
      }),
    );
  }

  /**
   * The workloads that count in comparison with a peer. What the kernel's overlayfs copies up it syncs; the other
   * FUSE overlays never do, so that with them what is volatile is compared.
   */
  counting(to: string): readonly string[] {
    const syncs = this.peers.find(({ name }) => name === to)?.kind === "limit";
    return this.workloads
      .filter(({ aside, copyUp }) => !aside && copyUp !== (syncs ? "volatile" : "synced"))
      .map(({ name }) => name);
  }
}

function figuresOf(run: Run, workload: string, peer: string): Figures | undefined {
  return run.figures.find((figures) => figures.workload === workload && figures.peer === peer);
}

function medianOf(run: Run, quantity: Quantity, workload: string, peer: string): number | undefined {
  const values = figuresOf(run, workload, peer)?.[quantity] ?? [];
  return values.length === 0 ? undefined : median(values);
}

function ratioIn(run: Run, of: Measured, to: Measured): number | undefined {
  const [time, other] = [medianOf(run, "seconds", ...of), medianOf(run, "seconds", ...to)];
  return time === undefined || other === undefined ? undefined : time / other;
}

/** Undefined unless every run has it. */
function spread(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length < values.length
    ? undefined
    : { middle: median(known), least: Math.min(...known), most: Math.max(...known) };
}
