/** The files of one connection that the kernel reads and writes by itself, as long as it is willing to. */
import type { BackingFiles, BackingId } from "../contract/backing.ts";
import { Errno, errnoName } from "../errno.ts";
import type { Logger } from "../log.ts";
import { closeBacking, openBacking } from "../sys/fuse-backing.ts";

export class ConnectionBackingFiles implements BackingFiles {
  readonly #device: number;
  readonly #log: Logger;
  readonly #open = new Set<BackingId>();
  #enabled = false;

  constructor(device: number, log: Logger) {
    this.#device = device;
    this.#log = log;
  }

  /** Ids that were not given back. */
  get count(): number {
    return this.#open.size;
  }

  /** To be called when passthrough was negotiated: until then no file is taken. */
  enable(): void {
    this.#enabled = true;
  }

  open(fd: number): BackingId | undefined {
    if (!this.#enabled) {
      return undefined;
    }
    const id = openBacking(this.#device, fd);
    if (id > 0) {
      this.#open.add(id);
      return id;
    }
    this.#log.debug({ error: errnoName(-id) }, "the kernel does not pass this file through");
    // EPERM: not for this daemon, which is not privileged enough. Anything else is about this file alone.
    this.#enabled = id !== -Errno.EPERM;
    return undefined;
  }

  close(id: BackingId): void {
    if (this.#open.delete(id)) {
      // It can't fail but for a connection that is gone, and the id with it.
      closeBacking(this.#device, id);
    }
  }
}
