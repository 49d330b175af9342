/**
 * Who may read the device: the core, or, while one call keeps the core for long, the standby on another thread. A few words of
 * memory that both threads share.
 */

const Word = { state: 0, served: 1, coreWaits: 2 } as const;
const State = { idle: 0, serving: 1, standby: 2 } as const;

/** Bytes of the shared memory. */
export const turnSize = 12;

/** The core's end. */
export class CoreTurn {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** The core is going to wait for the kernel. False: the standby has the device, `takeBack` first. */
  rest(): boolean {
    return Atomics.compareExchange(this.#words, Word.state, State.serving, State.idle) !== State.standby;
  }

  /** The core has something to do again. */
  begin(): void {
    Atomics.add(this.#words, Word.served, 1);
    Atomics.compareExchange(this.#words, Word.state, State.idle, State.serving);
  }

  /** Waits until the standby has let go of the device. */
  takeBack(): void {
    Atomics.store(this.#words, Word.coreWaits, 1);
    Atomics.wait(this.#words, Word.state, State.standby);
  }
}

/** The standby's end. */
export class StandbyTurn {
  readonly #words: Int32Array;
  #servedBefore = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** Takes the device if the core has been at the same thing since the last time this was called. */
  take(): boolean {
    const served = Atomics.load(this.#words, Word.served);
    const same = served === this.#servedBefore;
    this.#servedBefore = served;
    return same && Atomics.compareExchange(this.#words, Word.state, State.serving, State.standby) === State.serving;
  }

  /** Whether the core wants the device back. */
  get coreWaits(): boolean {
    return Atomics.load(this.#words, Word.coreWaits) === 1;
  }

  giveBack(): void {
    Atomics.store(this.#words, Word.coreWaits, 0);
    Atomics.store(this.#words, Word.state, State.serving);
    Atomics.notify(this.#words, Word.state);
  }
}
