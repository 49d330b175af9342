/** The same calls in a mount and in a plain directory of the file system beneath it. */
import { expect } from "vitest";
import type { Agent } from "../support/agent.ts";
import type { Mounted, Overlay } from "../support/overlay.ts";
import { dir, type Tree } from "../support/tree.ts";

export interface Places {
  readonly m: Mounted;
  /** In the mount: as it is on the lower, and in the upper. */
  readonly places: readonly [lower: string, upper: string];
  readonly plain: string;
}

/** The tree in the mount, on a lower and in the upper, and without an overlay. @param area where all of them lie */
export async function besides(overlay: Overlay, tree: Tree, area = overlay.scratch): Promise<Places> {
  const m = await overlay.mount({
    lowerArea: area,
    upperArea: area,
    lowers: [{ lower: dir(tree, { mode: 0o777 }) }],
    upper: { upper: dir(tree, { mode: 0o777 }) },
  });
  const plain = await overlay.buildLower(`${area}/plain`, { plain: dir(tree, { mode: 0o777 }) });
  overlay.forgetLower(plain);
  return { m, places: [`${m.mnt}/lower`, `${m.mnt}/upper`], plain: `${plain}/plain` };
}

/** Makes the calls in each place, and expects of each in the mount what was had in the plain directory. */
export async function sameInAll<T>(
  places: readonly string[],
  plain: string,
  act: (root: string) => Promise<T>,
): Promise<void> {
  const expected = await act(plain);
  for (const place of places) {
    expect(await act(place), place).toEqual(expected);
  }
}

/** What a user can know of an object but its times; empty where there is none. */
export async function attributesOf(sys: Agent, path: string): Promise<Record<string, unknown>> {
  if (!(await sys.exists(path))) {
    return {};
  }
  const { type, mode, uid, gid, size } = await sys.lstat(path);
  const xattrs: Record<string, string> = {};
  for (const name of await sys.listxattr(path)) {
    xattrs[name] = await sys.getxattr(path, name);
  }
  return { type, mode, uid, gid, size, xattrs };
}
