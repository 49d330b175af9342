/**
 * The addon of the package fuse-native: loaded when it is chosen, by its native part alone. What the package has around
 * that would answer late requests with ETIMEDOUT, and knows less of a request than the addon tells.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { provideLibrary } from "../sys/foreign.ts";
import { localsSize } from "./native-call.ts";

/** Tells a thread of libfuse what came of its call, and lets it go on. @param result 0 or more, or a negative errno */
export type Signal = (call: Buffer, result: number, ...rest: unknown[]) => void;
/** What the addon calls for an operation; the other arguments are as the operation has them. */
export type Handler = (call: Buffer, operation: number, ...args: unknown[]) => void;

export interface Addon {
  /** The number of an operation of libfuse 2 in the addon. */
  operation(name: string): number;
  signal(name: string): Signal;
  /**
   * fuse_mount and fuse_new, then fuse_loop_mt on a thread of its own. Handlers are called from the loop of the main thread.
   * @throws Error where libfuse could not mount; it has said why on stderr
   */
  mount(mountpoint: string, options: string, handlers: readonly (Handler | undefined)[]): void;
}

interface Binding {
  readonly [name: string]: unknown;
  fuse_native_mount(
    mountpoint: string,
    options: string,
    thread: Buffer,
    context: object,
    allocate: (size: number) => Buffer,
    handlers: readonly unknown[],
    implemented: Uint32Array,
  ): void;
}

/** Numbers of operations are below it. */
export const operationCount = 35;
/** Of the build whose records native-call.ts knows. */
const knownThreadSize = 2640;

/** @throws Error with what is in the way */
export function loadAddon(): Addon {
  if (process.arch !== "x64") {
    throw new Error(`it is there for x86_64 alone, and this is ${process.arch}`);
  }
  const manifest = createRequire(import.meta.filename).resolve("fuse-native/package.json");
  const directory = dirname(manifest);
  const library = join(directory, "prebuilds/linux-x64/libfuse.so");
  if (existsSync(library)) {
    // The addon asks for libfuse.so.2: what is loaded by that name already is taken.
    provideLibrary(library);
  }
  const load = createRequire(manifest)("node-gyp-build") as (directory: string) => Binding;
  return asAddon(load(directory));
}

function asAddon(binding: Binding): Addon {
  const threadSize = binding.sizeof_fuse_thread_t as number;
  if (threadSize !== knownThreadSize) {
    throw new Error("its addon is not the build that is known");
  }
  /* The addon works on this memory for as long as the process lives. */
  const kept: Buffer[] = [];
  const keep = (size: number) => {
    const memory = Buffer.alloc(size);
    kept.push(memory);
    return memory;
  };
  return {
    operation: (name) => binding[`op_${name}`] as number,
    signal: (name) => binding[`fuse_native_signal_${name}`] as Signal,
    mount(mountpoint, options, handlers) {
      const implemented = new Uint32Array(operationCount);
      const unused: Handler = () => undefined;
      const all = Array.from({ length: operationCount }, (_, operation) => {
        implemented[operation] = handlers[operation] === undefined ? 0 : 1;
        return handlers[operation] ?? unused;
      });
      const allocate = (size: number) => {
        if (size !== localsSize) {
          throw new Error(`the addon's record of a call has ${size} bytes, not ${localsSize}`);
        }
        return keep(size);
      };
      const context = { allocate, all };
      binding.fuse_native_mount(mountpoint, `-o${options}`, keep(threadSize), context, allocate, all, implemented);
    },
  };
}
