/** The overlay over layers that the main thread has opened, for whichever thread serves it. */
import type { BackingFiles } from "./contract/backing.ts";
import type { Filesystem } from "./contract/filesystem.ts";
import type { Notifier } from "./contract/notifier.ts";
import type { JobRunner } from "./contract/slow.ts";
import { DirectoryLayer } from "./layer/directory-layer.ts";
import { MappedLayer } from "./layer/mapped-layer.ts";
import type { Logger } from "./log.ts";
import { OverlayFilesystem } from "./overlay/filesystem.ts";
import type { LayerDescriptor, OverlayRequest } from "./serve-messages.ts";
import { collectGarbage } from "./sys/memory.ts";
import { ownIds } from "./sys/process.ts";
import { PresentedFilesystem } from "./view/presented-filesystem.ts";
import { StoredOwners } from "./view/stored-owners.ts";

/** What a transport offers to the file system that it serves. */
interface TransportServices {
  readonly jobs: JobRunner;
  readonly notifier: Notifier;
  readonly backing: BackingFiles;
}

/** @throws FsError where the layers can't be set up */
export function makeOverlay(request: OverlayRequest, log: Logger, services: TransportServices): Filesystem {
  const upper = request.upper && layerOf(request.upper);
  const work = request.work && layerOf(request.work);
  const owners = request.presentation && new StoredOwners(request.presentation);
  const overlay = new OverlayFilesystem({
    ...(upper && { upper }),
    ...(work && { work }),
    lowers: request.lowers.map((lower) => lowerOf(lower, owners)),
    dataLowers: request.dataLowers.map(layerOf),
    features: request.features,
    fsync: request.fsync,
    self: ownIds(),
    userXattr: request.userXattr,
    passthrough: request.passthrough,
    log,
    ...services,
    releaseMemory: collectGarbage,
  });
  return request.presentation === undefined ? overlay : new PresentedFilesystem(overlay, request.presentation);
}

/** @param owners of lowers on id-mapped mounts, where ids are mapped at all */
function lowerOf(lower: LayerDescriptor, owners: StoredOwners | undefined): DirectoryLayer {
  return lower.traits.idMapped && owners !== undefined
    ? new MappedLayer(lower.fd, lower.traits, owners)
    : layerOf(lower);
}

function layerOf({ fd, traits }: LayerDescriptor): DirectoryLayer {
  return new DirectoryLayer(fd, traits);
}
