/**
 * One suite over two overlays: the kernel's (the oracle) and Veneer. Each test mounts what it describes; after each,
 * everything is unmounted, and the lowers must be byte for byte and mtime for mtime what they were.
 */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "vitest";
import { type Agent, CallError, startAgent } from "./agent.ts";
import { endsWithin, lockHolder } from "./daemon.ts";
import { fuseNativeLimits, missingCalls } from "./fuse-native-limits.ts";
import { expectFailure, type Limit } from "./limits.ts";
import { passthroughAllLimits } from "./passthrough-all-limits.ts";
import { runOk, unmountAll } from "./programs.ts";
import { makeScratch, removeScratch } from "./scratch.ts";
import { type Described, describeTree, type Snapshot, type SnapshotOptions, type Tree } from "./tree.ts";

export type OverlayKind = "kernel" | "veneer";

export interface MountRequest {
  /** The topmost first. */
  readonly lowers: readonly (Tree | Described)[];
  /** What the upper holds at first; null: no upper, a read-only mount. */
  readonly upper?: Tree | Described | null;
  /** Further mount options, for both overlays. */
  readonly options?: readonly string[];
  /** Directory (on another file system, say) in which upper and work are made. */
  readonly upperArea?: string;
  /** Directory in which the lowers are made. */
  readonly lowerArea?: string;
}

/** What `mountOverlay` mounts; relative paths are resolved from `cwd`. */
export interface MountPaths {
  readonly lowers: readonly string[];
  /** Data-only layers, below all lowers. */
  readonly dataLowers?: readonly string[];
  readonly upper: string | null;
  readonly work: string | null;
  readonly mountpoint: string;
  readonly options: readonly string[];
  readonly cwd?: string;
}

/** VENEER_TEST_BIN names another Veneer to test, an installed one say. */
export const veneerProgram = process.env.VENEER_TEST_BIN ?? fileURLToPath(new URL("../../bin/veneer", import.meta.url));
/** VENEER_TEST_TRANSPORT=fuse-native has Veneer mount by that. */
const transport = process.env.VENEER_TEST_TRANSPORT ?? "direct";

/** Whether Veneer's transport has this call at all, for a test that makes calls by chance. */
export function transportCan(call: string): boolean {
  return transport === "direct" || !missingCalls.test(call);
}

/** VENEER_TEST_OPTIONS: further options for each mount of Veneer. */
const veneerOptions = (process.env.VENEER_TEST_OPTIONS ?? "").split(",").filter((option) => option !== "");
/** Of this way to mount. */
const limits: readonly Limit[] = [
  ...(transport === "fuse-native" ? fuseNativeLimits : []),
  ...(veneerOptions.includes("passthrough=all") ? passthroughAllLimits : []),
];
/** Inode numbers as Veneer gives them; the rest are the kernel's defaults, said aloud. */
const kernelOptions = ["xino=auto", "index=off"];
/** The kernel takes these not beside userxattr, which implies them. */
const withoutUserxattr = ["redirect_dir=off", "metacopy=off"];

/** Mounts by mount(8) or by `veneer mount`; fails with what the program said. */
export async function mountOverlay(kind: OverlayKind, paths: MountPaths): Promise<void> {
  const dataLowers = (paths.dataLowers ?? []).map((path) => `::${escapeLayer(path)}`);
  const layers = [`lowerdir=${paths.lowers.map(escapeLayer).join(":")}${dataLowers.join("")}`];
  if (paths.upper !== null) {
    layers.push(`upperdir=${paths.upper}`, `workdir=${paths.work}`);
  }
  const forKernel = [...kernelOptions, ...(paths.options.includes("userxattr") ? [] : withoutUserxattr)];
  const forVeneer = transport === "direct" ? veneerOptions : ["allow_other", ...veneerOptions];
  const options = [...layers, ...(kind === "kernel" ? forKernel : forVeneer), ...paths.options].join(",");
  const argv =
    kind === "kernel"
      ? ["mount", "-t", "overlay", "overlay", "-o", options, paths.mountpoint]
      : [veneerProgram, "mount", "--transport", transport, "-o", options, paths.mountpoint];
  await runOk(argv, paths.cwd);
}

/** The option that puts a mount of Veneer in this mode, whatever VENEER_TEST_OPTIONS says; none for the kernel's overlayfs. */
export function passthrough(overlay: Overlay, mode: string): string[] {
  return overlay.kind === "veneer" ? [`passthrough=${mode}`] : [];
}

