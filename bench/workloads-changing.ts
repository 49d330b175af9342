/** Workloads that make, move, remove and copy up files. */
import { installCommand, npmEnvironment } from "./packages.ts";
import { call, untar } from "./steps.ts";
import type { Workload } from "./workload.ts";

/** The time of one call, not of the whole. */
export const statBesideCopyUp = "one stat call while a large file is copied up";

/** What syncs a copy by itself is measured as it is, and without: what never does is comparable with the latter. */
const copyUps: readonly Workload[] = (
  [
    { name: "copy-up by chmod", lower: "many", timed: async ({ scale }) => call("chmod_each", scale.copyUps) },
    { name: "copy-up by append", lower: "many", timed: async ({ scale }) => call("append_each", scale.copyUps) },
    { name: "copy-up of a large file", lower: "huge", timed: async () => call("write_once") },
    { name: "copy-up of a large file, xfs", lower: "huge", on: "xfs", timed: async () => call("write_once") },
    { name: "copy-up of a large file, btrfs", lower: "huge", on: "btrfs", timed: async () => call("write_once") },
  ] satisfies Workload[]
).flatMap((workload) => {
  const copyUp = { ...workload, changes: true, notBare: "there is no copy-up without an overlay" } as const;
  return [
    { ...copyUp, copyUp: "synced" },
    { ...copyUp, copyUp: "volatile", name: `${workload.name}, volatile` },
  ];
});

export const changing: readonly Workload[] = [
  {
    name: "untar",
    lower: "empty",
    changes: true,
    timed: async (materials) => untar(await materials.make("archive"), "."),
  },
  {
    name: "rm -rf, upper",
    lower: "empty",
    changes: true,
    prepare: async (materials) => [untar(await materials.make("archive"), "tree")],
    timed: async () => ({ run: ["rm", "-rf", "tree"] }),
  },
  { name: "rm -rf, lower", lower: "many", changes: true, timed: async () => ({ run: ["rm", "-rf", "many"] }) },
  { name: "create files", lower: "empty", changes: true, timed: async ({ scale }) => call("create", scale.files) },
  {
    name: "rename files, upper",
    lower: "empty",
    changes: true,
    prepare: async ({ scale }) => [call("create", scale.files)],
    timed: async ({ scale }) => call("rename", scale.files),
  },
  {
    name: "unlink files, upper",
    lower: "empty",
    changes: true,
    prepare: async ({ scale }) => [call("create", scale.files)],
    timed: async ({ scale }) => call("unlink", scale.files),
  },
  ...copyUps,
  {
    name: statBesideCopyUp,
    lower: "huge",
    lowers: async (directory, materials) => [directory, await materials.make("many")],
    changes: true,
    aside: true,
    notBare: "there is no copy-up without an overlay",
    timed: async ({ scale }) => call("stat_beside_copy_up", scale.files),
  },
  {
    name: "npm ci, offline",
    lower: "packages",
    changes: true,
    needs: ["npm"],
    timed: async (materials) => ({ run: installCommand, env: npmEnvironment(materials.cache()) }),
  },
];
