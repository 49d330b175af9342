/**
 * Attends a mount while it is served: waits for its end, or for the order to take it down, and sees to it that nothing is left. On a
 * thread that does not serve it, as whoever unmounts may have to wait for whoever serves.
 */
import type { Logger } from "./log.ts";
import { cutConnection, findLiveMount, type LiveMount, unmountDead, unmountLive } from "./mount/mount-direct.ts";
import { MountError } from "./mount/mount-error.ts";
import type { ServedMount, ServingEnd } from "./serving.ts";
import { connectionLives } from "./sys/fuse-control.ts";
import { closeDescriptor, OpenFlag, openAt, workingDirectory } from "./sys/open.ts";

/** Milliseconds within which each thing that depends on others must have happened. */
const patience = { sync: 20_000, users: 1_000, end: 20_000, cutEnd: 3_000 } as const;

/**
 * @returns when nothing is mounted any more. Whoever served it may be stuck nevertheless: leave by `exitNow`
 * @throws MountError where serving has failed; nothing is mounted then either
 */
export async function attendMount(mount: ServedMount, log: Logger): Promise<void> {
  const { live, facts } = mount;
  try {
    const reason = await Promise.race([mount.stop, mount.ended]);
    if (typeof reason === "string") {
      await takeDown(mount, log, reason);
    } else if (reason.failure !== undefined) {
      log.error({ reason: reason.failure.what }, "serving ended by a failure");
      throw new MountError("internal", `the mount at ${live.path} could not be served any longer: see the log`);
    }
    log.info(facts, "unmounted");
  } finally {
    await removeRemains(live, log);
  }
}

/** Unmounts by order: gently if no one uses the mount, else with its data synced and its users cut off. */
async function takeDown({ live, ended }: ServedMount, log: Logger, reason: string): Promise<void> {
  log.info({ reason }, "unmounting");
  if ((await unmountLive(live, false)) === "busy") {
    log.warn({ mountpoint: live.path }, "the mount is busy: it is synced and detached");
    await syncMount(live, log);
    await unmountLive(live, true);
  }
  let end = await endWithin(ended, patience.users);
  if (end === undefined) {
    log.warn({}, "the mount still has users, or copies elsewhere: they are cut off");
    end = await endWithin(ended, cutConnection(live) ? patience.end : patience.cutEnd);
  }
  if (end?.failure !== undefined) {
    log.error({ reason: end.failure.what }, "serving ended by a failure");
  }
}

/** How serving ended; undefined if it goes on after so many milliseconds. */
function endWithin(ended: Promise<ServingEnd>, milliseconds: number): Promise<ServingEnd | undefined> {
  return Promise.race([ended, after(milliseconds)]);
}

/**
 * syncfs(2) through the mount, so that pages dirtied by mmap reach the upper. By a process, as this call waits for
 * whoever serves: it must not take this thread with it.
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

/**
 * Takes away what is left of a mount that nobody serves any more. After an abort it is still in the tree, dead; after a
 * failure it is there and not served.
 */
export async function removeRemains(live: LiveMount, log: Logger): Promise<void> {
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
