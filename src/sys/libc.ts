/**
 * The C library by koffi, the memory that calls hand their strings and structures in, and the one way in which
 * a failed call becomes an FsError. Only src/sys may import this file.
 *
 * Each thread loads a copy of its own, so nothing here is shared between threads but the process itself.
 */
import { endianness } from "node:os";
import { Errno, FsError } from "../errno.ts";
import { writeLatin1 } from "../latin1.ts";
import { loadKoffi } from "./koffi.ts";

/** An address in this process, as a number (user space ends far below 2^53). */
export type Address = number;

const koffi = loadKoffi();
const library = koffi.load("libc.so.6");
/** Node itself, with the libuv that it has. */
export const program = koffi.load(null);

/**
 * A function of the C library by its C prototype. Pointers into `scratch` are declared as intptr_t, which is
 * cheaper than a Buffer for each call; memory of others is declared as void* and passed as a Buffer.
 * The Linux ABIs of x86_64 and aarch64 pass variadic arguments as others, so variadic functions are declared plainly.
 */
export function declare<Signature extends (...args: never[]) => unknown>(prototype: string, from = library): Signature {
  return from.func(prototype) as unknown as Signature;
}

/**
 * As `declare`, but the call is made on a thread of libuv: this one goes on, and `done` is called on it. There is no errno.
 */
export function declareAside<Args extends unknown[]>(
  prototype: string,
  from = library,
): (...argsAndDone: [...args: Args, done: (result: number) => void]) => void {
  const call = from.func(prototype);
  return (...all) => {
    const done = all.pop() as (result: number) => void;
    call.async(...all, (_: unknown, result: number) => done(result));
  };
}

/* A library that nothing refers to is unloaded when garbage is collected. */
const loadedLibraries: unknown[] = [];

/** Loads a library whose symbols all that is loaded later may use. @throws Error with the loader's words */
export function loadLibrary(path: string): void {
  loadedLibraries.push(koffi.load(path, { global: true }));
}

/** What calls functions of this C prototype by their addresses. */
export function callable<Args extends unknown[]>(prototype: string): (address: number, ...args: Args) => number {
  const type = koffi.proto(prototype);
  return (address, ...args) => koffi.call(address, type, ...args) as number;
}

const syscallTables: Readonly<Partial<Record<string, { readonly mknodat: number }>>> = {
  x64: { mknodat: 259 },
  arm64: { mknodat: 33 },
};

function syscallTable(): { readonly mknodat: number } {
  const table = syscallTables[process.arch];
  if (table === undefined || endianness() !== "LE") {
    throw new Error(`veneer runs on x86_64 and aarch64 Linux, not on ${process.arch}`);
  }
  return table;
}

/** Numbers of the system calls that glibc 2.31 has no function for. From 424 on all architectures share them. */
export const Syscall = {
  ...syscallTable(),
  openTree: 428,
  openat2: 437,
  mountSetattr: 442,
  cachestat: 451,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
} as const;

/** syscall(2) for calls whose arguments are numbers and addresses; unused ones are 0. */
export const syscall = declare<
  (number: number, a: number, b: number, c: number, d: number, e: number, f: number) => number
>("long syscall(long, long, long, long, long, long, long)");

/** PATH_MAX: bytes of a path with its NUL. */
const pathMax = 4096;
/** Bytes of the region for structures, behind the two paths. */
const structMax = 4096;
const structOffset = 2 * pathMax;
const memory = Buffer.from(new ArrayBuffer(2 * pathMax + structMax));
const base: Address = Number(koffi.address(memory));

/** The address of `buffer`'s first byte; holds as long as the buffer lives. */
export function addressOf(buffer: Buffer): Address {
  return Number(koffi.address(buffer));
}

/**
 * Memory for the structures of one call: valid until the next call of any function of src/sys.
 * `words` sees the same bytes as `bytes`.
 */
export const scratch = {
  bytes: memory.subarray(structOffset, structOffset + structMax),
  words: new Uint32Array(memory.buffer, structOffset, structMax / 4),
  signedWords: new Int32Array(memory.buffer, structOffset, structMax / 4),
  address: base + structOffset,
} as const;

function encode(path: string, offset: number): void {
  if (path.length >= pathMax) {
    throw new FsError(Errno.ENAMETOOLONG, "a path of 4096 bytes or more");
  }
  if (path.includes("\0")) {
    throw new FsError(Errno.EINVAL, "a path with a NUL");
  }
  memory[offset + writeLatin1(memory, path, offset)] = 0;
}

/* What the two regions hold: one path is often used by several calls in a row. */
let firstPath = "";
let secondPath = "";

/**
 * `path` (latin1, at most 4095 bytes) as a C string, valid until the next call.
 * @throws FsError ENAMETOOLONG; EINVAL if it has a NUL
 */
export function pathAddress(path: string): Address {
  if (path !== firstPath) {
    encode(path, 0);
    firstPath = path;
  }
  return base;
}

/** As `pathAddress`, for the second string of a call. */
export function secondPathAddress(path: string): Address {
  if (path !== secondPath) {
    encode(path, pathMax);
    secondPath = path;
  }
  return base + pathMax;
}

/** The errno of the call that failed last on this thread. */
export function lastErrno(): number {
  return koffi.errno();
}

/** `result` unless it is negative. @throws FsError with errno otherwise */
export function check(result: number, what: string): number {
  if (result < 0) {
    throw new FsError(koffi.errno(), what);
  }
  return result;
}

/*
 * Of most numbers the upper half is nothing. By the shorter way they stay small integers: what comes out of a calculation with 2^32
 * is an object on V8's heap until it has compiled the function, and afterwards too wherever it was once stored.
 */
const two32 = 0x1_0000_0000;

/** Puts a 64-bit number, negative ones too, in `scratch.words` at `index`. Exact up to 2^53. */
export function putWord64(index: number, value: number): void {
  if (value >= 0 && value < two32) {
    scratch.words[index] = value;
    scratch.words[index + 1] = 0;
    return;
  }
  scratch.words[index] = value % two32;
  scratch.signedWords[index + 1] = Math.floor(value / two32);
}

/** The 64-bit unsigned number in `scratch.words` at `index`; exact up to 2^53. */
export function word64(index: number): number {
  const low = scratch.words[index] as number;
  const high = scratch.words[index + 1] as number;
  return high === 0 ? low : low + high * two32;
}

/** The 64-bit signed number in `scratch.words` at `index`; exact up to 2^53. */
export function signedWord64(index: number): number {
  const low = scratch.words[index] as number;
  const high = scratch.signedWords[index + 1] as number;
  return high === 0 ? low : low + high * two32;
}
