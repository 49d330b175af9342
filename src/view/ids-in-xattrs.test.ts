import { describe, expect, it } from "vitest";
import { FsError } from "../errno.ts";
import { mapAcl, mapCapability } from "./ids-in-xattrs.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");
const plus = (by: number) => (id: number) => id + by;
const nobody = () => undefined;

describe("mapAcl", () => {
  // As setfacl -m u:1000:rwx,g:7:r writes it: user::rw- user:1000:rwx group::r-- group:7:r-- mask::rwx other::r--
  const acl =
    "02000000 01000600ffffffff 02000700e8030000 04000400ffffffff 0800040007000000 10000700ffffffff 20000400ffffffff";

  it("maps the users and the groups that are named, and nothing else", () => {
    expect(mapAcl(bytes(acl), plus(100_000), plus(200_000)).toString("hex")).toBe(
      bytes(acl.replace("e8030000", "888a0100").replace("0800040007000000", "08000400470d0300")).toString("hex"),
    );
  });

  it("refuses what has no counterpart, and leaves a malformed value alone", () => {
    expect(() => mapAcl(bytes(acl), nobody, plus(0))).toThrow(FsError);
    expect(mapAcl(bytes("020000000200"), nobody, nobody)).toEqual(bytes("020000000200"));
  });
});

describe("mapCapability", () => {
  // cap_net_raw+ep as setcap writes it, and the same with the root user 100000.
  const plain = bytes("01000002 00200000 00000000 00000000 00000000");
  const rooted = bytes("01000003 00200000 00000000 00000000 00000000 a0860100");

  it("gives capabilities the root user that root is mapped to, and takes it off again", () => {
    expect(mapCapability(plain, plus(100_000))).toEqual(rooted);
    expect(mapCapability(rooted, plus(-100_000))).toEqual(plain);
    expect(mapCapability(plain, plus(0))).toEqual(plain);
    expect(mapCapability(rooted, plus(1)).readUInt32LE(20)).toBe(100_001);
  });

  it("refuses a root user who has no counterpart, and leaves other versions alone", () => {
    expect(() => mapCapability(plain, nobody)).toThrow(FsError);
    expect(mapCapability(bytes("01000001 00200000 00000000"), nobody)).toEqual(bytes("01000001 00200000 00000000"));
  });
});
