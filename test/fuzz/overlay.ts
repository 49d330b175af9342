/** The overlay as a daemon has it, in this process: over directories on disk, with a log that must stay empty. */
import fc from "fast-check";
import type { Features } from "../../src/contract/features.ts";
import type { Job } from "../../src/contract/slow.ts";
import { openLowerLayer, openUpperLayers } from "../../src/layer/directory-layer.ts";
import type { Layer } from "../../src/layer/layer.ts";
import type { Logger } from "../../src/log.ts";
import { OverlayFilesystem } from "../../src/overlay/filesystem.ts";

export const noFeatures: Features = { redirect: "nofollow", index: false, metacopy: false, xino: "auto", uuid: "null" };

export const anyFeatures: fc.Arbitrary<Features> = fc
  .record({
    redirect: fc.constantFrom("on", "follow", "nofollow"),
    index: fc.boolean(),
    metacopy: fc.boolean(),
  })
  .map(({ redirect, index, metacopy }) => ({
    ...noFeatures,
    index,
    metacopy,
    // The one takes the other.
    redirect: metacopy ? "on" : redirect,
  }));

export interface OverlayRequest {
  /** Holds `upper`, `work` and the lowers. */
  readonly base: string;
  /** Their names, the topmost first. */
  readonly lowers: readonly string[];
  readonly features?: Features;
  readonly userXattr?: boolean;
  startJob(job: Job, done: (result: number) => void): void;
}

/** @throws FsError as a mount would fail */
export function openOverlay(request: OverlayRequest): OverlayFilesystem {
  const { base } = request;
  const writable = openUpperLayers(`${base}/upper`, `${base}/work`);
  const lowers = request.lowers.map((name) => openLowerLayer(`${base}/${name}`));
  try {
    return overlayOver(writable, lowers, request);
  } catch (error) {
    // A daemon would end.
    for (const layer of [writable.upper, writable.work, ...lowers]) {
      layer.close();
    }
    throw error;
  }
}

function overlayOver(
  writable: ReturnType<typeof openUpperLayers>,
  lowers: readonly Layer[],
  request: OverlayRequest,
): OverlayFilesystem {
  return new OverlayFilesystem({
    ...writable,
    lowers,
    dataLowers: [],
    features: request.features ?? noFeatures,
    fsync: "auto",
    self: { uid: 0, gid: 0 },
    userXattr: request.userXattr ?? false,
    inheritsAcls: true,
    log: emptyLog,
    jobs: { start: request.startJob },
    notifier: { attributesChanged: () => undefined, listingChanged: () => undefined, dataRead: () => undefined },
    passthrough: "off",
    backing: { open: () => undefined, close: () => undefined },
    releaseMemory: () => undefined,
  });
}

const emptyLog: Logger = {
  debugEnabled: false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => {
    throw new Error(`${message}: ${JSON.stringify(fields)}`);
  },
};
