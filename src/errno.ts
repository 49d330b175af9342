/**
 * Error numbers of Linux and the one error class of the project.
 * Numbers are those of asm-generic/errno{-base,}.h, which x86 and arm share.
 */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  ETIME: 62,
  EPROTO: 71,
  EOVERFLOW: 75,
  EILSEQ: 84,
  EOPNOTSUPP: 95,
  ENOTCONN: 107,
  ESTALE: 116,
  EUCLEAN: 117,
  EDQUOT: 122,
} as const;

const names: ReadonlyMap<number, string> = new Map(Object.entries(Errno).map(([name, code]) => [code, name]));

/** `ENOENT` for 2; `errno 523` for a number that this table lacks. */
export function errnoName(code: number): string {
  return names.get(code) ?? `errno ${code}`;
}

/**
 * A call failed with an errno that its caller is to see.
 * @param code a positive error number
 * @param what what was tried, for the log: `copy-up: rename into place`
 */
export class FsError extends Error {
  readonly code: number;

  constructor(code: number, what: string, options?: { cause?: unknown }) {
    // Most are ordinary answers (ENOENT, ENODATA), made by the thousand: only what hints at a fault has a stack.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = code === Errno.EIO ? limit : 0;
    super(`${what}: ${errnoName(code)}`, options);
    Error.stackTraceLimit = limit;
    this.name = "FsError";
    this.code = code;
  }
}

/** Whether `error` is the FsError with this code; anything else is for the caller to rethrow. */
export function isErrno(error: unknown, ...codes: number[]): error is FsError {
  return error instanceof FsError && codes.includes(error.code);
}
