/** The generic mount options of mount(8) and the MS_* bits of mount(2) that each stands for. Numbers are those of linux/mount.h. */
export const MountFlag = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  synchronous: 16,
  remount: 32,
  dirSync: 128,
  noSymFollow: 256,
  noAtime: 1024,
  noDirAtime: 2048,
  silent: 1 << 15,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relAtime: 1 << 21,
  strictAtime: 1 << 24,
  lazyTime: 1 << 25,
  recursive: 1 << 14,
} as const;

export interface FlagChange {
  readonly set: number;
  readonly clear: number;
  readonly propagation: number;
}

const atimeBits = MountFlag.noAtime | MountFlag.relAtime | MountFlag.strictAtime;

function sets(set: number, clear = 0): FlagChange {
  return { set, clear, propagation: 0 };
}

function propagates(propagation: number): FlagChange {
  return { set: 0, clear: 0, propagation };
}

/** What an option does to the flags of mount(2). */
export const kernelFlags: ReadonlyMap<string, FlagChange> = new Map([
  ["defaults", sets(0)],
  ["ro", sets(MountFlag.readOnly)],
  ["rw", sets(0, MountFlag.readOnly)],
  ["nosuid", sets(MountFlag.noSuid)],
  ["suid", sets(0, MountFlag.noSuid)],
  ["nodev", sets(MountFlag.noDev)],
  ["dev", sets(0, MountFlag.noDev)],
  ["noexec", sets(MountFlag.noExec)],
  ["exec", sets(0, MountFlag.noExec)],
  ["sync", sets(MountFlag.synchronous)],
  ["async", sets(0, MountFlag.synchronous)],
  ["dirsync", sets(MountFlag.dirSync)],
  ["noatime", sets(MountFlag.noAtime, atimeBits)],
  ["atime", sets(0, MountFlag.noAtime)],
  ["relatime", sets(MountFlag.relAtime, atimeBits)],
  ["norelatime", sets(0, MountFlag.relAtime)],
  ["strictatime", sets(MountFlag.strictAtime, atimeBits)],
  ["nostrictatime", sets(0, MountFlag.strictAtime)],
  ["nodiratime", sets(MountFlag.noDirAtime)],
  ["diratime", sets(0, MountFlag.noDirAtime)],
  ["lazytime", sets(MountFlag.lazyTime)],
  ["nolazytime", sets(0, MountFlag.lazyTime)],
  ["nosymfollow", sets(MountFlag.noSymFollow)],
  ["symfollow", sets(0, MountFlag.noSymFollow)],
  ["silent", sets(MountFlag.silent)],
  ["loud", sets(0, MountFlag.silent)],
  ["private", propagates(MountFlag.private)],
  ["rprivate", propagates(MountFlag.private | MountFlag.recursive)],
  ["shared", propagates(MountFlag.shared)],
  ["rshared", propagates(MountFlag.shared | MountFlag.recursive)],
  ["slave", propagates(MountFlag.slave)],
  ["rslave", propagates(MountFlag.slave | MountFlag.recursive)],
  ["unbindable", propagates(MountFlag.unbindable)],
  ["runbindable", propagates(MountFlag.unbindable | MountFlag.recursive)],
]);
