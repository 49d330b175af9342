/** The logger that every part is handed; `cli` makes it (pino), nothing else knows what is behind it. */
export interface Logger {
  /** Whether debug lines are wanted: check before formatting one, requests are many. */
  readonly debugEnabled: boolean;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
