/** Errors in words, for where they can't go themselves. */

/** The stack of an error and those of its causes. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const stack = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause instanceof Error ? `${stack}\ncaused by ${describe(error.cause)}` : stack;
}
