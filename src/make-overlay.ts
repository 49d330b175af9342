/** The overlay over layers that are open, for whichever transport serves it. */
import type { BackingFiles } from "./contract/backing.ts";
import type { Filesystem } from "./contract/filesystem.ts";
import type { Notifier } from "./contract/notifier.ts";
import type { JobRunner } from "./contract/slow.ts";
import { DirectoryLayer } from "./layer/directory-layer.ts";
import type { Layer, WritableLayer } from "./layer/layer.ts";
import { MappedLayer } from "./layer/mapped-layer.ts";
import { OverriddenLayer, OverriddenUpper } from "./layer/overridden-layer.ts";
import { overrideXattrOf, requireOverrideXattr } from "./layer/override-value.ts";
import type { Logger } from "./log.ts";
import { OverlayFilesystem } from "./overlay/filesystem.ts";
import type { LayerDescriptor, OverlayRequest } from "./overlay-request.ts";
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
  const { upper, work, lowers } = request.xattrPermissions === "0" ? plainLayers(request) : overriddenLayers(request);
  const overlay = new OverlayFilesystem({
    ...(upper && { upper }),
    ...(work && { work }),
    lowers,
    dataLowers: request.dataLowers.map(layerOf),
    features: request.features,
    fsync: request.fsync,
    self: ownIds(),
    userXattr: request.userXattr,
    inheritsAcls: request.presentation?.acls !== false,
    passthrough: request.passthrough,
    log,
    ...services,
    releaseMemory: collectGarbage,
  });
  return request.presentation === undefined ? overlay : new PresentedFilesystem(overlay, request.presentation);
}

interface Layers {
  readonly upper: WritableLayer | undefined;
  readonly work: WritableLayer | undefined;
  readonly lowers: readonly Layer[];
}

function plainLayers({ upper, work, lowers, presentation }: OverlayRequest): Layers {
  const owners = presentation && new StoredOwners(presentation);
  return {
    upper: upper && layerOf(upper),
    work: work && layerOf(work),
    lowers: lowers.map((lower) => lowerOf(lower, owners)),
  };
}

/** @param owners of lowers on id-mapped mounts, where ids are mapped at all */
function lowerOf(lower: LayerDescriptor, owners: StoredOwners | undefined): DirectoryLayer {
  return lower.traits.idMapped && owners !== undefined
    ? new MappedLayer(lower.fd, lower.traits, owners)
    : layerOf(lower);
}

/**
 * Layers that have owners and modes in xattrs, or may have them; what is staged in the workdir is to be the upper's. No mount maps
 * the ids in these xattrs.
 */
function overriddenLayers(request: OverlayRequest): Layers {
  const lowers = request.lowers.map(
    (lower) => new OverriddenLayer(lower.fd, lower.traits, overrideXattrOf(layerOf(lower))),
  );
  const { upper, work } = request;
  if (upper === undefined || work === undefined) {
    return { upper: undefined, work: undefined, lowers };
  }
  const xattr = requireOverrideXattr(layerOf(upper), request.xattrPermissions === "1");
  return {
    upper: new OverriddenUpper(upper.fd, upper.traits, xattr),
    work: new OverriddenUpper(work.fd, work.traits, xattr),
    lowers,
  };
}

function layerOf({ fd, traits }: LayerDescriptor): DirectoryLayer {
  return new DirectoryLayer(fd, traits);
}
