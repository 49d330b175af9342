/**
 * The language of `-o`: what mount(8), container engines and fstab write there becomes a typed result.
 * Pure: nothing here looks at the disk. Strings are latin1 bytes, as everywhere.
 */
import type { PassthroughMode, SyncMode, XattrPermissions } from "../contract/features.ts";
import type { Presentation } from "../contract/presentation.ts";
import { type FeatureOptions, featureOptions, oneOf } from "./feature-options.ts";
import { silentlyIgnored } from "./ignored-options.ts";
import { kernelFlags } from "./kernel-flags.ts";
import { LayerArguments } from "./layer-options.ts";
import { OptionError } from "./option-error.ts";
import { presentationWithoutValue, presentationWithValue, resolvePresentation } from "./presentation-options.ts";

export interface MountOptions {
  /** Topmost first, as given: perhaps relative, never normalised. */
  readonly lowers: readonly string[];
  /** Data-only layers, below all lowers; topmost first. */
  readonly dataLowers: readonly string[];
  readonly upper: string | undefined;
  readonly work: string | undefined;
  /** MS_* bits for mount(2). */
  readonly flags: number;
  /** MS_SHARED and the like, which take a mount(2) of their own; 0 for none. */
  readonly propagation: number;
  /** Whether the mount is for everyone; undefined where neither `allow_other` nor `allow_root` was given, and it is as usual for who mounts. */
  readonly allowOther: boolean | undefined;
  /** Bytes; undefined leaves the kernel's choice. */
  readonly maxRead: number | undefined;
  /** The source shown in /proc/self/mountinfo. */
  readonly source: string;
  /** The type shown there is `fuse.` and this. */
  readonly subtype: string;
  /** Seconds; undefined where the mount's own default is to hold. */
  readonly entryTimeout: number | undefined;
  readonly attrTimeout: number | undefined;
  readonly negativeTimeout: number | undefined;
  /** As given: `MountPlan.features` is what they amount to. */
  readonly features: FeatureOptions;
  readonly presentation: Presentation;
  readonly fsync: SyncMode;
  readonly userXattr: boolean;
  readonly xattrPermissions: XattrPermissions;
  readonly passthrough: PassthroughMode;
  readonly debug: boolean;
  /** Options for SELinux, as mount(2) takes them. */
  readonly labels: readonly string[];
  /** A mount that is there is to get other flags; layers are not asked for then. */
  readonly remount: boolean;
  /** Options that mean nothing to us, in the order given, each once. */
  readonly unknown: readonly string[];
}

type Draft = {
  -readonly [Key in keyof Omit<MountOptions, "lowers" | "dataLowers" | "presentation">]: MountOptions[Key];
} & {
  readonly layers: LayerArguments;
  readonly presentation: Parameters<typeof resolvePresentation>[0][number][];
};

/**
 * Splits at commas. A backslash takes the next character's meaning away; a value in double quotes may
 * hold commas, and loses its quotes. Empty options (`a,,b`, a trailing comma) vanish.
 */
export function splitOptions(text: string): string[] {
  const options: string[] = [];
  let current = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "\\" && at + 1 < text.length) {
      at += 1;
      current += `\\${text[at]}`;
    } else if (char === '"' && current.endsWith("=")) {
      const end = closingQuote(text, at);
      current += text.slice(at + 1, end);
      at = end;
    } else if (char === ",") {
      options.push(current);
      current = "";
    } else {
      current += char;
    }
  }
  options.push(current);
  return options.filter((option) => option !== "");
}

/** Where the value that opens at `start` ends: a quote before a comma or at the end. */
function closingQuote(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    if (end + 1 === text.length || text[end + 1] === ",") {
      return end;
    }
  }
  throw new OptionError(`the quote in "${text.slice(text.lastIndexOf(",", start) + 1)}" is never closed`);
}

/** The values of the option, and of the flag that means it. */
export const passthroughModes: readonly PassthroughMode[] = ["upper", "all", "off"];

function unescapeBackslashes(value: string): string {
  return value.replace(/\\(.)/gs, "$1");
}

/** Options that need a value: what each does with it. */
const withValue: Readonly<Record<string, (draft: Draft, value: string, name: string) => void>> = {
  lowerdir: (draft, value) => draft.layers.list(value),
  "lowerdir+": addLayer,
  "datadir+": addLayer,
  upperdir: (draft, value) => {
    draft.upper = unescapeBackslashes(value);
  },
  workdir: (draft, value) => {
    draft.work = unescapeBackslashes(value);
  },
  max_read: (draft, value, name) => {
    draft.maxRead = wholeNumber(name, value);
  },
  fsname: (draft, value) => {
    draft.source = unescapeBackslashes(value);
  },
  subtype: (draft, value) => {
    draft.subtype = unescapeBackslashes(value);
  },
  timeout: (draft, value, name) => {
    const timeout = seconds(name, value);
    draft.entryTimeout ??= timeout;
    draft.attrTimeout ??= timeout;
    draft.negativeTimeout ??= timeout;
  },
  entry_timeout: (draft, value, name) => {
    draft.entryTimeout = seconds(name, value);
  },
  attr_timeout: (draft, value, name) => {
    draft.attrTimeout = seconds(name, value);
  },
  negative_timeout: (draft, value, name) => {
    draft.negativeTimeout = seconds(name, value);
  },
  fsync: (draft, value, name) => {
    draft.fsync = fsyncByNumber[value] ?? oneOf<SyncMode>(name, value, ["auto", "strict", "volatile"]);
  },
  ...Object.fromEntries(
    Object.entries(presentationWithValue).map(([name, read]) => [
      name,
      (draft: Draft, value: string) => void draft.presentation.push(read(name, value)),
    ]),
  ),
  context: addLabel,
  fscontext: addLabel,
  defcontext: addLabel,
  rootcontext: addLabel,
  xattr_permissions: (draft, value, name) => {
    draft.xattrPermissions = oneOf<XattrPermissions>(name, value, ["0", "1", "2"]);
  },
  passthrough: (draft, value, name) => {
    draft.passthrough = oneOf(name, value, passthroughModes);
  },
};

