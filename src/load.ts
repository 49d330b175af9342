/** What Node is started with, a copy for each program: runs the code beside it, NAME.js for NAME.cjs. */
import { readBuiltCode, runBuiltCode } from "./built-code.ts";
import { forgetHeapFlags } from "./sys/heap-flags.ts";

forgetHeapFlags();
runBuiltCode(readBuiltCode(import.meta.filename.replace(/cjs$/, "js")));
