/** Steps that several workloads take. */
import type { Step } from "./workload.ts";

/** A loop of calls.py. */
export function call(name: string, count = 1): Step {
  return { call: name, count };
}

/** `find` with a stat of every entry. */
export const find: Step = { run: ["find", ".", "-printf", "%s %m\n"] };

/** tar(1) of everything; through a pipe, as it reads nothing when its output is /dev/null. */
export const tar: Step = { run: ["sh", "-c", "tar cf - . | cat"] };

/** `git status`. Owners of a copy may differ from the user's, and the index is left as it is. */
export const gitStatus: Step = {
  run: ["git", "-c", "safe.directory=*", "--no-optional-locks", "status", "--porcelain"],
};

/** Calls of fio on the file `big`. */
export function fio(kind: "read" | "write" | "randread" | "randwrite", megabytes: number, calls?: number): Step {
  const size = [`--rw=${kind}`, "--filename=big", `--size=${megabytes}M`];
  return { fio: [...size, ...(calls === undefined ? ["--bs=1M"] : ["--bs=4k", `--number_ios=${calls}`])] };
}

/** Unpacks the archive of the source tree. */
export function untar(archive: string, directory: string): Step {
  return { run: ["sh", "-c", 'mkdir -p "$2" && tar xf "$1/source.tar" -C "$2"', "sh", archive, directory] };
}
