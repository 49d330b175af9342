/** The test's end of fault-points.cjs: says at which system call of a daemon what is to happen, and reads what happened. */
import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const preload = fileURLToPath(new URL("fault-points.cjs", import.meta.url));

/** The order of the words in the control file. */
const Field = { mode: 0, at: 1, errno: 2, opens: 3, count: 4, fired: 5, nodes: 6 } as const;
const Mode = { off: 0, count: 1, before: 2, after: 3, fail: 4 } as const;

export type ErrorName = "ENOSPC" | "EIO" | "EDQUOT" | "EMFILE" | "EACCES" | "EOPNOTSUPP";

/** What a file system may lack. */
export type Lacking = "nothing" | "RENAME_WHITEOUT" | "whiteout devices" | "whiteout devices and marks";

/** Calls are counted from 1, from the moment of arming. */
export type Fault =
  | { readonly kind: "none" }
  | { readonly kind: "before" | "after"; readonly at: number }
  /** With `opens`, calls that only open something are counted too, and may fail. */
  | { readonly kind: "fail"; readonly at: number; readonly error: ErrorName; readonly opens: boolean };

export interface Outcome {
  /** Calls that changed something, by the names of system-calls.cjs. */
  readonly calls: readonly string[];
  readonly fired: boolean;
  /** How many nodes the daemon had when it made the last of the calls; -1 where it made none. */
  readonly nodes: number;
}

export class Faults {
  readonly #path: string;
  readonly #fd: number;
  readonly #without: Lacking;

  /**
   * @param path of a control file to make; those of other daemons must be others
   * @param without what the daemon is to take the upper's file system to lack
   */
  constructor(path: string, without: Lacking = "nothing") {
    this.#path = path;
    this.#without = without;
    writeFileSync(path, Buffer.alloc(4 * Object.keys(Field).length));
    this.#fd = openSync(path, "r+");
  }

  /** What a daemon has to be started with. */
  get environment(): Record<string, string> {
    return { VENEER_FAULTS: this.#path, VENEER_FAULTS_WITHOUT: this.#without, NODE_OPTIONS: `--require=${preload}` };
  }

  arm(fault: Fault): void {
    rmSync(`${this.#path}.trace`, { force: true });
    const words = new Int32Array(Object.keys(Field).length);
    words[Field.nodes] = -1;
    words[Field.mode] = fault.kind === "none" ? Mode.count : Mode[fault.kind];
    if (fault.kind !== "none") {
      words[Field.at] = fault.at;
    }
    if (fault.kind === "fail") {
      words[Field.errno] = constants.errno[fault.error];
      words[Field.opens] = fault.opens ? 1 : 0;
    }
    writeSync(this.#fd, Buffer.from(words.buffer), 0, words.byteLength, 0);
  }

  disarm(): Outcome {
    const words = new Int32Array(Object.keys(Field).length);
    const bytes = Buffer.from(words.buffer);
    readSync(this.#fd, bytes, 0, bytes.length, 0);
    writeSync(this.#fd, Buffer.alloc(4), 0, 4, 4 * Field.mode);
    const calls = words[Field.count] === 0 ? [] : readFileSync(`${this.#path}.trace`, "latin1").trimEnd().split("\n");
    return { calls, fired: words[Field.fired] === 1, nodes: words[Field.nodes] ?? -1 };
  }

  close(): void {
    closeSync(this.#fd);
  }
}
