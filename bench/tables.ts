/** Tables in Markdown, made of results alone. */
import type { Comparison, Spread } from "./comparison.ts";
import type { PeerFacts } from "./run.ts";
import { knownFileBytes, type Outcome, outcomes } from "./targets.ts";

const none = "-";

/** How many kinds of requests a cell names. */
const shownKinds = 4;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map((_, column) => (column === 0 ? "---" : "---:")), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

function seconds(value: number): string {
  return value.toFixed(value < 0.001 ? 6 : value < 0.1 ? 4 : value < 10 ? 3 : 1);
}

function times(spread: Spread | undefined): string {
  return spread === undefined ? none : `${spread.middle.toFixed(2)}x`;
}

/** The figure, and over several runs the least and the most. */
function withRange({ middle, least, most }: Spread, digits: number): string {
  const range = least === most ? "" : ` (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
  return `${middle.toFixed(digits)}${range}`;
}

/** Seconds of each workload and peer, and their ratios to the kernel's overlayfs. */
export function timeTable(comparison: Comparison): string {
  const { peers, workloads, fastestPeer } = comparison;
  const cell = (workload: string, { name }: PeerFacts) => {
    const time = comparison.figure("seconds", workload, name);
    const ratio = name === "kernel" ? undefined : comparison.ratio(workload, name, "kernel");
    return time === undefined ? none : `${seconds(time.middle)}${ratio ? ` (${times(ratio)})` : ""}`;
  };
  const means = (what: string, to: string, without: readonly string[] = []) => [
    `**geometric mean${what}**`,
    ...peers.map(({ name }) => times(comparison.mean(name, to, without))),
  ];
  return table(
    ["seconds (over the kernel's)", ...peers.map(({ name }) => name)],
    [
      ...workloads.map(({ name }) => [name, ...peers.map((peer) => cell(name, peer))]),
      means(" over the kernel's", "kernel"),
      means(" over the kernel's, but for mount", "kernel", ["mount"]),
      ...(fastestPeer ? [means(` over ${fastestPeer.name}'s`, fastestPeer.name)] : []),
    ],
  );
}

/** What the daemons needed: processor time and memory, and requests where they tell, in all and the most frequent. */
export function daemonTable(comparison: Comparison): string {
  const peers = comparison.peers.filter(({ kind }) => kind !== "limit");
  const counts = peers.filter(({ kind }) => kind === "veneer" || kind === "fuse-native");
  const figure = (quantity: "cpu" | "memory" | "requests", workload: string, peer: string, digits: number) =>
    comparison.figure(quantity, workload, peer)?.middle.toFixed(digits);
  const cell = (workload: string, { name }: PeerFacts) => {
    const memory = figure("memory", workload, name, 1);
    return memory === undefined ? none : `${figure("cpu", workload, name, 3) ?? none} / ${memory}`;
  };
  const requests = (workload: string, { name }: PeerFacts) => {
    const all = figure("requests", workload, name, 0);
    const kinds = comparison.kinds(workload, name).slice(0, shownKinds);
    const named = kinds.map(([kind, count]) => `${kind} ${count}`).join(", ");
    const isMeasured = figure("cpu", workload, name, 0) !== undefined;
    return all === undefined ? (isMeasured ? "not counted" : none) : `${all}: ${named}`;
  };
  return table(
    [
      "processor seconds / MB afterwards",
      ...peers.map(({ name }) => name),
      ...counts.map(({ name }) => `requests to ${name}`),
    ],
    [
      ...comparison.workloads.map(({ name }) => [
        name,
        ...peers.map((peer) => cell(name, peer)),
        ...counts.map((peer) => requests(name, peer)),
      ]),
      [
        "**bytes for each known file**",
        ...peers.map(({ name }) => knownFileBytes(comparison, name)?.middle.toFixed(0) ?? none),
        ...counts.map(() => ""),
      ],
    ],
  );
}

/** Targets, what was reached, and whether that is enough: a row for each thing, a column for each measure of it. */
export function targetTable(comparison: Comparison): string {
  const all = outcomes(comparison);
  const cell = ({ wanted, reached, digits, met }: Outcome) =>
    `${withRange(reached, digits)}; ${wanted}: ${met ? "met" : "**missed**"}`;
  const measures = [...new Set(all.map(({ measure }) => measure))];
  const things = [...new Set(all.map(({ what }) => what))];
  return table(
    ["", ...measures],
    things.map((thing) => [
      thing,
      ...measures.map((name) => {
        const outcome = all.find(({ what, measure }) => what === thing && measure === name);
        return outcome === undefined ? none : cell(outcome);
      }),
    ]),
  );
}

/** Where and with what it was measured, a line each. */
export function circumstances({ first, runs }: Comparison): string {
  const versions = Object.entries(first.versions).map(([name, version]) => `${name} ${version.replace(/^v/, "")}`);
  const configured = first.peers.flatMap(({ name, options }) => (options ? [`${name}: \`-o ${options}\``] : []));
  return [
    `- ${[...new Set(runs.map(({ date }) => date))].join(", ")}; ${first.machine}`,
    `- ${versions.join(", ")}`,
    ...configured.map((line) => `- ${line}`),
  ].join("\n");
}

/** What was left out, and why; empty where nothing was. */
export function omissionList(comparison: Comparison): string {
  return comparison.omissions
    .map(({ workload, peer, why }) => `- ${[workload, peer].filter(Boolean).join(", ")}: ${why}`)
    .join("\n");
}

/** All of it, for a terminal. */
export function asReport(comparison: Comparison): string {
  const omitted = omissionList(comparison);
  return [
    circumstances(comparison),
    timeTable(comparison),
    ...(comparison.peers.some(({ kind }) => kind !== "limit") ? [daemonTable(comparison)] : []),
    ...(outcomes(comparison).length > 0 ? [targetTable(comparison)] : []),
    ...(omitted === "" ? [] : [`Not measured:\n\n${omitted}`]),
    "",
  ].join("\n\n");
}
