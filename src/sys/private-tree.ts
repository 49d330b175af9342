/**
 * Directories opened as roots of trees that no later mount reaches: each through a clone of its mount, as the kernel's
 * overlayfs does. Paths are latin1 bytes and go to the kernel as they are given: `l/X/../diff1` means what open(2) says.
 */
import { Errno, FsError, isErrno } from "../errno.ts";
import { cloneMount, forbidSymlinks, mountIdOf, secludeClone } from "./mount.ts";
import { readLink } from "./names.ts";
import { closeDescriptor, descriptorPath, OpenFlag, openAt, openBelow, ResolveFlag, workingDirectory } from "./open.ts";
import { statAt } from "./stat.ts";

export interface TreeRoot {
  readonly fd: number;
  /** The tree shows no mount beneath it, and none that is made later. */
  readonly isolated: boolean;
  /** The kernel keeps every write and every change of atime from it. */
  readonly sealed: boolean;
  /** The kernel follows no symlink on any path below it. */
  readonly confined: boolean;
}

const readDirectory = OpenFlag.readOnly | OpenFlag.directory;

/** Where clones can't be had: no CAP_SYS_ADMIN, mounts locked by a user namespace, a kernel before 5.2. */
const refusals = [Errno.EPERM, Errno.EINVAL, Errno.ENOSYS];

function requireBytes(path: string): void {
  if (/[^\0-\xff]/.test(path)) {
    throw new FsError(Errno.EILSEQ, "a path that is not bytes");
  }
}

/** What `act` returns; undefined where it is refused. */
function ifAllowed<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (isErrno(error, ...refusals)) {
      return undefined;
    }
    throw error;
  }
}

const tryClone = (path: string) => ifAllowed(() => cloneMount(path));

const succeeds = (act: () => void) => ifAllowed(() => act() ?? true) ?? false;

/** What `open` returns, with `fd` closed thereafter. */
function closing<T>(fd: number, open: (fd: number) => T): T {
  try {
    return open(fd);
  } finally {
    closeDescriptor(fd);
  }
}

/**
 * The directory `path` for reading only: a read-only, noatime clone where that can be had.
 * @throws FsError ENOENT, ENOTDIR, EACCES
 */
export function openReadOnlyTree(path: string): TreeRoot {
  requireBytes(path);
  const clone = tryClone(path);
  if (clone === undefined) {
    return { fd: openAt(workingDirectory, path, readDirectory), isolated: false, sealed: false, confined: false };
  }
  let keep = false;
  try {
    const confined = succeeds(() => forbidSymlinks(clone));
    if (succeeds(() => secludeClone(clone, true))) {
      /* Only a directory has a name "."; the descriptor of the clone itself is cheaper to keep than to close. */
      statAt(clone, ".");
      keep = true;
      return { fd: clone, isolated: true, sealed: true, confined };
    }
    /* Closing the clone's own descriptor takes it out of the peer group of the mount that it was made of. */
    return { fd: openAt(clone, ".", readDirectory), isolated: true, sealed: false, confined };
  } finally {
    if (!keep) {
      closeDescriptor(clone);
    }
  }
}

/** The deepest directory that holds both (absolute, resolved) paths or is one of them. */
export function commonAncestor(first: string, second: string): string {
  const a = first.split("/");
  const b = second.split("/");
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) {
    length += 1;
  }
  return a.slice(0, length).join("/") || "/";
}

/** Opens below a clone of `ancestor` the directory that `fd` stands for. */
function openInClone(clone: number, ancestor: string, path: string, fd: number): number {
  const below = path.slice(ancestor.length).replace(/^\//, "") || ".";
  const resolve = ResolveFlag.noXdev | ResolveFlag.noSymlinks | ResolveFlag.noMagicLinks;
  const opened = openBelow(clone, below, readDirectory, resolve);
  const found = statAt(opened, "");
  const wanted = statAt(fd, "");
  if (found.dev !== wanted.dev || found.ino !== wanted.ino) {
    closeDescriptor(opened);
    throw new FsError(Errno.ESTALE, "a directory was moved or mounted over while it was opened");
  }
  return opened;
}

function openPair(first: number, second: number): { readonly first: TreeRoot; readonly second: TreeRoot } {
  if (mountIdOf(first) !== mountIdOf(second)) {
    throw new FsError(Errno.EXDEV, "upperdir and workdir must lie on the same mount");
  }
  const firstPath = readLink(workingDirectory, descriptorPath(first)).toString("latin1");
  const secondPath = readLink(workingDirectory, descriptorPath(second)).toString("latin1");
  const ancestor = commonAncestor(firstPath, secondPath);
  const clone = tryClone(ancestor);
  if (clone === undefined) {
    const plain = (fd: number): TreeRoot => ({
      fd: openAt(fd, ".", readDirectory),
      isolated: false,
      sealed: false,
      confined: false,
    });
    return { first: plain(first), second: plain(second) };
  }
  return closing(clone, () => {
    succeeds(() => secludeClone(clone, false));
    const confined = succeeds(() => forbidSymlinks(clone));
    const root = (fd: number): TreeRoot => ({ fd, isolated: true, sealed: false, confined });
    const firstInClone = openInClone(clone, ancestor, firstPath, first);
    try {
      return { first: root(firstInClone), second: root(openInClone(clone, ancestor, secondPath, second)) };
    } catch (error) {
      closeDescriptor(firstInClone);
      throw error;
    }
  });
}

/**
 * Two directories of one mount, between which names can be moved: rename(2) and link(2) refuse to go from one clone to
 * another, so both come from a single clone of their nearest common ancestor. Their descriptors can be read (for syncfs).
 * @throws FsError EXDEV if they lie on different mounts, ENOENT, ENOTDIR, EACCES
 */
export function openWritablePair(
  first: string,
  second: string,
): { readonly first: TreeRoot; readonly second: TreeRoot } {
  requireBytes(first);
  requireBytes(second);
  const flags = OpenFlag.path | OpenFlag.directory;
  return closing(openAt(workingDirectory, first, flags), (firstFd) =>
    closing(openAt(workingDirectory, second, flags), (secondFd) => openPair(firstFd, secondFd)),
  );
}
