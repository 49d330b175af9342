/**
 * Flags that say how large V8's heap may be hold from the start of the process. They have a price: V8 takes no cache of code that was
 * made with other flags, and so compiles what Node itself has in JavaScript, for each thread anew.
 */
import { loadKoffi } from "./koffi.ts";

/** Of v8-initialization.h: V8::SetFlagsFromString(const char*), by the name that the C++ ABI of both architectures gives it. */
const prototype = "void _ZN2v82V818SetFlagsFromStringEPKc(str)";

/** Takes the flags back, if they were given: the heap of the main thread is what they made it, and caches fit from here on. */
export function forgetHeapFlags(): void {
  const given = process.execArgv.filter((argument) => /^--max-\w+-space-size=/.test(argument));
  if (given.length === 0) {
    return;
  }
  // node:v8 can do the same, but takes ten milliseconds to load while no cache fits.
  const setFlags = loadKoffi().load(null).func(prototype);
  for (const flag of given) {
    // 0 stands for the size that V8 chooses.
    setFlags(flag.replace(/=.*/, "=0"));
  }
}
