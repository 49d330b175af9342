/**
 * The ioctls of file flags (lsattr, chattr, project ids): passed to the object in its layer.
 * Numbers from linux/fs.h; the transport carries them as the caller gave them.
 */
import { FileType } from "../contract/ids.ts";
import { Errno, FsError } from "../errno.ts";
import type { LayerFile, Place } from "../layer/layer.ts";
import { copyUp } from "./copy-up.ts";
import type { Node } from "./node.ts";
import type { Overlay } from "./overlay.ts";

interface FlagCommand {
  readonly changes: boolean;
  /** Bytes of the argument; the flags commands are declared with a long but carry an int. */
  readonly size: number;
}

const commands: ReadonlyMap<number, FlagCommand> = new Map([
  [0x80086601, { changes: false, size: 4 }], // FS_IOC_GETFLAGS
  [0x40086602, { changes: true, size: 4 }], // FS_IOC_SETFLAGS
  [0x80046601, { changes: false, size: 4 }], // FS_IOC32_GETFLAGS
  [0x40046602, { changes: true, size: 4 }], // FS_IOC32_SETFLAGS
  [0x801c581f, { changes: false, size: 28 }], // FS_IOC_FSGETXATTR
  [0x401c5820, { changes: true, size: 28 }], // FS_IOC_FSSETXATTR
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
  const file = open(overlay.place(node), node);
  try {
    file.ioctl(command, argument);
  } finally {
    file.close();
  }
  return known.changes ? Buffer.alloc(0) : argument.subarray(0, known.size);
}

function open({ layer, path }: Place, node: Node): LayerFile {
  return node.type === FileType.directory ? layer.openDirectory(path) : layer.openFile(path, false);
}
