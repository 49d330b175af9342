/** How many requests of each kind a mount has served: what a workload costs in round trips. */
import { type Name, type NodeId, rootNodeId } from "../contract/ids.ts";

/** The xattr of the mount's root that tells them; it is in no list, and stands before a user's own of that name. */
const xattrName: Name = "user.veneer.requests";

/** The length of all answers, so that who asks for it first has room for the next. */
const answerLength = 4096;

export class RequestCounts {
  readonly #counts: number[];
  readonly #nameOf: (opcode: number) => string | undefined;

  /**
   * @param opcodes one more than the highest
   * @param nameOf an opcode; undefined for one that is none
   */
  constructor(opcodes: number, nameOf: (opcode: number) => string | undefined) {
    this.#counts = new Array<number>(opcodes).fill(0);
    this.#nameOf = nameOf;
  }

  add(opcode: number): void {
    if (opcode < this.#counts.length) {
      this.#counts[opcode] = (this.#counts[opcode] as number) + 1;
    }
  }

  /** The counts as JSON, `{"LOOKUP":7}`, with spaces behind it, if that is what is asked for. */
  asXattr(node: NodeId, name: Name): Buffer | undefined {
    if (node !== rootNodeId || name !== xattrName) {
      return undefined;
    }
    const counts = this.#counts.map((count, opcode) => [this.#nameOf(opcode), count] as const);
    const served = counts.filter(([operation, count]) => operation !== undefined && count > 0);
    return Buffer.from(JSON.stringify(Object.fromEntries(served)).padEnd(answerLength));
  }
}
