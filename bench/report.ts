/** Tables and the chart, made of results alone. */
import { geometricMean, median, type Result } from "./measure.ts";

export interface Report {
  readonly date: string;
  readonly machine: string;
  readonly rounds: number;
  readonly results: readonly Result[];
}

const reference = "kernel";

/** A cell: the median, and the ratio to the kernel's overlayfs. */
function cell(result: Result | undefined, ofKernel: number | undefined): string {
  if (result === undefined || result.missing !== undefined) {
    return "-";
  }
  const seconds = median(result.seconds);
  const ratio = ofKernel === undefined ? "" : ` (${(seconds / ofKernel).toFixed(2)}x)`;
  return `${seconds.toFixed(seconds < 0.1 ? 4 : 3)}${result.peer === reference ? "" : ratio}`;
}

function names(results: readonly Result[], key: "workload" | "peer"): string[] {
  return [...new Set(results.map((result) => result[key]))];
}

function find(results: readonly Result[], workload: string, peer: string): Result | undefined {
  return results.find((result) => result.workload === workload && result.peer === peer);
}

function measured(result: Result | undefined): number | undefined {
  return result === undefined || result.missing !== undefined ? undefined : median(result.seconds);
}

/** Ratios of one peer to another over all workloads that both have. */
function ratios(results: readonly Result[], peer: string, to: string): number[] {
  return names(results, "workload").flatMap((workload) => {
    const [ours, theirs] = [measured(find(results, workload, peer)), measured(find(results, workload, to))];
    return ours === undefined || theirs === undefined ? [] : [ours / theirs];
  });
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Seconds and ratios as a table in Markdown, with the geometric means, the memory, and why something is missing. */
export function asMarkdown({ date, machine, rounds, results }: Report): string {
  const peers = names(results, "peer");
  const lines = [`${date}; ${machine}; medians of ${rounds} rounds, seconds (ratio to the kernel's overlayfs)`, ""];
  lines.push(row(["workload", ...peers]), row(["---", ...peers.map(() => "---")]));
  for (const workload of names(results, "workload")) {
    const ofKernel = measured(find(results, workload, reference));
    lines.push(row([workload, ...peers.map((peer) => cell(find(results, workload, peer), ofKernel))]));
  }
  const mean = (peer: string, to: string) => {
    const all = ratios(results, peer, to);
    return all.length === 0 ? "-" : `${geometricMean(all).toFixed(2)}x`;
  };
  lines.push(row(["geometric mean, to the kernel's", ...peers.map((peer) => mean(peer, reference))]));
  lines.push(row(["geometric mean, to veneer's", ...peers.map((peer) => mean(peer, "veneer"))]));
  const memory = (peer: string) => {
    const most = results.filter((result) => result.peer === peer).flatMap((result) => result.memory);
    return most.length === 0 ? "-" : `${Math.min(...most).toFixed(0)} to ${Math.max(...most).toFixed(0)} MB`;
  };
  lines.push(row(["private memory of the daemon", ...peers.map(memory)]));
  const missing = results.filter((result) => result.missing !== undefined);
  const reasons = new Set(missing.map((result) => `- ${result.workload}, ${result.peer}: ${result.missing}`));
  if (reasons.size > 0) {
    lines.push("", "Not measured:", ...reasons);
  }
  return `${lines.join("\n")}\n`;
}

const colours = ["#999999", "#444444", "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"];
const barHeight = 8;
const labelWidth = 260;
const unit = 90;
/** Ratios beyond this are cut off, and written. */
const longest = 6;

/** Ratios to the kernel's overlayfs as bars, shorter is faster. */
export function asChart({ date, results }: Report): string {
  const peers = names(results, "peer").filter((peer) => peer !== reference);
  const bars: string[] = [];
  let y = 40;
  for (const workload of names(results, "workload")) {
    const ofKernel = measured(find(results, workload, reference));
    if (ofKernel === undefined) {
      continue;
    }
    bars.push(
      `<text x="${labelWidth - 8}" y="${y + (barHeight * peers.length) / 2 + 4}" text-anchor="end">${workload}</text>`,
    );
    for (const [index, peer] of peers.entries()) {
      const seconds = measured(find(results, workload, peer));
      if (seconds !== undefined) {
        const ratio = seconds / ofKernel;
        const width = Math.min(ratio, longest) * unit;
        bars.push(
          `<rect x="${labelWidth}" y="${y}" width="${width.toFixed(1)}" height="${barHeight - 1}" fill="${colours[index]}"/>`,
        );
        if (ratio > longest) {
          bars.push(
            `<text x="${labelWidth + width + 4}" y="${y + barHeight - 1}" font-size="8">${ratio.toFixed(1)}x</text>`,
          );
        }
      }
      y += barHeight;
    }
    y += 8;
  }
  const legend = peers.map(
    (peer, index) =>
      `<rect x="${labelWidth + index * 130}" y="10" width="10" height="10" fill="${colours[index]}"/>` +
      `<text x="${labelWidth + index * 130 + 14}" y="19">${peer}</text>`,
  );
  const line = `<line x1="${labelWidth + unit}" y1="30" x2="${labelWidth + unit}" y2="${y}" stroke="#000" stroke-dasharray="3,3"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${labelWidth + longest * unit + 60}" height="${y + 24}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...legend,
    ...bars,
    line,
    `<text x="${labelWidth}" y="${y + 16}">time over the kernel's overlayfs (dashed: 1x), ${date}</text>`,
    "</svg>",
    "",
  ].join("\n");
}
