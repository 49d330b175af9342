/** The start of a mount by fuse-native: loads what serves it, lets libfuse mount, and finds out what came of it. */
import { readdirSync, readlinkSync } from "node:fs";
import { createRequire } from "node:module";
import type { Logger } from "./log.ts";
import type { FoundDirectory } from "./mount/directories.ts";
import { flagsBesideLibfuse, libfuseOptions } from "./mount/libfuse-options.ts";
import { adoptMount, type LiveMount, labelsFor } from "./mount/mount-direct.ts";
import { MountError } from "./mount/mount-error.ts";
import type { MountPlan } from "./mount/plan.ts";
import type { OverlayRequest } from "./overlay-request.ts";
import type { Serving, ServingEnd } from "./serving.ts";
import { startFailure } from "./start-failure.ts";
import { mount } from "./sys/mount.ts";
import { closeDescriptor, descriptorPath, duplicate, OpenFlag, openAt, workingDirectory } from "./sys/open.ts";

type ServingCode = typeof import("./serve-fuse-native.ts");

/**
 * Mounts and serves, on this thread.
 * @throws MountError where the package is missing, the layers can't be served, or libfuse can't mount
 */
export function mountByFuseNative(
  request: OverlayRequest,
  { options }: MountPlan,
  at: FoundDirectory,
  readOnly: boolean,
  log: Logger,
): { readonly live: LiveMount; readonly serving: Serving } {
  const { code, addon } = load();
  let ready = (): void => undefined;
  let end = (_: ServingEnd): void => undefined;
  const serving = {
    ready: new Promise<void>((resolve) => {
      ready = resolve;
    }),
    ended: new Promise<ServingEnd>((resolve) => {
      end = resolve;
    }),
  };
  const events = { onReady: () => ready(), onEnd: () => end({ failure: undefined }) };
  let server: ReturnType<ServingCode["makeServer"]>;
  try {
    server = code.makeServer(addon, request, options.allowOther === true, log, events);
  } catch (error) {
    throw startFailure(options, code.describe(error), log);
  }
  // By a descriptor, as the path may not be UTF-8, and may be longer than the addon takes.
  const directory = openAt(workingDirectory, at.given, OpenFlag.path | OpenFlag.directory);
  try {
    server.mount(descriptorPath(directory), libfuseOptions(options, readOnly, labelsFor(options)));
  } catch (error) {
    throw new MountError(
      "refused",
      `libfuse could not mount at ${at.given} (${code.describe(error).what.split("\n", 1)[0]}): see what it said above`,
      { cause: error },
    );
  } finally {
    closeDescriptor(directory);
  }
  const device = duplicate(libfuseDevice());
  server.watch(device);
  const live = adoptMount(device, at, options, true);
  const flags = flagsBesideLibfuse(options, readOnly);
  if (flags !== 0) {
    mount("none", live.path, "none", flags, "");
  }
  return { live, serving };
}

function load(): { code: ServingCode; addon: ReturnType<ServingCode["load"]> } {
  const code = createRequire(import.meta.filename)("./serve-fuse-native.cjs") as ServingCode;
  try {
    return { code, addon: code.load() };
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    throw new MountError(
      "refused",
      `the transport fuse-native can't be loaded (${why}): install its package with npm ci, or mount without --transport`,
      { cause: error },
    );
  }
}

/** The descriptor that libfuse has opened: there is no other one of /dev/fuse in this process. */
function libfuseDevice(): number {
  const open = readdirSync("/proc/self/fd").map(Number);
  const device = open.find((fd) => linkOf(fd) === "/dev/fuse");
  if (device === undefined) {
    throw new MountError("refused", "libfuse has mounted, but it has no /dev/fuse open: the mount went at once");
  }
  return device;
}

function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // The descriptor by which the directory was read.
    return undefined;
  }
}
