import { describe, expect, it } from "vitest";
import { asStored } from "../contract/presentation.ts";
import { OptionError } from "./option-error.ts";
import { parseOptions } from "./options.ts";

function presentation(options: string): object {
  return parseOptions([options]).presentation;
}

describe("options of how things are shown", () => {
  it.each([
    ["ro", {}],
    ["uidmapping=0:1000:1:1:110000:65536", { uids: [triple(0, 1000, 1), triple(1, 110_000, 65_536)] }],
    // Podman puts a colon before the list.
    ["gidmapping=:0:1:60000", { gids: [triple(0, 1, 60_000)] }],
    ["squash_to_root", { squashUid: 0, squashGid: 0 }],
    ["squash_to_uid=7,squash_to_root", { squashUid: 7, squashGid: 0 }],
    ["squash_to_gid=5", { squashGid: 5 }],
    ["static_nlink,noacl", { staticNlink: true, acls: false }],
    ["noxattrs=1", { xattrs: false }],
    ["noxattrs=1,noxattrs=0", {}],
    ["uidmapping=0:1:1,uidmapping=0:2:2", { uids: [triple(0, 2, 2)] }],
  ])("%s", (options, wanted) => {
    expect(presentation(options)).toEqual({ ...asStored, ...wanted });
  });

  it.each([
    ["uidmapping=0:1", /no list of triples/],
    ["uidmapping=:", /no list of triples/],
    ["gidmapping=0:x:1", /gidmapping has x, which is not an id/],
    ["squash_to_uid=-1", /squash_to_uid has -1/],
    ["squash_to_uid=4294967295", /not an id/],
    ["squash_to_root=1", /takes no value/],
    ["noxattrs=yes", /noxattrs=yes is none of its values/],
    ["squash_to_gid", /needs a value/],
  ])("refuses %s", (options, sentence) => {
    expect(() => presentation(options)).toThrow(OptionError);
    expect(() => presentation(options)).toThrow(sentence);
  });
});

function triple(stored: number, shown: number, count: number): object {
  return { stored, shown, count };
}
