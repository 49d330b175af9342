/** The whole transport on a real mount of a file system in memory. */
import { expect, test } from "vitest";
import { Errno } from "../../src/errno.ts";
import { makePipe, writePipe } from "../../src/sys/device.ts";
import { MemoryFilesystem } from "./memory-filesystem.ts";
import { runInMount, startWithoutFirstMessage } from "./mounted.ts";

test("names, files and attributes work as in any directory", () => {
  const filesystem = new MemoryFilesystem();
  const { output, lines } = runInMount(
    () => filesystem,
    `
    set -e
    mkdir d; echo hello >d/f; cat d/f; echo more >>d/f; wc -c <d/f
    ln -s d/f l; readlink l; cat l
    ln d/f h; stat -c %h h
    mv d/f d/g; ls d; rm d/g h; rmdir d; ls -A
    `,
  );
  expect(output).toBe("hello\n11\nd/f\nhello\nmore\n2\ng\nl\nexit 0\n");
  expect(lines).toEqual([]);
  expect(filesystem.destroyed).toBe(true);
});

const python = (code: string) => `python3 - <<'END'\nimport os, stat, struct, fcntl, errno\n${code}\nEND`;

test("a large directory is listed whole, in both ways, and each entry once", () => {
  const { output } = runInMount(
    () => new MemoryFilesystem(),
    `
    mkdir many; (cd many; seq 1 3000 | sed 's/^/a-rather-long-name-that-fills-the-reply-sooner-/' | xargs touch)
    ls -U many | sort | uniq | wc -l; ls -l many | wc -l
    echo 2 >/proc/sys/vm/drop_caches; ls -lU many | wc -l; find many -type f | wc -l
    `,
    { debug: false },
  );
  expect(output).toBe("3000\n3001\n3001\n3000\nexit 0\n");
});

test("READDIRPLUS is asked for and answered", () => {
  const { lines } = runInMount(() => new MemoryFilesystem(), "touch a b; echo 2 >/proc/sys/vm/drop_caches; ls -l", {
    debug: true,
  });
  const asked = lines.filter(({ message, fields }) => message === "rx" && fields.op === "READDIRPLUS");
  expect(asked.length).toBeGreaterThan(0);
});

test("times before 1970 and after 2038, in nanoseconds, and UTIME_OMIT", () => {
  const { output } = runInMount(
    () => new MemoryFilesystem(),
    python(`
open("f", "w").close()
os.utime("f", ns=(-86400 * 10**9 + 5, 2**33 * 10**9 + 123456789))
s = os.stat("f"); print(s.st_atime_ns, s.st_mtime_ns)
os.system("touch -a -d @77 f")
s = os.stat("f"); print(s.st_atime_ns, s.st_mtime_ns)
`),
  );
  expect(output).toBe("-86399999999995 8589934592123456789\n77000000000 8589934592123456789\nexit 0\n");
});

test("device numbers of all sizes, FIFOs, sockets, and the umask with each new object", () => {
  const { output } = runInMount(
    () => new MemoryFilesystem(),
    python(`
os.umask(0o027)
for name, major, minor in (("a", 1, 3), ("b", 259, 1048575), ("c", 4095, 256)):
    os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    s = os.stat(name); print(oct(s.st_mode), os.major(s.st_rdev), os.minor(s.st_rdev))
os.mkfifo("p"); os.mkdir("d"); os.close(os.open("f", os.O_CREAT | os.O_WRONLY)); os.mknod("s", stat.S_IFSOCK | 0o600)
for name in "pdfs": print(name, oct(os.stat(name).st_mode))
`),
  );
  expect(output).toBe(
    "0o20640 1 3\n0o20640 259 1048575\n0o20640 4095 256\np 0o10640\nd 0o40750\nf 0o100750\ns 0o140600\nexit 0\n",
  );
});

test("xattrs: value, size, list, absence, and a buffer too small", () => {
  const { output } = runInMount(
    () => new MemoryFilesystem(),
    python(`
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
open("f", "w").close()
os.setxattr("f", "user.big", b"x" * 60000); os.setxattr("f", "user.empty", b"")
print(len(os.getxattr("f", "user.big")), os.getxattr("f", "user.empty"), sorted(os.listxattr("f")))
small = ctypes.create_string_buffer(10)
print(libc.getxattr(b"f", b"user.big", small, 10), errno.errorcode[ctypes.get_errno()], libc.getxattr(b"f", b"user.big", None, 0))
os.removexattr("f", "user.big")
try: os.getxattr("f", "user.big")
except OSError as e: print(errno.errorcode[e.errno])
`),
  );
  expect(output).toBe("60000 b'' ['user.big', 'user.empty']\n-1 ERANGE 60000\nENODATA\nexit 0\n");
});

test("rename flags, O_TMPFILE with a name later, links, and open files without a name", () => {
  const filesystem = new MemoryFilesystem();
  const { output } = runInMount(
    () => filesystem,
    python(`
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
open("a", "w").write("a"); open("b", "w").write("b")
print(libc.renameat2(-100, b"a", -100, b"b", 1), errno.errorcode[ctypes.get_errno()])
print(libc.renameat2(-100, b"a", -100, b"b", 2), open("a").read(), open("b").read())
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b"unnamed"); print(os.fstat(fd).st_nlink)
libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"named", 0x400); print(open("named").read())
fd = os.open("a", os.O_RDWR); os.unlink("a")
os.write(fd, b"still"); os.ftruncate(fd, 3); os.fchmod(fd, 0o640); os.lseek(fd, 0, 0)
print(os.read(fd, 10), oct(os.fstat(fd).st_mode), os.fstat(fd).st_nlink)
`),
  );
  expect(output).toBe("-1 EEXIST\n0 b a\n0\nunnamed\nb'sti' 0o100640 0\nexit 0\n");
  expect(filesystem.openHandles.size).toBe(0);
});

