/** What is probably there in the middle of a sequence: a rough model that takes every step to succeed, so that later steps find something. */
import { type Sequence, type Step, shownBy } from "./sequence.ts";

/** A path in a step: of something that is there when all went well so far, or of a new name in a directory. */
export interface Wanted {
  readonly wanted: "any" | "directory" | "file" | "new";
  readonly index: number;
  readonly name: string;
}

type Kind = "directory" | "file" | "special";

export class Guess {
  readonly #kinds = new Map<string, Kind>([["", "directory"]]);

  /** Actor and slot of each handle that was opened, the newest last. */
  #handles: (readonly [actor: number, slot: number])[] = [];

  /** @param layers the topmost first */
  constructor(layers: Sequence["layers"]) {
    for (const [path, kind] of shownBy(layers)) {
      this.#kinds.set(path, kind === "dir" ? "directory" : kind === "file" || kind === "hardlink" ? "file" : "special");
    }
  }

  /** An argument as it is played. */
  resolve(arg: unknown): unknown {
    if (typeof arg !== "object" || arg === null || !("wanted" in arg)) {
      return arg;
    }
    const { wanted, index, name } = arg as Wanted;
    const want = wanted === "new" ? "directory" : wanted;
    const there = [...this.#kinds].filter(
      ([path, kind]) => (path !== "" || wanted === "new") && [kind, "any"].includes(want),
    );
    const path = there[index % there.length]?.[0];
    return wanted === "new" && path !== "" ? `${path}/${name}` : (path ?? name);
  }

  /** The step, or by a handle that was opened where its own was not. */
  withHandle(step: Step): Step {
    const [actor, operation, slot, ...args] = step;
    const makes = operation === "open" || operation === "unnamed";
    const handle = this.#handles.at(-1);
    const known = this.#handles.some(([who, which]) => who === actor && which === slot);
    return typeof slot !== "number" || operation === "umask" || makes || known || handle === undefined
      ? step
      : [handle[0], operation, handle[1], ...args];
  }

  /** What the step changes if it succeeds. */
  follow([actor, operation, ...args]: Step): void {
    const isHandle = ([who, slot]: readonly [number, number]) => who === actor && slot === args[0];
    if (operation === "open" || operation === "unnamed" || operation === "close") {
      this.#handles = this.#handles.filter((handle) => !isHandle(handle));
    }
    if (actor > 1) {
      // Users mostly may not.
      return;
    }
    if (operation === "open" || operation === "unnamed") {
      this.#handles.push([actor, args[0] as number]);
    }
    const path = args.find((arg) => typeof arg === "string") as string;
    switch (operation) {
      case "mkdir":
        this.#kinds.set(path, "directory");
        break;
      case "writeFile":
      case "open":
      case "linkHandle":
        this.#add(path, "file");
        break;
      case "link":
        this.#add(args[1] as string, "file");
        break;
      case "mknod":
        this.#add(path, "special");
        break;
      case "symlink":
        this.#add(args[1] as string, "special");
        break;
      case "unlink":
      case "removeTree":
        this.#remove(path);
        break;
      case "rmdir":
        if (![...this.#kinds.keys()].some((other) => other.startsWith(`${path}/`))) {
          this.#kinds.delete(path);
        }
        break;
      case "rename":
        this.#move(path, args[1] as string);
        break;
    }
  }

  #add(path: string, kind: Kind): void {
    if (!this.#kinds.has(path)) {
      this.#kinds.set(path, kind);
    }
  }

  #remove(path: string): void {
    for (const other of [...this.#kinds.keys()]) {
      if (path !== "" && (other === path || other.startsWith(`${path}/`))) {
        this.#kinds.delete(other);
      }
    }
  }

  #move(from: string, to: string): void {
    const moved = [...this.#kinds].filter(([path]) => path === from || path.startsWith(`${from}/`));
    // A directory that is not empty, or that lowers have, mostly stays.
    if (from === "" || to === "" || to.startsWith(`${from}/`) || moved.length !== 1) {
      return;
    }
    this.#remove(from);
    for (const [path, kind] of moved) {
      this.#kinds.set(to + path.slice(from.length), kind);
    }
  }
}
