/** A bit of everything that can be done in an overlay, each call with its outcome: for two overlays to be compared by. */
import { type Agent, CallError } from "../support/agent.ts";
import { dir, fifo, file, hardlink, sparse, symlink, type Tree } from "../support/tree.ts";

const longAgo = 1_000_000_000_123_456_789n;
const at = (seconds: bigint) => ({ mtime: longAgo + seconds * 1_000_000_000n });

/** What `spendDay` works on. */
export const dayLower: Tree = {
  a: file("1", at(1n)),
  big: file("0123456789abcdef".repeat(20_000), { ...at(2n), mode: 0o640, uid: 7, gid: 8 }),
  holes: sparse(1 << 20, [[500_000, "data"]], at(3n)),
  chmoded: file("x", at(4n)),
  d: { b: "2", c: { x: "3", y: "4" } },
  dd: { x: { x1: "5" }, y: file("6", at(5n)), z: {} },
  e1: {},
  e2: {},
  e3: {},
  full: { 1: "1", 2: "2" },
  gone: { q: { r: "7" } },
  h1: file("linked", at(6n)),
  h2: hardlink("h1"),
  keep: dir({ k: "8", k3: "9" }, { ...at(7n), mode: 0o750, uid: 5 }),
  p: fifo({ mode: 0o600 }),
  s: symlink("a"),
  "\xff\xfe n": "bytes",
};

export interface DayOptions {
  /** Whether the upper's file system has xattrs; without them nothing is done with them. */
  readonly xattrs: boolean;
  /** Whether a directory can replace another where lowers have to be hidden; without it that is not tried. */
  readonly replacements: boolean;
}

