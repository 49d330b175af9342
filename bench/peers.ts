/** What is measured: ways to show layers as one tree. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findProgram, run } from "./programs.ts";

export interface Layers {
  /** The topmost first. */
  readonly lowers: readonly string[];
  /** Absent: a read-only mount. */
  readonly upper?: string;
  readonly work?: string;
}

export interface Peer {
  readonly name: string;
  /** "limit": a bound that no FUSE overlay can be expected to reach; not part of the contest. */
  readonly kind: "limit" | "veneer" | "peer";
  /** Why it can't be measured here; undefined if it can. */
  missing(): string | undefined;
  /** The arguments of the program that mounts; undefined for the bare directory. */
  command(layers: Layers, mountpoint: string): readonly string[] | undefined;
  unmount(mountpoint: string): void;
}

function writable({ upper, work }: Layers): string {
  return upper === undefined ? "" : `,upperdir=${upper},workdir=${work}`;
}

/** Nothing is mounted: the directory itself, the limit of what any overlay can reach. */
export const bare: Peer = {
  name: "bare",
  kind: "limit",
  missing: () => undefined,
  command: () => undefined,
  unmount: () => undefined,
};

const kernel: Peer = {
  name: "kernel",
  kind: "limit",
  missing: () =>
    readFileSync("/proc/filesystems", "latin1").includes("\toverlay\n") ? undefined : "this kernel has no overlayfs",
  command: (layers, mountpoint) => [
    ...["mount", "-t", "overlay", "overlay", "-o"],
    `lowerdir=${layers.lowers.join(":")}${writable(layers)}`,
    mountpoint,
  ],
  unmount: (mountpoint) => {
    run(["umount", mountpoint]);
  },
};

/** @param extra further options, such as `volatile` */
export function veneer(name = "veneer", extra = ""): Peer {
  const program = fileURLToPath(new URL("../../bin/veneer", import.meta.url));
  return {
    name,
    kind: "veneer",
    missing: () => (existsSync(program) ? undefined : `${program} is missing`),
    command: (layers, mountpoint) => [
      ...[program, "mount", "-o"],
      `lowerdir=${layers.lowers.join(":")}${writable(layers)}${extra === "" ? "" : `,${extra}`}`,
      mountpoint,
    ],
    unmount: (mountpoint) => {
      run([program, "umount", mountpoint]);
    },
  };
}

/** fuse-overlayfs, or what takes its options. @param program a name in PATH, or a path */
export function fuseOverlayfs(name: string, program: string): Peer {
  return {
    name,
    kind: "peer",
    missing: () => (findProgram(program) === undefined ? `${program} is not installed` : undefined),
    command: (layers, mountpoint) => [
      ...[program, "-o", `lowerdir=${layers.lowers.join(":")}${writable(layers)}`],
      mountpoint,
    ],
    unmount: (mountpoint) => {
      run(["umount", mountpoint]);
    },
  };
}

const unionfsFuse: Peer = {
  name: "unionfs-fuse",
  kind: "peer",
  missing: () => (findProgram("unionfs-fuse") === undefined ? "unionfs-fuse is not installed" : undefined),
  command: ({ lowers, upper }, mountpoint) => [
    ...["unionfs-fuse", "-o", `${upper === undefined ? "" : "cow,"}allow_other,use_ino`],
    [...(upper === undefined ? [] : [`${upper}=RW`]), ...lowers.map((lower) => `${lower}=RO`)].join(":"),
    mountpoint,
  ],
  unmount: (mountpoint) => {
    run(["umount", mountpoint]);
  },
};

/** All that are measured unless named otherwise. */
export function usualPeers(): Peer[] {
  return [bare, kernel, veneer(), fuseOverlayfs("fuse-overlayfs", "fuse-overlayfs"), unionfsFuse];
}
