/**
 * A process that makes system calls for a test (agent.py), so that a mount that hangs can't hang the test run.
 * Names, paths and data are latin1 strings: one character a byte.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Snapshot, SnapshotOptions, TreeDescription } from "./tree.ts";

export type Kind = "file" | "dir" | "symlink" | "fifo" | "socket" | "char" | "block";

export interface FileStat {
  readonly type: Kind;
  /** Permission and special bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly blocks: number;
  readonly nlink: number;
  readonly ino: bigint;
  readonly dev: bigint;
  /** `major:minor` */
  readonly rdev: string;
  /** Nanoseconds since the epoch. */
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly ino: bigint;
  /** Where to seek to go on behind this entry. */
  readonly offset: bigint;
  readonly type: Kind | "unknown";
}

export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** [tag, id or null, permission bits] */
export type AclEntry = readonly [
  tag: "user_obj" | "user" | "group_obj" | "group" | "mask" | "other",
  id: number | null,
  permissions: number,
];

type LockKind = "shared" | "exclusive" | "none";
type PathOrFd = string | number;

/** Flags are named and joined by "|": `O_RDWR|O_CREAT`. Times are ns since the epoch. */
export interface Calls {
  open(path: string, flags: string, mode?: number, dirfd?: number): number;
  close(fd: number): null;
  read(fd: number, length: number): string;
  pread(fd: number, length: number, offset: number): string;
  write(fd: number, data: string): number;
  pwrite(fd: number, data: string, offset: number): number;
  /** Writes `pattern` `times` times over and answers the sha1 of it all. */
  writeAll(fd: number, pattern: string, times: number): string;
  readFile(path: string): string;
  /** O_WRONLY | O_CREAT | O_TRUNC */
  writeFile(path: string, data: string, mode?: number): null;
  appendFile(path: string, data: string): null;
  hash(path: string): string;
  directWrite(path: string, flags: string, data: string, offset: number): number;
  directRead(path: string, flags: string, length: number, offset: number): string;
  lseek(fd: number, offset: number, whence: "SEEK_SET" | "SEEK_CUR" | "SEEK_END" | "SEEK_DATA" | "SEEK_HOLE"): number;
  fsync(fd: number): null;
  fdatasync(fd: number): null;
  syncfs(fd: number): null;
  truncate(where: PathOrFd, size: number): null;
  /** Modes: KEEP_SIZE PUNCH_HOLE COLLAPSE_RANGE ZERO_RANGE INSERT_RANGE; "" for none. */
  fallocate(fd: number, modes: string, offset: number, length: number): null;
  copyFileRange(from: number, to: number, length: number, fromOffset?: number, toOffset?: number): number;
  sendfile(to: number, from: number, offset: number, length: number): number;
  /** [start, end) of each stretch of data. */
  dataRanges(fd: number): [number, number][];
  mmap(fd: number, length: number, protection?: string, sharing?: "MAP_SHARED" | "MAP_PRIVATE"): number;
  mread(mapping: number, offset: number, length: number): string;
  mwrite(mapping: number, offset: number, data: string): null;
  msync(mapping: number): null;
  munmap(mapping: number): null;
  stat(where: PathOrFd): FileStat;
  lstat(path: string): FileStat;
  exists(path: string): boolean;
  statx(path: string): { btime: bigint | null; attributes: bigint };
  access(path: string, mode: "R_OK" | "W_OK" | "X_OK"): boolean;
  chmod(where: PathOrFd, mode: number): null;
  chown(where: PathOrFd, uid: number, gid: number): null;
  lchown(path: string, uid: number, gid: number): null;
  utimens(where: PathOrFd, atime: bigint | "now" | "omit", mtime: bigint | "now" | "omit", follow?: boolean): null;
  mkdir(path: string, mode?: number): null;
  rmdir(path: string): null;
  unlink(path: string): null;
  rename(from: string, to: string): null;
  renameat2(from: string, to: string, flags: string): null;
  link(from: string, to: string): null;
  linkFd(fd: number, to: string): null;
  symlink(target: string, path: string): null;
  readlink(path: string): string;
  mknod(path: string, kind: Kind, mode: number, major?: number, minor?: number): null;
  statvfs(path: string): {
    magic: number;
    bsize: number;
    frsize: number;
    blocks: number;
    bfree: number;
    bavail: number;
    files: number;
    ffree: number;
    namemax: number;
  };
  /** By path: not following symlinks. */
  getxattr(where: PathOrFd, name: string): string;
  setxattr(where: PathOrFd, name: string, value: string, flags?: "CREATE" | "REPLACE"): null;
  removexattr(where: PathOrFd, name: string): null;
  listxattr(where: PathOrFd): string[];
  getxattrSize(path: string, name: string, size: number): number;
  setAcl(path: string, entries: readonly AclEntry[], asDefault?: boolean): null;
  /** FS_IOC_GETFLAGS */
  getFlags(fd: number): number;
  setFlags(fd: number, flags: number): null;
  fcntl(fd: number, command: "SETLEASE" | "GETLEASE", value: number): number;
  /** Flags are RWF_* as numbers. */
  preadv2(fd: number, length: number, offset: number, flags: number): string;
  pwritev2(fd: number, data: string, offset: number, flags: number): number;
  /** name_to_handle_at(2): type and bytes. */
  fileHandle(path: string): [kind: number, bytes: string];
  openByHandle(mountpoint: string, handle: readonly [kind: number, bytes: string]): number;
  /** RLIMIT_FSIZE of this process; its signal is ignored. */
  limitFileSize(size: number): null;
  /** Makes a call in a child of its own: the signal that ended the child, or 0. */
  signalOf(call: keyof Calls, args: readonly unknown[]): number;
  /** The events on `path` while the calls are made: mask, name. */
  inotify(path: string, calls: readonly (readonly [keyof Calls, readonly unknown[]])[]): [mask: number, name: string][];
  /** fcntl(2), F_SETFL. */
  setStatusFlags(fd: number, flags: string): null;
  ioctl(fd: number, command: number, size: number): string;
  /** One getdents64(2) of an open directory. */
  getdents(fd: number, size?: number): DirectoryEntry[];
  seekdir(fd: number, offset: bigint): null;
  list(path: string): string[];
  makeMany(directory: string, prefix: string, count: number, data?: string): null;
  walk(path: string): number;
  removeTree(path: string): null;
  build(root: string, tree: TreeDescription): null;
  snapshot(root: string, options: SnapshotOptions): Snapshot;
  become(uid: number, gid: number, groups: readonly number[]): null;
  setFsIds(uid: number, gid: number): null;
  dropCapability(number: number): null;
  umask(mask: number): number;
  chroot(path: string): null;
  chdir(path: string): null;
  fchdir(fd: number): null;
  getcwd(): string;
  run(argv: readonly string[], options: { cwd?: string; timeout?: number }): RunResult;
  /** Starts a program that waits on its stdin; answers its pid. */
  spawn(argv: readonly string[]): number;
  endChild(pid: number): null;
  sleep(seconds: number): null;
  flock(fd: number, kind: LockKind): null;
  lock(fd: number, kind: LockKind, start: number, length: number, ofOpenFile?: boolean): null;
  listen(path: string): number;
  accept(fd: number): number;
  connect(path: string): number;
  poll(fd: number, events: "POLLIN" | "POLLOUT", milliseconds: number): boolean;
  dropCaches(): null;
}

