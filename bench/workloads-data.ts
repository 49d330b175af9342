/** Workloads that read and write the data of one file. */
import { call, fio } from "./steps.ts";
import type { Workload } from "./workload.ts";

/** A file of the lower, which its first opening for writing has copied up. */
const copiedUp = call("write_once");

export const data: readonly Workload[] = [
  {
    name: "sequential read, lower",
    lower: "big",
    needs: ["fio"],
    timed: async ({ scale }) => fio("read", scale.bigMegabytes),
  },
  {
    name: "random 4k read, lower",
    lower: "big",
    needs: ["fio"],
    prepare: async () => [call("read_big")],
    timed: async ({ scale }) => fio("randread", scale.bigMegabytes, scale.randomReads),
  },
  {
    name: "sequential read, upper",
    lower: "empty",
    changes: true,
    needs: ["fio"],
    prepare: async ({ scale }) => [call("write_big", scale.bigMegabytes)],
    timed: async ({ scale }) => fio("read", scale.bigMegabytes),
  },
  {
    name: "random 4k read, upper",
    lower: "empty",
    changes: true,
    needs: ["fio"],
    prepare: async ({ scale }) => [call("write_big", scale.bigMegabytes), call("read_big")],
    timed: async ({ scale }) => fio("randread", scale.bigMegabytes, scale.randomReads),
  },
  {
    name: "sequential write, new file",
    lower: "empty",
    changes: true,
    needs: ["fio"],
    timed: async ({ scale }) => fio("write", scale.bigMegabytes),
  },
  {
    name: "random 4k write, upper",
    lower: "empty",
    changes: true,
    needs: ["fio"],
    prepare: async ({ scale }) => [call("write_big", scale.bigMegabytes)],
    timed: async ({ scale }) => fio("randwrite", scale.bigMegabytes, scale.randomWrites),
  },
  {
    name: "sequential write, copied-up lower",
    lower: "big",
    changes: true,
    needs: ["fio"],
    prepare: async () => [copiedUp],
    timed: async ({ scale }) => fio("write", scale.bigMegabytes),
  },
  {
    name: "random 4k write, copied-up lower",
    lower: "big",
    changes: true,
    needs: ["fio"],
    prepare: async () => [copiedUp],
    timed: async ({ scale }) => fio("randwrite", scale.bigMegabytes, scale.randomWrites),
  },
  {
    name: "small appends",
    lower: "empty",
    changes: true,
    timed: async ({ scale }) => call("append", scale.appends),
  },
];
