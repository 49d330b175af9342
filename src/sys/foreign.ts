/** Memory and functions of native code that is not ours, and waiting for descriptors beside a loop that turns. */
import { type Address, callable, declare, declareAside, loadLibrary } from "./libc.ts";

const memcpy = declare<(to: Address, from: Buffer, length: number) => unknown>("void* memcpy(intptr_t, void*, size_t)");
const strlen = declare<(text: Address) => number>("size_t strlen(intptr_t)");
const memcpyFrom = declare<(to: Buffer, from: Address, length: number) => unknown>(
  "void* memcpy(void*, intptr_t, size_t)",
);
const pollAside = declareAside<[fds: Buffer, count: number, timeout: number]>("int poll(void*, unsigned long, int)");

/** POLLIN of poll(2); errors and the end need no asking for. */
export const Awaited = { input: 1, end: 0 } as const;

/**
 * Calls `then` when a descriptor has input, or has come to an error or its end; from the loop of this thread, which must turn.
 * @param awaited one of Awaited
 */
export function whenReady(fd: number, awaited: number, then: () => void): void {
  /* struct pollfd: fd i32, events i16, revents i16 */
  const waiting = Buffer.alloc(8);
  waiting.writeInt32LE(fd, 0);
  waiting.writeInt16LE(awaited, 4);
  // A signal may end the wait early: revents is what counts.
  pollAside(waiting, 1, -1, () => (waiting.readInt16LE(6) === 0 ? whenReady(fd, awaited, then) : then()));
}

/** Loads a shared library for those that need it by its name. @throws Error with the loader's words */
export function provideLibrary(path: string): void {
  loadLibrary(path);
}

/** Writes to memory that is not ours: the caller answers for address and length. */
export function copyTo(address: Address, bytes: Buffer): void {
  memcpy(address, bytes, bytes.length);
}

/** The string that ends with a NUL in memory that is not ours, as latin1 bytes: the caller answers for the address. */
export function stringAt(address: Address): string {
  const bytes = Buffer.alloc(strlen(address));
  memcpyFrom(bytes, address, bytes.length);
  return bytes.toString("latin1");
}

/** fuse_fill_dir_t of libfuse 2: 0, or 1 where there is no room. */
export const callFiller: (filler: Address, into: Address, name: Buffer, stat: Buffer, offset: number) => number =
  callable("int fuse_fill_dir_t(intptr_t, void*, void*, int64_t)");
