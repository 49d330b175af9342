/** What a mount is to be, and what can be said against it before the disk is looked at. */
import { resolveFeatures } from "./feature-options.ts";
import { OptionError } from "./option-error.ts";
import type { MountOptions } from "./options.ts";

export interface MountPlan {
  /** As given: perhaps relative, perhaps `/dev/fd/N`. */
  readonly mountpoint: string;
  readonly options: MountOptions;
}

/** @throws OptionError where the options don't go together */
export function checkPlan(plan: MountPlan): void {
  const { lowers, upper, work } = plan.options;
  if (lowers.length === 0) {
    throw new OptionError("there is no lower layer: give -o lowerdir=DIR[:DIR...] or --lower DIR");
  }
  resolveFeatures(plan.options);
  if (upper !== undefined && work === undefined) {
    throw new OptionError(
      `upperdir=${upper} needs a workdir: add workdir=DIR, a directory beside it on the same file system`,
    );
  }
  if (work !== undefined && upper === undefined) {
    throw new OptionError(
      `workdir=${work} is of no use without an upperdir: add upperdir=DIR, or leave workdir out for a read-only mount`,
    );
  }
}
