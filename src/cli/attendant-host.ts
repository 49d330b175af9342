/** What the two threads of a mount have to know of its command: where its log goes, and who hears of its end. */
import type { Logger } from "../log.ts";
import { SyslogPriority, writeSyslog } from "../sys/syslog.ts";
import type { LogLevel } from "./command-line.ts";
import { makeLogger } from "./logger.ts";

export interface AttendantHost {
  readonly logLevel: LogLevel;
  /** Of the log; undefined: syslog. */
  readonly logDescriptor: number | undefined;
  readonly foreground: boolean;
}

/** Where the log of a mount in the foreground goes, unless it has a file. */
export const stderr = 2;

/** One for each thread; lines do not mix. */
export function makeHostLogger({ logLevel, logDescriptor }: AttendantHost): Logger {
  return makeLogger(
    logLevel,
    logDescriptor === undefined
      ? {
          kind: "syslog",
          write: (severity, line) =>
            writeSyslog(severity === "error" ? SyslogPriority.error : SyslogPriority.warning, line),
        }
      : { kind: "descriptor", fd: logDescriptor },
  );
}