/** The values that fuse-overlayfs has for it. */
const fsyncByNumber: Readonly<Record<string, SyncMode>> = { "0": "volatile", "1": "auto" };

/** Labels have commas, which only quotes keep together; the kernel's security module takes these off. */
function addLabel(draft: Draft, value: string, name: string): void {
  draft.labels = [...draft.labels, `${name}="${value}"`];
}

function addLayer(draft: Draft, value: string, name: string): void {
  draft.layers.add(name, value);
}

/** Options that take none. */
const withoutValue: Readonly<Record<string, (draft: Draft) => void>> = {
  volatile: (draft) => {
    draft.fsync = "volatile";
  },
  userxattr: (draft) => {
    draft.userXattr = true;
  },
  debug: (draft) => {
    draft.debug = true;
  },
  allow_other: (draft) => {
    draft.allowOther = true;
  },
  // The kernel has no such option: root's mount without allow_other is open to root alone, which is what it says.
  allow_root: (draft) => {
    draft.allowOther = false;
  },
  ...Object.fromEntries(
    Object.entries(presentationWithoutValue).map(([name, asked]) => [
      name,
      (draft: Draft) => void draft.presentation.push(asked),
    ]),
  ),
  // Always on: the overlay leaves every permission check to the kernel.
  default_permissions: ignore,
  // Always so: what the overlay does in the layers it does as the one who mounts.
  override_creds: ignore,
  nooverride_creds: ignore,
  remount: (draft) => {
    draft.remount = true;
  },
};

function ignore(): void {
  // Nothing to note down.
}

/**
 * Reads all `-o` arguments as one list, in order; a later option wins over an earlier one.
 * @param source what the mount table shows, unless `fsname` says something else
 * @throws OptionError with the sentence for the user: a value missing, superfluous or senseless
 */
export function parseOptions(texts: readonly string[], source = "veneer"): MountOptions {
  const draft: Draft = {
    layers: new LayerArguments(),
    upper: undefined,
    work: undefined,
    flags: 0,
    propagation: 0,
    allowOther: undefined,
    maxRead: undefined,
    source,
    subtype: "veneer",
    entryTimeout: undefined,
    attrTimeout: undefined,
    negativeTimeout: undefined,
    features: {},
    presentation: [],
    fsync: "auto",
    userXattr: false,
    xattrPermissions: "0",
    passthrough: "upper",
    debug: false,
    labels: [],
    remount: false,
    unknown: [],
  };
  const unknown = new Set<string>();
  // `timeout` fills what the finer options leave open, wherever it stands.
  const options = texts.flatMap(splitOptions);
  for (const option of [...options.filter((o) => !o.startsWith("timeout=")), ...options.filter(isTimeout).slice(-1)]) {
    if (!takeOption(draft, option)) {
      unknown.add(option.split("=", 1)[0] ?? option);
    }
  }
  const { layers, presentation, ...rest } = draft;
  return {
    ...rest,
    lowers: layers.lowers,
    dataLowers: layers.dataLowers,
    presentation: resolvePresentation(presentation),
    unknown: [...unknown],
  };
}

function isTimeout(option: string): boolean {
  return option.startsWith("timeout=");
}

/** @returns whether we know the option */
function takeOption(draft: Draft, option: string): boolean {
  const equals = option.indexOf("=");
  const name = equals === -1 ? option : option.slice(0, equals);
  const value = equals === -1 ? undefined : option.slice(equals + 1);

  const take = Object.hasOwn(withValue, name) ? withValue[name] : undefined;
  if (take !== undefined) {
    // An empty lowerdir= takes back what was given before.
    if (value === undefined || (value === "" && name !== "lowerdir")) {
      throw new OptionError(`the option ${name} needs a value: ${name}=...`);
    }
    take(draft, value, name);
    return true;
  }
  const feature = Object.hasOwn(featureOptions, name) ? featureOptions[name] : undefined;
  if (feature !== undefined) {
    draft.features = { ...draft.features, ...feature(name, value ?? "") };
    return true;
  }
  if (silentlyIgnored(name)) {
    return true;
  }
  const flag = kernelFlags.get(name);
  const plain = Object.hasOwn(withoutValue, name) ? withoutValue[name] : undefined;
  if (flag === undefined && plain === undefined) {
    return false;
  }
  if (value !== undefined) {
    throw new OptionError(`the option ${name} takes no value, but "${option}" gives it one`);
  }
  plain?.(draft);
  if (flag !== undefined) {
    draft.flags = (draft.flags & ~flag.clear) | flag.set;
    draft.propagation = flag.propagation === 0 ? draft.propagation : flag.propagation;
  }
  return true;
}

function wholeNumber(name: string, value: string): number {
  if (!/^\d{1,10}$/.test(value)) {
    throw new OptionError(`${name}=${value} is not a whole number of bytes: write for example ${name}=131072`);
  }
  return Number(value);
}

function seconds(name: string, value: string): number {
  if (!/^\d{1,10}(\.\d{1,9})?$/.test(value)) {
    throw new OptionError(`${name}=${value} is not a number of seconds: write for example ${name}=10 or ${name}=0.5`);
  }
  return Number(value);
}
