/** The log: JSON lines by pino, which is loaded with the first line that is wanted. */
import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import type pino from "pino";
import type { Logger } from "../log.ts";
import type { LogLevel } from "./command-line.ts";

export type LogSink =
  | { readonly kind: "descriptor"; readonly fd: number }
  /** Warnings and errors alone. @param write takes one line */
  | { readonly kind: "syslog"; readonly write: (severity: "warn" | "error", line: string) => void };

const rank: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 };

/** Lines at `level` and above go to the sink, written when the call returns. */
export function makeLogger(level: LogLevel, sink: LogSink): Logger {
  const least = sink.kind === "syslog" ? Math.max(rank[level], rank.warn) : rank[level];
  let writer: pino.Logger | undefined;
  const at =
    (lineLevel: LogLevel) =>
    (fields: object, message: string): void => {
      if (rank[lineLevel] >= least) {
        writer ??= makePino(level, sink);
        writer[lineLevel](fields, message);
      }
    };
  return {
    debugEnabled: rank.debug >= least,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
}

function makePino(level: LogLevel, sink: LogSink): pino.Logger {
  // require, as import would only be there after the line.
  const make: typeof pino = createRequire(import.meta.filename)("pino");
  return make(
    {
      level,
      base: { pid: process.pid },
      timestamp: make.stdTimeFunctions.isoTime,
      serializers: { error: make.stdSerializers.err },
      formatters: { level: (label) => ({ level: label }), log: readable },
    },
    { write: (line: string) => writeLine(sink, line) },
  );
}

/** Names are latin1 bytes inside; a log is read as UTF-8. */
function readable(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, typeof value === "string" ? asUtf8(value) : value]),
  );
}

/** Bytes that are not UTF-8 show as U+FFFD; a text with characters beyond bytes is no name and stays. */
export function asUtf8(text: string): string {
  return [...text].some((char) => char > "\xff") ? text : Buffer.from(text, "latin1").toString("utf8");
}

function writeLine(sink: LogSink, line: string): void {
  if (sink.kind === "syslog") {
    sink.write(line.startsWith('{"level":"error"') ? "error" : "warn", line.trimEnd());
    return;
  }
  const bytes = Buffer.from(line, "utf8");
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(sink.fd, bytes, written);
    } catch (error) {
      // A full disk or a reader that has gone takes the line, not the mount. A full pipe is waited for.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") {
        return;
      }
      Atomics.wait(pause, 0, 0, 10);
    }
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));
