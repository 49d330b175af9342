/** What a run of the benchmark has found, as it is kept in JSON. */
import type { PeerKind } from "./peers.ts";
import type { Scale } from "./scale.ts";

/** What one workload took with one peer: a value for each round, in the order measured. */
export interface Figures {
  readonly workload: string;
  readonly peer: string;
  readonly seconds: number[];
  /** Seconds of processor time of the daemon; empty where there is none. */
  readonly cpu: number[];
  /** Requests that the daemon served; empty where it does not tell. */
  readonly requests: number[];
  /** Those of the last round by their kind. */
  kinds?: Readonly<Record<string, number>>;
  /** MB of private memory of the daemon afterwards; empty where there is none. */
  readonly memory: number[];
}

/** A workload, as reports need to know it. */
export interface WorkloadFacts {
  readonly name: string;
  readonly copyUp?: "synced" | "volatile";
  readonly aside?: true;
}

export interface PeerFacts {
  readonly name: string;
  readonly kind: PeerKind;
  readonly options?: string;
}

/** Something that was left out. */
export interface Omission {
  readonly workload?: string;
  readonly peer?: string;
  readonly why: string;
  /** It should have worked. */
  readonly failed?: true;
}

export interface Run {
  readonly date: string;
  readonly command: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly scale: Scale;
  readonly peers: readonly PeerFacts[];
  readonly workloads: readonly WorkloadFacts[];
  readonly figures: readonly Figures[];
  readonly omissions: readonly Omission[];
}
