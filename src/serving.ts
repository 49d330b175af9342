/** Whoever serves a mount, as those see it who wait for its end. Types only. */
import type { LiveMount } from "./mount/mount-direct.ts";

/** How serving ended: of itself because the mount went, or by a failure. */
export interface ServingEnd {
  readonly failure: { readonly code: number | undefined; readonly what: string } | undefined;
}

/** What the log calls the mount. */
export interface MountFacts {
  readonly mountpoint: string;
  readonly transport: string;
}

/** A mount and its end, whichever comes first. */
export interface ServedMount {
  readonly live: LiveMount;
  readonly facts: MountFacts;
  /** Resolves when nothing is served any more. */
  readonly ended: Promise<ServingEnd>;
  /** Resolves, with the reason, when the mount is to be taken down. */
  readonly stop: Promise<string>;
}

/** A transport that serves while the thread that it was started on goes on. */
export interface Serving {
  /** Resolves when the kernel's INIT has been answered. */
  readonly ready: Promise<void>;
  readonly ended: Promise<ServingEnd>;
}
