/** Data-only layers: the data of metacopy files lie in them, at paths of which nothing else shows. */
import { expect, test } from "vitest";
import { describeOverlay, type Mounted, type Overlay, refuses } from "../support/overlay.ts";
import { sparse, symlink, type Tree } from "../support/tree.ts";

function metacopy(size: number, redirect: string): Tree[string] {
  const marks = { "trusted.overlay.metacopy": "", "trusted.overlay.redirect": redirect };
  return sparse(size, [], { mode: 0o640, mtime: 1_000_000_000n, xattrs: marks });
}

const big = "data ".repeat(20_000);
const layers: { lowers: Tree[]; data: Tree[] } = {
  lowers: [
    { upper: metacopy(5, "/store/b") },
    {
      a: metacopy(5, "/store/a"),
      b: metacopy(5, "/store/b"),
      big: metacopy(big.length, "/store/big"),
      missing: metacopy(5, "/store/no"),
      symlink: metacopy(5, "/store/symlink"),
      directory: metacopy(5, "/store"),
      through: metacopy(5, "/link/b"),
      relative: metacopy(5, "b"),
      second: metacopy(5, "/store/second"),
    },
  ],
  data: [
    { store: { a: "one a", b: {}, second: "first" } },
    {
      store: { a: "two a", b: "two b", big, symlink: symlink("b"), second: "other" },
      link: symlink("store"),
      hidden: "",
    },
  ],
};

/** Mounts with the data-only layers behind `::`. */
async function mountWithData(overlay: Overlay, options: readonly string[], writable: boolean): Promise<Mounted> {
  const first = await overlay.mount({
    lowers: layers.lowers,
    upper: writable ? {} : null,
    options: ["redirect_dir=on"],
  });
  await first.unmount();
  const data: string[] = [];
  for (const [index, tree] of layers.data.entries()) {
    data.push(await overlay.buildLower(`${first.mnt}-data${index}`, tree));
  }
  const { lowers, upper, work, mnt } = first;
  return overlay.mountPaths({
    lowers,
    dataLowers: data,
    upper: writable ? upper : null,
    work: writable ? work : null,
    mountpoint: mnt,
    options,
  });
}

/** Content, or errno. */
async function contents(m: Mounted, names: readonly string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of names) {
    found[name] = await m.sys.readFile(`${m.mnt}/${name}`).catch((error: { code: string }) => error.code);
  }
  return found;
}

const found = { a: "one a", b: "two b", big, second: "first" };
const notFound = { missing: "ENOENT", symlink: "ENOENT", directory: "ENOENT", through: "ELOOP" };

describeOverlay("data-only layers", (overlay) => {
  test("hold data that are found by path alone, and show no names", async () => {
    const m = await mountWithData(overlay, ["redirect_dir=on", "metacopy=on"], true);
    expect(await m.sys.list(m.mnt)).toEqual(
      [...Object.keys(found), ...Object.keys(notFound), "relative", "upper"].sort(),
    );
    const { size, mode, mtime, blocks } = await m.sys.lstat(`${m.mnt}/big`);
    expect({ size, mode, mtime, blocks }).toEqual({ size: 100_000, mode: 0o640, mtime: 1_000_000_000n, blocks: 200 });
    const expected = { ...found, ...notFound, relative: "EIO", upper: "two b" };
    expect(await contents(m, Object.keys(expected))).toEqual(expected);
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/hidden`));
    await refuses("ENOENT", m.sys.lstat(`${m.mnt}/store`));
  });

  test("need no metacopy and no redirects for files of the lowest other layer", async () => {
    for (const options of [["redirect_dir=nofollow", "metacopy=off"], ["redirect_dir=follow"]]) {
      const m = await mountWithData(overlay, options, false);
      const expected = { ...found, ...notFound, relative: "EPERM", upper: "EPERM" };
      expect(await contents(m, Object.keys(expected)), options.join()).toEqual(expected);
      await m.unmount();
    }
  });

  test("are found through copies of metadata, and copied up on the first change of data", async () => {
    const m = await mountWithData(overlay, ["redirect_dir=on", "metacopy=on"], true);
    const at = (name: string) => `${m.mnt}/${name}`;
    await m.sys.chmod(at("a"), 0o600);
    await m.sys.rename(at("big"), at("moved"));
    await m.sys.appendFile(at("b"), "+");
    await m.sys.truncate(at("second"), 0);
    await refuses("ENOENT", m.sys.chmod(at("missing"), 0o600));
    await refuses("ENOENT", m.sys.rename(at("missing"), at("other")));
    await m.sys.unlink(at("through"));
    const expected = { a: "one a", moved: big, b: "two b+", second: "" };
    expect(await contents(m, Object.keys(expected))).toEqual(expected);
    for (const kind of ["kernel", "veneer"] as const) {
      await m.remount(kind);
      expect(await contents(m, Object.keys(expected)), kind).toEqual(expected);
      expect((await m.sys.lstat(at("a"))).mode).toBe(0o600);
    }
    const marks = await overlay.host.listxattr(`${m.upper}/moved`);
    expect(marks).toEqual(expect.arrayContaining(["trusted.overlay.metacopy", "trusted.overlay.redirect"]));
    expect(await overlay.host.getxattr(`${m.upper}/moved`, "trusted.overlay.redirect")).toBe("big");
    await m.remount();
  });
});
