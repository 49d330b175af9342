/**
 * The daemon of one mount, where all halves meet: opens the layers, mounts, serves, and ends with the mount. Whatever fails on the
 * way, the steps before it are undone.
 */
import { attendMount, removeRemains } from "./attend.ts";
import type { AttendRequest } from "./attend-messages.ts";
import type { Attendant } from "./attendant.ts";
import { asStored } from "./contract/presentation.ts";
import { Errno, FsError } from "./errno.ts";
import { defaultFuseSettings, type FuseSettings } from "./fuse/settings.ts";
import { type DirectoryLayer, openLowerLayer, openUpperLayers } from "./layer/directory-layer.ts";
import type { Logger } from "./log.ts";
import {
  checkKernelOverlays,
  checkOutside,
  checkTogether,
  type FoundDirectory,
  findDirectory,
  lockDirectories,
  lockPatience,
} from "./mount/directories.ts";
import { mountByFusermount } from "./mount/fusermount.ts";
import { findGivenMount } from "./mount/given-mount.ts";
import { adoptMount, type LiveMount, mountDirect, openDevice } from "./mount/mount-direct.ts";
import { MountError } from "./mount/mount-error.ts";
import { isIdMapped, readMounts } from "./mount/mountinfo.ts";
import type { MountOptions } from "./mount/options.ts";
import { isReader, type MountPlan, planBesideWriter } from "./mount/plan.ts";
import { checkPrivilege, mayMount } from "./mount/privilege.ts";
import { readAheadFar } from "./mount/read-ahead.ts";
import { daemonName } from "./mount/unmount.ts";
import type { LayerDescriptor, OverlayRequest } from "./overlay-request.ts";
import { serveDirect } from "./serve-direct.ts";
import type { Serving } from "./serving.ts";
import { silence, silentKernel, startFailure } from "./start-failure.ts";
import { closeDescriptor } from "./sys/open.ts";
import { changeDirectory, raiseDescriptorLimit, setThreadName, setUmask } from "./sys/process.ts";
import type { CaughtSignals } from "./sys/signals.ts";

export interface MountHost {
  readonly log: Logger;
  readonly signals: CaughtSignals;
  /** Why the mount is to be taken down, if it is by now. */
  stopSoFar(): string | undefined;
  /** Resolves when it is to be taken down, for when this thread attends the mount. */
  stop(): Promise<string>;
  /** For when this thread does nothing but serve. @throws Error where no thread can be had */
  startAttendant(request: AttendRequest): Attendant;
  /** The mount is usable. @throws what makes the mount pointless: it is taken down again */
  onReady(): void;
}

/** Where a mount is to be made; `device` is undefined for a plain user, for whom fusermount3 opens it. */
interface Place {
  readonly mountpoint: FoundDirectory;
  readonly device: number | undefined;
}

/** All that has to be there before the mount, and that goes when the process does. */
interface Prepared {
  readonly lowers: readonly DirectoryLayer[];
  readonly dataLowers: readonly DirectoryLayer[];
  readonly upper: DirectoryLayer | undefined;
  readonly work: DirectoryLayer | undefined;
}

/**
 * Mounts, and serves until the mount is gone. The process is the mount's afterwards: its umask, working directory and
 * name are changed, and it is expected to exit when this returns.
 * @returns when nothing is mounted any more. Another thread may end the process before
 * @throws MountError with the sentence for the user; nothing is mounted then
 */
export async function runMount(asked: MountPlan, host: MountHost): Promise<void> {
  const at = findPlace(asked);
  raiseDescriptorLimit();
  const { plan, prepared } = prepareAsPossible(asked, at, host.log);
  const request = overlayRequest(prepared, plan, host.log);
  await (plan.transport === "fuse-native" && "mountpoint" in at
    ? runByFuseNative(plan, at, request, host)
    : runDirectly(plan, at, request, host));
}

/** Serves on this thread, which does nothing else; another one attends the mount and ends the process. */
async function runDirectly(
  plan: MountPlan,
  at: LiveMount | Place,
  request: OverlayRequest,
  host: MountHost,
): Promise<void> {
  const { log, signals } = host;
  const live = "mountpoint" in at ? mountDirectly(at, plan.options, isReadOnly(request)) : at;
  try {
    becomeDaemonOf(live);
    const facts = { mountpoint: live.path, transport: plan.transport };
    const settings = fuseSettings(plan.options);
    const end = serveDirect({
      ...{ live, facts, request, settings, signals, log },
      startAttendant(what) {
        // Here, as what an attendant has begun to attend it takes down without a word to the caller.
        checkNotInterrupted(host);
        return host.startAttendant(what);
      },
      onReady(attendant) {
        becomeUsable(live, host);
        attendant.log.info({ ...facts, ...layersOf(request) }, "mounted");
      },
    });
    if (end.kind === "not usable") {
      checkNotInterrupted(host);
      throw startFailure(plan.options, end.failure, log);
    }
    log.error({ reason: await end.attendant.lost }, "the thread that attends the mount is lost");
  } finally {
    await removeRemains(live, log);
  }
}

