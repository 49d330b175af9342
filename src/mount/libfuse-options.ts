/** Mount options in the words of libfuse 2, which mounts by itself. Pure. */
import { MountFlag } from "./kernel-flags.ts";
import { OptionError } from "./option-error.ts";
import type { MountOptions } from "./options.ts";

/** The addon has room for so many bytes, the `-o` before them included. */
const room = 1000;
/** Seconds: names change through the mount alone. */
const year = 365 * 24 * 3600;

/** Flags that libfuse has words for. Those that its own defaults set have one for their absence. */
const words: readonly (readonly [flag: number, present: string | undefined, absent: string | undefined])[] = [
  [MountFlag.noSuid, undefined, "suid"],
  [MountFlag.noDev, undefined, "dev"],
  [MountFlag.noExec, "noexec", undefined],
  [MountFlag.synchronous, "sync", undefined],
  [MountFlag.dirSync, "dirsync", undefined],
];

/**
 * Attributes are asked for each time by default: what changes them may come by another name of the file, and the addon has no
 * way to tell the kernel.
 * @throws OptionError where they are too long for the addon
 */
export function libfuseOptions(options: MountOptions, readOnly: boolean, labels: readonly string[]): string {
  const { flags, allowOther, maxRead, source, subtype } = options;
  const all = [
    "default_permissions",
    "nonempty",
    "use_ino",
    "big_writes",
    `entry_timeout=${options.entryTimeout ?? year}`,
    `negative_timeout=${options.negativeTimeout ?? year}`,
    `attr_timeout=${options.attrTimeout ?? 0}`,
    `fsname=${escaped(source)}`,
    `subtype=${escaped(subtype)}`,
    ...labels.map(escaped),
    ...(allowOther ? ["allow_other"] : []),
    ...(maxRead === undefined ? [] : [`max_read=${maxRead}`]),
    ...(readOnly || flags & MountFlag.readOnly ? ["ro"] : []),
    ...words.flatMap(([flag, present, absent]) => ((flags & flag) !== 0 ? present : absent) ?? []),
  ].join(",");
  if (Buffer.byteLength(all) > room) {
    throw new OptionError("fsname and subtype are too long for the transport fuse-native: give shorter ones");
  }
  return all;
}

const mountFlags =
  MountFlag.noAtime | MountFlag.noDirAtime | MountFlag.relAtime | MountFlag.strictAtime | MountFlag.noSymFollow;
const kept = MountFlag.noSuid | MountFlag.noDev | MountFlag.noExec;
const remount = 32 | 4096;

/** Flags for another mount(2), which changes the mount and not the file system, for what libfuse has no words for; 0 for none. */
export function flagsBesideLibfuse({ flags }: MountOptions, readOnly: boolean): number {
  if ((flags & mountFlags) === 0) {
    return 0;
  }
  return remount | (flags & (mountFlags | kept | MountFlag.readOnly)) | (readOnly ? MountFlag.readOnly : 0);
}

/** Latin1 bytes become text, and commas and backslashes lose their meaning. */
function escaped(value: string): string {
  return Buffer.from(value, "latin1").toString("utf8").replace(/[\\,]/g, "\\$&");
}
