/** How a path in a layer is walked, so that it never leads out of the layer: no symlink is followed, no ".." taken. */
import { Errno, FsError } from "../errno.ts";
import { closeDescriptor, OpenFlag, openAt } from "../sys/open.ts";
import type { LayerPath } from "./layer.ts";

/** Where a walk begins. */
export interface WalkRoot {
  readonly fd: number;
  /** `confined`: no system call through `fd` follows a symlink. */
  readonly traits: { readonly confined: boolean };
}

/** Longer paths are walked in steps: the kernel takes 4095 bytes, and /proc/self/fd/N/ may stand before them. */
const longestDirectPath = 4000;

/** A symlink is ENOTDIR, whatever it leads to. */
const step = OpenFlag.path | OpenFlag.directory | OpenFlag.noFollow;

const upwards = /(?:^|\/)\.\.(?:\/|$)/;

/**
 * Calls `act` with a descriptor and the rest of the path from there: in a confined layer one that is short enough, else
 * a single name. The descriptor is closed when `act` returns.
 * @throws FsError ENAMETOOLONG; EINVAL for an absolute path and one with ".."; ELOOP or ENOTDIR where a symlink stands for a directory
 */
export function walk<T>(root: WalkRoot, path: LayerPath, act: (fd: number, path: string) => T): T {
  /* Two dots in a row are rare, and a quick search. */
  if (path.startsWith("/") || (path.includes("..") && upwards.test(path))) {
    throw new FsError(Errno.EINVAL, "a path that leads out of its layer");
  }
  const direct = root.traits.confined ? path.length <= longestDirectPath : !path.includes("/");
  return direct ? act(root.fd, path) : walkInSteps(root, path, act);
}

function walkInSteps<T>({ fd, traits }: WalkRoot, path: LayerPath, act: (fd: number, path: string) => T): T {
  if (path.includes("//")) {
    throw new FsError(Errno.EINVAL, "an empty name in a path: what is left after a step would be absolute");
  }
  let at = fd;
  let rest = path;
  try {
    for (let end = endOfStep(rest, traits.confined); end !== -1; end = endOfStep(rest, traits.confined)) {
      const next = openAt(at, rest.slice(0, end), step);
      if (at !== fd) {
        closeDescriptor(at);
      }
      at = next;
      rest = rest.slice(end + 1);
    }
    return act(at, rest);
  } finally {
    if (at !== fd) {
      closeDescriptor(at);
    }
  }
}

/** Where the directories of the next step end; -1 where what is left needs none. */
function endOfStep(path: string, confined: boolean): number {
  if (!confined) {
    return path.indexOf("/");
  }
  if (path.length <= longestDirectPath) {
    return -1;
  }
  const end = path.lastIndexOf("/", longestDirectPath);
  if (end < 1) {
    throw new FsError(Errno.ENAMETOOLONG, "a name of more than 4000 bytes");
  }
  return end;
}