test("fallocate, SEEK_DATA, copy_file_range, ioctl of file flags, statx and statfs", () => {
  const { output } = runInMount(
    () => new MemoryFilesystem(),
    `${python(`
fd = os.open("f", os.O_CREAT | os.O_RDWR)
os.posix_fallocate(fd, 0, 5000); print(os.fstat(fd).st_size)
print(os.lseek(fd, 100, os.SEEK_DATA), os.lseek(fd, 100, os.SEEK_HOLE))
try: os.lseek(fd, 2**62, os.SEEK_DATA)
except OSError as e: print(errno.errorcode[e.errno])
try: os.ftruncate(fd, 2**60)
except OSError as e: print(errno.errorcode[e.errno])
os.pwrite(fd, b"copied", 10)
out = os.open("g", os.O_CREAT | os.O_RDWR)
print(os.copy_file_range(fd, out, 6, 10, 2), os.pread(out, 100, 0))
print(hex(struct.unpack("I", fcntl.ioctl(fd, 0x80086601, b"\\0" * 4))[0]))
try: fcntl.ioctl(fd, 0x80041234, b"\\0" * 4)
except OSError as e: print(errno.errorcode[e.errno])
s = os.statvfs("."); print(s.f_bsize, s.f_frsize, s.f_blocks, s.f_bavail, s.f_ffree, s.f_namemax)
`)}
    test "$(stat -c %W f)" -gt 1600000000 && echo born; stat -f -c %t .`,
  );
  expect(output).toBe(
    "5000\n100 5000\nENXIO\nEFBIG\n6 b'\\x00\\x00copied'\n0x60\nENOTTY\n4096 1024 1000 500 90 255\nborn\n65735546\nexit 0\n",
  );
});

test("flock and fcntl locks hold between processes", () => {
  const { output } = runInMount(
    () => new MemoryFilesystem(),
    `
    touch f; exec 9<>f; flock 9; flock -n f true || echo locked; flock -u 9; flock -n f true && echo free
    ${python(`
fd = os.open("f", os.O_RDWR); fcntl.lockf(fd, fcntl.LOCK_EX)
if os.fork() == 0:
    try: fcntl.lockf(os.open("f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e: print(errno.errorcode[e.errno], flush=True)
    os._exit(0)
os.wait()
`)}`,
  );
  expect(output).toBe("locked\nfree\nEAGAIN\nexit 0\n");
});

test("what the kernel is told to stop asking, it asks once", () => {
  const { lines } = runInMount(
    () => new MemoryFilesystem(),
    "for i in 1 2 3; do echo x >f$i; cat f$i; ls; test -r f$i; done",
    {
      debug: true,
    },
  );
  for (const name of ["FLUSH", "OPENDIR"]) {
    expect(lines.filter(({ message, fields }) => message === "rx" && fields.op === name)).toHaveLength(1);
  }
  expect(lines.filter(({ fields }) => fields.op === "ACCESS" || fields.op === "RELEASEDIR")).toEqual([]);
});

test("FORGET gives back every lookup", () => {
  const filesystem = new MemoryFilesystem();
  runInMount(
    () => filesystem,
    `
    mkdir d; touch d/a d/b d/c; ls -l d; stat d/a d/a d/b; rm d/c; cd d; cd ..
    echo 2 >/proc/sys/vm/drop_caches; sleep 0.2
    `,
  );
  for (const node of filesystem.nodes.values()) {
    expect(node.lookups, `node ${node.id}`).toBe(0);
  }
});

test("an exception and an errno concern their own request only", () => {
  class Failing extends MemoryFilesystem {
    override readLink(id: number): Buffer {
      if (id === 1e9) {
        return super.readLink(id);
      }
      throw new TypeError("a mistake in the file system");
    }
  }
  const { output, lines } = runInMount(() => new Failing(), "ln -s x l; readlink l; touch f && echo on");
  expect(output).toBe("on\nexit 0\n");
  expect(lines).toMatchObject([{ level: "error", fields: { op: "READLINK", err: { name: "TypeError" } } }]);
});

test("the session ends after a lazy unmount, and not before the last user has gone", () => {
  const filesystem = new MemoryFilesystem();
  runInMount(() => filesystem, 'exec 9>f; umount -l "$PWD"; sleep 0.2; echo still >&9');
  expect(filesystem.child(1, "f").data.toString()).toBe("still\n");
  expect(filesystem.destroyed).toBe(true);
});

test("the session ends when its connection is aborted", () => {
  const filesystem = new MemoryFilesystem();
  const { output, lines } = runInMount(
    () => filesystem,
    // The control file system need not be mounted at its usual place.
    `
    control=$(mktemp -d); mount -t fusectl none $control
    minor=$((0x$(stat -c %D .) & 0xff))
    echo kept >f; echo 1 >$control/$minor/abort
    umount $control; rmdir $control
    `,
  );
  expect(output).toBe("");
  expect(filesystem.child(1, "f").data.toString()).toBe("kept\n");
  expect(filesystem.destroyed).toBe(true);
  expect(lines).toEqual([]);
});

test("a kernel that says nothing is not waited for for ever, nor where there is something else to hear", () => {
  const { readFd, writeFd } = makePipe();
  expect(startWithoutFirstMessage({ silence: 100, interruption: readFd })).toBe(Errno.ETIME);
  writePipe(writeFd, Buffer.from("x"), 1);
  expect(startWithoutFirstMessage({ silence: 10_000, interruption: readFd })).toBe(Errno.EINTR);
});
