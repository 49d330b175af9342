/** The workloads, in the order of the table. */
import { fileURLToPath } from "node:url";
import type { Materials } from "./materials.ts";
import { findProgram, run, timed } from "./programs.ts";
import type { Mounted } from "./stand.ts";
import type { Workload } from "./workload.ts";

const workerFile = fileURLToPath(new URL("../worker.py", import.meta.url));

/** A loop of worker.py; it keeps its own time. */
function work(name: string, root: string, count: number): number {
  return Number(run(["python3", workerFile, name, root, String(count)]));
}

const find = (root: string) => timed(["find", root, "-printf", "%s %m\n"]);
const tar = (root: string) => timed(["sh", "-c", 'tar cf - -C "$1" . | cat >/dev/null', "sh", root]);
const untar = (archive: string, root: string) => timed(["tar", "xf", archive, "-C", root]);

/** Seconds that fio needs for a number of random calls of 4 KiB. */
function random(kind: "randread" | "randwrite", file: string, calls: number): number {
  const output = run([
    ...["fio", "--name=random", `--rw=${kind}`, `--filename=${file}`, "--bs=4k", "--ioengine=psync"],
    ...[`--number_ios=${calls}`, "--randrepeat=1", "--norandommap", "--invalidate=0", "--fallocate=none"],
    ...["--overwrite=1", "--output-format=json"],
  ]);
  const report: { jobs: { read: { runtime: number; total_ios: number }; write: { runtime: number } }[] } = JSON.parse(
    output.slice(output.indexOf("{")),
  );
  const job = report.jobs[0];
  return ((kind === "randread" ? job?.read.runtime : job?.write.runtime) ?? Number.NaN) / 1000;
}

const needs = (program: string) => () =>
  findProgram(program) === undefined ? `${program} is not installed` : undefined;
const overlaysOnly = "there is no copy-up without an overlay";

async function first(use: (root: string) => Promise<unknown>, root: string): Promise<void> {
  await use(root);
}

const layers = (materials: Materials) =>
  Array.from({ length: materials.scale.layers }, (_, index) => `${materials.path("layers")}/${index}`);

const reading: Workload[] = [
  {
    name: "mount",
    materials: ["source"],
    readOnly: false,
    notBare: "nothing is mounted",
    run: ({ mountSeconds }) => Promise.resolve(mountSeconds ?? Number.NaN),
  },
  { name: "walk cold", materials: ["source"], readOnly: false, cold: true, run: ({ root }) => find(root) },
  {
    name: "walk warm",
    materials: ["source"],
    readOnly: false,
    prepare: (root) => first(find, root),
    run: ({ root }) => find(root),
  },
  { name: "read small files cold", materials: ["source"], readOnly: false, cold: true, run: ({ root }) => tar(root) },
  {
    name: "read small files warm",
    materials: ["source"],
    readOnly: false,
    prepare: (root) => first(tar, root),
    run: ({ root }) => tar(root),
  },
  {
    name: "4 processes read small files",
    materials: ["source"],
    readOnly: false,
    cold: true,
    run: async ({ root }) => Math.max(...(await Promise.all([tar(root), tar(root), tar(root), tar(root)]))),
  },
  {
    name: "absent names",
    materials: ["many"],
    readOnly: false,
    run: ({ root }, { scale }) => Promise.resolve(work("absent", root, scale.files)),
  },
  {
    name: "Python start-up x5",
    materials: ["empty"],
    // Two layers, as the kernel takes no mount of a single one without an upper.
    lowers: (materials) => ["/usr", materials.path("empty")],
    readOnly: true,
    missing: needs("/usr/bin/python3"),
    run: ({ root }) =>
      timed([
        ...["sh", "-c", 'for i in 1 2 3 4 5; do "$1/bin/python3" -c "import http.client, email.message, json"; done'],
        ...["sh", root],
      ]),
  },
  {
    name: "git status cold",
    materials: ["repository"],
    readOnly: false,
    cold: true,
    missing: needs("git"),
    run: ({ root }) => gitStatus(root),
  },
  {
    name: "git status warm",
    materials: ["repository"],
    readOnly: false,
    missing: needs("git"),
    prepare: (root) => first(gitStatus, root),
    run: ({ root }) => gitStatus(root),
  },
];

/** Owners of a copy may differ from the user's: git is told not to mind. */
function gitStatus(root: string): Promise<number> {
  return timed(["git", "-c", "safe.directory=*", "-C", root, "status", "--porcelain"]);
}

