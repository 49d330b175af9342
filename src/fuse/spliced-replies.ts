/**
 * Answers READs with data that the kernel copies from the page cache of a layer's file to that of the mount. By read(2) and write(2)
 * they would be copied twice.
 */
import type { FileRange } from "../contract/file-range.ts";
import { FsError } from "../errno.ts";
import type { Logger } from "../log.ts";
import { makePipe, setPipeSize, writePipe } from "../sys/device.ts";
import { closeDescriptor } from "../sys/open.ts";
import { emptyPipe, fillPipe } from "../sys/splice.ts";
import { outHeaderSize, type ReplyAddress, ReplyWriter } from "./protocol/reply-writer.ts";
import { isTaken } from "./send-reply.ts";

/** What users may have by default (/proc/sys/fs/pipe-max-size), a page of which the header takes. */
const pipeSize = 1024 * 1024;

type Pipe = ReturnType<typeof makePipe>;

export class SplicedReplies {
  readonly #device: number;
  readonly #log: Logger;
  readonly #head = new ReplyWriter(Buffer.alloc(outHeaderSize));
  /** Empty between two replies. */
  #pipe: Pipe | undefined;
  #isRefused = false;

  constructor(device: number, log: Logger) {
    this.#device = device;
    this.#log = log;
  }

  /** Answers a READ by the data of a file. False: it has no answer yet, and is to be answered otherwise. */
  send(to: ReplyAddress, { fd, offset, length }: FileRange): boolean {
    const pipe = this.#openPipe();
    if (pipe === undefined) {
      return false;
    }
    this.#head.length = outHeaderSize + length;
    this.#head.finish(0, to.uniqueLow, to.uniqueHigh);
    const isFilled =
      writePipe(pipe.writeFd, this.#head.bytes, outHeaderSize) === outHeaderSize &&
      // The file may have become shorter, and the header says how much there is.
      fillPipe(pipe.writeFd, fd, offset, length) === length;
    const sent = isFilled ? emptyPipe(pipe.readFd, this.#device, outHeaderSize + length) : 0;
    if (sent === outHeaderSize + length) {
      return true;
    }
    // Whatever is left in it must not come before the next reply.
    this.close();
    return sent < 0 && isTaken(sent);
  }

  close(): void {
    if (this.#pipe !== undefined) {
      closeDescriptor(this.#pipe.readFd);
      closeDescriptor(this.#pipe.writeFd);
      this.#pipe = undefined;
    }
  }

  #openPipe(): Pipe | undefined {
    if (this.#pipe === undefined && !this.#isRefused) {
      try {
        this.#pipe = makePipe();
        setPipeSize(this.#pipe.writeFd, pipeSize);
      } catch (error) {
        if (!(error instanceof FsError)) {
          throw error;
        }
        this.#log.debug({ err: error }, "no pipe for large reads: their data are copied once more");
        this.#isRefused = true;
        this.close();
      }
    }
    return this.#pipe;
  }
}
