/** The ioctls of /dev/fuse that register files for passthrough (Linux 6.9). They answer a negative errno, and never throw. */
import { type Address, declare, lastErrno, scratch } from "./libc.ts";

const ioctl = declare<(fd: number, command: number, argument: Address) => number>(
  "int ioctl(int, unsigned long, intptr_t)",
);

/** _IOW(229, 1, struct fuse_backing_map) and _IOW(229, 2, uint32_t) of linux/fuse.h */
const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501;
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502;

/** The id, above 0, by which the connection knows the file that `fd` stands for. */
export function openBacking(device: number, fd: number): number {
  /* struct fuse_backing_map: fd i32, flags u32, padding u64 */
  scratch.signedWords.fill(0, 0, 4);
  scratch.signedWords[0] = fd;
  const result = ioctl(device, FUSE_DEV_IOC_BACKING_OPEN, scratch.address);
  return result < 0 ? -lastErrno() : result;
}

/** Gives an id back: 0. */
export function closeBacking(device: number, id: number): number {
  scratch.signedWords[0] = id;
  return ioctl(device, FUSE_DEV_IOC_BACKING_CLOSE, scratch.address) < 0 ? -lastErrno() : 0;
}
