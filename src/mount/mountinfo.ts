/** /proc/self/mountinfo, as proc(5) describes it. Parsing is pure; only `readMounts` looks at the disk. */
import { readProcFile } from "../sys/proc.ts";

export interface MountEntry {
  /** Unique while the mount lives. */
  readonly id: number;
  readonly parentId: number;
  /** `major:minor`; for FUSE the minor also names the connection beneath /sys/fs/fuse/connections. */
  readonly major: number;
  readonly minor: number;
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
  readonly superOptions: string;
  /** The mount tells other owners than its file system has (mount_setattr(2), Linux 5.12). */
  readonly idMapped: boolean;
}

/** One entry a line, in the order in which they were mounted; lines that aren't understood are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    const device = /^(\d+):(\d+)$/.exec(fields[2] ?? "");
    if (dash === -1 || device === null) {
      continue;
    }
    entries.push({
      id: Number(fields[0]),
      parentId: Number(fields[1]),
      major: Number(device[1]),
      minor: Number(device[2]),
      mountpoint: unescapeOctal(fields[4] ?? ""),
      type: fields[dash + 1] ?? "",
      source: unescapeOctal(fields[dash + 2] ?? ""),
      superOptions: fields[dash + 3] ?? "",
      idMapped: (fields[5] ?? "").split(",").includes("idmapped"),
    });
  }
  return entries;
}

/** `\040` is a blank: the kernel writes blank, tab, newline, backslash and more as three octal digits. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The mounts that this process can see. @throws FsError where /proc is not mounted */
export function readMounts(): MountEntry[] {
  return parseMountinfo(readProcFile("self/mountinfo"));
}

/** Whether the mount of this id is id-mapped; false where it is none of these. */
export function isIdMapped(mounts: readonly MountEntry[], id: number): boolean {
  return mounts.some((mount) => mount.id === id && mount.idMapped);
}

/** What lies uppermost at this path, if anything is mounted there. @param path absolute and canonical */
export function topMountAt(mounts: readonly MountEntry[], path: string): MountEntry | undefined {
  const here = mounts.filter((mount) => mount.mountpoint === path);
  // The one that no other covers: a covering mount has the covered one as its parent.
  return here.find((mount) => !here.some((other) => other.parentId === mount.id)) ?? here.at(-1);
}

/** The value of `upperdir=` or `workdir=` of a kernel overlayfs mount, unescaped. */
export function overlayDirectory(entry: MountEntry, name: "upperdir" | "workdir"): string | undefined {
  if (entry.type !== "overlay") {
    return undefined;
  }
  const option = entry.superOptions.split(",").find((text) => text.startsWith(`${name}=`));
  return option === undefined ? undefined : unescapeOctal(option.slice(name.length + 1)).replace(/\\(.)/gs, "$1");
}
