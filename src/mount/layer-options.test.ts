import { describe, expect, it } from "vitest";
import { splitLowers } from "./layer-options.ts";
import { OptionError } from "./option-error.ts";
import { parseOptions } from "./options.ts";

describe("splitLowers", () => {
  it.each<[string, string[], string[]]>([
    ["a", ["a"], []],
    ["l/A:l/../B", ["l/A", "l/../B"], []],
    ["a\\:b:c", ["a:b", "c"], []],
    ["a\\\\:b", ["a\\", "b"], []],
    ["a\\,b", ["a,b"], []],
    ["a\\", ["a\\"], []],
    ["a\\::b", ["a:", "b"], []],
    ["a\nb:c", ["a\nb", "c"], []],
    ["a::b", ["a"], ["b"]],
    ["a:b::c::d", ["a", "b"], ["c", "d"]],
  ])("%s", (value, lowers, dataLowers) => {
    expect(splitLowers(value)).toEqual({ lowers, dataLowers });
  });

  it.each([":a", "::a", "a:", "a::", "a:::b", ":"])("%s names an empty layer", (value) => {
    expect(() => splitLowers(value)).toThrow(/names an empty layer/);
  });

  it("refuses a layer behind a data-only one", () => {
    expect(() => splitLowers("a::b:c")).toThrow(/has the layer c behind a data-only one/);
  });
});

describe("layers one by one", () => {
  it.each<[string, string[], string[]]>([
    ["lowerdir+=a,lowerdir+=b,datadir+=c,datadir+=d", ["a", "b"], ["c", "d"]],
    ["lowerdir+=a:b,lowerdir+=c\\:d", ["a:b", "c\\:d"], []],
    ["lowerdir+=a\\,b", ["a,b"], []],
    ['lowerdir+="a,b"', ["a,b"], []],
    ["lowerdir+=a,datadir+=b,lowerdir=c", ["c"], []],
    ["lowerdir=a,lowerdir=,lowerdir+=b", ["b"], []],
  ])("%s", (text, lowers, dataLowers) => {
    expect(parseOptions([text])).toMatchObject({ lowers, dataLowers });
  });

  it.each([
    ["lowerdir=a,lowerdir+=b", /lowerdir\+=b can't follow lowerdir=/],
    ["lowerdir=a,datadir+=b", /datadir\+=b can't follow lowerdir=/],
    ["lowerdir+=a,datadir+=b,lowerdir+=c", /lowerdir\+=c follows a datadir\+=/],
  ])("refuses %s", (text, sentence) => {
    expect(() => parseOptions([text])).toThrow(OptionError);
    expect(() => parseOptions([text])).toThrow(sentence);
  });
});
