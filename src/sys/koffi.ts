/** The package koffi, by which all native functions are called. */
import { createRequire } from "node:module";
import type Koffi from "koffi";

const require = createRequire(import.meta.filename);

/** The native part alone where it lies in its usual place: what is around it takes longer to look for it than to load it. */
export function loadKoffi(): typeof Koffi {
  try {
    return require(`@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`);
  } catch {
    return require("koffi");
  }
}
