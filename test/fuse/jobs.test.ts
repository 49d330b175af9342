/** Slow calls on real I/O threads, and requests parked at a gate, on a real mount. */
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Attributes, OpenRequest, Opened, WriteRequest } from "../../src/contract/filesystem.ts";
import { FileType } from "../../src/contract/ids.ts";
import { Deferred, Gate, JobCall, type JobRunner, Parked } from "../../src/contract/slow.ts";
import { Errno, FsError } from "../../src/errno.ts";
import { MemoryFilesystem, type MemoryNode } from "./memory-filesystem.ts";
import { runInMount } from "./mounted.ts";

let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "veneer-jobs-"));
});
afterEach(() => rmSync(scratch, { recursive: true }));

/** Has one file, "real", whose data lie in a file of the host and are read, written and synced by jobs alone. */
class JobFilesystem extends MemoryFilesystem {
  readonly jobs: JobRunner;
  readonly fd: number;
  readonly real: MemoryNode;
  finished: string[] = [];

  constructor(jobs: JobRunner, path: string) {
    super();
    this.jobs = jobs;
    this.fd = openSync(path, "a+");
    this.real = this.addNode(FileType.regular | 0o644, 0, 0);
    this.node(1).children.set("real", this.real);
  }

  override attributes(node: MemoryNode): Attributes {
    const attributes = super.attributes(node);
    return node === this.real ? { ...attributes, size: 64 << 20 } : attributes;
  }

  #finish(what: string) {
    return (result: number) => {
      if (result < 0) {
        throw new FsError(-result, what);
      }
      this.finished.push(`${what} ${result}`);
      return result;
    };
  }

  override read(node: number, handle: number, offset: number, into: Buffer): number | Deferred<number> {
    return node === this.real.id
      ? new Deferred({ call: JobCall.read, args: [this.fd, offset] }, this.#finish("read"))
      : super.read(node, handle, offset, into);
  }

  override write(node: number, handle: number, request: WriteRequest): number | Deferred<number> {
    return node === this.real.id
      ? new Deferred({ call: JobCall.write, args: [this.fd, request.offset, 0] }, this.#finish("write"))
      : super.write(node, handle, request);
  }

  override sync(node: number, handle: number, dataOnly: boolean): undefined | Deferred<undefined> {
    if (node !== this.real.id) {
      return super.sync(node, handle, dataOnly);
    }
    const finish = this.#finish("sync");
    return new Deferred({ call: JobCall.sync, args: [this.fd] }, (result) => void finish(result));
  }
}

test("data go through I/O threads unharmed, whatever lies in their buffers", () => {
  const backing = join(scratch, "backing");
  writeFileSync(backing, "");
  let filesystem: JobFilesystem | undefined;
  const { output, lines } = runInMount(
    (jobs) => {
      filesystem = new JobFilesystem(jobs, backing);
      return filesystem;
    },
    `
    head -c 40M /dev/urandom >${scratch}/random
    dd if=${scratch}/random of=real bs=1M conv=notrunc,fsync status=none
    cmp ${scratch}/random ${backing} && echo written
    echo 1 >/proc/sys/vm/drop_caches
    cmp -n 41943040 real ${scratch}/random && echo read
    `,
  );
  expect(output).toBe("written\nread\nexit 0\n");
  expect(lines).toEqual([]);
  expect(filesystem?.finished).toContain("sync 0");
  expect(filesystem?.finished.filter((line) => line === "write 1048576")).toHaveLength(40);
});
