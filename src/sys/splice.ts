/** splice(2), with which data go from one file to another without passing through this process. */
import { type Address, declare, lastErrno, putWord64, scratch } from "./libc.ts";

const spliceCall = declare<
  (from: number, fromOffset: Address, to: number, toOffset: Address, length: number, flags: number) => number
>("long splice(int, intptr_t, int, intptr_t, size_t, unsigned int)");

/** A pipe without room is an error, not to be waited for. */
const SPLICE_F_NONBLOCK = 2;
const nowhere = 0;

/** From a file into a pipe: bytes moved, fewer where the file ends or the pipe is full, or a negative errno if none were. */
export function fillPipe(pipe: number, fd: number, offset: number, length: number): number {
  let done = 0;
  while (done < length) {
    putWord64(0, offset + done);
    const moved = spliceCall(fd, scratch.address, pipe, nowhere, length - done, SPLICE_F_NONBLOCK);
    if (moved <= 0) {
      return done > 0 || moved === 0 ? done : -lastErrno();
    }
    done += moved;
  }
  return done;
}

/** All that a pipe holds, so many bytes, to a device that takes it as one message: bytes moved, or a negative errno. */
export function emptyPipe(pipe: number, device: number, length: number): number {
  const moved = spliceCall(pipe, nowhere, device, nowhere, length, 0);
  return moved < 0 ? -lastErrno() : moved;
}
