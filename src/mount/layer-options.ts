/**
 * The lower layers as options name them: a list (`lowerdir=A:B::DATA`), or one by one (`lowerdir+=`, `datadir+=`), by
 * the rules of Linux overlayfs (Documentation/filesystems/overlayfs.rst, "Multiple lower layers" and "Data-only lower
 * layers"). Pure. Strings are latin1 bytes.
 */
import { OptionError } from "./option-error.ts";

export class LayerArguments {
  #lowers: string[] = [];
  #dataLowers: string[] = [];
  /** A list stands by itself: nothing may be added to it. */
  #isList = false;

  /** Topmost first. */
  get lowers(): readonly string[] {
    return this.#lowers;
  }

  get dataLowers(): readonly string[] {
    return this.#dataLowers;
  }

  /** `lowerdir=`: takes the place of all that was given before; an empty one leaves nothing. */
  list(value: string): void {
    this.#isList = value !== "";
    const { lowers, dataLowers } = this.#isList ? splitLowers(value) : { lowers: [], dataLowers: [] };
    this.#lowers = lowers;
    this.#dataLowers = dataLowers;
  }

  /** `lowerdir+=` and `datadir+=`: one more below those before it, taken literally. */
  add(name: string, value: string): void {
    if (this.#isList) {
      throw new OptionError(`${name}=${value} can't follow lowerdir=: give all layers in one of the two ways`);
    }
    if (name === "lowerdir+" && this.#dataLowers.length > 0) {
      throw new OptionError(`lowerdir+=${value} follows a datadir+=: data-only layers come last`);
    }
    // Commas would end the option, so these alone can be escaped.
    (name === "lowerdir+" ? this.#lowers : this.#dataLowers).push(value.replaceAll("\\,", ","));
  }
}

/**
 * `a\:b:c` is `a:b` and `c`: a backslash takes the meaning of whatever follows it. What stands behind `::` is a
 * data-only layer, and so are all layers from there on.
 * @throws OptionError for an empty name, and for a layer behind a data-only one that is not one itself
 */
export function splitLowers(value: string): { lowers: string[]; dataLowers: string[] } {
  const lowers: string[] = [];
  const dataLowers: string[] = [];
  // Names are at the even places, the colons between them at the odd ones.
  const parts = value.match(/:+|(?:\\.|[^:\\]|\\$)+/gs) ?? [];
  let separator = "";
  for (const [at, part] of parts.entries()) {
    const isSeparator = part.startsWith(":");
    if (isSeparator) {
      if (at === 0 || at === parts.length - 1 || part.length > 2) {
        throw new OptionError(
          `lowerdir=${value} names an empty layer: give directories with ":" between them ("::" before a data-only layer), or write "\\:" for a colon in a name`,
        );
      }
      separator = part;
      continue;
    }
    const name = part.replace(/\\(.)/gs, "$1");
    if (separator === "::") {
      dataLowers.push(name);
    } else if (dataLowers.length === 0) {
      lowers.push(name);
    } else {
      throw new OptionError(
        `lowerdir=${value} has the layer ${name} behind a data-only one: data-only layers come last`,
      );
    }
  }
  return { lowers, dataLowers };
}
