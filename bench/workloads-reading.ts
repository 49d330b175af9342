/** Workloads that change nothing: mounting, walks, small files, names. */
import { join } from "node:path";
import { type Materials, systemPython } from "./materials.ts";
import { call, find, gitStatus, tar } from "./steps.ts";
import type { Workload } from "./workload.ts";

async function eachLayer(directory: string, { scale }: Materials): Promise<readonly string[]> {
  return Array.from({ length: scale.layers }, (_, index) => join(directory, String(index)));
}

const tooLong = "it takes very long there, and other workloads show why";

export const reading: readonly Workload[] = [
  {
    name: "node -e 0",
    lower: "empty",
    onlyBare: true,
    aside: true,
    timed: async () => ({ run: [process.execPath, "-e", "0"] }),
  },
  { name: "mount", lower: "source", notBare: "nothing is mounted" },
  { name: "walk cold", lower: "source", cold: true, timed: async () => find },
  { name: "walk warm", lower: "source", prepare: async () => [find], timed: async () => find },
  { name: "read small files cold", lower: "source", cold: true, timed: async () => tar },
  {
    name: "read small files warm",
    lower: "source",
    notFuseNative: tooLong,
    prepare: async () => [tar],
    timed: async () => tar,
  },
  {
    name: "read small files, 4 processes at once",
    lower: "source",
    cold: true,
    notFuseNative: tooLong,
    timed: async () => ({ ...tar, atOnce: 4 }),
  },
  { name: "absent names", lower: "many", timed: async ({ scale }) => call("absent", scale.files) },
  {
    name: "Python start-up",
    lower: "python",
    readOnly: true,
    // Two, as the kernel takes no mount of a single one without an upper.
    lowers: async (directory, materials) => [directory, await materials.make("empty")],
    needs: [systemPython],
    timed: async ({ scale }) => ({
      run: ["./bin/python3", "start.py"],
      times: scale.pythonStarts,
    }),
  },
  { name: "git status cold", lower: "repository", cold: true, needs: ["git"], timed: async () => gitStatus },
  {
    name: "git status warm",
    notFuseNative: tooLong,
    lower: "repository",
    needs: ["git"],
    prepare: async () => [gitStatus],
    timed: async () => gitStatus,
  },
];

const oneDirectory = "one directory has no layers";

export const manyLayers: readonly Workload[] = [
  {
    name: "many layers, walk cold",
    lower: "layers",
    lowers: eachLayer,
    notBare: oneDirectory,
    cold: true,
    timed: async () => find,
  },
  {
    name: "many layers, absent names",
    lower: "layers",
    lowers: eachLayer,
    notBare: oneDirectory,
    timed: async ({ scale }) => call("absent", scale.files),
  },
  { name: "walk of known files", lower: "known", aside: true, notFuseNative: tooLong, timed: async () => find },
];
