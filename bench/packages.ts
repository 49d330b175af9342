/** A project for npm whose dependencies are archives beside it, so that no network is needed. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./programs.ts";
import { makeManyFiles } from "./trees.ts";

const filesEach = 75;

/** `npm ci` of the project, from the cache. */
export const installCommand = ["npm", "ci", "--silent", "--offline", "--no-audit", "--no-fund"] as const;

/** The environment that keeps npm to itself. */
export function npmEnvironment(cache: string): Record<string, string> {
  return { npm_config_cache: cache, npm_config_update_notifier: "false", npm_config_logs_max: "0" };
}

/** @param cache where npm keeps what it has seen */
export async function makePackages(path: string, count: number, cache: string): Promise<void> {
  const npm = (argv: readonly string[], cwd = path) => run(argv, { cwd, env: npmEnvironment(cache) });
  const dependencies: Record<string, string> = {};
  for (let index = 0; index < count; index++) {
    const name = `dependency-${index}`;
    const source = join(path, "sources", name);
    mkdirSync(source, { recursive: true });
    makeManyFiles(source, filesEach);
    writeFileSync(join(source, "package.json"), JSON.stringify({ name, version: "1.0.0" }));
    // As npm packs, but without starting it for each.
    const archive = join(path, `${name}-1.0.0.tgz`);
    await run(["tar", "czf", archive, "--transform", "s,^\\.,package,", "-C", source, "."]);
    dependencies[name] = `file:${name}-1.0.0.tgz`;
  }
  rmSync(join(path, "sources"), { recursive: true });
  const project = { name: "project", version: "1.0.0", dependencies };
  writeFileSync(join(path, "package.json"), JSON.stringify(project));
  await npm(["npm", "install", "--silent", "--package-lock-only", "--offline", "--no-audit", "--no-fund"]);
  // Fills the cache.
  await npm(installCommand);
  rmSync(join(path, "node_modules"), { recursive: true });
}
