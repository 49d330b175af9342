/** What the main thread, which serves, tells the thread that attends the mount. Types only. */
import type { MessagePort } from "node:worker_threads";
import type { BuiltCode } from "./built-code.ts";
import type { LiveMount } from "./mount/mount-direct.ts";
import type { MountFacts, ServingEnd } from "./serving.ts";
import type { CaughtSignals } from "./sys/signals.ts";

/** All that there is to attend. */
export interface AttendRequest {
  readonly live: LiveMount;
  readonly facts: MountFacts;
  readonly signals: CaughtSignals;
  /** Undefined where nothing can be passed through. */
  readonly standby: StandbyRequest | undefined;
}

export interface StandbyRequest {
  /** The memory of the turn that the core and its standby take. */
  readonly turn: SharedArrayBuffer;
  /** The largest WRITE and READ in bytes. */
  readonly maxWrite: number;
  /** Where the standby posts each request that it has kept for the core, as bytes. */
  readonly kept: MessagePort;
}

/** What the thread is started with. `host` is for whoever wrote its entry. */
export interface AttendantData<Host> {
  readonly code: BuiltCode;
  readonly request: AttendRequest;
  readonly host: Host;
  /** One Int32: lines for the log that are under way. */
  readonly logBacklog: SharedArrayBuffer;
}

export type LogLevelName = "debug" | "info" | "warn" | "error";

export type AttendMessage =
  /** A line for the log; an error among the fields has become its stack. */
  | { readonly kind: "log"; readonly level: LogLevelName; readonly fields: object; readonly message: string }
  /** Nothing is served any more. */
  | { readonly kind: "ended"; readonly end: ServingEnd };
