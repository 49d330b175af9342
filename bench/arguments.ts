/** The arguments of `npm run bench`. */
import { parseArgs } from "node:util";
import { fuseOverlayfs, type Peer, unionfsFuse, usualPeers, veneer } from "./peers.ts";

export const help = `Usage: npm run bench -- [OPTION]...   (as root; bench/README.md says what is measured)
  --rounds N                        measurements of each workload and peer (5)
  --only REGEX                      only the workloads whose name matches
  --peers NAME,...                  only these
  --veneer NAME=OPTIONS             Veneer again, with further mount options (volatile, say); may be repeated
  --fuse-overlayfs [NAME=]PROGRAM   another fuse-overlayfs, beside or (without NAME) instead of the one in the PATH;
                                    may be repeated
  --unionfs-fuse [NAME=]PROGRAM     the same for unionfs-fuse
  --rehearse                        each daemon has done all things by the thousand before: what it takes then is not what
                                    compiling its code takes; but for read-only mounts, and mounting itself
  --scratch DIR                     where images of file systems are made (/var/tmp)
  --smoke                           small sizes and one round: shows that everything runs, measures nothing of worth
  --json FILE, --svg FILE, --markdown FILE   write the results there
  --list                            print the names of the workloads
  --docs FILE...                    measure nothing, but write docs/performance.md from the JSON of several runs`;

/** What is to be done. */
export type Order =
  | { readonly kind: "help" | "list" }
  | { readonly kind: "docs"; readonly files: readonly string[] }
  | {
      readonly kind: "measure";
      readonly rounds: number;
      readonly only: RegExp;
      readonly peers: readonly Peer[];
      readonly scratch: string;
      readonly smoke: boolean;
      readonly rehearse: boolean;
      readonly json: string | undefined;
      readonly svg: string | undefined;
      readonly markdown: string | undefined;
      /** As it may be repeated elsewhere: without the paths of this machine. */
      readonly command: string;
    };

/** @throws with a sentence for the user */
export function readArguments(argv: readonly string[]): Order {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "5" },
      only: { type: "string" },
      peers: { type: "string" },
      veneer: { type: "string", multiple: true, default: [] },
      "fuse-overlayfs": { type: "string", multiple: true, default: [] },
      "unionfs-fuse": { type: "string", multiple: true, default: [] },
      scratch: { type: "string", default: "/var/tmp" },
      smoke: { type: "boolean", default: false },
      rehearse: { type: "boolean", default: false },
      json: { type: "string" },
      svg: { type: "string" },
      markdown: { type: "string" },
      list: { type: "boolean", default: false },
      docs: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help || values.list) {
    return { kind: values.help ? "help" : "list" };
  }
  if (values.docs !== positionals.length > 0) {
    throw new Error(values.docs ? "--docs needs the JSON of runs" : `${positionals[0]} means nothing without --docs`);
  }
  if (values.docs) {
    return { kind: "docs", files: positionals };
  }
  const rounds = values.smoke ? 1 : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds ${values.rounds} is no number of rounds`);
  }
  const others = {
    veneer: values.veneer.map((text) => named(text, "veneer")),
    "fuse-overlayfs": values["fuse-overlayfs"].map((text) => named(text, "fuse-overlayfs")),
    "unionfs-fuse": values["unionfs-fuse"].map((text) => named(text, "unionfs-fuse")),
  };
  const all = new Map(
    [
      ...usualPeers(),
      ...others.veneer.map(([name, options]) => veneer(name, options)),
      ...others["fuse-overlayfs"].map(([name, program]) => fuseOverlayfs(name, program)),
      ...others["unionfs-fuse"].map(([name, program]) => unionfsFuse(name, program)),
    ].map((peer) => [peer.name, peer]),
  );
  const wanted = values.peers?.split(",") ?? [...all.keys()];
  const unknown = wanted.find((name) => !all.has(name));
  if (unknown !== undefined) {
    throw new Error(`--peers: ${unknown} is none of ${[...all.keys()].join(", ")}`);
  }
  const command = [
    ...["npm run bench -- --rounds", String(rounds)],
    ...(values.smoke ? ["--smoke"] : []),
    ...(values.rehearse ? ["--rehearse"] : []),
    ...(values.only === undefined ? [] : [`--only '${values.only}'`]),
    ...(values.peers === undefined ? [] : [`--peers ${values.peers}`]),
    ...others.veneer.map(([name, options]) => `--veneer ${name}=${options}`),
    ...others["fuse-overlayfs"].map(([name]) => `--fuse-overlayfs ${name}=PROGRAM`),
    ...others["unionfs-fuse"].map(([name]) => `--unionfs-fuse ${name}=PROGRAM`),
  ].join(" ");
  const { scratch, smoke, rehearse, json, svg, markdown } = values;
  const peers = [...all.values()].filter(({ name }) => wanted.includes(name));
  const only = new RegExp(values.only ?? "");
  return { kind: "measure", rounds, only, peers, scratch, smoke, rehearse, json, svg, markdown, command };
}

/** `NAME=VALUE`, or a VALUE that goes by the usual name. A path may have a `=` in it, a name has no `/`. */
function named(text: string, usual: string): readonly [name: string, value: string] {
  const [, name = usual, value = ""] = /^(?:([^/=]+)=)?(.*)$/.exec(text) ?? [];
  return [name, value];
}
