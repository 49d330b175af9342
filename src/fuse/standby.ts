/**
 * Serves pages while the core can't. A system call of the core may have to wait for a lock of an upper file; who holds that
 * lock, as he reads or writes the file in passthrough, may be waiting for a page of another file of this mount, which is the
 * buffer that he reads into or writes from. So the pages of all files are read and written here then, and whatever else
 * comes is kept for the core.
 */
import { descriptorOf, HandleKind, isOfKind } from "../contract/handle.ts";
import { JobCall } from "../contract/slow.ts";
import { Errno } from "../errno.ts";
import type { Logger } from "../log.ts";
import { pollTwo, readRequest, setNonBlocking } from "../sys/device.ts";
import type { RunJob } from "./io-threads.ts";
import { answerJob } from "./job-answers.ts";
import { describeRequest } from "./protocol/describe.ts";
import { decodeRead, decodeWrite } from "./protocol/file-data.ts";
import { Opcode } from "./protocol/opcodes.ts";
import { outHeaderSize } from "./protocol/reply-writer.ts";
import { RequestReader } from "./protocol/request-reader.ts";
import { StandbyTurn } from "./turn.ts";

export interface StandbyOptions {
  readonly device: number;
  /** As the core's CoreTurn has it. */
  readonly turn: SharedArrayBuffer;
  /** The largest WRITE and READ in bytes. */
  readonly maxWrite: number;
  readonly log: Logger;
  /** Takes what is left for the core: a request as it was read. */
  keep(request: Uint8Array<ArrayBuffer>): void;
  readonly runJob: RunJob;
}

/** Milliseconds. */
const period = { look: 500, wait: 5, rest: 20 } as const;
/** Room for the headers of a request, in front of its data. */
const headerRoom = 4096;

export class Standby {
  readonly #options: StandbyOptions;
  readonly #turn: StandbyTurn;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: StandbyOptions) {
    this.#options = options;
    this.#turn = new StandbyTurn(options.turn);
  }

  /** Looks at the core now and then, until `stop`. Does not keep the process alive. */
  start(): void {
    this.#timer = setInterval(() => this.#look(), period.look).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    if (this.#turn.take()) {
      this.#options.log.debug({}, "the core is held up: pages are served beside it");
      this.stop();
      // Else a request that is taken back after poll has seen it would keep this thread.
      setNonBlocking(this.#options.device, true);
      const bytes = Buffer.alloc(this.#options.maxWrite + headerRoom);
      this.#serve(new RequestReader(bytes));
    }
  }

  /** Lets the loop of this thread turn now and then. */
  #serve(request: RequestReader): void {
    const end = performance.now() + period.rest;
    let gone = false;
    while (!this.#turn.coreWaits && !gone && performance.now() < end) {
      if (pollTwo(this.#options.device, -1, period.wait) !== 0) {
        const length = readRequest(this.#options.device, request.bytes);
        gone = length === -Errno.ENODEV;
        if (length > 0 && !(request.begin(length) && this.#servePage(request))) {
          this.#options.keep(new Uint8Array(request.bytes.subarray(0, length)));
        }
      }
    }
    if (this.#turn.coreWaits) {
      this.#turn.giveBack();
      this.start();
    } else {
      // Of a mount that is gone there is nothing to read; the core will find that out.
      this.#timer = setTimeout(() => this.#serve(request), gone ? period.rest : 0).unref();
    }
  }

  /** Whether the request is for pages; it has been answered then. */
  #servePage(request: RequestReader): boolean {
    return request.opcode === Opcode.Read
      ? this.#serveRead(request)
      : request.opcode === Opcode.Write && this.#serveWrite(request);
  }

  #serveRead(request: RequestReader): boolean {
    const body = decodeRead(request);
    if (!isOfKind(body.handle, HandleKind.paged)) {
      return false;
    }
    const { device, runJob } = this.#options;
    this.#note("READ", request, body);
    const data = Buffer.alloc(outHeaderSize + body.size).subarray(outHeaderSize);
    const result = runJob({ call: JobCall.read, args: [descriptorOf(body.handle), body.offset] }, data);
    answerJob(device, request, result, data);
    return true;
  }

  #serveWrite(request: RequestReader): boolean {
    const body = decodeWrite(request);
    if (!isOfKind(body.handle, HandleKind.paged)) {
      return false;
    }
    const { device, runJob } = this.#options;
    const { offset, data, flags, killSetIds } = body;
    const descriptor = descriptorOf(body.handle);
    if (killSetIds) {
      runJob({ call: JobCall.killSetIds, args: [descriptor] });
    }
    const result = runJob({ call: JobCall.write, args: [descriptor, offset, flags] }, undefined, data);
    if (result === -Errno.EBADF) {
      // The core has yet to open the file for writing.
      return false;
    }
    this.#note("WRITE", request, body);
    answerJob(device, request, result, undefined);
    return true;
  }

  #note(operation: string, request: RequestReader, body: unknown): void {
    const { log } = this.#options;
    if (log.debugEnabled) {
      log.debug(describeRequest(operation, request, body), "served beside the core");
    }
  }
}
