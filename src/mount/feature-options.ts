/**
 * The options that turn features of the on-disk format on and off, with the values, defaults and conflicts of Linux overlayfs
 * (Documentation/filesystems/overlayfs.rst; each was tried on Linux 6.18).
 */
import type { Features } from "../contract/features.ts";
import { OptionError } from "./option-error.ts";

/** What was given; undefined where nothing was. */
export interface FeatureOptions {
  readonly redirect?: "on" | "follow" | "nofollow" | "off";
  readonly index?: boolean;
  readonly metacopy?: boolean;
  readonly xino?: "on" | "auto" | "off";
  readonly uuid?: "on" | "auto" | "null" | "off";
}

type Value<Key extends keyof FeatureOptions> = NonNullable<FeatureOptions[Key]>;

/** Each option reads its value. */
export const featureOptions: Readonly<Record<string, (name: string, value: string) => FeatureOptions>> = {
  redirect_dir: (name, value) => ({
    redirect: oneOf<Value<"redirect">>(name, value, ["on", "follow", "nofollow", "off"]),
  }),
  index: (name, value) => ({ index: isOn(name, value) }),
  metacopy: (name, value) => ({ metacopy: isOn(name, value) }),
  xino: (name, value) => ({ xino: oneOf<Value<"xino">>(name, value, ["on", "auto", "off"]) }),
  uuid: (name, value) => ({ uuid: oneOf<Value<"uuid">>(name, value, ["on", "auto", "null", "off"]) }),
  nfs_export: (name, value) => {
    if (isOn(name, value)) {
      throw new OptionError("nfs_export=on is not supported: leave it out");
    }
    return {};
  },
  verity: (name, value) => {
    if (oneOf(name, value, ["off", "on", "require"]) !== "off") {
      throw new OptionError(
        `verity=${value} is not supported, as digests of files are not checked: leave it out if you can do without`,
      );
    }
    return {};
  },
};

function isOn(name: string, value: string): boolean {
  return oneOf(name, value, ["on", "off"]) === "on";
}

/** The value, if it is one of those. @throws OptionError */
export function oneOf<T extends string>(name: string, value: string, values: readonly T[]): T {
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new OptionError(
      `${name}=${value} is none of its values: write ${values.map((v) => `${name}=${v}`).join(", ")}`,
    );
  }
  return found;
}

/**
 * What the features are, once defaults and dependencies are settled.
 * @throws OptionError where features exclude each other
 */
export function resolveFeatures(
  given: FeatureOptions,
  { userXattr, hasUpper }: { readonly userXattr: boolean; readonly hasUpper: boolean },
): Features {
  const { metacopy = false, xino = "auto", uuid = "auto" } = given;
  const index = hasUpper && given.index === true;
  // off: nothing new is recorded, but what is there is followed.
  const redirect = given.redirect === "off" ? "follow" : given.redirect;
  if (userXattr) {
    if (redirect !== undefined && redirect !== "nofollow") {
      throw new OptionError(`userxattr and redirect_dir=${given.redirect} exclude each other: leave one of them out`);
    }
    if (metacopy) {
      throw new OptionError("userxattr and metacopy=on exclude each other: leave one of them out");
    }
    return { redirect: "nofollow", index, metacopy, xino, uuid };
  }
  // Without an upper no redirect is ever made, so that following them is as good as on.
  const goesWithMetacopy = redirect === undefined || redirect === "on" || (redirect === "follow" && !hasUpper);
  if (metacopy && !goesWithMetacopy) {
    throw new OptionError(
      `metacopy=on needs redirect_dir=on, not redirect_dir=${given.redirect}: leave one of them out`,
    );
  }
  return { redirect: metacopy ? "on" : (redirect ?? "follow"), index, metacopy, xino, uuid };
}
