/**
 * The overlay at the service of fuse-native: a file of code of its own in dist, which the main thread loads where that transport
 * is chosen, and not before. Errors that leave it are of classes that only it knows: `describe` says what they are.
 */
import { join } from "node:path";
import { failureOf } from "./describe.ts";
import { type Addon, loadAddon } from "./fuse-native/addon.ts";
import { NativeServer } from "./fuse-native/server.ts";
import type { Logger } from "./log.ts";
import { makeOverlay } from "./make-overlay.ts";
import type { OverlayRequest } from "./overlay-request.ts";
import type { ServingEnd } from "./serving.ts";
import { runJob } from "./sys/jobs.ts";

export interface Events {
  onReady(): void;
  onEnd(): void;
}

/** The package's addon. @throws Error with what is in the way */
export function load(): Addon {
  return loadAddon();
}

/** @throws what the overlay throws over layers that it can't use */
export function makeServer(
  addon: Addon,
  request: OverlayRequest,
  forOthers: boolean,
  log: Logger,
  events: Events,
): NativeServer {
  // The addon can't notify the kernel: what that remembers is for options to limit. Nor can it pass files through.
  const notifier = { attributesChanged: nothing, listingChanged: nothing, dataRead: nothing };
  const backing = { open: nothing, close: nothing };
  return new NativeServer(addon, {
    log,
    forOthers,
    makeFilesystem: (jobs) => makeOverlay(request, log, { jobs, notifier, backing }),
    runJob,
    ioThreadFile: join(import.meta.dirname, "io-thread.js"),
    ...events,
  });
}

/** An error of this code in words, and its errno if it has one. */
export function describe(error: unknown): NonNullable<ServingEnd["failure"]> {
  return failureOf(error);
}

function nothing(): undefined {
  // There is no one to tell.
}
