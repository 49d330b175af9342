/** The process itself: its umask, directory, name, limits and capabilities. */
import { Errno, FsError } from "../errno.ts";
import { type Address, check, declare, pathAddress, putWord64, scratch, word64 } from "./libc.ts";
import { isInUserNamespace, readProcFile } from "./proc.ts";

const umaskCall = declare<(mask: number) => number>("unsigned int umask(unsigned int)");
const chdirCall = declare<(path: Address) => number>("int chdir(intptr_t)");
const prctl = declare<(option: number, value: Address, a: number, b: number, c: number) => number>(
  "int prctl(int, intptr_t, long, long, long)",
);
const prlimit = declare<(pid: number, resource: number, next: Address, previous: Address) => number>(
  "int prlimit(int, int, intptr_t, intptr_t)",
);

const setsid = declare<() => number>("int setsid()");

const PR_SET_NAME = 15;
const RLIMIT_NOFILE = 7;

/** Numbers of capabilities(7) that matter to a mount. */
export const Capability = {
  dacOverride: 1,
  dacReadSearch: 2,
  fowner: 3,
  mknod: 27,
  sysAdmin: 21,
  sysResource: 24,
} as const;

/** Sets the umask of the whole process (all threads) and answers the one before. */
export function setUmask(mask: number): number {
  return umaskCall(mask);
}

/** chdir(2) of the whole process; works from every thread. `path` is latin1 bytes. */
export function changeDirectory(path: string): void {
  check(chdirCall(pathAddress(path)), "chdir");
}

/** setsid(2): no terminal, and no signal from the keyboard of one. The process must not lead a group. */
export function startSession(): void {
  check(setsid(), "setsid");
}

/** The effective capabilities, a bit for each number of capabilities(7). */
function effectiveCapabilities(): bigint {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readProcFile("self/status"));
  if (match === null) {
    throw new FsError(Errno.EIO, "no CapEff in /proc/self/status");
  }
  return BigInt(`0x${match[1]}`);
}

/** Whether this process has a capability (a number of `Capability`) in its own user namespace. */
export function hasCapability(capability: number): boolean {
  return ((effectiveCapabilities() >> BigInt(capability)) & 1n) === 1n;
}

/** The same, and in the initial user namespace, as the kernel wants it for what all of its users share: `trusted.` xattrs, file handles. */
export function hasInitialCapability(capability: number): boolean {
  return hasCapability(capability) && !isInUserNamespace();
}

/** The user and group that this process makes files as. */
export function ownIds(): { readonly uid: number; readonly gid: number } {
  const { geteuid, getegid } = process as Required<NodeJS.Process>;
  return { uid: geteuid(), gid: getegid() };
}

/** The name of the calling thread, as ps and top show it; 15 bytes at most. */
export function setThreadName(name: string): void {
  check(prctl(PR_SET_NAME, pathAddress(name.slice(0, 15)), 0, 0, 0), "prctl");
}

/** Raises the limit of open descriptors to the most that is allowed, and answers it. */
export function raiseDescriptorLimit(): number {
  /* struct rlimit: soft u64, hard u64 */
  check(prlimit(0, RLIMIT_NOFILE, 0, scratch.address), "getrlimit");
  const hard = word64(2);
  putWord64(0, hard);
  check(prlimit(0, RLIMIT_NOFILE, scratch.address, 0), "setrlimit");
  return hard;
}
