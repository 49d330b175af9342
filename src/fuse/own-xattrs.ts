/** What a mount tells of itself, in xattrs of its root: they are in no list, and stand before a user's own of that name. */
import { type Name, type NodeId, rootNodeId } from "../contract/ids.ts";

/** By which transport it is served. */
const transportName: Name = "user.veneer.transport";
/** How many requests of each kind it has served: what a workload costs in round trips. */
const requestsName: Name = "user.veneer.requests";

/** The length of all counts, so that who asks for it first has room for the next. */
const countsLength = 4096;

export class OwnXattrs {
  readonly #transport: string;
  readonly #counts: number[];
  readonly #nameOf: (opcode: number) => string | undefined;

  /**
   * @param opcodes one more than the highest
   * @param nameOf an opcode; undefined for one that is none
   */
  constructor(transport: string, opcodes: number, nameOf: (opcode: number) => string | undefined) {
    this.#transport = transport;
    this.#counts = new Array<number>(opcodes).fill(0);
    this.#nameOf = nameOf;
  }

  /** Counts a request. */
  count(opcode: number): void {
    if (opcode < this.#counts.length) {
      this.#counts[opcode] = (this.#counts[opcode] as number) + 1;
    }
  }

  /** The value, if one of these is asked for. */
  get(node: NodeId, name: Name): Buffer | undefined {
    if (node !== rootNodeId) {
      return undefined;
    }
    switch (name) {
      case transportName:
        return Buffer.from(this.#transport);
      case requestsName:
        return this.#requests();
      default:
        return undefined;
    }
  }

  /** JSON, `{"LOOKUP":7}`, with spaces behind it. */
  #requests(): Buffer {
    const counts = this.#counts.map((count, opcode) => [this.#nameOf(opcode), count] as const);
    const served = counts.filter(([operation, count]) => operation !== undefined && count > 0);
    return Buffer.from(JSON.stringify(Object.fromEntries(served)).padEnd(countsLength));
  }
}
