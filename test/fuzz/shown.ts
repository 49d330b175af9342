/** All that an overlay shows, told the same way by the kernel's mount and by Veneer's file system without a mount. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { FileRange } from "../../src/contract/file-range.ts";
import type { Filesystem } from "../../src/contract/filesystem.ts";
import { FileType, type Name, rootNodeId } from "../../src/contract/ids.ts";
import { Errno, FsError } from "../../src/errno.ts";
import { runJob } from "../../src/sys/jobs.ts";
import { workingDirectory } from "../../src/sys/open.ts";
import { getXattr, listXattrs } from "../../src/sys/xattr.ts";
import { allNames } from "./marks.ts";

/**
 * What a path is, or the errno of looking; by path. An object that can't be looked up is told whether it is listed or not: the
 * kernel leaves it out where it looks up what it lists (impure directories), Veneer lists it always.
 */
export type Shown = Readonly<Record<string, string>>;

/** No tree in these tests is deeper; a loop is. */
const deepest = 12;
const mostBytes = 4096;
const root = { uid: 0, gid: 0, pid: 1 };

interface Looker {
  /** "mode uid:gid size" */
  stat(path: string): { readonly mode: number; readonly text: string };
  names(path: string): readonly Name[];
  content(path: string): string;
  target(path: string): string;
  xattrs(path: string): string;
}

function lookAll(looker: Looker, path: string, depth: number, into: Record<string, string>): Record<string, string> {
  into[path] = told(() => {
    const { mode, text } = looker.stat(path);
    const xattrs = told(() => looker.xattrs(path));
    switch (mode & FileType.mask) {
      case FileType.directory: {
        if (depth > deepest) {
          throw new Error(`deeper than any layer: ${path}`);
        }
        const names = [...looker.names(path)].filter((name) => name !== "." && name !== "..").sort();
        for (const name of names) {
          lookAll(looker, `${path}/${name}`, depth + 1, into);
        }
        lookForUnlisted(looker, path, names, into);
        return `${text} directory ${xattrs}`;
      }
      case FileType.symlink:
        return `${text} -> ${told(() => looker.target(path))} ${xattrs}`;
      case FileType.regular:
        return `${text} ${told(() => looker.content(path))} ${xattrs}`;
      default:
        return `${text} ${xattrs}`;
    }
  });
  return into;
}

function lookForUnlisted(looker: Looker, path: string, listed: readonly Name[], into: Record<string, string>): void {
  for (const name of allNames.filter((each) => !listed.includes(each))) {
    const outcome = told(() => `not listed: ${looker.stat(`${path}/${name}`).text}`);
    if (outcome !== `errno ${Errno.ENOENT}`) {
      into[`${path}/${name}`] = outcome;
    }
  }
}

/** What is told, or the errno that it fails with. */
function told(act: () => string): string {
  try {
    return act();
  } catch (error) {
    return `errno ${errnoOf(error)}`;
  }
}

function errnoOf(error: unknown): number {
  if (error instanceof FsError) {
    return error.code;
  }
  const { errno } = error as { errno?: number };
  if (errno === undefined) {
    throw error;
  }
  return -errno;
}

function statText(stat: { mode: number; uid: number; gid: number; size: number }): { mode: number; text: string } {
  // The size of a directory is its file system's affair.
  const size = (stat.mode & FileType.mask) === FileType.directory ? "" : ` ${stat.size}`;
  return { mode: stat.mode, text: `${stat.mode.toString(8)} ${stat.uid}:${stat.gid}${size}` };
}

export interface ShownByMount {
  readonly shown: Shown;
  /** Paths that stand for one file of a single link. No file system has such; the caches of an overlay may. */
  readonly aliases: ReadonlySet<string>;
}

/** By system calls on a mounted overlay. */
export function shownByMount(mountpoint: string): ShownByMount {
  const at = (path: string) => Buffer.from(`${mountpoint}${path}`, "latin1");
  const single = new Map<number, Set<string>>();
  const shown = lookAll(
    {
      stat: (path) => {
        const stat = lstatSync(at(path));
        if (stat.isFile() && stat.nlink === 1) {
          single.set(stat.ino, (single.get(stat.ino) ?? new Set()).add(path));
        }
        return statText(stat);
      },
      names: (path) => readdirSync(at(path), { encoding: "latin1" }),
      content: (path) => readFileSync(at(path), "latin1").slice(0, mostBytes),
      target: (path) => readlinkSync(at(path), "latin1"),
      xattrs: (path) => {
        const whole = `${mountpoint}${path}`;
        const names = listXattrs(workingDirectory, whole).sort();
        return names.map((name) => `${name}=${getXattr(workingDirectory, whole, name)?.toString("hex")}`).join(" ");
      },
    },
    "",
    0,
    {},
  );
  return {
    shown,
    aliases: new Set([...single.values()].filter(({ size }) => size > 1).flatMap((paths) => [...paths])),
  };
}

/** By the contract, as the dispatcher asks. Nodes are given back. */
export function shownByFilesystem(filesystem: Filesystem): Shown {
  const nodes = new Map<string, number>([["", rootNodeId]]);
  const node = (path: string) => nodes.get(path) as number;
  const looker: Looker = {
    stat: (path) => {
      if (path === "") {
        return statText(filesystem.getAttributes(rootNodeId, undefined) as never);
      }
      const slash = path.lastIndexOf("/");
      const entry = filesystem.lookup(node(path.slice(0, slash)), path.slice(slash + 1));
      if (entry === undefined) {
        throw new FsError(Errno.ENOENT, "no such name");
      }
      nodes.set(path, entry.node);
      return statText(entry.attributes);
    },
    names: (path) => {
      const names: Name[] = [];
      filesystem.readDirectory(node(path), 0, false, {
        hasRoom: () => true,
        add: (name) => names.push(name),
        addWithEntry: () => undefined,
      });
      return names;
    },
    content: (path) => {
      const { handle } = filesystem.open(node(path), { flags: 0, killSetIds: false });
      const into = Buffer.alloc(mostBytes);
      const found = filesystem.read(node(path), handle, 0, into);
      const read = found instanceof FileRange ? found.read() : found;
      const length = typeof read === "number" ? read : read.finish(runJob(read.job, into));
      filesystem.release(node(path), handle);
      return into.toString("latin1", 0, length);
    },
    target: (path) => filesystem.readLink(node(path)).toString("latin1"),
    xattrs: (path) => {
      const names = [...filesystem.listXattrs(node(path), root)].sort();
      return names.map((name) => `${name}=${filesystem.getXattr(node(path), name)?.toString("hex")}`).join(" ");
    },
  };
  const shown = lookAll(looker, "", 0, {});
  for (const id of nodes.values()) {
    filesystem.forget(id, id === rootNodeId ? 0 : 1);
  }
  return shown;
}
