/** `npm run bench`: measures and prints, or makes the page of several runs. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Area } from "./area.ts";
import { help, type Order, readArguments } from "./arguments.ts";
import { keepAwake } from "./awake.ts";
import { asChart } from "./chart.ts";
import { Comparison } from "./comparison.ts";
import { machine, versions } from "./machine.ts";
import { Materials } from "./materials.ts";
import { measureAll } from "./measure.ts";
import { asPage } from "./page.ts";
import { interruption } from "./programs.ts";
import type { Omission, Run } from "./run.ts";
import { fullScale, smokeScale } from "./scale.ts";
import { Stand } from "./stand.ts";
import { asReport, timeTable } from "./tables.ts";
import { workloads } from "./workloads.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Measures; whatever happens, nothing is left mounted. */
async function measure(order: Order & { kind: "measure" }): Promise<Run> {
  const missing: Omission[] = order.peers.flatMap((peer) => {
    const why = peer.missing();
    return why === undefined ? [] : [{ peer: peer.name, why }];
  });
  for (const { peer, why } of missing) {
    say(`${peer}: left out: ${why}`);
  }
  const peers = order.peers.filter(({ name }) => !missing.some(({ peer }) => peer === name));
  const chosen = workloads.filter(({ name }) => order.only.test(name));
  const scale = order.smoke ? smokeScale : fullScale;
  const ofPrograms = await versions(peers);
  const area = new Area(order.scratch, scale.fileSystems);
  const letSleep = keepAwake();
  try {
    const { rounds, rehearse } = order;
    const materials = new Materials(area, scale);
    const found = await measureAll(chosen, peers, new Stand(area), materials, rounds, rehearse, say);
    return {
      date: new Date().toISOString().slice(0, 10),
      command: order.command,
      machine: machine(letSleep !== undefined),
      versions: ofPrograms,
      rounds: order.rounds,
      scale,
      peers: peers.map(({ name, kind, options }) => ({ name, kind, ...(options ? { options } : {}) })),
      workloads: chosen.map(({ name, copyUp, aside }) => ({
        name,
        ...(copyUp && { copyUp }),
        ...(aside && { aside }),
      })),
      figures: found.figures,
      omissions: [...missing, ...found.omissions],
    };
  } finally {
    letSleep?.();
    await area.remove();
  }
}

async function main(order: Order): Promise<void> {
  switch (order.kind) {
    case "help":
      say(help);
      return;
    case "list":
      say(workloads.map(({ name }) => name).join("\n"));
      return;
    case "docs": {
      const comparison = new Comparison(order.files.map((file): Run => JSON.parse(readFileSync(file, "utf8"))));
      const page = fileURLToPath(new URL("../../docs/performance", import.meta.url));
      writeFileSync(`${page}.svg`, asChart(comparison));
      writeFileSync(`${page}.md`, asPage(comparison));
      return;
    }
    case "measure": {
      if (process.getuid?.() !== 0) {
        throw new Error("mounting takes root: run it as root");
      }
      // Node would read the certificates whenever it starts, which is none of what is measured.
      delete process.env.NODE_EXTRA_CA_CERTS;
      process.env.LC_ALL = "C";
      process.env.PYTHONDONTWRITEBYTECODE = "1";
      const run = await measure(order);
      const comparison = new Comparison([run]);
      say(`\n${order.smoke ? timeTable(comparison) : asReport(comparison)}`);
      for (const [file, text] of [
        [order.json, `${JSON.stringify(run, undefined, 1)}\n`],
        [order.svg, asChart(comparison)],
        [order.markdown, asReport(comparison)],
      ] as const) {
        if (file !== undefined) {
          writeFileSync(file, text);
        }
      }
      if (order.smoke && run.omissions.some(({ failed }) => failed)) {
        throw new Error("not every workload ran, see above");
      }
      return;
    }
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interruption.abort(new Error(`interrupted by ${signal}`)));
}
try {
  await main(readArguments(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
