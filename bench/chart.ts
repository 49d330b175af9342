/** Ratios to the kernel's overlayfs as bars in SVG. */
import type { Comparison } from "./comparison.ts";

const colours = ["#999999", "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2"];
const barHeight = 7;
const gap = 7;
const labelWidth = 250;
const top = 48;
/** Pixels for a doubling. */
const doubling = 70;
const ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16];
const [least, most] = [Math.min(...ticks), Math.max(...ticks)];

/** Where a ratio lies; what is out of range is at the edge. */
function xOf(ratio: number): number {
  return labelWidth + Math.log2(Math.min(Math.max(ratio, least), most) / least) * doubling;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** One group of bars a workload, one bar a peer: to the right of 1x it is slower than the kernel, to the left faster. */
export function asChart(comparison: Comparison): string {
  const peers = comparison.peers.map(({ name }) => name).filter((name) => name !== "kernel");
  const drawn: string[] = [];
  let y = top;
  for (const { name: workload } of comparison.workloads) {
    const bars = peers.flatMap((peer, index) => {
      const ratio = comparison.ratio(workload, peer, "kernel")?.middle;
      return ratio === undefined ? [] : [{ ratio, colour: colours[index % colours.length] }];
    });
    if (bars.length === 0) {
      continue;
    }
    const middle = y + (bars.length * barHeight) / 2 + 4;
    drawn.push(`<text x="${labelWidth - 8}" y="${middle}" text-anchor="end">${escaped(workload)}</text>`);
    for (const { ratio, colour } of bars) {
      const [from, to] = [xOf(1), xOf(ratio)].sort((a, b) => a - b) as [number, number];
      const width = Math.max(to - from, 1).toFixed(1);
      drawn.push(`<rect x="${from.toFixed(1)}" y="${y}" width="${width}" height="${barHeight - 1}" fill="${colour}"/>`);
      if (ratio > most) {
        drawn.push(`<text x="${to + 4}" y="${y + barHeight - 1}" font-size="8">${ratio.toFixed(0)}x</text>`);
      }
      y += barHeight;
    }
    y += gap;
  }
  const legend = peers.map((peer, index) => {
    const x = labelWidth + index * 125;
    const colour = colours[index % colours.length];
    return `<rect x="${x}" y="10" width="10" height="10" fill="${colour}"/><text x="${x + 14}" y="19">${escaped(peer)}</text>`;
  });
  const grid = ticks.map((tick) => {
    const x = xOf(tick).toFixed(1);
    const stroke = tick === 1 ? "#000" : "#ddd";
    return (
      `<line x1="${x}" y1="${top - 8}" x2="${x}" y2="${y}" stroke="${stroke}"/>` +
      `<text x="${x}" y="${top - 12}" text-anchor="middle">${tick}x</text>`
    );
  });
  const width = Math.max(xOf(most) + 40, labelWidth + peers.length * 125);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + 24}" font-family="sans-serif" font-size="11">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    ...legend,
    ...grid,
    ...drawn,
    `<text x="${labelWidth}" y="${y + 14}">time over that of the kernel's overlayfs</text>`,
    "</svg>",
    "",
  ].join("\n");
}
