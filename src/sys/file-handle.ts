/** File handles, which name an object of a file system whatever its path is, and the UUIDs of file systems. */
import { Errno, FsError, isErrno } from "../errno.ts";
import { type Address, check, declare, lastErrno, pathAddress, scratch } from "./libc.ts";
import { closeDescriptor, OpenFlag } from "./open.ts";
import { Capability, hasInitialCapability } from "./process.ts";
import { type FileStat, statAt } from "./stat.ts";

const nameToHandleAt = declare<
  (dirfd: number, path: Address, handle: Address, mount: Address, flags: number) => number
>("int name_to_handle_at(int, intptr_t, intptr_t, intptr_t, int)");
const openByHandleAt = declare<(mount: number, handle: Address, flags: number) => number>(
  "int open_by_handle_at(int, intptr_t, int)",
);
const ioctlAddress = declare<(fd: number, command: number, into: Address) => number>(
  "int ioctl(int, unsigned long, intptr_t)",
);

const AT_EMPTY_PATH = 0x1000;
const O_CLOEXEC = 0o2000000;
/** MAX_HANDLE_SZ: the most bytes a handle may have. */
const handleMax = 128;
/** struct file_handle: bytes u32, type i32, then the handle. */
const handleAt = 8;
/** _IOR(0x15, 0, struct { u8 length; u8 uuid[16]; }) of linux/fs.h, Linux 6.9 */
const FS_IOC_GETFSUUID = 0x80111500;
/** _IOR(0x94, 31, struct btrfs_ioctl_fs_info_args) of linux/btrfs.h: 1024 bytes, the UUID behind two u64. */
const BTRFS_IOC_FS_INFO = 0x8400941f;
const btrfsInfoSize = 1024;
const btrfsUuidOffset = 16;
const uuidSize = 16;

export interface FileHandle {
  readonly type: number;
  readonly bytes: Buffer;
}

/** What can't be opened by its handle is as good as without one; Linux overlayfs asks for the same (`ovl_can_decode_fh`). */
let mayOpenHandles: boolean | undefined;

/** name_to_handle_at(2); undefined where the file system has no handles, or they may not be opened. A final symlink is not followed. */
export function fileHandleAt(dirfd: number, path: string): FileHandle | undefined {
  mayOpenHandles ??= hasInitialCapability(Capability.dacReadSearch);
  if (!mayOpenHandles) {
    return undefined;
  }
  scratch.words[0] = handleMax;
  const mountId = scratch.address + handleAt + handleMax;
  if (nameToHandleAt(dirfd, pathAddress(path), scratch.address, mountId, AT_EMPTY_PATH) < 0) {
    const code = lastErrno();
    if (code === Errno.EOPNOTSUPP || code === Errno.EOVERFLOW || code === Errno.ENOSYS) {
      return undefined;
    }
    throw new FsError(code, "name_to_handle_at");
  }
  const bytes = Buffer.allocUnsafe(scratch.words[0] as number);
  scratch.bytes.copy(bytes, 0, handleAt);
  return { type: scratch.signedWords[1] as number, bytes };
}

/**
 * What a handle stands for; undefined where it is stale, no handle of this file system, or may not be opened (that
 * takes CAP_DAC_READ_SEARCH).
 * @param mountFd any object of the file system; may not be O_PATH
 */
export function statByHandle(mountFd: number, handle: FileHandle): FileStat | undefined {
  if (handle.bytes.length > handleMax) {
    return undefined;
  }
  scratch.words[0] = handle.bytes.length;
  scratch.signedWords[1] = handle.type;
  handle.bytes.copy(scratch.bytes, handleAt);
  const fd = openByHandleAt(mountFd, scratch.address, OpenFlag.path | OpenFlag.noFollow | O_CLOEXEC);
  if (fd < 0) {
    const code = lastErrno();
    if (code === Errno.ESTALE || code === Errno.EPERM || code === Errno.EINVAL || code === Errno.ENOSYS) {
      return undefined;
    }
    throw new FsError(code, "open_by_handle_at");
  }
  try {
    return statAt(fd, "");
  } finally {
    closeDescriptor(fd);
  }
}

/**
 * The 16 bytes of the UUID of the file system that holds `fd` (not O_PATH); null where it can't be asked for, or is all
 * zero, which tells nothing. btrfs has one, which Linux overlayfs knows, but does not tell it as others do.
 */
export function fileSystemUuid(fd: number): Buffer | null {
  const length = ask(fd, FS_IOC_GETFSUUID) ? (scratch.bytes[0] as number) : 0;
  if (length !== 0) {
    return knownUuid(1, length);
  }
  scratch.bytes.fill(0, 0, btrfsInfoSize);
  return ask(fd, BTRFS_IOC_FS_INFO) ? knownUuid(btrfsUuidOffset, uuidSize) : null;
}

/** An ioctl that fills `scratch`. @returns whether the file system knows it */
function ask(fd: number, request: number): boolean {
  try {
    check(ioctlAddress(fd, request, scratch.address), "ioctl for the UUID of a file system");
    return true;
  } catch (error) {
    if (isErrno(error, Errno.ENOTTY, Errno.EOPNOTSUPP, Errno.EINVAL, Errno.ENOSYS)) {
      return false;
    }
    throw error;
  }
}

function knownUuid(offset: number, length: number): Buffer | null {
  const uuid = scratch.bytes.subarray(offset, offset + uuidSize);
  return length === uuidSize && uuid.some((byte) => byte !== 0) ? Buffer.from(uuid) : null;
}
