/** Keeps the processors from sleeping while something is timed. */
import { closeSync, openSync, writeSync } from "node:fs";

/**
 * Asks the kernel for a latency of 0 microseconds by `/dev/cpu_dma_latency`, which holds as long as that file is open
 * (Documentation/power/pm_qos_interface.rst): an idle processor polls then. How long one takes to wake is a property
 * of the machine, and in a virtual one that halts at once some ten times what a FUSE request takes otherwise.
 * @returns what ends it; undefined where the kernel does not take such wishes
 */
export function keepAwake(): (() => void) | undefined {
  let wish: number;
  try {
    wish = openSync("/dev/cpu_dma_latency", "w");
  } catch {
    return undefined;
  }
  writeSync(wish, new Int32Array([0]));
  return () => closeSync(wish);
}
