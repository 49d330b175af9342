/**
 * The ioctls of file flags (lsattr, chattr, project ids): passed to the object in its layer, but for the flags of
 * `protection.ts`. Numbers from linux/fs.h; the transport carries them as the caller gave them.
 */
import { FileType } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import { FlagsCommand, ioctlOn } from "./copied-flags.ts";
import { copyUp } from "./copy-up.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";
import { Protection, protection, setProtection } from "./protection.ts";

interface FlagCommand {
  readonly changes: boolean;
  /** Bytes of the argument; the flags commands are declared with a long but carry an int. */
  readonly size: number;
  /** What it calls the flags of `Protection`, in the first word. */
  readonly protection: { readonly immutable: number; readonly append: number };
}

/** FS_IMMUTABLE_FL and FS_APPEND_FL; FS_XFLAG_IMMUTABLE and FS_XFLAG_APPEND. */
const flag = { immutable: 0x10, append: 0x20 } as const;
const extendedFlag = { immutable: 0x08, append: 0x10 } as const;

const commands: ReadonlyMap<number, FlagCommand> = new Map([
  [FlagsCommand.get, { changes: false, size: 4, protection: flag }], // FS_IOC_GETFLAGS
  [FlagsCommand.set, { changes: true, size: 4, protection: flag }], // FS_IOC_SETFLAGS
  [0x80046601, { changes: false, size: 4, protection: flag }], // FS_IOC32_GETFLAGS
  [0x40046602, { changes: true, size: 4, protection: flag }], // FS_IOC32_SETFLAGS
  [0x801c581f, { changes: false, size: 28, protection: extendedFlag }], // FS_IOC_FSGETXATTR
  [0x401c5820, { changes: true, size: 28, protection: extendedFlag }], // FS_IOC_FSSETXATTR
]);

/**
 * @returns what the caller's buffer is to hold; empty for the commands that change flags
 * @throws ENOTTY for other commands, and for objects that can't be opened for their flags
 */
export function fileFlagsIoctl(overlay: Overlay, node: Node, command: number, input: Buffer): Buffer {
  const known = commands.get(command);
  if (known === undefined || (node.type !== FileType.regular && node.type !== FileType.directory)) {
    throw new FsError(Errno.ENOTTY, `ioctl ${command.toString(16)}`);
  }
  if (known.changes && input.length < known.size) {
    throw new FsError(Errno.EINVAL, "ioctl: argument too short");
  }
  if (known.changes) {
    copyUp(overlay, node);
  }
  const argument = Buffer.alloc(Math.max(known.size, 8));
  input.copy(argument);
  const { immutable, append } = known.protection;
  const first = argument.readUInt32LE(0);
  if (known.changes) {
    argument.writeUInt32LE((first & ~(immutable | append)) >>> 0, 0);
    ioctlOn(overlay.place(node), node.type, command, argument);
    const bits = (first & immutable ? Protection.immutable : 0) | (first & append ? Protection.append : 0);
    setProtection(overlay, node, bits);
    overlay.notifier.attributesChanged(node.id); // ctime
    return Buffer.alloc(0);
  }
  ioctlOn(overlay.place(node), node.type, command, argument);
  const bits = protection(overlay, node);
  const shown = (bits & Protection.immutable ? immutable : 0) | (bits & Protection.append ? append : 0);
  argument.writeUInt32LE((argument.readUInt32LE(0) | shown) >>> 0, 0);
  return argument.subarray(0, known.size);
}
