/** What is measured: ways to show layers as one tree. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { missingProgram } from "./programs.ts";

export interface Layers {
  /** The topmost first. */
  readonly lowers: readonly string[];
  /** Absent: a read-only mount. */
  readonly upper?: string;
  readonly work?: string;
  /** Nothing is to be synced by those who do so by themselves. */
  readonly volatile: boolean;
}

/** Why something is measured; `limit`: a bound to compare with, which is no FUSE overlay. */
export type PeerKind = "limit" | "veneer" | "fuse-native" | "fuse-overlayfs" | "unionfs-fuse";

export interface Peer {
  readonly name: string;
  readonly kind: PeerKind;
  /** Further options of its mounts. */
  readonly options?: string;
  /** Why it can't be measured here; undefined if it can. */
  missing(): string | undefined;
  /** The arguments of the program that mounts; undefined where nothing is to be mounted. */
  command(layers: Layers, mountpoint: string): readonly string[] | undefined;
  /** The arguments of the program that unmounts, if that is not umount(8). */
  unmountCommand?(mountpoint: string): readonly string[];
  /** The program whose version a report names, and how it is asked. */
  readonly versionCommand?: readonly string[];
}

/** The options that the kernel's overlayfs has and others have taken over. */
function overlayOptions({ lowers, upper, work, volatile }: Layers, extra = ""): string {
  return [
    `lowerdir=${lowers.join(":")}`,
    ...(upper === undefined ? [] : [`upperdir=${upper}`, `workdir=${work}`]),
    ...(volatile ? ["volatile"] : []),
    ...(extra === "" ? [] : [extra]),
  ].join(",");
}

/** Nothing is mounted: the directory itself, the limit of what any overlay can reach. */
const bare: Peer = { name: "bare", kind: "limit", missing: () => undefined, command: () => undefined };

const kernel: Peer = {
  name: "kernel",
  kind: "limit",
  missing: () =>
    readFileSync("/proc/filesystems", "latin1").includes("\toverlay\n") ? undefined : "this kernel has no overlayfs",
  command: (layers, mountpoint) => ["mount", "-t", "overlay", "overlay", "-o", overlayOptions(layers), mountpoint],
};

/** The Veneer of this clone. @param options further options, such as `volatile` */
export function veneer(name: string, options = ""): Peer {
  const program = fileURLToPath(new URL("../../bin/veneer", import.meta.url));
  return {
    name,
    kind: "veneer",
    options,
    missing: () => (existsSync(program) ? undefined : "bin/veneer is missing"),
    command: (layers, mountpoint) => [program, "mount", "-o", overlayOptions(layers, options), mountpoint],
    unmountCommand: (mountpoint) => [program, "umount", mountpoint],
    versionCommand: [program, "--version"],
  };
}

/** The Veneer of this clone over libfuse 2. */
function veneerByFuseNative(): Peer {
  const { command: usual, ...direct } = veneer("veneer-fuse-native");
  const command = (layers: Layers, mountpoint: string) => [
    ...(usual(layers, mountpoint) ?? []),
    ...["--transport", "fuse-native"],
  ];
  const addon = fileURLToPath(new URL("../../node_modules/fuse-native/package.json", import.meta.url));
  const missing = () =>
    direct.missing() ?? (existsSync(addon) ? undefined : "the package fuse-native is not installed");
  return { ...direct, kind: "fuse-native", missing, command };
}

/** fuse-overlayfs, or what takes its options. @param program a name in PATH, or a path */
export function fuseOverlayfs(name: string, program: string): Peer {
  return {
    name,
    kind: "fuse-overlayfs",
    missing: () => missingProgram(program) && `${name} is not installed`,
    command: (layers, mountpoint) => [program, "-o", overlayOptions(layers), mountpoint],
    versionCommand: [program, "--version"],
  };
}

/** unionfs-fuse. @param program a name in PATH, or a path */
export function unionfsFuse(name: string, program: string): Peer {
  return {
    name,
    kind: "unionfs-fuse",
    missing: () => missingProgram(program) && `${name} is not installed`,
    command: ({ lowers, upper }, mountpoint) => [
      ...[program, "-o", `${upper === undefined ? "" : "cow,"}allow_other,use_ino`],
      [...(upper === undefined ? [] : [`${upper}=RW`]), ...lowers.map((lower) => `${lower}=RO`)].join(":"),
      mountpoint,
    ],
    versionCommand: [program, "--version"],
  };
}

/** All that are measured unless told otherwise. */
export function usualPeers(): Peer[] {
  return [
    bare,
    kernel,
    veneer("veneer"),
    veneerByFuseNative(),
    fuseOverlayfs("fuse-overlayfs", "fuse-overlayfs"),
    unionfsFuse("unionfs-fuse", "unionfs-fuse"),
  ];
}
