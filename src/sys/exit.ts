/** Leaving the process when a thread of it may be blocked in a system call. */
import { declare } from "./libc.ts";

const exitCall = declare<(code: number) => void>("void _exit(int)");

/** _exit(2): ends all threads at once, whatever they wait for; the kernel closes what is open. */
export function exitNow(code: number): void {
  exitCall(code);
}
