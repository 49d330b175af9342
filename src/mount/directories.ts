/**
 * The directories that the user named: whether they are there, whether they go together, and whether someone else
 * has them. Every objection is a MountError with the sentence for the user.
 */
import { Errno, errnoName, FsError, isErrno } from "../errno.ts";
import { tryLock } from "../sys/file-data.ts";
import { mountIdOf } from "../sys/mount.ts";
import { readLink } from "../sys/names.ts";
import { closeDescriptor, descriptorPath, OpenFlag, openAt, workingDirectory } from "../sys/open.ts";
import { statAt } from "../sys/stat.ts";
import { MountError, type MountErrorKind } from "./mount-error.ts";
import { type MountEntry, overlayDirectory } from "./mountinfo.ts";

/** Milliseconds for which a writer asks again. */
export const lockPatience = 3_000;

/** A directory as it was found. */
export interface FoundDirectory {
  /** As the user gave it. */
  readonly given: string;
  /** `lowerdir`, `upperdir`, `workdir` or `mountpoint`, for sentences. */
  readonly role: string;
  /** Absolute, without symlinks; undefined where it is longer than PATH_MAX. */
  readonly path: string | undefined;
  readonly dev: number;
  readonly ino: number;
  readonly mountId: number;
}

/** @throws MountError where `given` is no directory that can be used */
export function findDirectory(role: string, given: string): FoundDirectory {
  let fd: number | undefined;
  try {
    fd = openAt(workingDirectory, given, OpenFlag.path | OpenFlag.directory);
    const { dev, ino } = statAt(fd, "");
    return { given, role, path: pathOf(fd), dev, ino, mountId: mountIdOf(fd) };
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    const kind = role === "mountpoint" ? "mountpoint" : "layer";
    throw new MountError(kind, openSentence(role, given, error.code), { cause: error });
  } finally {
    if (fd !== undefined) {
      closeDescriptor(fd);
    }
  }
}

/** Undefined where it is too long for the kernel to tell. */
function pathOf(fd: number): string | undefined {
  try {
    return readLink(workingDirectory, descriptorPath(fd)).toString("latin1");
  } catch (error) {
    if (isErrno(error, Errno.ENAMETOOLONG)) {
      return undefined;
    }
    throw error;
  }
}

function openSentence(role: string, given: string, code: number): string {
  switch (code) {
    case Errno.ENOENT:
      return `${role} ${given} does not exist: create the directory, or correct the path`;
    case Errno.ENOTDIR:
      return `${role} ${given} is not a directory: give a directory`;
    case Errno.EACCES:
      return `${role} ${given} is out of reach: a directory on its path may not be searched by this user`;
    case Errno.ELOOP:
      return `${role} ${given} leads in a circle of symbolic links: correct them`;
    case Errno.ENAMETOOLONG:
      return `${role} ${given.slice(0, 60)}... is too long a path: give a shorter or a relative one`;
    case Errno.ENOTCONN:
      return `${role} ${given} lies on a FUSE mount whose daemon is gone: unmount that one first (umount -l)`;
    default:
      return `${role} ${given} can't be opened (${errnoName(code)})`;
  }
}

/** @throws MountError where layers contradict each other */
export function checkTogether(
  lowers: readonly FoundDirectory[],
  upper: FoundDirectory | undefined,
  work: FoundDirectory | undefined,
): void {
  if (upper === undefined || work === undefined) {
    return;
  }
  if (same(upper, work)) {
    throw layerError(
      `upperdir and workdir are the same directory ${upper.given}: give workdir one of its own beside it`,
    );
  }
  if (work.mountId !== upper.mountId || work.dev !== upper.dev) {
    throw layerError(
      `workdir ${work.given} is not on the same mounted file system as upperdir ${upper.given}: put it beside the upperdir`,
    );
  }
  if (isInside(work, upper)) {
    throw layerError(`workdir ${work.given} lies inside upperdir ${upper.given}: put it beside the upperdir`);
  }
  if (isInside(upper, work)) {
    throw layerError(`upperdir ${upper.given} lies inside workdir ${work.given}: put it beside the workdir`);
  }
  for (const lower of lowers) {
    for (const writable of [upper, work]) {
      if (same(lower, writable)) {
        throw layerError(
          `${writable.role} ${writable.given} is also given as a lowerdir: lower layers must not change, so use another directory`,
        );
      }
      if (isInside(lower, writable)) {
        throw layerError(
          `lowerdir ${lower.given} lies inside ${writable.role} ${writable.given}: lower layers must not change, so move it out`,
        );
      }
    }
  }
}

