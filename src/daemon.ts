/**
 * The daemon of one mount, where all halves meet: opens the layers, mounts, has the mount served by a thread of its
 * own, and ends with the mount. Whatever fails on the way, the steps before it are undone.
 */
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
import {
  adoptMount,
  cutConnection,
  findLiveMount,
  type LiveMount,
  mountDirect,
  openDevice,
  unmountDead,
  unmountLive,
} from "./mount/mount-direct.ts";
import { MountError } from "./mount/mount-error.ts";
import { isIdMapped, readMounts } from "./mount/mountinfo.ts";
import type { MountOptions } from "./mount/options.ts";
import { isReader, type MountPlan, planBesideWriter } from "./mount/plan.ts";
import { checkPrivilege, mayMount } from "./mount/privilege.ts";
import { readAheadFar } from "./mount/read-ahead.ts";
import { daemonName } from "./mount/unmount.ts";
import type { LayerDescriptor, OverlayRequest } from "./serve-messages.ts";
import type { Serving, ServingEnd, ServingThread, UnservedMount } from "./serving-thread.ts";
import { startFailure } from "./start-failure.ts";
import { connectionLives } from "./sys/fuse-control.ts";
import { closeDescriptor, OpenFlag, openAt, workingDirectory } from "./sys/open.ts";
import { changeDirectory, raiseDescriptorLimit, setThreadName, setUmask } from "./sys/process.ts";

export interface MountHost {
  readonly log: Logger;
  /** Resolves when the mount is to be taken down; at any time. */
  readonly stop: Promise<string>;
  /** The mount is usable. @throws what makes the mount pointless: it is taken down again */
  onReady(): void;
}

/** Milliseconds within which each thing that depends on others must have happened. */
const patience = { ready: 20_000, sync: 20_000, users: 1_000, end: 20_000, cutEnd: 3_000 } as const;

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
 * @param thread fresh: it serves this mount alone, or none where another transport is chosen
 * @returns when nothing is mounted any more. The serving thread may be stuck nevertheless: leave by `exitNow`
 * @throws MountError with the sentence for the user; nothing is mounted then. The thread is still there
 */
export async function runMount(asked: MountPlan, thread: ServingThread, host: MountHost): Promise<void> {
  const at = findPlace(asked);
  raiseDescriptorLimit();
  const { plan, prepared } = prepareAsPossible(asked, at, host.log);
  const readOnly = prepared.upper === undefined;
  const { live, serve } = await mountBy(plan, at, prepared, thread, host.log);
  const about = { mountpoint: live.path, transport: plan.transport };
  try {
    setUmask(0);
    changeDirectory("/");
    setThreadName(daemonName(live.connection));
    const serving = serve();
    await becomeReady(serving, plan, host);
    readAheadFar(live);
    host.onReady();
    host.log.info({ ...about, lowers: prepared.lowers.length, readOnly }, "mounted");
    const reason = await Promise.race([host.stop, serving.ended]);
    if (typeof reason === "string") {
      await takeDown(live, serving, host.log, reason);
    } else if (reason.failure !== undefined) {
      host.log.error({ reason: reason.failure.what }, "serving ended by a failure");
      throw new MountError("internal", `the mount at ${live.path} could not be served any longer: see the log`);
    }
    host.log.info(about, "unmounted");
  } finally {
    await removeRemains(live, host.log);
  }
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

async function mountBy(
  plan: MountPlan,
  at: LiveMount | Place,
  prepared: Prepared,
  thread: ServingThread,
  log: Logger,
): Promise<UnservedMount> {
  const request = overlayRequest(prepared, plan, log);
  const readOnly = prepared.upper === undefined;
  if (plan.transport === "fuse-native" && "mountpoint" in at) {
    const { mountByFuseNative } = await import("./fuse-native-mount.ts");
    if (at.device !== undefined) {
      closeDescriptor(at.device);
    }
    return mountByFuseNative(request, plan, at.mountpoint, readOnly, log);
  }
  const live = "mountpoint" in at ? mountDirectly(at, plan.options, readOnly) : at;
  const settings = fuseSettings(plan.options);
  return {
    live,
    serve() {
      thread.serve({ ...request, device: live.device, settings, debug: log.debugEnabled }, log);
      return thread;
    },
  };
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
async function becomeReady(serving: Serving, plan: MountPlan, host: MountHost): Promise<void> {
  const first = await Promise.race([
    serving.ready.then(() => "ready" as const),
    serving.ended,
    host.stop.then((reason) => ({ stopped: reason })),
    after(patience.ready).then(() => "late" as const),
  ]);
  if (first === "ready") {
    return;
  }
  if (first === "late") {
    throw new MountError("refused", "the kernel did not begin to talk to the daemon: see the kernel's log (dmesg)");
  }
  if ("stopped" in first) {
    throw new MountError("refused", `interrupted by ${first.stopped} before the mount was ready`);
  }
  throw startFailure(plan.options, first.failure, host.log);
}

/** Unmounts by order: gently if no one uses the mount, else with its data synced and its users cut off. */
async function takeDown(live: LiveMount, serving: Serving, log: Logger, reason: string): Promise<void> {
  log.info({ reason }, "unmounting");
  if ((await unmountLive(live, false)) === "busy") {
    log.warn({ mountpoint: live.path }, "the mount is busy: it is synced and detached");
    await syncMount(live, log);
    await unmountLive(live, true);
  }
  let end = await endWithin(serving, patience.users);
  if (end === undefined) {
    log.warn({}, "the mount still has users, or copies elsewhere: they are cut off");
    end = await endWithin(serving, cutConnection(live) ? patience.end : patience.cutEnd);
  }
  if (end?.failure !== undefined) {
    log.error({ reason: end.failure.what }, "serving ended by a failure");
  }
}

/** How serving ended; undefined if it goes on after so many milliseconds. */
function endWithin(serving: Serving, milliseconds: number): Promise<ServingEnd | undefined> {
  return Promise.race([serving.ended, after(milliseconds)]);
}

/**
 * syncfs(2) through the mount, so that pages dirtied by mmap reach the upper. By a process, as this call waits for
 * the serving thread: it must not take the main thread with it.
 */
async function syncMount(live: LiveMount, log: Logger): Promise<void> {
  const path = findLiveMount(live)?.mountpoint;
  if (path === undefined) {
    return;
  }
  const { spawn } = await import("node:child_process");
  const root = openAt(workingDirectory, path, OpenFlag.path | OpenFlag.directory);
  const child = spawn("sync", ["-f", "/proc/self/fd/3"], {
    stdio: ["ignore", "ignore", "ignore", root],
    timeout: patience.sync,
    killSignal: "SIGKILL",
  });
  const failure = await new Promise<string | undefined>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("exit", (code, signal) => resolve(code === 0 ? undefined : `sync -f ended with ${signal ?? code}`));
  });
  closeDescriptor(root);
  if (failure !== undefined) {
    log.error({ failure }, "the mount could not be synced before it was detached");
  }
}

/** After an abort the mount is still in the tree, dead; after a failure it is there and not served. */
async function removeRemains(live: LiveMount, log: Logger): Promise<void> {
  try {
    await unmountLive(live, true);
    if (!connectionLives(live.device)) {
      unmountDead(live);
    }
  } catch (error) {
    log.error({ error }, "the mount could not be taken away");
  }
}

function after(milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), milliseconds).unref();
  });
}
