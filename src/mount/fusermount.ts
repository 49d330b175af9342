/**
 * Mounting and unmounting by fusermount3, the program of libfuse that does both for users without privileges. It opens
 * /dev/fuse, mounts, and sends the descriptor through the socket that _FUSE_COMMFD names.
 */
import { Errno, FsError, isErrno } from "../errno.ts";
import { UnmountFlag } from "../sys/mount.ts";
import { closeDescriptor } from "../sys/open.ts";
import { type Ended, runProgram } from "../sys/programs.ts";
import { makeSocketPair, receiveDescriptor } from "../sys/socket.ts";
import type { FoundDirectory } from "./directories.ts";
import { kernelFlags, MountFlag } from "./kernel-flags.ts";
import { MountError } from "./mount-error.ts";
import { readMounts, topMountAt } from "./mountinfo.ts";
import type { MountOptions } from "./options.ts";

const program = "fusermount3";

/**
 * Mounts at the mountpoint; nobody serves the mount yet.
 * @returns the open /dev/fuse
 * @throws MountError with what fusermount3 says where it refuses; nothing is mounted then
 */
export function mountByFusermount(at: FoundDirectory, options: MountOptions, readOnly: boolean): number {
  if (options.propagation !== 0) {
    throw new MountError(
      "permission",
      `${program} sets no propagation: leave out private, shared, slave and unbindable`,
    );
  }
  const [ours, theirs] = makeSocketPair();
  try {
    const args = ["-o", fusermountOptions(options, readOnly), "--", at.path ?? at.given];
    const ended = runProgram(program, args, { variables: { _FUSE_COMMFD: "3" }, fd: theirs });
    if (ended.kind !== "done") {
      throw new MountError("permission", refusal(at, ended));
    }
    return receiveDescriptor(ours);
  } catch (error) {
    if (isErrno(error, Errno.EILSEQ)) {
      throw new MountError(
        "mountpoint",
        `mountpoint ${at.given} is not UTF-8, as ${program} needs it: mount elsewhere`,
      );
    }
    throw error;
  } finally {
    closeDescriptor(ours);
    closeDescriptor(theirs);
  }
}

function refusal(at: FoundDirectory, ended: Ended): string {
  if (ended.kind !== "failed") {
    return `${program} is not installed: install it (Debian has it in fuse3), or mount as root or in a user namespace (unshare -Urm)`;
  }
  const said = ended.said.replace(`${program}: `, "");
  return `${program} does not mount at ${at.given} (${said}): correct that, or mount as root or in a user namespace (unshare -Urm)`;
}

/** What fusermount3 sets for everyone but root, or what holds without a word, so that it need not know it. */
const implied: ReadonlySet<string> = new Set(["nosuid", "nodev", "relatime"]);

/** Flags by their words, of which fusermount3 knows those of its version. */
function fusermountOptions(options: MountOptions, readOnly: boolean): string {
  const flags = readOnly ? options.flags | MountFlag.readOnly : options.flags;
  const words = [...kernelFlags].flatMap(([word, { set }]) =>
    set !== 0 && (flags & set) === set && !implied.has(word) ? [word] : [],
  );
  return [
    "default_permissions",
    `fsname=${escaped(options.source)}`,
    `subtype=${escaped(options.subtype)}`,
    ...(options.allowOther === true ? ["allow_other"] : []),
    ...(options.maxRead === undefined ? [] : [`max_read=${options.maxRead}`]),
    ...words,
  ].join(",");
}

function escaped(value: string): string {
  return value.replace(/[\\,]/g, "\\$&");
}

/**
 * Unmounts what lies uppermost at `path`, which must be a FUSE mount of this user.
 * @param flags as umount2(2) has them; all but UnmountFlag.detach hold anyway
 * @throws FsError EBUSY; EINVAL where nothing is mounted there (any more); EPERM
 */
export function unmountByFusermount(path: string, flags: number): void {
  const lazily = (flags & UnmountFlag.detach) !== 0 ? ["-z"] : [];
  const ended = runProgram(program, ["-u", ...lazily, "--", path]);
  if (ended.kind === "done") {
    return;
  }
  const said = ended.kind === "failed" ? ended.said : `${program} is not installed`;
  if (said.includes("busy")) {
    throw new FsError(Errno.EBUSY, said);
  }
  throw new FsError(topMountAt(readMounts(), path) === undefined ? Errno.EINVAL : Errno.EPERM, said);
}
