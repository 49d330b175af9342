/**
 * A mount that whoever starts the daemon has made: libfuse 3 has it that a mountpoint `/dev/fd/N` names the open /dev/fuse of one, so that
 * mount.fuse3 can start a daemon without privileges (its option drop_privileges). The daemon serves it, and mounts nothing.
 */
import { isFuseDevice } from "../sys/device.ts";
import { connectionLives, connectionOf } from "../sys/fuse-control.ts";
import type { LiveMount } from "./mount-direct.ts";
import { MountError } from "./mount-error.ts";
import { readMounts } from "./mountinfo.ts";

/** The descriptor that a mountpoint `/dev/fd/N` names, whatever it is open on; undefined for any other. */
export function namedDescriptor(mountpoint: string): number | undefined {
  const match = /^\/dev\/fd\/(\d{1,9})$/.exec(mountpoint);
  return match === null ? undefined : Number(match[1]);
}

/**
 * The mount of the open /dev/fuse that a mountpoint names; undefined for any other mountpoint. Where it lies is not always known: it may
 * be in another mount namespace, and older kernels don't tell. It has an id then that no mount has.
 * @throws MountError where nothing is mounted by it
 */
export function findGivenMount(mountpoint: string): LiveMount | undefined {
  const device = namedDescriptor(mountpoint);
  if (device === undefined || !isFuseDevice(device)) {
    return undefined;
  }
  if (!connectionLives(device)) {
    throw new MountError(
      "mountpoint",
      `${mountpoint} is a /dev/fuse by which nothing is mounted: mount it first (fd=N of mount(2)), or give a directory`,
    );
  }
  const connection = connectionOf(device) ?? 0;
  const entry = readMounts().find(({ minor, type }) => minor === connection && type.startsWith("fuse."));
  return { device, path: entry?.mountpoint ?? mountpoint, id: entry?.id ?? 0, connection, isServedHere: false };
}
