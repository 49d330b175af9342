/**
 * Every C function that Veneer declares, by what it can do to a layer. A function that is in none of the lists stops the
 * daemon at its start: a new call has to be put where it belongs before the matrices can be trusted.
 */

/** Change a file system, or make a change durable, whatever their arguments. */
const mutating = new Set([
  "copy_file_range",
  "fallocate",
  "fchmod",
  "fchmodat",
  "fchown",
  "fchownat",
  "fdatasync",
  "fsetxattr",
  "fsync",
  "ftruncate",
  "futimens",
  "linkat",
  "lremovexattr",
  "lsetxattr",
  "mkdirat",
  "pwrite",
  "pwritev2",
  "removexattr",
  "renameat2",
  "setxattr",
  "symlinkat",
  "syncfs",
  "truncate",
  "unlinkat",
  "utimensat",
]);

const harmless = new Set([
  "_ZN2v82V818SetFlagsFromStringEPKc",
  "_exit",
  "calloc",
  "chdir",
  "close",
  "dlsym",
  "dup3",
  "fcntl",
  "flock",
  "fstatfs",
  "getdents64",
  "getxattr",
  "lgetxattr",
  "listxattr",
  "llistxattr",
  "lseek",
  "mount",
  "name_to_handle_at",
  "openlog",
  "open_by_handle_at",
  "pipe2",
  "poll",
  "prctl",
  "pread",
  "preadv2",
  "prlimit",
  "pthread_sigmask",
  "read",
  "readlinkat",
  "recvmsg",
  "setsid",
  "socketpair",
  // From files to the device, never into them.
  "splice",
  "statx",
  // Begins to write, and promises nothing.
  "sync_file_range",
  "syslog",
  "umask",
  "umount2",
  // Signals, and loops of libuv that know of nothing else.
  "uv_backend_fd",
  "uv_handle_get_data",
  "uv_handle_set_data",
  "uv_handle_size",
  "uv_loop_init",
  "uv_loop_size",
  "uv_run",
  "uv_signal_init",
  "uv_signal_start",
  "write",
]);

/** Numbers of syscall(2): those that change something, and those that don't. */
const mutatingNumbers = new Map([
  [process.arch === "x64" ? 259 : 33, "mknodat"],
  [463, "setxattrat"],
  [466, "removexattrat"],
]);
const harmlessNumbers = new Set([428, 437, 442, 451, 464, 465]);

/** FICLONE, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR */
const mutatingIoctls = new Map([
  [0x40049409, "ioctl(FICLONE)"],
  [0x40086602, "ioctl(FS_IOC_SETFLAGS)"],
  [0x401c5820, "ioctl(FS_IOC_FSSETXATTR)"],
]);

const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_TMPFILE = 0o20000000;

/** The name of the function in a C prototype. */
function functionName(prototype) {
  return /(\w+)\(/.exec(prototype)?.[1] ?? prototype;
}

/** Whether the lists above know the function; those that depend on their arguments too. */
function isKnown(name) {
  return mutating.has(name) || harmless.has(name) || ["openat", "ioctl", "syscall"].includes(name);
}

/**
 * What a call of this function is: its name if it changes something, `open` if it opens without changing anything (which
 * may fail for want of descriptors), undefined for the rest.
 */
function kindOf(name, args) {
  if (mutating.has(name)) {
    return name;
  }
  if (name === "openat") {
    const flags = args[2];
    return (flags & (O_CREAT | O_TRUNC)) !== 0 || (flags & O_TMPFILE) !== 0 ? "openat(O_CREAT)" : "open";
  }
  if (name === "ioctl") {
    return mutatingIoctls.get(args[1]);
  }
  if (name === "syscall") {
    const known = mutatingNumbers.get(args[0]);
    if (known === undefined && !harmlessNumbers.has(args[0])) {
      throw new Error(`system call ${args[0]} is not in test/crash/system-calls.cjs`);
    }
    return known;
  }
  return undefined;
}

module.exports = { functionName, isKnown, kindOf };
