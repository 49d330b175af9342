/**
 * Signals for a process whose main thread waits in system calls: Node hears of them on that thread's loop alone, which does not turn
 * then. So a loop of libuv's that is nobody else's takes them, and a thread of libuv's waits for it (docs.libuv.org/en/v1.x/signal.html).
 */
import { constants } from "node:os";
import { FsError } from "../errno.ts";
import { type Address, declare, declareAside, program, scratch } from "./libc.ts";

const loopSize = declare<() => number>("size_t uv_loop_size()", program);
const loopInit = declare<(loop: Address) => number>("int uv_loop_init(intptr_t)", program);
const loopDescriptor = declare<(loop: Address) => number>("int uv_backend_fd(intptr_t)", program);
const handleSize = declare<(type: number) => number>("size_t uv_handle_size(int)", program);
const signalInit = declare<(loop: Address, handle: Address) => number>(
  "int uv_signal_init(intptr_t, intptr_t)",
  program,
);
const signalStart = declare<(handle: Address, callback: Address, signal: number) => number>(
  "int uv_signal_start(intptr_t, intptr_t, int)",
  program,
);
const setData = declare<(handle: Address, data: number) => void>(
  "void uv_handle_set_data(intptr_t, intptr_t)",
  program,
);
const dataOf = declare<(handle: Address) => number>("intptr_t uv_handle_get_data(intptr_t)", program);
const runLoop = declare<(loop: Address, mode: number) => number>("int uv_run(intptr_t, int)", program);
const runLoopAside = declareAside<[loop: Address, mode: number]>("int uv_run(intptr_t, int)", program);
const maskSignals = declare<(how: number, set: Address, before: Address) => number>(
  "int pthread_sigmask(int, intptr_t, intptr_t)",
);
const calloc = declare<(count: number, size: number) => Address>("intptr_t calloc(size_t, size_t)");
const dlsym = declare<(library: Address, name: Buffer) => Address>("intptr_t dlsym(intptr_t, void*)");

const UV_SIGNAL = 16;
const SIG_BLOCK = 0;
/** Bytes of glibc's sigset_t: a bit for each signal, from 1 on. */
const setSize = 128;
const RunMode = { once: 1, noWait: 2 } as const;

export type SignalName = "SIGHUP" | "SIGINT" | "SIGTERM";

/** Addresses in this process: good on every thread, for one at a time. */
export interface CaughtSignals {
  readonly loop: Address;
  readonly handles: readonly { readonly name: SignalName; readonly handle: Address }[];
}

/** From now on these signals do nothing but be kept for `takeSignal` and `nextSignal`. */
export function catchSignals(names: readonly SignalName[]): CaughtSignals {
  const loop = calloc(1, loopSize());
  check(loopInit(loop));
  // It is called with the handle and the number of the signal, and so notes in the handle that it came.
  const note = dlsym(0, Buffer.from("uv_handle_set_data\0", "latin1"));
  const handles = names.map((name) => {
    const handle = calloc(1, handleSize(UV_SIGNAL));
    check(signalInit(loop, handle));
    check(signalStart(handle, note, constants.signals[name]));
    return { name, handle };
  });
  // What a loop waits for it tells the kernel when it runs, and that makes its descriptor readable.
  runLoop(loop, RunMode.noWait);
  return { loop, handles };
}

/** A descriptor that can be read when a signal may have come. */
export function signalsDescriptor({ loop }: CaughtSignals): number {
  return loopDescriptor(loop);
}

/** One that has come and was not taken yet. */
export function takeSignal(caught: CaughtSignals): SignalName | undefined {
  runLoop(caught.loop, RunMode.noWait);
  const come = caught.handles.find(({ handle }) => dataOf(handle) !== 0);
  if (come !== undefined) {
    setData(come.handle, 0);
  }
  return come?.name;
}

/** Waits for one, on a thread of libuv's. */
export async function nextSignal(caught: CaughtSignals): Promise<SignalName> {
  for (;;) {
    const name = takeSignal(caught);
    if (name !== undefined) {
      return name;
    }
    await new Promise((resolve) => runLoopAside(caught.loop, RunMode.once, resolve));
  }
}

/**
 * From now on no signal of these, nor the end of a child, interrupts this thread, or those that it starts: others of the process
 * take them. There must be one that does not block them.
 */
export function leaveSignalsToOthers({ handles }: CaughtSignals): void {
  scratch.bytes.fill(0, 0, setSize);
  for (const name of [...handles.map(({ name }) => name), "SIGCHLD"] as const) {
    const bit = constants.signals[name] - 1;
    scratch.words[bit >>> 5] = (scratch.words[bit >>> 5] as number) | (1 << (bit & 31));
  }
  check(-maskSignals(SIG_BLOCK, scratch.address, 0));
}

/** libuv answers negative errnos, and sets none. */
function check(result: number): void {
  if (result < 0) {
    throw new FsError(-result, "catching signals");
  }
}