/** The calls, each made in the agent's process. */
export type Sys = { readonly [C in keyof Calls]: (...args: Parameters<Calls[C]>) => Promise<ReturnType<Calls[C]>> };

/** A call failed with an errno; `code` is its name. */
export class CallError extends Error {
  readonly code: string;

  constructor(code: string, call: string) {
    super(`${call}: ${code}`);
    this.name = "CallError";
    this.code = code;
  }
}

export interface Agent extends Sys {
  readonly pid: number;
  /** Kills the process and everything that it holds, and waits for its end (2 s at most). */
  end(): Promise<void>;
}

interface Waiting {
  readonly call: string;
  readonly settle: (reply: Reply | Error) => void;
}

interface Reply {
  readonly result?: unknown;
  readonly errno?: string;
  readonly failure?: string;
}

const agentScript = fileURLToPath(new URL("agent.py", import.meta.url));
const agentLimitMs = 30_000;

class AgentProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: Waiting[] = [];
  readonly #ended: Promise<void>;
  readonly #limitMs: number;

  constructor(script: string, limitMs: number, before: readonly string[]) {
    this.#limitMs = limitMs;
    const [program = "", ...args] = [...before, "/usr/bin/python3", "-I", "-S", script];
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
    this.#ended = new Promise((resolve) => {
      this.#child.once("exit", () => {
        for (const { call, settle } of this.#waiting.splice(0)) {
          settle(new Error(`the agent ended before it answered ${call}`));
        }
        resolve();
      });
    });
    this.#child.stdin.on("error", (error) => this.#fail(error));
    this.#child.stdout.setEncoding("latin1");
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.#waiting.shift()?.settle(JSON.parse(line, revive) as Reply);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async call(call: string, args: readonly unknown[]): Promise<unknown> {
    const reply = await new Promise<Reply>((resolve, reject) => {
      const limit = setTimeout(() => {
        const what = `${call}(${JSON.stringify(args, replace).slice(0, 500)})`;
        this.#fail(new Error(`${what} did not return in ${this.#limitMs} ms`));
      }, this.#limitMs);
      this.#waiting.push({
        call,
        settle: (outcome) => {
          clearTimeout(limit);
          outcome instanceof Error ? reject(outcome) : resolve(outcome);
        },
      });
      this.#child.stdin.write(`${JSON.stringify({ call, args }, replace)}\n`, "latin1");
    });
    if (reply.errno !== undefined) {
      throw new CallError(reply.errno, `${call} ${String(args[0]).slice(0, 200)}`);
    }
    if (reply.failure !== undefined) {
      throw new Error(`agent: ${reply.failure}`);
    }
    return reply.result;
  }

  async end(): Promise<void> {
    this.#child.kill("SIGKILL");
    await Promise.race([this.#ended, new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
  }

  #fail(error: Error): void {
    this.#child.kill("SIGKILL");
    for (const { settle } of this.#waiting.splice(0)) {
      settle(error);
    }
  }
}

function revive(_key: string, value: unknown): unknown {
  return typeof value === "object" && value !== null && "$big" in value ? BigInt(String(value.$big)) : value;
}

function replace(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? { $big: String(value) } : value;
}

/** A new agent, as root with umask 022 and cwd `/`. A call that takes over 30 s kills it and fails. */
export function startAgent(): Agent {
  return startCalls<Agent>(agentScript, agentLimitMs);
}

/**
 * A process that makes the calls of an agent and those that `script` adds; one that takes over `limitMs` kills it and fails.
 * @param before words of a command that starts it, and makes somebody else of it
 */
export function startCalls<A extends Agent>(script: string, limitMs: number, before: readonly string[] = []): A {
  const agent = new AgentProcess(script, limitMs, before);
  return new Proxy({} as A, {
    get: (_, property) => {
      if (property === "pid") {
        return agent.pid;
      }
      if (property === "end") {
        return () => agent.end();
      }
      // An agent is no promise, though an async function that returns it asks.
      if (typeof property !== "string" || property === "then") {
        return undefined;
      }
      return (...args: unknown[]) => agent.call(property, args);
    },
  });
}
