/**
 * The buffers that requests are read into. They lie in shared memory, so that an I/O thread can write the payload of a
 * WRITE from where the kernel put it, and read a file into a reply; a buffer in such use is not read into.
 */
import { ReplyWriter } from "./protocol/reply-writer.ts";
import { RequestReader } from "./protocol/request-reader.ts";

/** Room for the headers of a request, in front of its data. */
const headerRoom = 4096;

export interface RequestBuffer {
  /** In use by a job: not to be read into. */
  readonly lent: boolean;
  readonly bytes: Buffer;
  readonly request: RequestReader;
  /** The same bytes as a reply, for reads on an I/O thread. */
  readonly reply: ReplyWriter;
}

type LendableBuffer = { -readonly [Key in keyof RequestBuffer]: RequestBuffer[Key] };

export class BufferPool {
  /** Pages of it exist from their first use on. */
  readonly memory: SharedArrayBuffer;
  readonly #size: number;
  readonly #buffers: readonly RequestBuffer[];
  readonly #free: RequestBuffer[];

  /** @param dataSize the most bytes of data in a request or reply */
  constructor(count: number, dataSize: number) {
    this.#size = dataSize + headerRoom;
    this.memory = new SharedArrayBuffer(count * this.#size);
    this.#buffers = Array.from({ length: count }, (_, index) => {
      const bytes = Buffer.from(this.memory, index * this.#size, this.#size);
      return { lent: false, bytes, request: new RequestReader(bytes), reply: new ReplyWriter(bytes) };
    });
    this.#free = this.#buffers.toReversed();
  }

  /** A buffer that nobody uses. */
  take(): RequestBuffer | undefined {
    return this.#free.pop();
  }

  /** Marks a taken buffer as in use by a job, until `giveBack`. */
  lend(buffer: RequestBuffer): void {
    (buffer as LendableBuffer).lent = true;
  }

  giveBack(buffer: RequestBuffer): void {
    (buffer as LendableBuffer).lent = false;
    this.#free.push(buffer);
  }

  /** The buffer that holds `data`; undefined for data that lie elsewhere. */
  holderOf(data: Buffer): RequestBuffer | undefined {
    return data.buffer === this.memory ? this.#buffers[Math.floor(data.byteOffset / this.#size)] : undefined;
  }
}
