/** docs/performance.md: the tables of several runs, and what they mean. */
import type { Comparison } from "./comparison.ts";
import { circumstances, daemonTable, omissionList, targetTable, timeTable } from "./tables.ts";
import { outcomes } from "./targets.ts";

/** The page. All figures in it come from the runs. */
export function asPage(comparison: Comparison): string {
  const { first, runs } = comparison;
  const { scale } = first;
  const all = outcomes(comparison);
  const omitted = omissionList(comparison);
  return `# Performance

Written by \`npm run bench -- --docs\` from ${runs.length} runs of

\`\`\`sh
${first.command} --json FILE
\`\`\`

${circumstances(comparison)}

The same layers are shown in turn by the bare directory and by the kernel's overlayfs, which are limits, and by the FUSE overlays. Each measurement has a fresh mount with a fresh upper, and begins when all that was before is
written and the daemon is idle; in each of ${first.rounds} rounds the peers come in another order. A figure is the median of the rounds, and of ${runs.length} runs the one in the middle. Ratios are of one run; compare them, rather
than seconds, with those of other machines.

- "cold": names and inodes were dropped from the kernel's caches, pages were kept. "warm": the same was done once before.
- Copy-up: the kernel's overlayfs and Veneer sync what they copy up; the other FUSE overlays never do. The rows "volatile" are with nothing synced by anyone. The geometric mean over the kernel's has the synced rows in it,
  that over a FUSE overlay's the volatile ones.
- Sizes: ${scale.sourceFiles} small files in the tree that is walked, read, unpacked and removed; ${scale.files} files in the directory of absent names, creations, renames and removals; ${scale.copyUps} copy-ups; ${scale.appends} appends of
  1 kB; files of ${scale.bigMegabytes} MiB, and of ${scale.hugeMegabytes} MiB for the copy-up of a large one (on xfs and btrfs by reflink); ${scale.layers} layers; ${scale.knownFiles} known files.

![Time over that of the kernel's overlayfs](performance.svg)

## Targets

${all.filter(({ met }) => met).length} of ${all.length} are met. In brackets: the least and the most of the runs.

${targetTable(comparison)}

Most of what is missed is missed for two reasons. Each request wakes another process, and then its caller again. And each measurement has a fresh daemon, whose code V8 interprets until it has compiled what is used most: the first thousands of requests
cost several times what later ones do, and many of these workloads have no more. The table of the daemons tells both, processor time and requests. Data that are passed through ask the daemon for nothing; those
of a lower, in a mount with an upper, are copied into the page cache of the mount before they are read.

## Times

${timeTable(comparison)}

## Daemons

Processor time of the daemon while the workload ran, and its private memory afterwards; "mount" is the idle one. Of the requests the most frequent are named.

${daemonTable(comparison)}
${omitted === "" ? "" : `\n## Not measured\n\n${omitted}\n`}`;
}
