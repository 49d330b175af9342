/** The memory of this thread's JavaScript heap. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/**
 * Collects garbage now. V8 does so when it needs room, but a thread that waits in a system call never needs any, and
 * would hold on to what it once needed for good.
 */
export function collectGarbage(): void {
  if (collect === undefined) {
    // Contexts that are made after the flag is set have the function.
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
    // Caches of code fit no other flags than those that they were made with.
    setFlagsFromString("--no-expose-gc");
  }
  collect();
  // The pages that the first run emptied go back to the system with the second.
  collect();
}
