import { describe, expect, it } from "vitest";
import { isIdMapped, overlayDirectory, parseMountinfo, topMountAt } from "./mountinfo.ts";

// Lines in the form of a real /proc/self/mountinfo, optional fields absent, single and double.
const text = `24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 24 0:44 / /mnt/a\\040b rw,nosuid shared:1 master:2 - fuse.veneer my\\134source rw,user_id=0,group_id=0
32 31 0:45 / /mnt/a\\040b rw - tmpfs tmpfs rw
33 24 0:46 / /k rw,noatime,idmapped shared:4 - overlay overlay rw,lowerdir=/l,upperdir=/u\\040\\134\\054x,workdir=/w
not a line
`;

describe("parseMountinfo", () => {
  const mounts = parseMountinfo(text);

  it("reads what is needed of each line, optional fields or not", () => {
    expect(mounts).toHaveLength(4);
    expect(mounts[1]).toEqual({
      id: 31,
      parentId: 24,
      major: 0,
      minor: 44,
      mountpoint: "/mnt/a b",
      type: "fuse.veneer",
      source: "my\\source",
      superOptions: "rw,user_id=0,group_id=0",
      idMapped: false,
    });
  });

  it("knows id-mapped ones", () => {
    expect([24, 33, 34].map((id) => isIdMapped(mounts, id))).toEqual([false, true, false]);
  });

  it("tells what lies on top", () => {
    expect(topMountAt(mounts, "/mnt/a b")?.id).toBe(32);
    expect(topMountAt([...mounts].reverse(), "/mnt/a b")?.id).toBe(32);
    expect(topMountAt(mounts, "/mnt")).toBeUndefined();
  });

  it("finds the directories of a kernel overlayfs, with commas in their names", () => {
    expect(overlayDirectory(mounts[3] as never, "workdir")).toBe("/w");
    expect(overlayDirectory(mounts[3] as never, "upperdir")).toBe("/u ,x");
    expect(overlayDirectory(mounts[1] as never, "upperdir")).toBeUndefined();
  });
});
