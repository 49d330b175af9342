/**
 * Replies to READ and WRITE by the thread that made the call: whoever waits for a page gets it also while the core is kept by
 * something else.
 */
import { encodeRead, encodeWritten } from "./protocol/file-data.ts";
import { outHeaderSize, type ReplyAddress, ReplyWriter } from "./protocol/reply-writer.ts";
import { sendReply } from "./send-reply.ts";

const writtenSize = 8;

/**
 * Answers a READ whose data were read into `data`, which has room for the header in front of it, or a WRITE (no data).
 * @param result bytes, or a negative errno
 */
export function answerJob(device: number, to: ReplyAddress, result: number, data: Buffer | undefined): void {
  const reply = new ReplyWriter(
    data === undefined
      ? Buffer.alloc(outHeaderSize + writtenSize)
      : Buffer.from(data.buffer, data.byteOffset - outHeaderSize, outHeaderSize + data.length),
  );
  reply.begin();
  if (result >= 0) {
    const encode = data === undefined ? encodeWritten : encodeRead;
    encode(result, reply);
  }
  reply.finish(result < 0 ? -result : 0, to.uniqueLow, to.uniqueHigh);
  sendReply(device, reply);
}
