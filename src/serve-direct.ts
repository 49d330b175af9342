/**
 * A mount by Veneer's own transport, served on the thread that calls: the overlay over the layers' descriptors, and the loop that
 * reads the device until the mount is gone. A thread that attends the mount beside it is started when it is usable.
 */
import { join } from "node:path";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import type { AttendRequest } from "./attend-messages.ts";
import type { Attendant } from "./attendant.ts";
import { failureOf } from "./describe.ts";
import { serve } from "./fuse/session.ts";
import type { FuseSettings } from "./fuse/settings.ts";
import { turnSize } from "./fuse/turn.ts";
import type { Logger } from "./log.ts";
import { makeOverlay } from "./make-overlay.ts";
import type { LiveMount } from "./mount/mount-direct.ts";
import type { OverlayRequest } from "./overlay-request.ts";
import type { MountFacts, ServingEnd } from "./serving.ts";
import { silence } from "./start-failure.ts";
import { runJob } from "./sys/jobs.ts";
import { isBeingKilled } from "./sys/proc.ts";
import { type CaughtSignals, leaveSignalsToOthers, signalsDescriptor } from "./sys/signals.ts";

export interface DirectMount {
  readonly live: LiveMount;
  readonly facts: MountFacts;
  readonly request: OverlayRequest;
  readonly settings: FuseSettings;
  readonly signals: CaughtSignals;
  /** For what comes before the mount is usable. */
  readonly log: Logger;
  /** The mount is about to be usable. @throws what it is not to become so for */
  startAttendant(request: AttendRequest): Attendant;
  /** What it throws takes the mount down again. */
  onReady(attendant: Attendant): void;
}

/** What came of it. Served: the mount is gone, and the attendant, which knows it, ends the process. */
export type DirectEnd =
  | { readonly kind: "served"; readonly attendant: Attendant }
  | { readonly kind: "not usable"; readonly failure: ServingEnd["failure"] };

/** @throws what `startAttendant` throws */
export function serveDirect(mount: DirectMount): DirectEnd {
  const { live, request, settings, signals } = mount;
  const turn = new SharedArrayBuffer(turnSize);
  const kept = new MessageChannel();
  const standby = request.passthrough === "off" ? undefined : { turn, maxWrite: settings.maxWrite, kept: kept.port2 };
  const log = new RelayedLog(mount.log);
  const came: { ready?: true; attendant?: Attendant } = {};
  let failure: ServingEnd["failure"];
  try {
    serve({
      device: live.device,
      makeFilesystem: (jobs, notifier, backing) => makeOverlay(request, log, { jobs, notifier, backing }),
      start: { silence, interruption: signalsDescriptor(signals) },
      // This thread hears no events while it serves.
      standby: { turn, nextKept: () => receiveMessageOnPort(kept.port1)?.message },
      runJob,
      isBeingKilled,
      ioThreadFile: join(import.meta.dirname, "io-thread.js"),
      settings,
      log,
      onReady() {
        came.ready = true;
        came.attendant = mount.startAttendant({ live, facts: mount.facts, signals, standby });
        log.to = came.attendant.log;
        // A system call that is made for a request must not fail with EINTR.
        leaveSignalsToOthers(signals);
        mount.onReady(came.attendant);
      },
    });
  } catch (error) {
    if (came.ready && came.attendant === undefined) {
      throw error;
    }
    failure = failureOf(error);
  }
  if (came.attendant === undefined) {
    return { kind: "not usable", failure };
  }
  came.attendant.tellEnd({ failure });
  return { kind: "served", attendant: came.attendant };
}

/** Hands on to whoever writes the log at the time. */
class RelayedLog implements Logger {
  to: Logger;
  readonly debugEnabled: boolean;

  constructor(to: Logger) {
    this.to = to;
    this.debugEnabled = to.debugEnabled;
  }

  debug(fields: object, message: string): void {
    this.to.debug(fields, message);
  }

  info(fields: object, message: string): void {
    this.to.info(fields, message);
  }

  warn(fields: object, message: string): void {
    this.to.warn(fields, message);
  }

  error(fields: object, message: string): void {
    this.to.error(fields, message);
  }
}
