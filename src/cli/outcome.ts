/** What a command came to: an exit code, and the sentence for stderr where it is not 0. */
import { MountError } from "../mount/mount-error.ts";
import { OptionError } from "../mount/option-error.ts";
import { exitCodes } from "./exit-codes.ts";

export interface Outcome {
  readonly exitCode: number;
  readonly sentence?: string;
}

export const done: Outcome = { exitCode: 0 };

/** Any error as its outcome; one that nobody foresaw keeps its stack. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof MountError) {
    return { exitCode: exitCodes[error.kind], sentence: error.message };
  }
  if (error instanceof OptionError) {
    return { exitCode: exitCodes.usage, sentence: error.message };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { exitCode: exitCodes.internal, sentence: `something unforeseen went wrong, please report it: ${text}` };
}
