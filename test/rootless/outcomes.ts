/** Calls of a plain user, one after the other, and what comes of each. */
import type { Agent } from "../support/agent.ts";
import { outcomeOf } from "../support/overlay.ts";
import { dir, fifo, file, hardlink, symlink, type Tree } from "../support/tree.ts";

type Step = readonly [what: string, call: (sys: Agent, at: (path: string) => string) => Promise<unknown>];

/** What each step reads, else "ok"; or its errno. */
export async function play(sys: Agent, root: string, steps: readonly Step[]): Promise<Record<string, string>> {
  const outcomes: Record<string, string> = {};
  for (const [what, call] of steps) {
    let read: unknown;
    const outcome = await outcomeOf(
      call(sys, (path) => `${root}/${path}`).then((value) => {
        read = value;
      }),
    );
    outcomes[what] = typeof read === "string" ? `read ${read}` : outcome;
  }
  return outcomes;
}

/** The lower of the two that has more; the other is `below`. */
export const above: Tree = {
  file: "above",
  "read-only": file("r", { mode: 0o444, xattrs: { "user.kept": "1" } }),
  program: file("#!/bin/sh\n", { mode: 0o755 }),
  link: symlink("file"),
  fifo: fifo(),
  both: dir({ a: "1", deep: { x: "1" } }, { mode: 0o755 }),
  closed: dir({ inside: "1" }, { mode: 0o555 }),
  "closed-file-changed": dir({ inside: "1" }, { mode: 0o555 }),
  "goes-closed": { inside: "1" },
};
export const below: Tree = {
  file: "below",
  both: { a: "2", b: "2", deep: { y: "2" } },
  closed: dir({ "inside-below": "2" }, { mode: 0o555 }),
  gone: { f: "1", sub: { g: "1" } },
  one: "several names",
  other: hardlink("one"),
};

/** What a user does with what is his. */
export const steps: readonly Step[] = [
  ["write", (sys, at) => sys.writeFile(at("file"), "new")],
  ["create write-only", (sys, at) => sys.writeFile(at("write-only"), "1", 0o200)],
  ["append to write-only", (sys, at) => sys.appendFile(at("write-only"), "more")],
  ["write read-only", (sys, at) => sys.writeFile(at("read-only"), "x")],
  ["xattr of read-only", (sys, at) => sys.setxattr(at("read-only"), "user.x", "1")],
  ["chmod of read-only", (sys, at) => sys.chmod(at("read-only"), 0o400)],
  ["xattr", (sys, at) => sys.setxattr(at("file"), "user.x", "1")],
  ["trusted xattr", (sys, at) => sys.setxattr(at("file"), "trusted.x", "1")],
  ["unlink", (sys, at) => sys.unlink(at("link"))],
  ["symlink", (sys, at) => sys.symlink("nowhere", at("link"))],
  ["utimens of fifo", (sys, at) => sys.utimens(at("fifo"), 1n, 2n)],
  ["setuid", (sys, at) => sys.chmod(at("program"), 0o4755)],
  ["chown to himself", (sys, at) => sys.lchown(at("program"), -1, -1)],
  ["write to what is setuid", (sys, at) => sys.appendFile(at("program"), "exit\n")],
  ["unlink of a lower one", (sys, at) => sys.unlink(at("both/b"))],
  ["rename", (sys, at) => sys.rename(at("both/a"), at("moved"))],
  ["mkdir", (sys, at) => sys.mkdir(at("new"), 0o555)],
  ["create in closed", (sys, at) => sys.writeFile(at("new/x"), "1")],
  ["removeTree", (sys, at) => sys.removeTree(at("gone"))],
  ["mkdir closed, where there was one", (sys, at) => sys.mkdir(at("gone"), 0o555)],
  ["create in a closed lower", (sys, at) => sys.writeFile(at("closed/x"), "1")],
  ["write a file in a closed lower", (sys, at) => sys.appendFile(at("closed-file-changed/inside"), "2")],
  ["open a closed lower", (sys, at) => sys.chmod(at("closed"), 0o755)],
  ["unlink in it", (sys, at) => sys.unlink(at("closed/inside"))],
  ["unlink below in it", (sys, at) => sys.unlink(at("closed/inside-below"))],
  ["close it", (sys, at) => sys.chmod(at("closed"), 0o555)],
  ["rmdir of what is closed", (sys, at) => sys.rmdir(at("closed"))],
  ["unlink before closing", (sys, at) => sys.unlink(at("goes-closed/inside"))],
  ["close", (sys, at) => sys.chmod(at("goes-closed"), 0o500)],
  ["rename what is closed", (sys, at) => sys.rename(at("goes-closed"), at("both/closed"))],
  ["rmdir of it", (sys, at) => sys.rmdir(at("goes-closed"))],
  ["create", (sys, at) => sys.writeFile(at("made"), "1")],
  ["link", (sys, at) => sys.link(at("made"), at("linked"))],
  ["device", (sys, at) => sys.mknod(at("null"), "char", 0o666, 1, 3)],
  ["fifo", (sys, at) => sys.mknod(at("pipe"), "fifo", 0o600)],
  ["chown to somebody else", (sys, at) => sys.lchown(at("file"), 1, -1)],
  ["chown to another group", (sys, at) => sys.lchown(at("file"), -1, 1)],
  [
    "capability",
    (sys, at) => sys.setxattr(at("program"), "security.capability", "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
  ],
  ["open what is write-only, for the snapshot", (sys, at) => sys.chmod(at("write-only"), 0o600)],
];

/** Directories of both layers that only let themselves be searched. */
export const unlisted = {
  above: dir({ d: dir({ known: "1" }, { mode: 0o311 }) }),
  below: dir({ d: dir({ known: "2", "known-below": "2", other: "3" }, { mode: 0o311 }) }),
};

export const stepsInUnlisted: readonly Step[] = [
  ["list", (sys, at) => sys.list(at("d"))],
  ["read in what can't be listed", (sys, at) => sys.readFile(at("d/known"))],
  ["read below", (sys, at) => sys.readFile(at("d/known-below"))],
  ["create in what can't be listed", (sys, at) => sys.writeFile(at("d/made"), "1")],
  ["write in what can't be listed", (sys, at) => sys.appendFile(at("d/known"), "1")],
  ["unlink in what can't be listed", (sys, at) => sys.unlink(at("d/known-below"))],
  ["absent in what can't be listed", (sys, at) => sys.readFile(at("d/absent"))],
  ["what was written", (sys, at) => sys.readFile(at("d/known"))],
  ["what was made", (sys, at) => sys.readFile(at("d/made"))],
  ["what was removed", (sys, at) => sys.readFile(at("d/known-below"))],
  ["make it anew", (sys, at) => sys.mkdir(at("d/known-below"))],
  ["rename over what is below", (sys, at) => sys.rename(at("d/made"), at("d/other"))],
  ["what was replaced", (sys, at) => sys.readFile(at("d/other"))],
  ["let it be listed, and close it again", (sys, at) => sys.chmod(at("d"), 0o111)],
  ["create in what is closed", (sys, at) => sys.writeFile(at("d/more"), "1")],
  ["mode", async (sys, at) => (await sys.stat(at("d"))).mode.toString(8)],
];