/** Works in a mount over `dayLower`. @returns one line for each call: its name, paths, and what came of it */
export async function spendDay(sys: Agent, mnt: string, { xattrs, replacements }: DayOptions): Promise<string[]> {
  const lines: string[] = [];
  const tell = async (what: string, call: () => Promise<unknown>) => {
    try {
      const value = await call();
      const shown = typeof value === "string" || Array.isArray(value) ? ` ${JSON.stringify(value)}` : "";
      lines.push(`${what}: done${shown}`);
    } catch (error) {
      if (!(error instanceof CallError)) {
        throw error;
      }
      lines.push(`${what}: ${error.code}`);
    }
  };
  const p = (path: string) => `${mnt}/${path}`;
  const on = (names: string) => names.split(" ");
  const list = (...paths: string[]) => each(paths, (x) => tell(`list ${x}`, () => sys.list(p(x))));
  const write = (x: string, data: string) => tell(`write ${x}`, () => sys.writeFile(p(x), data));
  const unlink = (...paths: string[]) => each(paths, (x) => tell(`unlink ${x}`, () => sys.unlink(p(x))));
  const rmdir = (...paths: string[]) => each(paths, (x) => tell(`rmdir ${x}`, () => sys.rmdir(p(x))));
  const mkdir = (...paths: string[]) => each(paths, (x) => tell(`mkdir ${x}`, () => sys.mkdir(p(x))));
  const rename = (x: string, y: string, flags = "") =>
    tell(`rename ${x} ${y} ${flags}`, () => (flags === "" ? sys.rename(p(x), p(y)) : sys.renameat2(p(x), p(y), flags)));
  const link = (x: string, y: string) => tell(`link ${x} ${y}`, () => sys.link(p(x), p(y)));

  // Removing, and making anew what was removed.
  await unlink("a", "d", "h1", "none", "d/b", "dd/y");
  await rmdir("a", "d", "dd/z", "none");
  await mkdir("a", "dd/y", "e1");
  await write("dd/z", "a file where a directory was");
  await write("d/b", "anew");
  await unlink("gone/q/r");
  await rmdir("gone/q", "gone");
  await mkdir("gone", "gone/q");
  await list("", "a", "d", "dd", "gone", "gone/q");
  // Links over whiteouts; a link of a lower is broken by its copy-up.
  await link("h2", "h1");
  await link("d/b", "dd/l");
  await unlink("d/c/x");
  await link("d/b", "d/c/x");
  await link("keep", "keep2");
  // Renames: files over nothing, a file, a whiteout; from a lower and from the upper; directories; flags.
  await rename("keep/k", "keep/k2");
  await rename("keep/k2", "keep/k3");
  await rename("keep/k3", "keep/k");
  await write("new", "n");
  await rename("new", "d/c/y");
  await rename("chmoded", "e1/chmoded");
  await rename("e1/chmoded", "chmoded");
  await mkdir("nd", "nd/sub");
  await rename("nd", "dd/x");
  await rename("d/c", "d/c2");
  await mkdir("od");
  await rename("od", "e1");
  await rename("gone", "gone2");
  await mkdir("gone");
  await write("gone/file", "1");
  if (replacements) {
    await rename("gone", "e1");
    await rename("gone", "e2");
    await rename("dd/y", "e3");
  }
  await rename("gone2", "e2");
  await rename("e3", "dd/y");
  await rename("e3", "e3/in");
  await rename("s", "big", "NOREPLACE");
  await rename("s", "s2", "NOREPLACE");
  await rename("s2", "p", "EXCHANGE");
  await rename("e2", "p", "EXCHANGE");
  await rename("a", "none", "EXCHANGE");
  await list("", "d", "d/c", "dd", "dd/x", "e1", "e2", "e3", "keep");
  // Directories that hold whiteouts are emptied and go.
  await unlink("full/1", "full/2");
  await list("full");
  if (replacements) {
    await mkdir("other");
    await rename("other", "full");
    await list("full");
  }
  await rmdir("full", "keep");
  // Attributes and data.
  await tell("chmod big", () => sys.chmod(p("big"), 0o4711));
  await tell("chown chmoded", () => sys.chown(p("chmoded"), 12, 13));
  await tell("utimens chmoded", () => sys.utimens(p("chmoded"), longAgo, longAgo - 5n));
  await tell("truncate holes", () => sys.truncate(p("holes"), 700_000));
  await tell("append big", () => sys.appendFile(p("big"), "tail"));
  await each(on("big holes h1 h2 d/b d/c/x d/c/y dd/z keep/k"), (x) => tell(`hash ${x}`, () => sys.hash(p(x))));
  await tell("unnamed file", async () => {
    const fd = await sys.open(p("d"), "O_TMPFILE|O_RDWR", 0o600);
    await sys.write(fd, "from nowhere");
    await sys.linkFd(fd, p("d/named"));
    await sys.close(fd);
    return sys.readFile(p("d/named"));
  });
  await tell("open while removed", async () => {
    const fd = await sys.open(p("d/named"), "O_RDWR");
    await sys.unlink(p("d/named"));
    await sys.pwrite(fd, "F", 0);
    const data = await sys.pread(fd, 20, 0);
    await sys.close(fd);
    return data;
  });
  // Other kinds.
  await tell("mknod a whiteout", () => sys.mknod(p("w"), "char", 0o600, 0, 0));
  await tell("mknod null", () => sys.mknod(p("null"), "char", 0o666, 1, 3));
  await tell("mknod fifo", () => sys.mknod(p("ff"), "fifo", 0o640));
  await tell("symlink", () => sys.symlink("x".repeat(1000), p("sl")));
  await write("\xfe\x01", "bytes");
  await write("l".repeat(255), "long");
  await write("l".repeat(256), "too long");
  if (xattrs) {
    await tell("setxattr", () => sys.setxattr(p("big"), "trusted.x", "y"));
    await tell("setxattr of another overlay", () => sys.setxattr(p("d"), "trusted.overlay.opaque", "y"));
    await tell("getxattr", () => sys.getxattr(p("d"), "trusted.overlay.opaque"));
    await tell("listxattr", () => sys.listxattr(p("d")));
    await tell("listxattr", () => sys.listxattr(p("dd")));
  }
  return lines;
}

async function each(paths: readonly string[], act: (path: string) => Promise<void>): Promise<void> {
  for (const path of paths) {
    await act(path);
  }
}
