/** `npm run bench`: reads the arguments, measures, prints. */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { fullScale, Materials, smokeScale } from "./materials.ts";
import { measure, type Result } from "./measure.ts";
import { fuseOverlayfs, type Peer, usualPeers, veneer } from "./peers.ts";
import { findProgram, run } from "./programs.ts";
import { asChart, asMarkdown, type Report } from "./report.ts";
import { Stand } from "./stand.ts";
import { workloads } from "./workloads.ts";

const help = `Usage: npm run bench -- [OPTION]...   (as root; bench/README.md says what is measured)
  --rounds N             measurements of each workload and peer (5)
  --only REGEX           only the workloads whose name matches
  --peers NAME,...       only these: bare, kernel, veneer, fuse-overlayfs, unionfs-fuse
  --peer NAME=PROGRAM    another program that takes the options of fuse-overlayfs; may be repeated
  --veneer NAME=OPTIONS  Veneer again, with further mount options (volatile, say); may be repeated
  --area DIR             where layers and uppers are made (/var/tmp)
  --smoke                small sizes and one round: shows that everything runs, measures nothing of worth
  --json FILE, --svg FILE, --markdown FILE   write the results there`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    only: { type: "string", default: "" },
    peers: { type: "string" },
    peer: { type: "string", multiple: true, default: [] },
    veneer: { type: "string", multiple: true, default: [] },
    area: { type: "string", default: "/var/tmp" },
    smoke: { type: "boolean", default: false },
    json: { type: "string" },
    svg: { type: "string" },
    markdown: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function chosenPeers(): Peer[] {
  const wanted = values.peers?.split(",");
  const pairs = (texts: readonly string[]) =>
    texts.map((text) => [text.split("=", 1)[0] ?? "", text.slice(text.indexOf("=") + 1)] as const);
  return [
    ...usualPeers().filter((peer) => wanted === undefined || wanted.includes(peer.name)),
    ...pairs(values.veneer).map(([name, options]) => veneer(name, options)),
    ...pairs(values.peer).map(([name, program]) => fuseOverlayfs(name, program)),
  ];
}

function machine(): string {
  const memory = Number(/MemTotal:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 0);
  const peer =
    findProgram("fuse-overlayfs") === undefined
      ? ""
      : `; ${run(["fuse-overlayfs", "--version"])
          .split("\n")
          .find((line) => line.startsWith("fuse-overlayfs"))}`;
  return `Linux ${release()}, ${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${(memory / 2 ** 20).toFixed(0)} GiB, Node ${process.version}${peer}`;
}

async function main(): Promise<void> {
  const rounds = values.smoke ? 1 : Number(values.rounds);
  const chosen = workloads.filter((workload) => new RegExp(values.only).test(workload.name));
  const stand = new Stand(values.area);
  const materials = new Materials(stand, values.smoke ? smokeScale : fullScale);
  let results: Result[];
  try {
    results = await measure(chosen, chosenPeers(), materials, rounds, say);
  } finally {
    materials.end();
    stand.remove();
  }
  const report: Report = { date: new Date().toISOString().slice(0, 16), machine: machine(), rounds, results };
  say(`\n${asMarkdown(report)}`);
  const files = [
    [values.json, `${JSON.stringify(report, undefined, 1)}\n`],
    [values.svg, asChart(report)],
    [values.markdown, asMarkdown(report)],
  ] as const;
  for (const [file, text] of files) {
    if (file !== undefined) {
      writeFileSync(file, text);
    }
  }
}

if (values.help) {
  say(help);
} else if (process.getuid?.() !== 0) {
  process.stderr.write("bench: mounting takes root: run it as root\n");
  process.exitCode = 1;
} else {
  await main();
}
