/** The overlay as a daemon has it, in this process: over directories on disk, with a log that must stay empty. */
import type { Features } from "../../src/contract/features.ts";
import type { Job } from "../../src/contract/slow.ts";
import { openLowerLayer, openUpperLayers } from "../../src/layer/directory-layer.ts";
import type { Logger } from "../../src/log.ts";
import { OverlayFilesystem } from "../../src/overlay/filesystem.ts";

export const noFeatures: Features = { redirect: "nofollow", index: false, metacopy: false, xino: "auto", uuid: "null" };

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
  return new OverlayFilesystem({
    ...openUpperLayers(`${base}/upper`, `${base}/work`),
    lowers: request.lowers.map((name) => openLowerLayer(`${base}/${name}`)),
    dataLowers: [],
    features: request.features ?? noFeatures,
    fsync: "auto",
    userXattr: request.userXattr ?? false,
    log: emptyLog,
    jobs: { start: request.startJob },
    notifier: { attributesChanged: () => undefined },
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
