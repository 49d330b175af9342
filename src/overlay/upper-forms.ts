/**
 * Finds out, once a mount, in which form the upper's file system can hold whiteouts and opaque directories.
 * The first that works is taken: the kernel's own, its form without device nodes, files as container engines have them.
 */
import { RenameFlag } from "../contract/filesystem.ts";
import { Errno, FsError, isErrno } from "../errno.ts";
import type { WritableLayer } from "../layer/layer.ts";
import { isMarked, isWhiteout, type MarkNames, yes } from "../layer/marks.ts";
import type { Logger } from "../log.ts";
import { type Opaque, OpaqueByFile, OpaqueByFiles, OpaqueByXattr } from "./opaque.ts";
import type { Whiteouts } from "./whiteouts.ts";
import { WhiteoutsBeside } from "./whiteouts-beside.ts";
import { WhiteoutsInPlace } from "./whiteouts-in-place.ts";
import type { WorkDir } from "./work-dir.ts";

export interface UpperForms {
  readonly whiteouts: Whiteouts;
  readonly opaque: Opaque;
}

/** The errnos that say that a file system does not do such a thing at all. */
const cannot = [Errno.EPERM, Errno.EOPNOTSUPP, Errno.ENOSYS, Errno.EINVAL];

/**
 * Tries what every deletion relies on, so that a file system without it is refused now and not at the first one. Warns where a form
 * is not the kernel's own.
 * @throws what the file system answers when it can't exchange names
 */
export function chooseForms(upper: WritableLayer, work: WorkDir, marks: MarkNames, log: Logger): UpperForms {
  try {
    return tryForms(upper, work, marks, log);
  } catch (error) {
    work.discard(work.stagingPath);
    throw error;
  }
}

function tryForms(upper: WritableLayer, work: WorkDir, marks: MarkNames, log: Logger): UpperForms {
  requireRenames(work);
  const hasXattrs = holdsMarks(work, marks);
  const opaque = hasXattrs ? new OpaqueByXattr(marks) : new OpaqueByFile(upper);
  if (!hasXattrs) {
    requireMarkFiles(work, opaque);
  }
  const device = new WhiteoutsInPlace(upper, work, marks, "device");
  if (works(work, device)) {
    if (!hasXattrs) {
      log.warn({}, `the upper's file system has no xattrs for marks: ${byFile}`);
    }
    return { whiteouts: device, opaque };
  }
  if (hasXattrs) {
    log.warn({}, "the upper's file system takes no whiteout devices: whiteouts are empty files with an xattr");
    return { whiteouts: new WhiteoutsInPlace(upper, work, marks, "xattr"), opaque };
  }
  log.warn(
    {},
    `the upper's file system takes neither whiteout devices nor xattrs: whiteouts are files .wh.NAME; ${byFile}`,
  );
  return { whiteouts: new WhiteoutsBeside(upper, work), opaque: new OpaqueByFiles(upper) };
}

const byFile = "opaque directories have a file .wh..wh..opq";

function requireRenames(work: WorkDir): void {
  require("the upper's file system can't exchange names", () => {
    using file = work.stage();
    using directory = work.stage();
    work.layer.createFile(file.path, 0o600).close();
    work.layer.makeDirectory(directory.path, 0o700);
    work.layer.rename(file.path, work.layer, directory.path, RenameFlag.exchange);
  });
}

/** Where the upper lies in an overlay that keeps its own marks as such files, there is no place for ours. */
function requireMarkFiles(work: WorkDir, opaque: Opaque): void {
  require("the upper's file system keeps neither xattrs nor files named .wh.NAME for marks", () => {
    using directory = work.stage();
    work.layer.makeDirectory(directory.path, 0o700);
    opaque.set(directory);
  });
}

function require(what: string, attempt: () => void): void {
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof FsError)) {
      throw error;
    }
    throw new FsError(error.code, `${what} (choose another for upper and work)`, { cause: error });
  }
}

/** Whether files and directories take xattrs with the names of marks. */
function holdsMarks(work: WorkDir, marks: MarkNames): boolean {
  using file = work.stage();
  using directory = work.stage();
  work.layer.createFile(file.path, 0o600).close();
  work.layer.makeDirectory(directory.path, 0o700);
  return can(() => {
    work.layer.setXattr(file.path, marks.whiteout, yes, 0);
    work.layer.setXattr(directory.path, marks.opaque, yes, 0);
    return isMarked(work.layer, file.path, marks.whiteout) && isMarked(work.layer, directory.path, marks.opaque);
  });
}

/** Whether whiteout devices can be made and are what they should be then. */
function works(work: WorkDir, whiteouts: WhiteoutsInPlace): boolean {
  return can(() => {
    using staged = whiteouts.stage();
    whiteouts.discardShared();
    return isWhiteout(work.layer.stat(staged.path));
  });
}

function can(attempt: () => boolean): boolean {
  try {
    return attempt();
  } catch (error) {
    if (!isErrno(error, ...cannot)) {
      throw error;
    }
    return false;
  }
}