function layerError(sentence: string): MountError {
  return new MountError("layer", sentence);
}

function same(a: FoundDirectory, b: FoundDirectory): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** Within one mount paths are unambiguous; across mounts nothing is claimed. */
function isInside(inner: FoundDirectory, outer: FoundDirectory): boolean {
  if (inner.path === undefined || outer.path === undefined || inner.mountId !== outer.mountId) {
    return false;
  }
  return inner.path.startsWith(outer.path === "/" ? "/" : `${outer.path}/`);
}

/**
 * Refuses a mountpoint beneath a layer that could not be had as a private clone of its mount: each look into that
 * place would come back to the daemon and wait for itself.
 */
export function checkOutside(mountpoint: FoundDirectory, layer: FoundDirectory): void {
  if (same(mountpoint, layer) || isInside(mountpoint, layer)) {
    throw new MountError(
      "mountpoint",
      `mountpoint ${mountpoint.given} lies inside ${layer.role} ${layer.given}, which this kernel does not let veneer open apart from it: mount somewhere else`,
    );
  }
}

/** Refuses a directory that a mount of the kernel's overlayfs, seen by this process, writes to. */
export function checkKernelOverlays(directory: FoundDirectory, mounts: readonly MountEntry[]): void {
  for (const mount of mounts) {
    for (const name of ["upperdir", "workdir"] as const) {
      const used = overlayDirectory(mount, name);
      if (used?.startsWith("/") && isAt(directory, used)) {
        throw inUse(directory, `the overlayfs mount at ${mount.mountpoint}`);
      }
    }
  }
}

function isAt(directory: FoundDirectory, path: string): boolean {
  let fd: number;
  try {
    fd = openAt(workingDirectory, path, OpenFlag.path | OpenFlag.directory);
  } catch (error) {
    // The mount may stem from another root or name what was moved since: then it isn't there.
    if (error instanceof FsError) {
      return false;
    }
    throw error;
  }
  try {
    const { dev, ino } = statAt(fd, "");
    return dev === directory.dev && ino === directory.ino;
  } finally {
    closeDescriptor(fd);
  }
}

/**
 * Takes the upper and work directory for this mount, both or neither; the kernel lets them go when the process ends, however
 * it ends. A daemon whose mount has just been taken away lets go a little later, so a taken directory is asked for again.
 * @param opened each as opened for good: a lock through it does not keep the mount beneath busy
 * @param patience milliseconds
 * @throws MountError where another mount has one
 */
export function lockDirectories(
  opened: readonly (readonly [directory: FoundDirectory, layer: number])[],
  patience: number,
): void {
  const locks: number[] = [];
  try {
    for (const [directory, layer] of opened) {
      const fd = openToLock(directory, layer);
      locks.push(fd);
      lockWithin(patience, directory, fd);
    }
  } catch (error) {
    for (const fd of locks) {
      closeDescriptor(fd);
    }
    throw error;
  }
}

function openToLock(directory: FoundDirectory, layer: number): number {
  try {
    return openAt(layer, ".", OpenFlag.readOnly | OpenFlag.directory);
  } catch (error) {
    if (isErrno(error, Errno.EACCES, Errno.EPERM)) {
      throw new MountError("permission", `${directory.role} ${directory.given} may not be read by this user`, {
        cause: error,
      });
    }
    throw error;
  }
}

function lockWithin(patience: number, directory: FoundDirectory, fd: number): void {
  const deadline = Date.now() + patience;
  while (!tryLock(fd)) {
    if (Date.now() > deadline) {
      throw inUse(directory, "another veneer mount");
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

function inUse(directory: FoundDirectory, by: string): MountError {
  const kind: MountErrorKind = "in-use";
  return new MountError(
    kind,
    `${directory.role} ${directory.given} is in use by ${by}: unmount that one first, or give another directory`,
  );
}
