/**
 * The options that turn features of the on-disk format on and off, with the values, defaults and conflicts of Linux overlayfs
 * (Documentation/filesystems/overlayfs.rst).
 */
import type { Features } from "../contract/features.ts";
import { OptionError } from "./option-error.ts";

/** What was given; undefined where nothing was. */
export interface FeatureOptions {
  readonly redirect?: "on" | "follow" | "nofollow" | "off";
  readonly index?: boolean;
  readonly metacopy?: boolean;
  readonly xino?: "on" | "auto" | "off";
}

/** Each option reads its value. */
export const featureOptions: Readonly<Record<string, (name: string, value: string) => FeatureOptions>> = {
  redirect_dir: (name, value) => ({ redirect: oneOf(name, value, ["on", "follow", "nofollow", "off"] as const) }),
  index: (name, value) => ({ index: oneOf(name, value, ["on", "off"] as const) === "on" }),
  metacopy: (name, value) => ({ metacopy: oneOf(name, value, ["on", "off"] as const) === "on" }),
  xino: (name, value) => ({ xino: oneOf(name, value, ["on", "auto", "off"] as const) }),
};

function oneOf<T extends string>(name: string, value: string, values: readonly T[]): T {
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new OptionError(
      `${name}=${value} is none of its values: write ${values.map((v) => `${name}=${v}`).join(", ")}`,
    );
  }
  return found;
}

/** What the features are, once defaults and dependencies are settled. @throws OptionError where features exclude each other */
export function resolveFeatures({
  features,
  userXattr,
}: {
  readonly features: FeatureOptions;
  readonly userXattr: boolean;
}): Features {
  const { index = false, metacopy = false, xino = "auto" } = features;
  const given = features.redirect;
  if (userXattr) {
    if (given !== undefined && given !== "nofollow" && given !== "off") {
      throw new OptionError(`userxattr and redirect_dir=${given} exclude each other: leave one of them out`);
    }
    if (metacopy) {
      throw new OptionError("userxattr and metacopy=on exclude each other: leave one of them out");
    }
    return { redirect: "nofollow", index, metacopy, xino };
  }
  if (metacopy && given !== undefined && given !== "on") {
    throw new OptionError(`metacopy=on needs redirect_dir=on, not redirect_dir=${given}: leave one of them out`);
  }
  // off: nothing new is recorded, but what is there is followed.
  const redirect = given === "off" || given === undefined ? "follow" : given;
  return { redirect: metacopy ? "on" : redirect, index, metacopy, xino };
}