/** libfuse has threads of its own: this one serves between other things, and attends the mount too. */
async function runByFuseNative(plan: MountPlan, at: Place, request: OverlayRequest, host: MountHost): Promise<void> {
  const { log } = host;
  const { mountByFuseNative } = await import("./fuse-native-mount.ts");
  if (at.device !== undefined) {
    closeDescriptor(at.device);
  }
  const { live, serving } = mountByFuseNative(request, plan, at.mountpoint, isReadOnly(request), log);
  const facts = { mountpoint: live.path, transport: plan.transport };
  const stop = host.stop();
  try {
    becomeDaemonOf(live);
    await becomeReady(serving, stop, plan, log);
    becomeUsable(live, host);
    log.info({ ...facts, ...layersOf(request) }, "mounted");
  } catch (error) {
    await removeRemains(live, log);
    throw error;
  }
  await attendMount({ live, facts, stop, ended: serving.ended }, log);
}

function becomeDaemonOf(live: LiveMount): void {
  setUmask(0);
  changeDirectory("/");
  setThreadName(daemonName(live.connection));
}

/** @throws what makes the mount pointless */
function becomeUsable(live: LiveMount, host: MountHost): void {
  readAheadFar(live);
  host.onReady();
}

function checkNotInterrupted(host: MountHost): void {
  const reason = host.stopSoFar();
  if (reason !== undefined) {
    throw new MountError("refused", `interrupted by ${reason} before the mount was ready`);
  }
}

function isReadOnly({ upper }: OverlayRequest): boolean {
  return upper === undefined;
}

function layersOf(request: OverlayRequest): object {
  return { lowers: request.lowers.length, readOnly: isReadOnly(request) };
}

/** @returns a mount that somebody has made already, or the place for one */
function findPlace({ transport, mountpoint }: MountPlan): LiveMount | Place {
  const given = transport === "direct" ? findGivenMount(mountpoint) : undefined;
  if (given !== undefined) {
    return given;
  }
  checkPrivilege(transport);
  return { mountpoint: findDirectory("mountpoint", mountpoint), device: mayMount() ? openDevice() : undefined };
}

/** What Veneer itself serves; by the way that this user has. */
function mountDirectly({ device, mountpoint }: Place, options: MountOptions, readOnly: boolean): LiveMount {
  return device === undefined
    ? adoptMount(mountByFusermount(mountpoint, options, readOnly), mountpoint, options, false)
    : mountDirect(device, mountpoint, options, readOnly);
}

/** @returns the plan too that it came to: who only reads keeps out of the way of a mount that writes to the upper */
function prepareAsPossible(
  plan: MountPlan,
  at: LiveMount | Place,
  log: Logger,
): { plan: MountPlan; prepared: Prepared } {
  try {
    return { plan, prepared: prepare(plan, at) };
  } catch (error) {
    const beside = error instanceof MountError && error.kind === "in-use" ? planBesideWriter(plan) : undefined;
    if (beside === undefined) {
      throw error;
    }
    log.warn({ upper: plan.options.upper }, "the upper is in use by another mount: it is read as the topmost lower");
    return { plan: beside, prepared: prepare(beside, at) };
  }
}