function escapeLayer(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** Unmounts; for Veneer, returns when its daemon is gone. */
export async function unmountOverlay(kind: OverlayKind, mountpoint: string, limitMs?: number): Promise<void> {
  await runOk(kind === "kernel" ? ["umount", mountpoint] : [veneerProgram, "umount", mountpoint], "/", limitMs);
}

/** A mounted overlay, its layers, and an agent to work in it. */
export class Mounted {
  readonly mnt: string;
  readonly upper: string;
  readonly work: string;
  readonly lowers: readonly string[];
  /** Works in the mount, as root. */
  readonly sys: Agent;
  readonly #overlay: Overlay;
  readonly #paths: MountPaths;
  #mountedBy: OverlayKind;

  constructor(overlay: Overlay, paths: MountPaths, sys: Agent) {
    this.#overlay = overlay;
    this.#paths = paths;
    this.#mountedBy = overlay.kind;
    this.mnt = paths.mountpoint;
    this.upper = paths.upper ?? "no upper";
    this.work = paths.work ?? "no work";
    this.lowers = paths.lowers;
    this.sys = sys;
  }

  /** Every agent must have let go of the mount. */
  unmount(): Promise<void> {
    return unmountOverlay(this.#mountedBy, this.mnt);
  }

  /** The same layers again, by the other overlay if told so. */
  async remount(kind: OverlayKind = this.#overlay.kind): Promise<void> {
    await this.unmount();
    await mountOverlay(kind, this.#paths);
    this.#mountedBy = kind;
  }

  /** The merged view, without overlay marks. */
  view(options: SnapshotOptions = {}): Promise<Snapshot> {
    return this.sys.snapshot(this.mnt, options);
  }

  /** What lies in the upper, marks included. */
  inUpper(options: SnapshotOptions = {}): Promise<Snapshot> {
    return this.#overlay.host.snapshot(this.upper, options);
  }

  /** The names in a directory of the upper, sorted; empty where there is no such directory. */
  async namesInUpper(path = ""): Promise<string[]> {
    const directory = join(this.upper, path);
    return (await this.#overlay.host.exists(directory)) ? this.#overlay.host.list(directory) : [];
  }

  /** Whether the upper holds a whiteout (char device 0:0) of this name. */
  async isWhiteout(path: string): Promise<boolean> {
    const where = join(this.upper, path);
    if (!(await this.#overlay.host.exists(where))) {
      return false;
    }
    const { type, rdev } = await this.#overlay.host.lstat(where);
    return type === "char" && rdev === "0:0";
  }

  /** Whether the upper's directory is marked opaque. */
  async isOpaque(path: string): Promise<boolean> {
    const names = await this.#overlay.host.listxattr(join(this.upper, path));
    return (
      names.includes("trusted.overlay.opaque") &&
      (await this.#overlay.host.getxattr(join(this.upper, path), "trusted.overlay.opaque")) === "y"
    );
  }
}

/** What a suite makes its mounts with. */
export class Overlay {
  readonly kind: OverlayKind;
  #host: Agent | undefined;
  #scratch = "";
  #agents: Agent[] = [];
  /** Started while the test before runs: a start takes as long as a mount. */
  #spare: Agent | undefined;
  #lowers: { path: string; before: Snapshot }[] = [];
  #writable: { upper: string; work: string }[] = [];
  #mounts = 0;

  constructor(kind: OverlayKind) {
    this.kind = kind;
  }

  /** An agent that never touches the mount: for layers. */
  get host(): Agent {
    if (this.#host === undefined) {
      throw new Error("no test is running");
    }
    return this.#host;
  }

  /** A directory of this test alone. */
  get scratch(): string {
    return this.#scratch;
  }

  /** Another process, ended after the test; with `uid` as that user, without capabilities. */
  async agent(user?: { uid: number; gid: number; groups?: readonly number[] }): Promise<Agent> {
    const agent = this.#spare ?? startAgent();
    this.#spare = undefined;
    this.#agents.push(agent);
    if (user !== undefined) {
      await agent.become(user.uid, user.gid, user.groups ?? []);
    }
    return agent;
  }

  /** Builds the layers and mounts them. */
  async mount(request: MountRequest): Promise<Mounted> {
    this.#mounts += 1;
    const area = join(this.#scratch, `m${this.#mounts}`);
    const upperArea = request.upperArea ?? area;
    mkdirSync(join(area, "mnt"), { recursive: true });
    const lowers: string[] = [];
    for (const [index, tree] of request.lowers.entries()) {
      lowers.push(await this.buildLower(join(request.lowerArea ?? area, `l${index}`), tree));
    }
    const writable = request.upper !== null;
    const paths: MountPaths = {
      lowers,
      upper: writable ? join(upperArea, "upper") : null,
      work: writable ? join(upperArea, "work") : null,
      mountpoint: join(area, "mnt"),
      options: request.options ?? [],
    };
    if (paths.upper !== null && paths.work !== null) {
      mkdirSync(paths.upper);
      await this.host.build(paths.upper, describeTree(request.upper ?? {}));
      mkdirSync(paths.work);
    }
    return this.mountPaths(paths);
  }

  /** Mounts layers that are there already. The lowers given by `buildLower` are watched, others are not. */
  async mountPaths(paths: MountPaths): Promise<Mounted> {
    await mountOverlay(this.kind, paths);
    if (paths.upper !== null && paths.work !== null) {
      const cwd = paths.cwd ?? "/";
      this.#writable.push({ upper: resolve(cwd, paths.upper), work: resolve(cwd, paths.work) });
    }
    return new Mounted(this, paths, await this.agent());
  }

  /** A new directory with this tree, which must be unchanged at the end of the test. */
  async buildLower(path: string, tree: Tree | Described): Promise<string> {
    mkdirSync(path, { recursive: true });
    await this.host.build(path, describeTree(tree));
    this.#lowers.push({ path, before: await this.host.snapshot(path, {}) });
    return path;
  }

  /** The test changes this lower itself, after it was built: it is not checked. */
  forgetLower(path: string): void {
    this.#lowers = this.#lowers.filter((lower) => lower.path !== path);
  }

  /** For the hooks of describeOverlay. */
  start(): void {
    this.#host ??= startAgent();
    this.#spare ??= startAgent();
    this.#scratch = makeScratch();
  }

  /** For the hooks of describeOverlay: takes everything down, then checks what must hold after every test. */
  async finish(): Promise<void> {
    const agents = this.#agents.splice(0);
    const lowers = this.#lowers.splice(0);
    const writable = this.#writable.splice(0).filter(({ upper, work }) => existsSync(upper) && existsSync(work));
    await Promise.all(agents.map((agent) => agent.end()));
    this.#spare ??= startAgent();
    const daemons = writable.flatMap(({ upper }) => lockHolder(upper) ?? []);
    const complaints = await unmountAll(`${this.#scratch}/`, (mount) => isOverlay(mount.type));
    for (const daemon of daemons) {
      if (!(await endsWithin(daemon, 10_000))) {
        complaints.push(`the daemon (${daemon}) did not end with its mount`);
        process.kill(daemon, "SIGKILL");
      }
    }
    try {
      expect(complaints, "unmounting").toEqual([]);
      await this.#check(lowers, writable);
    } finally {
      complaints.push(...(await removeScratch(this.#scratch)));
    }
    expect(complaints, "cleaning up").toEqual([]);
  }

  /** For the hooks of describeOverlay. */
  async end(): Promise<void> {
    await this.#spare?.end();
    await this.#host?.end();
  }

  async #check(
    lowers: readonly { path: string; before: Snapshot }[],
    writable: readonly { work: string }[],
  ): Promise<void> {
    for (const { path, before } of lowers) {
      expect(await this.host.snapshot(path, {}), "the lower is unchanged").toEqual(before);
    }
    // The kernel leaves a whiteout of its own in workdir, as #NUMBER, and clears it at the next mount; Veneer leaves nothing.
    if (this.kind === "veneer") {
      for (const { work } of writable.filter((each) => existsSync(each.work))) {
        const left = readdirSync(work, { recursive: true, encoding: "utf8" }).filter((name) => !mayStay.test(name));
        expect(left, "left in workdir").toEqual([]);
      }
    }
  }
}

/** The staging area itself, the mark of a volatile mount in it, what the kernel leaves, and the index. */
const mayStay = /^(work(\/incompat(\/volatile(\/dirty)?)?|\/#[0-9a-f]+)?|index(\/.*)?)$/;

function isOverlay(type: string): boolean {
  return type === "overlay" || type.startsWith("fuse");
}

/** VENEER_TEST_OVERLAYS=kernel (or veneer) runs one of the two only. */
function overlayKinds(): OverlayKind[] {
  const wanted = (process.env.VENEER_TEST_OVERLAYS ?? "kernel,veneer").split(",");
  return wanted.map((kind) => {
    if (kind !== "kernel" && kind !== "veneer") {
      throw new Error(`VENEER_TEST_OVERLAYS: ${kind} is neither kernel nor veneer`);
    }
    return kind;
  });
}

/** The tests of `body`, once for each overlay. Where the two differ on purpose the test asks `overlay.kind` and says why. */
export function describeOverlay(name: string, body: (overlay: Overlay) => void): void {
  for (const kind of overlayKinds()) {
    describe(`${kind}: ${name}`, () => {
      const overlay = new Overlay(kind);
      beforeAll(() => {
        if (kind === "veneer" && !existsSync(veneerProgram)) {
          throw new Error(`${veneerProgram} is missing`);
        }
      });
      beforeEach(({ task }) => {
        if (kind === "veneer") {
          expectFailure(limits, task);
        }
        overlay.start();
      });
      afterEach(() => overlay.finish());
      afterAll(() => overlay.end());
      body(overlay);
    });
  }
}

/** Two names change places: in one step, where the transport can. */
export async function exchange(sys: Agent, one: string, other: string): Promise<void> {
  if (transportCan("rename EXCHANGE")) {
    await sys.renameat2(one, other, "EXCHANGE");
    return;
  }
  await sys.rename(one, `${one}.between`);
  await sys.rename(other, one);
  await sys.rename(`${one}.between`, other);
}

/** "ok", or the errno (by name) with which the call fails. */
export function outcomeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "ok",
    (error: unknown) => {
      if (error instanceof CallError) {
        return error.code;
      }
      throw error;
    },
  );
}

/** The call must fail with this errno (by name). */
export async function refuses(code: string, call: Promise<unknown>): Promise<void> {
  expect(await outcomeOf(call)).toBe(code);
}
