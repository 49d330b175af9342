/** A pair of sockets, to be handed an open descriptor by another process. */
import { Errno, FsError } from "../errno.ts";
import { type Address, check, declare, putWord64, scratch } from "./libc.ts";

const socketpair = declare<(domain: number, type: number, protocol: number, pair: Address) => number>(
  "int socketpair(int, int, int, intptr_t)",
);
const recvmsg = declare<(fd: number, message: Address, flags: number) => number>("long recvmsg(int, intptr_t, int)");

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** Two sockets that are each other's other end. */
export function makeSocketPair(): readonly [number, number] {
  check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scratch.address), "socketpair");
  return [scratch.signedWords[0] as number, scratch.signedWords[1] as number];
}

/*
 * struct msghdr of 64-bit Linux, by words: name 0, its length 2, iov 4, their number 6, control 8, its length 10, flags 12.
 * Behind it lie one struct iovec (address 16, length 18), the byte for it (20), and the struct cmsghdr: length 24, level 26,
 * type 27, and the descriptor 28.
 */
const iovecAt = 16;
const byteAt = 20;
const controlAt = 24;
const controlSize = 24;
const lengthOfOne = 20;

/**
 * The descriptor that has been sent with a byte to this socket (unix(7), SCM_RIGHTS), close-on-exec.
 * @throws FsError EAGAIN where nothing has come, EPROTO where what came is no descriptor
 */
export function receiveDescriptor(socket: number): number {
  const word = (at: number): Address => scratch.address + 4 * at;
  scratch.words.fill(0, 0, controlAt + controlSize / 4);
  putWord64(4, word(iovecAt));
  putWord64(6, 1);
  putWord64(8, word(controlAt));
  putWord64(10, controlSize);
  putWord64(iovecAt, word(byteAt));
  putWord64(iovecAt + 2, 1);
  check(recvmsg(socket, scratch.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), "recvmsg");
  const [length, , level, type, descriptor] = scratch.signedWords.subarray(controlAt);
  if (length !== lengthOfOne || level !== SOL_SOCKET || type !== SCM_RIGHTS) {
    throw new FsError(Errno.EPROTO, "a message without a descriptor");
  }
  return descriptor as number;
}