function prepare({ options }: MountPlan, at: LiveMount | Place): Prepared {
  const lowers = options.lowers.map((lower) => findDirectory("lowerdir", lower));
  const dataLowers = options.dataLowers.map((lower) => findDirectory("datadir", lower));
  const upper = options.upper === undefined ? undefined : findDirectory("upperdir", options.upper);
  const work = options.work === undefined ? undefined : findDirectory("workdir", options.work);
  checkTogether([...lowers, ...dataLowers], upper, work);
  const writable = [upper, work].filter((directory) => directory !== undefined);
  const mounts = writable.length === 0 && options.presentation === asStored ? [] : readMounts();
  for (const directory of writable) {
    checkKernelOverlays(directory, mounts);
  }
  const pair = upper && work && openUpper(upper, work, isReader(options) ? 0 : lockPatience);
  const openLower = (lower: FoundDirectory) =>
    openLayer(lower, () => openLowerLayer(lower.given, isIdMapped(mounts, lower.mountId)));
  const lowerLayers = lowers.map(openLower);
  const dataLayers = dataLowers.map(openLower);
  for (const [layer, directory] of [
    ...lowerLayers.map((lower, at) => [lower, lowers[at]] as const),
    ...dataLayers.map((lower, at) => [lower, dataLowers[at]] as const),
    [pair?.upper, upper] as const,
    [pair?.work, work] as const,
  ]) {
    if ("mountpoint" in at && layer !== undefined && directory !== undefined && !layer.isolated) {
      checkOutside(at.mountpoint, directory);
    }
  }
  return {
    lowers: lowerLayers,
    dataLowers: dataLayers,
    upper: pair?.upper,
    work: pair?.work,
  };
}

/** For this mount alone. @throws MountError where another one has them for as many milliseconds */
function openUpper(
  upper: FoundDirectory,
  work: FoundDirectory,
  patience: number,
): { readonly upper: DirectoryLayer; readonly work: DirectoryLayer } {
  const pair = openLayer(upper, () => openUpperLayers(upper.given, work.given));
  try {
    lockDirectories(
      [
        [upper, pair.upper.fd],
        [work, pair.work.fd],
      ],
      patience,
    );
  } catch (error) {
    pair.upper.close();
    pair.work.close();
    throw error;
  }
  return pair;
}

function openLayer<T>(directory: FoundDirectory, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    const remedy =
      error.code === Errno.EMFILE || error.code === Errno.ENFILE
        ? "raise the limit of open files (ulimit -n)"
        : "see whether this user may read it";
    throw new MountError(
      "layer",
      `${directory.role} ${directory.given} can't be opened (${error.message}): ${remedy}`,
      {
        cause: error,
      },
    );
  }
}

function overlayRequest(prepared: Prepared, { options, features }: MountPlan, log: Logger): OverlayRequest {
  const withoutUuid = features.uuid === "off" && goWithoutUuid(prepared, log);
  const descriptorOf = ({ fd, traits }: DirectoryLayer): LayerDescriptor => ({
    fd,
    traits: { ...traits, withoutUuid },
  });
  return {
    lowers: prepared.lowers.map(descriptorOf),
    dataLowers: prepared.dataLowers.map(descriptorOf),
    upper: prepared.upper && descriptorOf(prepared.upper),
    work: prepared.work && descriptorOf(prepared.work),
    features,
    fsync: options.fsync,
    userXattr: options.userXattr,
    xattrPermissions: options.xattrPermissions,
    presentation: options.presentation === asStored ? undefined : options.presentation,
    passthrough: options.passthrough,
  };
}

/** Origins need not name their file system where there is but one; where there are several, uuid=off is uuid=null. */
function goWithoutUuid({ upper, lowers }: Prepared, log: Logger): boolean {
  const layers = upper === undefined ? lowers : [upper, ...lowers];
  const isPossible = new Set(layers.map((layer) => layer.stat("").dev)).size === 1;
  if (!isPossible) {
    log.warn({}, "uuid=off needs all layers on one file system: taken as uuid=null");
  }
  return isPossible;
}

function fuseSettings(options: MountOptions): FuseSettings {
  return {
    ...defaultFuseSettings,
    passthrough: options.passthrough !== "off",
    generation: Math.floor(Math.random() * 0x1_0000_0000),
    entryTimeout: options.entryTimeout ?? defaultFuseSettings.entryTimeout,
    attrTimeout: options.attrTimeout ?? defaultFuseSettings.attrTimeout,
    negativeTimeout: options.negativeTimeout ?? defaultFuseSettings.negativeTimeout,
  };
}

/** @throws MountError where the mount does not become usable */
async function becomeReady(serving: Serving, stop: Promise<string>, plan: MountPlan, log: Logger): Promise<void> {
  const first = await Promise.race([
    serving.ready.then(() => "ready" as const),
    serving.ended,
    stop.then((reason) => ({ stopped: reason })),
    after(silence).then(() => "late" as const),
  ]);
  if (first === "ready") {
    return;
  }
  if (first === "late") {
    throw silentKernel();
  }
  if ("stopped" in first) {
    throw new MountError("refused", `interrupted by ${first.stopped} before the mount was ready`);
  }
  throw startFailure(plan.options, first.failure, log);
}

function after(milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), milliseconds).unref();
  });
}
