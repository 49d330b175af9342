/** The rules of the architecture: the layout, who may import whom, and what every source file owes its readers. */
import { posix } from "node:path";
import { exportedFunctions, importsOf, linesWith } from "./source-text.ts";

/** Source texts by their path below src. */
export type SourceTree = ReadonlyMap<string, string>;

interface Area {
  /** Files of src itself, or every file right in a folder. */
  readonly holds: readonly string[] | "folder";
  /** Other areas, or single files, whose exports it may use. */
  readonly mayImport: readonly string[];
  /** Packages and modules of Node. */
  readonly packages: readonly string[];
}

/** The import table of ARCHITECTURE.md. A folder that is not here is outside the layout. */
export const areas: Readonly<Record<string, Area>> = {
  base: { holds: ["errno.ts", "latin1.ts", "log.ts"], mayImport: [], packages: [] },
  contract: { holds: "folder", mayImport: ["errno.ts"], packages: [] },
  // The jobs that sys runs on I/O threads are part of the contract.
  sys: {
    holds: "folder",
    mayImport: ["errno.ts", "latin1.ts", "contract/slow.ts"],
    packages: ["koffi", "node:child_process", "node:fs", "node:module", "node:os", "node:v8", "node:vm"],
  },
  "fuse/protocol": {
    holds: "folder",
    mayImport: ["contract", "errno.ts", "latin1.ts", "fuse/settings.ts"],
    packages: [],
  },
  fuse: {
    holds: "folder",
    mayImport: [
      "fuse/protocol",
      "contract",
      "errno.ts",
      "log.ts",
      "sys/device.ts",
      "sys/fuse-backing.ts",
      "sys/open.ts",
      "sys/splice.ts",
    ],
    packages: ["node:fs", "node:worker_threads"],
  },
  "fuse-native": {
    holds: "folder",
    mayImport: ["fuse/buffers.ts", "fuse/io-threads.ts", "fuse/own-xattrs.ts", "contract", "sys", "errno.ts", "log.ts"],
    packages: ["node:fs", "node:module", "node:path"],
  },
  layer: { holds: "folder", mayImport: ["sys", "contract", "errno.ts"], packages: [] },
  overlay: {
    holds: "folder",
    mayImport: ["layer/layer.ts", "layer/marks.ts", "contract", "errno.ts", "log.ts"],
    packages: [],
  },
  view: { holds: "folder", mayImport: ["contract", "errno.ts"], packages: [] },
  mount: {
    holds: "folder",
    mayImport: ["contract/features.ts", "contract/presentation.ts", "sys", "errno.ts", "log.ts"],
    packages: [],
  },
  composition: {
    holds: [
      ...["load.ts", "built-code.ts", "daemon.ts", "start-failure.ts", "serving.ts", "serve-direct.ts"],
      ...["attendant.ts", "attend-messages.ts", "attend.ts", "describe.ts", "overlay-request.ts", "make-overlay.ts"],
      ...["io-thread.ts", "fuse-native-mount.ts", "serve-fuse-native.ts"],
    ],
    mayImport: ["base", "contract", "sys", "fuse", "fuse-native", "layer", "overlay", "view", "mount"],
    packages: [
      "node:child_process",
      "node:fs",
      "node:module",
      "node:path",
      "node:vm",
      "node:worker_threads",
      "node:zlib",
    ],
  },
  cli: {
    holds: "folder",
    mayImport: ["base", "contract", "sys", "fuse", "layer", "overlay", "view", "mount", "composition"],
    packages: ["commander", "pino", "node:fs", "node:module", "node:path", "node:worker_threads"],
  },
};

const lineLimit = 400;
/** Tables of the wire: one row after the other, and all in one place on purpose. */
export const wireTables: readonly string[] = ["fuse/operations.ts"];

const isTest = (file: string) => file.endsWith(".test.ts");

/** The area that a file belongs to by the layout; undefined for none. */
export function areaOf(file: string): string | undefined {
  const folder = posix.dirname(file);
  if (folder === ".") {
    return Object.keys(areas).find((name) => areas[name]?.holds.includes(file) && areas[name].holds !== "folder");
  }
  return areas[folder]?.holds === "folder" ? folder : undefined;
}

/** Every breach, one a line: `src/FILE:LINE: what is wrong`. Files of tests are held to the layout and the cycles alone. */
export function breaches(tree: SourceTree): string[] {
  const found: string[] = [];
  for (const [file, source] of tree) {
    const area = areaOf(file);
    if (area === undefined) {
      found.push(`src/${file}:1: is in no area of the layout`);
    } else if (!isTest(file)) {
      found.push(...breachesOfFile(file, source, area, tree));
    }
  }
  return [...found, ...importCycles(tree)];
}

function breachesOfFile(file: string, source: string, area: string, tree: SourceTree): string[] {
  const found: string[] = [];
  const say = (line: number, what: string) => found.push(`src/${file}:${line}: ${what}`);
  for (const { specifier, line, reexport } of importsOf(source)) {
    const objection = importObjection(file, area, specifier, tree);
    if (objection !== undefined) {
      say(line, objection);
    }
    if (reexport) {
      say(line, `hands on the exports of ${specifier}: import from where they are`);
    }
  }
  if (posix.basename(file) === "index.ts") {
    say(1, "a barrel file by its name");
  }
  if (area !== "cli") {
    for (const [pattern, what] of [
      [/\bprocess\s*\.\s*exit\b/, "process.exit"],
      [/\bconsole\s*\./, "console"],
    ] as const) {
      for (const line of linesWith(source, pattern)) {
        say(line, `${what} is for cli alone`);
      }
    }
  }
  const length = source.replace(/\n$/, "").split("\n").length;
  if (length > lineLimit && !wireTables.includes(file)) {
    say(lineLimit + 1, `has ${length} lines, more than ${lineLimit}`);
  }
  for (const { name, line, documented } of exportedFunctions(source)) {
    if (!documented) {
      say(line, `the exported function ${name} has no docstring`);
    }
  }
  return found;
}

function importObjection(file: string, area: string, specifier: string, tree: SourceTree): string | undefined {
  const allowed = areas[area] as Area;
  if (!specifier.startsWith(".")) {
    return allowed.packages.includes(specifier) ? undefined : `${area} may not use ${specifier}`;
  }
  const target = resolveImport(file, specifier);
  if (isTest(target)) {
    return `imports the test ${target}`;
  }
  const targetArea = areaOf(target);
  if (!tree.has(target) || targetArea === undefined) {
    return `imports ${specifier}, which is not in the layout`;
  }
  const fine = targetArea === area || allowed.mayImport.includes(targetArea) || allowed.mayImport.includes(target);
  return fine ? undefined : `${area} may not import ${target}`;
}

function resolveImport(file: string, specifier: string): string {
  return posix.join(posix.dirname(file), specifier);
}

/** Each cycle once, told at one of its files; imports of types count, for a reader follows them too. */
function importCycles(tree: SourceTree): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start !== -1) {
      found.push(`src/${file}:1: imports itself by way of ${[...path.slice(start + 1), file].join(", ")}`);
      return;
    }
    if (done.has(file)) {
      return;
    }
    path.push(file);
    for (const { specifier } of importsOf(tree.get(file) ?? "")) {
      if (specifier.startsWith(".")) {
        visit(resolveImport(file, specifier));
      }
    }
    path.pop();
    done.add(file);
  };
  for (const file of tree.keys()) {
    visit(file);
  }
  return found;
}
