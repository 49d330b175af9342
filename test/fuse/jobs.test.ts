/** Slow calls on real I/O threads, and requests parked at a gate, on a real mount. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Attributes, Opened, OpenRequest, WriteRequest } from "../../src/contract/filesystem.ts";
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
    this.fd = openSync(path, "r+");
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
  expect(filesystem?.finished.filter((line) => line === "write 524288")).toHaveLength(80);
});

test("more slow reads and writes at a time than there are buffers", () => {
  const backing = join(scratch, "backing");
  writeFileSync(backing, Buffer.alloc(64 << 20, "r"));
  const { output, lines } = runInMount(
    (jobs) => new JobFilesystem(jobs, backing),
    `
    for i in $(seq 0 31); do
      dd if=<(yes $i | tr -d '\\n' | head -c 1M) of=real bs=64k seek=$((i * 16)) conv=notrunc,fsync iflag=fullblock status=none &
    done; wait
    echo 1 >/proc/sys/vm/drop_caches
    for i in $(seq 0 63); do
      dd if=real bs=1M skip=$i count=1 status=none | cmp -s - <(dd if=${backing} bs=1M skip=$i count=1 status=none) || echo $i differs &
    done; wait
    for i in $(seq 0 31); do
      cmp -s <(yes $i | tr -d '\\n' | head -c 1M) <(dd if=${backing} bs=1M skip=$i count=1 status=none) || echo $i wrong
    done
    `,
  );
  expect(output).toBe("exit 0\n");
  expect(lines).toEqual([]);
});

test("the errno of a slow call reaches its caller", () => {
  class Closed extends MemoryFilesystem {
    override sync(): Deferred<undefined> {
      return new Deferred({ call: JobCall.sync, args: [-1] }, (result) => {
        if (result < 0) {
          throw new FsError(-result, "fsync");
        }
        return undefined;
      });
    }
  }
  const { output, lines } = runInMount(() => new Closed(), "touch f; sync f");
  expect(output).toBe("sync: error syncing 'f': Bad file descriptor\nexit 1\n");
  expect(lines).toEqual([]);
});

/** Parks opens of "gated" until a slow copy is done, as a copy-up does. */
class GatedFilesystem extends MemoryFilesystem {
  readonly jobs: JobRunner;
  readonly fds: readonly [number, number];
  readonly failure: unknown;
  readonly gate = new Gate();
  state: "closed" | "opening" | "open" = "closed";
  opens = 0;

  constructor(jobs: JobRunner, scratch: string, failure?: unknown) {
    super();
    this.jobs = jobs;
    this.failure = failure;
    writeFileSync(join(scratch, "from"), Buffer.alloc(1 << 20, "x"));
    this.fds = [openSync(join(scratch, "from"), "r"), openSync(join(scratch, "to"), "w+")];
    const node = this.addNode(FileType.regular | 0o644, 0, 0);
    node.data = Buffer.from("inside\n");
    this.node(1).children.set("gated", node);
  }

  override open(id: number, request: OpenRequest): Opened {
    if (this.node(1).children.get("gated")?.id !== id) {
      return super.open(id, request);
    }
    this.opens++;
    if (this.state === "closed") {
      this.state = "opening";
      this.jobs.start({ call: JobCall.copyFile, args: [this.fds[0], 1 << 20, this.fds[1], 1] }, () => {
        this.state = "open";
        this.gate.open(this.failure);
      });
    }
    if (this.state !== "open") {
      throw new Parked(this.gate);
    }
    return super.open(id, request);
  }
}

test("parked requests are served when their gate opens", () => {
  let filesystem: GatedFilesystem | undefined;
  const { output, lines } = runInMount((jobs) => {
    filesystem = new GatedFilesystem(jobs, scratch);
    return filesystem;
  }, `for i in 1 2 3 4 5; do cat gated & done; wait; cmp ${scratch}/from ${scratch}/to && echo copied`);
  expect(output).toBe(`${"inside\n".repeat(5)}copied\nexit 0\n`);
  expect(lines).toEqual([]);
  expect(filesystem?.opens).toBeGreaterThan(5);
});

test("parked requests get the failure that their gate opens with", () => {
  const { output } = runInMount(
    (jobs) => new GatedFilesystem(jobs, scratch, new FsError(Errno.ENOSPC, "copy-up")),
    "cat gated; cat gated",
  );
  expect(output).toBe("cat: gated: No space left on device\ninside\nexit 0\n");
});

/** Parks opens of "gated" until there is a file "key". */
class StuckFilesystem extends GatedFilesystem {
  override create(...args: Parameters<MemoryFilesystem["create"]>): ReturnType<MemoryFilesystem["create"]> {
    const created = super.create(...args);
    if (args[1] === "key") {
      this.state = "open";
      this.gate.open();
    }
    return created;
  }

  override open(id: number, request: OpenRequest): Opened {
    if (this.state !== "open" && this.node(1).children.get("gated")?.id === id) {
      throw new Parked(this.gate);
    }
    return super.open(id, request);
  }
}

test("others go on while a request is parked; a fatal signal frees it, one that is handled does not", () => {
  const { output, lines } = runInMount(
    (jobs) => new StuckFilesystem(jobs, scratch),
    `
    cat gated & sleep 0.2
    echo other >f; cat f; ls
    kill -INT $!; kill -TERM $!; wait $!; echo "status $?"
    python3 -c '
import ctypes, os, signal, subprocess
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGALRM, lambda *_: print("handled"))
signal.setitimer(signal.ITIMER_REAL, 0.1)
key = subprocess.Popen(["sh", "-c", "sleep 0.5; touch key"])
opened = libc.open(b"gated", os.O_RDONLY)
print(os.read(opened, 100) if opened >= 0 else os.strerror(ctypes.get_errno()))
key.wait()
'
    `,
  );
  expect(output).toBe("other\nf\ngated\nstatus 143\nhandled\nb'inside\\n'\nexit 0\n");
  expect(lines).toEqual([]);
});

test("an unmount while a request is parked ends the session all the same", () => {
  let filesystem: StuckFilesystem | undefined;
  runInMount((jobs) => {
    filesystem = new StuckFilesystem(jobs, scratch);
    return filesystem;
  }, "cat gated & sleep 0.1; kill -9 $!");
  expect(filesystem?.destroyed).toBe(true);
});

test("where I/O threads can't load their code, the core makes the slow calls itself", () => {
  const results: number[] = [];
  const broken = join(scratch, "io-thread.js");
  writeFileSync(broken, '(function (require) { require("a package that is gone"); })');
  const fd = openSync(join(scratch, "synced"), "w");
  class Syncing extends MemoryFilesystem {
    override sync(): Deferred<undefined> {
      return new Deferred({ call: JobCall.sync, args: [fd] }, (result) => {
        results.push(result);
        return undefined;
      });
    }
  }
  const { output, lines } = runInMount(() => new Syncing(), "touch f g; sync f & sync g; wait; sync f; ls", {
    ioThreadFile: broken,
  });
  closeSync(fd);
  expect(output).toBe("f\ng\nexit 0\n");
  expect(results).toEqual([0, 0, 0]);
  expect(lines).toMatchObject([
    { level: "error", message: "I/O threads can't load their code: slow calls hold up the mount from now on" },
  ]);
});
