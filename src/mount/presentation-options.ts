/**
 * The options of fuse-overlayfs that make a mount show owners, link counts and xattrs otherwise than the layers have them. Container
 * engines use them to run one image in user namespaces with different ids.
 */
import { asStored, type IdRange, type Presentation } from "../contract/presentation.ts";
import { OptionError } from "./option-error.ts";

/** What is given by options that need a value. */
export const presentationWithValue: Readonly<Record<string, (name: string, value: string) => Partial<Presentation>>> = {
  uidmapping: (name, value) => ({ uids: ranges(name, value) }),
  gidmapping: (name, value) => ({ gids: ranges(name, value) }),
  squash_to_uid: (name, value) => ({ squashUid: id(name, value) }),
  squash_to_gid: (name, value) => ({ squashGid: id(name, value) }),
  noxattrs: (name, value) => ({ xattrs: !flag(name, value) }),
};

/** And by those that take none. `squash_to_root` gives way to `squash_to_uid=` and `squash_to_gid=`, wherever it stands. */
export const presentationWithoutValue: Readonly<Record<string, Partial<Presentation> | "squash to root">> = {
  squash_to_root: "squash to root",
  static_nlink: { staticNlink: true },
  noacl: { acls: false },
};

/** What was given, in order; the later of two wins. `asStored` itself where nothing was. */
export function resolvePresentation(given: readonly (Partial<Presentation> | "squash to root")[]): Presentation {
  if (given.length === 0) {
    return asStored;
  }
  const root = given.includes("squash to root") ? { squashUid: 0, squashGid: 0 } : {};
  return Object.assign({ ...asStored, ...root }, ...given.filter((each) => each !== "squash to root")) as Presentation;
}

/** One flat list of triples, of which engines put a colon before the first: ids of the layers, ids to show, how many. */
function ranges(name: string, value: string): IdRange[] {
  const words = value.split(":").filter((word) => word !== "");
  const numbers = words.map((word) => id(name, word));
  if (numbers.length === 0 || numbers.length % 3 !== 0) {
    throw new OptionError(
      `${name}=${value} is no list of triples: write ${name}=STORED:SHOWN:COUNT, for example ${name}=0:100000:65536`,
    );
  }
  const found: IdRange[] = [];
  for (let at = 0; at < numbers.length; at += 3) {
    const [stored = 0, shown = 0, count = 0] = numbers.slice(at, at + 3);
    found.push({ stored, shown, count });
  }
  return found;
}

function id(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value > 0xffff_fffe) {
    throw new OptionError(`${name} has ${text}, which is not an id: give a number from 0 to 4294967294`);
  }
  return value;
}

function flag(name: string, value: string): boolean {
  if (value !== "0" && value !== "1") {
    throw new OptionError(`${name}=${value} is none of its values: write ${name}=0, ${name}=1`);
  }
  return value === "1";
}
