/** Directory entries, packed into the reply as READDIR and READDIRPLUS want them. */
import type { DirectorySink, Entry } from "../../contract/filesystem.ts";
import type { Name } from "../../contract/ids.ts";
import { entryOutSize, putEntry, putNoEntry } from "./attributes.ts";
import type { Connection } from "./init.ts";
import { outHeaderSize, type ReplyWriter } from "./reply-writer.ts";

const direntSize = 24;
const notRemembered = { sec: 0, nsec: 0 };

/** A sink over the body of a reply, for as many bytes as the kernel asked for. */
export class DirentWriter implements DirectorySink {
  readonly #reply: ReplyWriter;
  readonly #connection: Connection;
  readonly #head: number;
  readonly #limit: number;
  #used = 0;

  /** @param withEntries READDIRPLUS: each record begins with an entry */
  constructor(reply: ReplyWriter, size: number, withEntries: boolean, connection: Connection) {
    this.#reply = reply;
    this.#connection = connection;
    this.#head = withEntries ? entryOutSize : 0;
    this.#limit = Math.min(size, reply.room);
  }

  /** Bytes of the body that are filled. */
  get used(): number {
    return this.#used;
  }

  hasRoom(name: Name): boolean {
    return this.#used + recordSize(this.#head, name) <= this.#limit;
  }

  add(name: Name, ino: number, type: number, next: number): void {
    this.addWithEntry(name, ino, type, next, undefined);
  }

  addWithEntry(name: Name, ino: number, type: number, next: number, entry: Entry | undefined): void {
    const size = recordSize(this.#head, name);
    if (this.#used + size > this.#limit) {
      throw new Error(`directory entry added without room: ${this.#used} + ${size} > ${this.#limit}`);
    }
    const reply = this.#reply;
    if (this.#head > 0) {
      if (entry === undefined) {
        putNoEntry(reply, this.#used, notRemembered);
      } else {
        putEntry(reply, this.#used, entry, this.#connection);
      }
    }
    const at = this.#used + this.#head;
    reply.u64(at, ino);
    reply.u64(at + 8, next);
    reply.u32(at + 16, name.length);
    reply.u32(at + 20, type >>> 12);
    reply.latin1(at + direntSize, name);
    // The padding to 8 bytes would else show the kernel an older reply.
    const end = at + direntSize + name.length;
    this.#used += size;
    for (let byte = outHeaderSize + end; byte < outHeaderSize + this.#used; byte++) {
      reply.bytes[byte] = 0;
    }
  }
}

function recordSize(head: number, name: Name): number {
  return head + ((direntSize + name.length + 7) & ~7);
}
