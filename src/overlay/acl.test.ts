/** Inheritance of default ACLs: by the cases of acl(5), and by what the file system itself does. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeScratch, removeScratch } from "../../test/support/scratch.ts";
import { accessAclName, defaultAclName } from "../contract/xattr-names.ts";
import { Errno } from "../errno.ts";
import { type DirectoryLayer, openUpperLayers } from "../layer/directory-layer.ts";
import { inheritAcl } from "./acl.ts";

const Tag = { userObj: 1, user: 2, groupObj: 4, group: 8, mask: 16, other: 32 };
const noId = 0xffff_ffff;

/** linux/posix_acl_xattr.h: u32 version, then for each entry u16 tag, u16 permissions, u32 id. */
function acl(...entries: (readonly [tag: number, permissions: number, id?: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(id ?? noId, 8 + 8 * index);
  }
  return bytes;
}

const minimal = acl([Tag.userObj, 7], [Tag.groupObj, 5], [Tag.other, 4]);
const withUser = acl([Tag.userObj, 7], [Tag.user, 6, 1000], [Tag.groupObj, 5], [Tag.mask, 7], [Tag.other, 1]);
const withGroups = acl(
  [Tag.userObj, 6],
  [Tag.user, 7, 5],
  [Tag.user, 0, 6],
  [Tag.groupObj, 7],
  [Tag.group, 7, 50],
  [Tag.mask, 5],
  [Tag.other, 0],
);

describe("inheritAcl", () => {
  test("three entries are said by the mode alone", () => {
    expect(inheritAcl(minimal, 0o666)).toEqual({ mode: 0o644, access: undefined });
    expect(inheritAcl(minimal, 0o777)).toEqual({ mode: 0o754, access: undefined });
  });

  test("with a mask, the group bits of the mode narrow the mask and leave the groups' entries alone", () => {
    expect(inheritAcl(withUser, 0o640)).toEqual({
      mode: 0o640,
      access: acl([Tag.userObj, 6], [Tag.user, 6, 1000], [Tag.groupObj, 5], [Tag.mask, 4], [Tag.other, 0]),
    });
  });

  test("special and type bits pass", () => {
    expect(inheritAcl(minimal, 0o106777).mode).toBe(0o106754);
  });

  test("leaves the directory's ACL as it is", () => {
    const before = Buffer.from(withUser);
    inheritAcl(withUser, 0);
    expect(withUser).toEqual(before);
  });

  test.each([0, 3, 5, 11, 13])("refuses %i bytes", (length) => {
    expect(() => inheritAcl(Buffer.alloc(length), 0o644)).toThrowError(expect.objectContaining({ code: Errno.EINVAL }));
  });
});

describe("the file system gives the same", () => {
  let scratch: string;
  let layer: DirectoryLayer;

  beforeAll(() => {
    scratch = makeScratch();
    layer = openUpperLayers(scratch, scratch).upper;
    for (const [name, value] of Object.entries({ minimal, withUser, withGroups })) {
      layer.makeDirectory(name, 0o755);
      layer.setXattr(name, defaultAclName, value, 0);
    }
  });

  afterAll(async () => {
    layer.close();
    await removeScratch(scratch);
  });

  const modes = [0o777, 0o666, 0o640, 0o604, 0o070, 0o007, 0o111, 0];
  test.each(
    Object.entries({ minimal, withUser, withGroups }).flatMap(([name, value]) =>
      modes.map((mode) => [name, mode.toString(8), value, mode] as const),
    ),
  )("for a file in %s made with %s", (name, text, value, mode) => {
    const path = join(name, text);
    layer.createFile(path, mode).close();
    const inherited = inheritAcl(value, mode);
    expect(layer.stat(path).mode & 0o7777).toBe(inherited.mode);
    expect(layer.getXattr(path, accessAclName)).toEqual(inherited.access);
  });

  test("for a directory, which hands the default ACL on", () => {
    layer.makeDirectory("withUser/directory", 0o751);
    const inherited = inheritAcl(withUser, 0o751);
    expect(layer.stat("withUser/directory").mode & 0o7777).toBe(inherited.mode);
    expect(layer.getXattr("withUser/directory", accessAclName)).toEqual(inherited.access);
    expect(layer.getXattr("withUser/directory", defaultAclName)).toEqual(withUser);
  });
});
