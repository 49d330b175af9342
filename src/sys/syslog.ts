/** syslog(3): where a daemon that has no log file tells of what went wrong. */
import { declare } from "./libc.ts";

const openlog = declare<(name: Buffer, options: number, facility: number) => void>("void openlog(void*, int, int)");
const syslogCall = declare<(priority: number, format: Buffer, text: Buffer) => void>("void syslog(int, void*, void*)");

/* syslog(3) keeps the pointer to the name: it must not be collected. */
const name = Buffer.from("veneer\0", "latin1");
const format = Buffer.from("%s\0", "latin1");
const LOG_PID = 1;
const LOG_DAEMON = 3 << 3;

export const SyslogPriority = { error: 3, warning: 4, info: 6, debug: 7 } as const;

let opened = false;

/** One line, without its newline. Where no syslog service listens the line is lost, as syslog(3) has it. */
export function writeSyslog(priority: number, line: string): void {
  if (!opened) {
    openlog(name, LOG_PID, LOG_DAEMON);
    opened = true;
  }
  syslogCall(priority, format, Buffer.from(`${line.replaceAll("\0", " ")}\0`, "utf8"));
}