const data: Workload[] = [
  {
    name: "sequential read, lower",
    materials: ["big"],
    readOnly: false,
    run: ({ root }) => Promise.resolve(work("read_big", root, 0)),
  },
  {
    name: "random 4k read, lower",
    materials: ["big"],
    readOnly: false,
    missing: needs("fio"),
    prepare: (root) => Promise.resolve(void work("read_big", root, 0)),
    run: ({ root }, { scale }) => Promise.resolve(random("randread", `${root}/big`, scale.randomCalls)),
  },
  {
    name: "sequential write",
    materials: ["empty"],
    readOnly: false,
    run: ({ root }, { scale }) => Promise.resolve(work("write_big", root, scale.bigMegabytes)),
  },
  {
    name: "random 4k read, upper",
    materials: ["empty"],
    readOnly: false,
    missing: needs("fio"),
    prepare: (root, { scale }) => Promise.resolve(void work("write_big", root, scale.bigMegabytes)),
    run: ({ root }, { scale }) => Promise.resolve(random("randread", `${root}/written`, scale.randomCalls)),
  },
  {
    name: "random 4k write, upper",
    materials: ["empty"],
    readOnly: false,
    missing: needs("fio"),
    prepare: (root, { scale }) => Promise.resolve(void work("write_big", root, scale.bigMegabytes)),
    run: ({ root }, { scale }) => Promise.resolve(random("randwrite", `${root}/written`, scale.randomCalls)),
  },
  {
    name: "small appends",
    materials: ["empty"],
    readOnly: false,
    run: ({ root }, { scale }) => Promise.resolve(work("append", root, scale.appends)),
  },
];

const changing: Workload[] = [
  {
    name: "untar",
    materials: ["empty"],
    further: ["archive"],
    readOnly: false,
    run: ({ root }, materials) => untar(materials.path("archive"), root),
  },
  {
    name: "rm -rf, upper",
    materials: ["empty"],
    further: ["archive"],
    readOnly: false,
    prepare: async (root, materials) => {
      run(["mkdir", `${root}/tree`]);
      await untar(materials.path("archive"), `${root}/tree`);
    },
    run: ({ root }) => timed(["rm", "-rf", `${root}/tree`]),
  },
  {
    name: "rm -rf, lower",
    materials: ["many"],
    readOnly: false,
    run: ({ root }) => timed(["rm", "-rf", `${root}/many`]),
  },
  {
    name: "create files",
    materials: ["empty"],
    readOnly: false,
    run: ({ root }, { scale }) => Promise.resolve(work("create", root, scale.files)),
  },
  {
    name: "rename files, upper",
    materials: ["empty"],
    readOnly: false,
    prepare: (root, { scale }) => Promise.resolve(void work("create", root, scale.files)),
    run: ({ root }, { scale }) => Promise.resolve(work("rename", root, scale.files)),
  },
  {
    name: "copy-up by chmod",
    materials: ["many"],
    readOnly: false,
    notBare: overlaysOnly,
    run: ({ root }, { scale }) => Promise.resolve(work("chmod", root, scale.copyUps)),
  },
  {
    name: "copy-up by append",
    materials: ["many"],
    readOnly: false,
    notBare: overlaysOnly,
    run: ({ root }, { scale }) => Promise.resolve(work("append_each", root, scale.copyUps)),
  },
  {
    name: "copy-up of a large file",
    materials: ["huge"],
    readOnly: false,
    notBare: overlaysOnly,
    run: ({ root }) => Promise.resolve(work("write_once", root, 0)),
  },
  {
    name: "copy-up of a large file, xfs with reflink",
    materials: ["xfs-huge"],
    readOnly: false,
    notBare: overlaysOnly,
    upperOn: "xfs",
    missing: needs("mkfs.xfs"),
    run: ({ root }) => Promise.resolve(work("write_once", root, 0)),
  },
  {
    name: "npm ci, offline",
    materials: ["packages"],
    readOnly: false,
    missing: needs("npm"),
    run: ({ root }) => timed(["npm", "ci", "--silent", "--offline", "--no-audit", "--no-fund"], root),
  },
];

const manyLayers: Workload[] = [
  {
    name: "many layers, walk cold",
    materials: ["layers"],
    lowers: layers,
    readOnly: false,
    notBare: "one directory has no layers",
    cold: true,
    run: ({ root }: Mounted) => find(root),
  },
  {
    name: "many layers, absent names",
    materials: ["layers"],
    lowers: layers,
    readOnly: false,
    notBare: "one directory has no layers",
    run: ({ root }, { scale }) => Promise.resolve(work("absent", root, scale.files)),
  },
];

export const workloads: readonly Workload[] = [...reading, ...data, ...changing, ...manyLayers];
