/** Programs of the system that do what this process may not do by itself. */
import { createRequire } from "node:module";
import { Errno, FsError } from "../errno.ts";

const require = createRequire(import.meta.filename);

/** Milliseconds. */
const patience = 20_000;

/** Where programs are looked for by a caller without a PATH: mount(8) gives its helpers none. */
const usualPath = "/usr/local/bin:/usr/bin:/bin";

/** How a program ended: well, or with what it said instead; `absent` where there is none of that name. */
export type Ended = { readonly kind: "done" | "absent" } | { readonly kind: "failed"; readonly said: string };

/**
 * Runs a program to its end, which this thread waits for.
 * @param args latin1 bytes
 * @param given variables for its environment, and a descriptor that is 3 in it
 * @throws FsError EILSEQ for an argument that is not UTF-8, which Node can't hand on
 */
export function runProgram(
  name: string,
  args: readonly string[],
  { variables = {}, fd }: { readonly variables?: Readonly<Record<string, string>>; readonly fd?: number } = {},
): Ended {
  // Takes its time to load, and most mounts run no program.
  const { spawnSync } = require("node:child_process") as typeof import("node:child_process");
  const { status, signal, error, stderr } = spawnSync(name, args.map(asText), {
    env: { ...process.env, PATH: process.env.PATH ?? usualPath, LC_ALL: "C", ...variables },
    stdio: ["ignore", "ignore", "pipe", ...(fd === undefined ? [] : [fd])],
    encoding: "latin1",
    timeout: patience,
    killSignal: "SIGKILL",
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === "ENOENT") {
    return { kind: "absent" };
  }
  if (status === 0) {
    return { kind: "done" };
  }
  const said = stderr?.trim().split("\n").at(-1) ?? "";
  return { kind: "failed", said: said !== "" ? said : (error?.message ?? `it ended with ${signal ?? status}`) };
}

function asText(argument: string): string {
  const bytes = Buffer.from(argument, "latin1");
  const text = bytes.toString("utf8");
  if (!Buffer.from(text, "utf8").equals(bytes)) {
    throw new FsError(Errno.EILSEQ, `an argument that is not UTF-8 (${argument})`);
  }
  return text;
}
