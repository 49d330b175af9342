/** Errors in words, for where they can't go themselves. */
import { FsError } from "./errno.ts";
import type { ServingEnd } from "./serving.ts";

/** The stack of an error and those of its causes. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const stack = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause instanceof Error ? `${stack}\ncaused by ${describe(error.cause)}` : stack;
}

/** What failed, and its errno if it has one. */
export function failureOf(error: unknown): NonNullable<ServingEnd["failure"]> {
  return { code: error instanceof FsError ? error.code : undefined, what: describe(error) };
}
