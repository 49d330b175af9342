"""
Makes system calls for the mount tests: one JSON request a line on stdin, one JSON answer a line on stdout.

It is a process of its own so that a test can hold descriptors, mappings and locks open, act as another user, and be
killed when a mount hangs. Names and data are latin1 strings, one character a byte; 64-bit numbers travel as {"$big": "..."}.
agent.ts declares every call with its types; a call here is the function `call_NAME`.
"""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import stat as st
import struct
import sys
import time

# Modules that few calls want are imported by those: an agent is started for every test.
libc = ctypes.CDLL("libc.so.6", use_errno=True)
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW = -100, 0x100, 0x400
# Numbers with two names are told by the one that the kernel uses.
ERRNO_NAMES = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EAGAIN: "EAGAIN", errno.EDEADLK: "EDEADLK"}
maps = {}
sockets = {}
GETDENTS64 = {"x86_64": 217}.get(os.uname().machine, 61)


def check(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def raw(text):
    return text.encode("latin1")


def text(data):
    return bytes(data).decode("latin1")


def big(number):
    return {"$big": str(number)}


def unbig(value):
    return int(value["$big"]) if "$big" in value else value


def flags_of(names):
    value = 0
    for name in names.split("|"):
        value |= getattr(os, name.strip())
    return value


def target(where):
    """A path, or the number of an open file."""
    return where if isinstance(where, int) else raw(where)


def stat_of(s):
    return {
        "type": kind_of(s.st_mode),
        "mode": s.st_mode & 0o7777,
        "uid": s.st_uid,
        "gid": s.st_gid,
        "size": s.st_size,
        "blocks": s.st_blocks,
        "nlink": s.st_nlink,
        "ino": big(s.st_ino),
        "dev": big(s.st_dev),
        "rdev": "%d:%d" % (os.major(s.st_rdev), os.minor(s.st_rdev)),
        "atime": big(s.st_atime_ns),
        "mtime": big(s.st_mtime_ns),
        "ctime": big(s.st_ctime_ns),
    }


KINDS = {
    st.S_IFREG: "file", st.S_IFDIR: "dir", st.S_IFLNK: "symlink", st.S_IFIFO: "fifo",
    st.S_IFSOCK: "socket", st.S_IFCHR: "char", st.S_IFBLK: "block",
}


def kind_of(mode):
    return KINDS[st.S_IFMT(mode)]


# Opening, reading and writing

def call_open(path, flags, mode=0o666, dirfd=None):
    return os.open(raw(path), flags_of(flags), mode if mode is not None else 0o666, dir_fd=dirfd)


def call_close(fd):
    os.close(fd)


def call_read(fd, length):
    return text(os.read(fd, length))


def call_pread(fd, length, offset):
    return text(os.pread(fd, length, offset))


def call_write(fd, data):
    return os.write(fd, raw(data))


def call_pwrite(fd, data, offset):
    return os.pwrite(fd, raw(data), offset)


def call_writeAll(fd, pattern, times):
    """Writes `pattern` repeated, and answers the sha1 of what was written."""
    import hashlib
    data = raw(pattern) * times
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    return hashlib.sha1(data).hexdigest()


def call_readFile(path):
    with open(raw(path), "rb") as f:
        return text(f.read())


def call_writeFile(path, data, mode=0o666):
    fd = os.open(raw(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666 if mode is None else mode)
    try:
        view = memoryview(raw(data))
        while view:
            view = view[os.write(fd, view):]
    finally:
        os.close(fd)


def call_appendFile(path, data):
    fd = os.open(raw(path), os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, raw(data))
    finally:
        os.close(fd)


def call_hash(path):
    import hashlib
    h = hashlib.sha1()
    with open(raw(path), "rb") as f:
        while chunk := f.read(1 << 20):
            h.update(chunk)
    return h.hexdigest()


def call_directWrite(path, flags, data, offset):
    """A write with an aligned buffer, as O_DIRECT asks for."""
    fd = os.open(raw(path), flags_of(flags), 0o666)
    buffer = mmap.mmap(-1, len(data))
    try:
        buffer.write(raw(data))
        return os.pwritev(fd, [buffer], offset)
    finally:
        buffer.close()
        os.close(fd)


def call_directRead(path, flags, length, offset):
    fd = os.open(raw(path), flags_of(flags))
    buffer = mmap.mmap(-1, length)
    try:
        count = os.preadv(fd, [buffer], offset)
        return text(buffer[:count])
    finally:
        buffer.close()
        os.close(fd)


def call_lseek(fd, offset, whence):
    return os.lseek(fd, offset, getattr(os, whence))


def call_fsync(fd):
    os.fsync(fd)


def call_fdatasync(fd):
    os.fdatasync(fd)


def call_syncfs(fd):
    check(libc.syncfs(fd))


def call_truncate(where, size):
    os.truncate(target(where), size)


FALLOC = {"KEEP_SIZE": 1, "PUNCH_HOLE": 2, "COLLAPSE_RANGE": 8, "ZERO_RANGE": 16, "INSERT_RANGE": 32, "UNSHARE_RANGE": 64}


def call_fallocate(fd, modes, offset, length):
    mode = sum(FALLOC[name] for name in modes.split("|")) if modes else 0
    check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def call_copyFileRange(source, destination, length, from_offset=None, to_offset=None):
    return os.copy_file_range(source, destination, length, from_offset, to_offset)


def call_sendfile(destination, source, offset, length):
    return os.sendfile(destination, source, offset, length)


def call_dataRanges(fd):
    """[start, end) of every stretch of data, as SEEK_DATA and SEEK_HOLE tell."""
    size, position, ranges = os.fstat(fd).st_size, 0, []
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:
                break
            raise
        position = os.lseek(fd, start, os.SEEK_HOLE)
        ranges.append([start, position])
    return ranges


# Mappings

def call_mmap(fd, length, protection="PROT_READ", sharing="MAP_SHARED"):
    prot = 0
    for name in protection.split("|"):
        prot |= getattr(mmap, name)
    mapping = mmap.mmap(fd, length, getattr(mmap, sharing), prot)
    key = len(maps) + 1
    maps[key] = mapping
    return key


def call_mread(key, offset, length):
    return text(maps[key][offset:offset + length])


def call_mwrite(key, offset, data):
    maps[key][offset:offset + len(data)] = raw(data)


def call_msync(key):
    maps[key].flush()


def call_munmap(key):
    maps.pop(key).close()


# Names and attributes

def call_stat(where):
    return stat_of(os.stat(target(where)))


def call_lstat(path):
    return stat_of(os.lstat(raw(path)))


def call_exists(path):
    try:
        os.lstat(raw(path))
        return True
    except FileNotFoundError:
        return False


def call_statx(path):
    """Birth time (or null) and attribute bits."""
    buffer = ctypes.create_string_buffer(256)
    check(libc.statx(AT_FDCWD, raw(path), AT_SYMLINK_NOFOLLOW, 0xfff, buffer))
    mask, _, attributes = struct.unpack_from("=IIQ", buffer, 0)
    sec, nsec = struct.unpack_from("=qI", buffer, 80)
    return {"btime": big(sec * 10**9 + nsec) if mask & 0x800 else None, "attributes": big(attributes)}


def call_access(path, mode):
    return os.access(raw(path), getattr(os, mode), effective_ids=True)


def call_chmod(where, mode):
    os.chmod(target(where), mode)


def call_chown(where, uid, gid):
    os.chown(target(where), uid, gid)


def call_lchown(path, uid, gid):
    os.lchown(raw(path), uid, gid)


UTIME = {"now": (1 << 30) - 1, "omit": (1 << 30) - 2}


def timespec(value):
    if isinstance(value, str):
        return struct.pack("=qq", 0, UTIME[value])
    return struct.pack("=qq", value // 10**9, value % 10**9)


def call_utimens(where, atime, mtime, follow=False):
    """Nanoseconds since the epoch, "now" or "omit"."""
    times = timespec(atime) + timespec(mtime)
    if isinstance(where, int):
        check(libc.futimens(where, times))
    else:
        check(libc.utimensat(AT_FDCWD, raw(where), times, 0 if follow else AT_SYMLINK_NOFOLLOW))


def call_mkdir(path, mode=0o777):
    os.mkdir(raw(path), 0o777 if mode is None else mode)


def call_rmdir(path):
    os.rmdir(raw(path))


def call_unlink(path):
    os.unlink(raw(path))


def call_rename(source, destination):
    os.rename(raw(source), raw(destination))


RENAME = {"NOREPLACE": 1, "EXCHANGE": 2, "WHITEOUT": 4}


def call_renameat2(source, destination, flags):
    value = sum(RENAME[name] for name in flags.split("|"))
    check(libc.renameat2(AT_FDCWD, raw(source), AT_FDCWD, raw(destination), value))


def call_link(source, destination):
    os.link(raw(source), raw(destination), follow_symlinks=False)


def call_linkFd(fd, destination):
    """Names an open file (O_TMPFILE) by way of /proc, which needs no capability."""
    check(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, raw(destination), AT_SYMLINK_FOLLOW))


def call_symlink(goal, path):
    os.symlink(raw(goal), raw(path))


def call_readlink(path):
    return text(os.readlink(raw(path)))


def call_mknod(path, kind, mode, major=0, minor=0):
    bits = {name: bits for bits, name in KINDS.items()}[kind]
    os.mknod(raw(path), bits | mode, os.makedev(major or 0, minor or 0))


def call_statvfs(path):
    s = os.statvfs(raw(path))
    buffer = ctypes.create_string_buffer(120)
    check(libc.statfs(raw(path), buffer))
    return {"magic": struct.unpack_from("=q", buffer, 0)[0], "bsize": s.f_bsize, "frsize": s.f_frsize, "blocks": s.f_blocks,
            "bfree": s.f_bfree, "bavail": s.f_bavail, "files": s.f_files, "ffree": s.f_ffree, "namemax": s.f_namemax}


def call_getxattr(where, name):
    return text(os.getxattr(target(where), raw(name), follow_symlinks=isinstance(where, int)))


XATTR = {"CREATE": 1, "REPLACE": 2}


def call_setxattr(where, name, value, flags=""):
    os.setxattr(target(where), raw(name), raw(value), XATTR[flags] if flags else 0, follow_symlinks=isinstance(where, int))


def call_removexattr(where, name):
    os.removexattr(target(where), raw(name), follow_symlinks=isinstance(where, int))


def call_listxattr(where):
    names = os.listxattr(target(where), follow_symlinks=isinstance(where, int))
    return sorted(text(os.fsencode(name)) for name in names)


def call_getxattrSize(where, name, size):
    """getxattr(2) into a buffer of `size` bytes: what it returns."""
    buffer = ctypes.create_string_buffer(max(size, 1))
    return check(libc.lgetxattr(target(where), raw(name), buffer, size))


def call_setAcl(path, entries, default=False):
    """entries: [["user", id, perm], ...] with tags user_obj user group_obj group mask other."""
    tags = {"user_obj": 1, "user": 2, "group_obj": 4, "group": 8, "mask": 16, "other": 32}
    data = struct.pack("<I", 2)
    for tag, who, perm in entries:
        data += struct.pack("<HHI", tags[tag], perm, 0xffffffff if who is None else who)
    os.setxattr(raw(path), "system.posix_acl_" + ("default" if default else "access"), data)


def call_getFlags(fd):
    import array
    buffer = array.array("l", [0])
    fcntl.ioctl(fd, 0x80086601, buffer, True)
    return buffer[0] & 0xffffffff


def call_setFlags(fd, flags):
    import array
    fcntl.ioctl(fd, 0x40086602, array.array("l", [flags]))


def call_fcntl(fd, command, value):
    return fcntl.fcntl(fd, {"SETLEASE": 1024, "GETLEASE": 1025}[command], value)


def call_preadv2(fd, length, offset, flags):
    buffer = bytearray(length)
    return text(buffer[:os.preadv(fd, [buffer], offset, flags)])


def call_pwritev2(fd, data, offset, flags):
    return os.pwritev(fd, [raw(data)], offset, flags)


def call_fileHandle(path):
    """What name_to_handle_at(2) gives: type and bytes."""
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    check(libc.name_to_handle_at(AT_FDCWD, raw(path), handle, ctypes.byref(ctypes.c_int()), 0))
    length, kind = struct.unpack_from("=Ii", handle, 0)
    return [kind, text(handle.raw[8:8 + length])]


def call_openByHandle(mounted, handle):
    kind, data = handle
    root = os.open(raw(mounted), os.O_RDONLY)
    try:
        buffer = ctypes.create_string_buffer(struct.pack("=Ii", len(data), kind) + raw(data))
        return check(libc.open_by_handle_at(root, buffer, os.O_RDONLY))
    finally:
        os.close(root)


def call_limitFileSize(size):
    """RLIMIT_FSIZE; too large a write is EFBIG, its signal is ignored."""
    import resource
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def call_signalOf(call, args):
    """Makes a call in a child of its own: the signal that ended it, or 0."""
    import signal
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        try:
            globals()["call_" + call](*args)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] & 0x7f


def call_inotify(path, calls):
    """The events that the calls ([name, arguments] each) make on `path`: [mask, name of the child] each."""
    fd = check(libc.inotify_init1(os.O_NONBLOCK))
    try:
        check(libc.inotify_add_watch(fd, raw(path), 0xfff))
        for name, args in calls:
            globals()["call_" + name](*args)
        events, at = [], 0
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            data = b""
        while at < len(data):
            _, mask, _, length = struct.unpack_from("=iIII", data, at)
            events.append([mask, text(data[at + 16:at + 16 + length].rstrip(b"\0"))])
            at += 16 + length
        return events
    finally:
        os.close(fd)


def call_setStatusFlags(fd, names):
    fcntl.fcntl(fd, fcntl.F_SETFL, flags_of(names))


def call_ioctl(fd, command, size):
    buffer = bytearray(size)
    fcntl.ioctl(fd, command, buffer, True)
    return text(buffer)


# Directories

DTYPES = {0: "unknown", 1: "fifo", 2: "char", 4: "dir", 6: "block", 8: "file", 10: "symlink", 12: "socket"}


def call_getdents(fd, size=32768):
    """One getdents64(2): the entries, with the offset behind each, as telldir has it."""
    buffer = ctypes.create_string_buffer(size or 32768)
    count = check(libc.syscall(GETDENTS64, fd, buffer, size or 32768))
    entries, at = [], 0
    while at < count:
        ino, offset, length, kind = struct.unpack_from("=QqHB", buffer, at)
        name = buffer[at + 19:at + length].split(b"\0", 1)[0]
        entries.append({"name": text(name), "ino": big(ino), "offset": big(offset), "type": DTYPES[kind]})
        at += length
    return entries


def call_seekdir(fd, offset):
    os.lseek(fd, offset, os.SEEK_SET)


def call_list(path):
    """Names without . and .., sorted."""
    return sorted(text(name) for name in os.listdir(raw(path)))


def call_makeMany(directory, prefix, count, data=None):
    for i in range(count):
        fd = os.open(raw(directory) + b"/" + raw(prefix) + b"%d" % i, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        if data:
            os.write(fd, raw(data))
        os.close(fd)


def call_walk(path):
    """lstat of everything below: how many there are."""
    count = 0
    stack = [raw(path)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
    return count


def call_removeTree(path):
    """As rm -rf, also where paths grow too long; by name, so that one that is refused half-way has always done the same."""
    def empty(fd):
        for name in sorted(map(os.fsencode, os.listdir(fd))):
            if st.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                try:
                    empty(child)
                finally:
                    os.close(child)
                os.rmdir(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)
    sys.setrecursionlimit(10000)
    root = os.open(raw(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        empty(root)
    finally:
        os.close(root)
    os.rmdir(raw(path))


# Trees

def call_build(root, tree):
    """Makes the objects that tree.ts describes; attributes of a directory last, so that its times stay."""
    links = []
    build_children(raw(root), tree["children"], raw(root), links)
    for path, source in links:
        os.link(source, path, follow_symlinks=False)
    restore_times(raw(root), tree)
    apply(raw(root), tree)


def build_children(directory, children, root, links):
    for name, node in children.items():
        path = directory + b"/" + raw(name)
        kind = node["kind"]
        if kind == "hardlink":
            links.append((path, root + b"/" + raw(node["to"])))
            continue
        if kind == "dir":
            if not os.path.isdir(path):
                os.mkdir(path)
            build_children(path, node["children"], root, links)
        elif kind == "file":
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            for offset, data in node["data"]:
                os.pwrite(fd, raw(data), offset)
            os.ftruncate(fd, node["size"])
            os.close(fd)
        elif kind == "symlink":
            os.symlink(raw(node["target"]), path)
        else:
            bits = {name: bits for bits, name in KINDS.items()}[kind]
            os.mknod(path, bits | 0o600, os.makedev(*node.get("device", [0, 0])))
        if kind != "dir":
            apply(path, node)


def restore_times(directory, node):
    for name, child in node["children"].items():
        if child["kind"] == "dir":
            path = directory + b"/" + raw(name)
            restore_times(path, child)
            apply(path, child)


def apply(path, node):
    link = node["kind"] == "symlink"
    if "uid" in node or "gid" in node:
        os.lchown(path, node.get("uid", -1), node.get("gid", -1))
    if not link:
        os.chmod(path, node.get("mode", 0o755 if node["kind"] == "dir" else 0o644))
    for name, value in node.get("xattrs", {}).items():
        os.setxattr(path, raw(name), raw(value), follow_symlinks=False)
    if "mtime" in node or "atime" in node:
        atime = node.get("atime", node.get("mtime"))
        call_utimens(text(path), atime, node.get("mtime", "omit"))


def call_snapshot(root, options):
    """What tree.ts calls a snapshot: every object below `root` with what can be known of it."""
    result = {}
    first_of = {}
    for path, relative in walk_paths(raw(root)):
        s = os.lstat(path)
        kind = kind_of(s.st_mode)
        entry = {"type": kind, "mode": s.st_mode & 0o7777, "uid": s.st_uid, "gid": s.st_gid}
        if options.get("times", True):
            entry["mtime"] = big(s.st_mtime_ns)
        if kind != "dir":
            entry["nlink"] = s.st_nlink
            if s.st_nlink > 1:
                entry["same"] = first_of.setdefault((s.st_dev, s.st_ino), text(relative))
        if kind in ("char", "block"):
            entry["rdev"] = "%d:%d" % (os.major(s.st_rdev), os.minor(s.st_rdev))
        if kind == "symlink":
            entry["target"] = text(os.readlink(path))
        if kind == "file":
            entry["size"] = s.st_size
            entry["sha1"] = hash_quietly(path)
        xattrs = {}
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            name = text(os.fsencode(name))
            if not any(name.startswith(prefix) for prefix in options.get("hideXattrs", [])):
                xattrs[name] = text(os.getxattr(path, raw(name), follow_symlinks=False))
        if xattrs:
            entry["xattrs"] = xattrs
        result[text(relative)] = entry
    return result


def hash_quietly(path):
    """
    What stands for the content of a file: equal for equal bytes, wherever holes are. Zeros are passed over, and holes not
    read. Reading must not move its atime; only the owner may ask for that.
    """
    import hashlib
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    except PermissionError:
        fd = os.open(path, os.O_RDONLY)
    h = hashlib.sha1()
    step = 1 << 16
    zeros = bytes(step)
    try:
        position = next_data(fd, 0)
        while position is not None:
            position -= position % step
            data = os.pread(fd, step, position)
            if data != zeros[:len(data)]:
                h.update(b"%d:" % position + data)
            position = next_data(fd, position + step)
    finally:
        os.close(fd)
    return h.hexdigest()


def next_data(fd, position):
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError as e:
        if e.errno == errno.ENXIO:
            return None
        raise


def walk_paths(root):
    yield root, b"."
    pending = [b""]
    while pending:
        directory = pending.pop()
        with os.scandir(os.path.join(root, directory)) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            relative = os.path.join(directory, name)
            path = os.path.join(root, relative)
            yield path, relative
            if st.S_ISDIR(os.lstat(path).st_mode):
                pending.append(relative)


# The process itself

def call_become(uid, gid, groups):
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def call_setFsIds(uid, gid):
    libc.setfsgid(gid)
    libc.setfsuid(uid)


def call_dropCapability(number):
    """From the effective and permitted sets of this process, and from what its children may have."""
    check(libc.prctl(24, number, 0, 0, 0))
    header = struct.pack("=Ii", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    check(libc.capget(header, data))
    words = list(struct.unpack("=6I", data.raw))
    index = 3 * (number // 32)
    for word in (index, index + 1, index + 2):
        words[word] &= ~(1 << (number % 32))
    check(libc.capset(header, struct.pack("=6I", *words)))


def call_umask(mask):
    return os.umask(mask)


def call_chroot(path):
    os.chroot(raw(path))
    os.chdir("/")


def call_chdir(path):
    os.chdir(raw(path))


def call_fchdir(fd):
    os.fchdir(fd)


def call_getcwd():
    return text(os.getcwdb())


def call_run(argv, options):
    """A program with its output, 60 s at most unless told otherwise."""
    import subprocess
    done = subprocess.run([raw(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=options.get("timeout", 60), cwd=raw(options["cwd"]) if "cwd" in options else None)
    return {"status": done.returncode, "stdout": text(done.stdout), "stderr": text(done.stderr)}


children = {}


def call_spawn(argv):
    import subprocess
    child = subprocess.Popen([raw(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    children[child.pid] = child
    return child.pid


def call_endChild(pid):
    child = children.pop(pid)
    child.kill()
    child.wait()


def call_sleep(seconds):
    time.sleep(seconds)


# Locks

def call_flock(fd, kind):
    fcntl.flock(fd, {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX, "none": fcntl.LOCK_UN}[kind] | fcntl.LOCK_NB)


def call_lock(fd, kind, start, length, own=False):
    """fcntl record lock without waiting; `own`: of the open file (F_OFD_SETLK), not of the process."""
    code = {"shared": fcntl.F_RDLCK, "exclusive": fcntl.F_WRLCK, "none": fcntl.F_UNLCK}[kind]
    fcntl.fcntl(fd, 37 if own else fcntl.F_SETLK, struct.pack("=hhiqqi4x", code, 0, 0, start, length, 0))


# FIFOs and sockets

def call_listen(path):
    import socket
    server = socket.socket(socket.AF_UNIX)
    server.bind(raw(path))
    server.listen(1)
    sockets[server.fileno()] = server
    return server.fileno()


def call_accept(fd):
    connection, _ = sockets[fd].accept()
    sockets[connection.fileno()] = connection
    return connection.fileno()


def call_connect(path):
    import socket
    client = socket.socket(socket.AF_UNIX)
    client.connect(raw(path))
    sockets[client.fileno()] = client
    return client.fileno()


def call_poll(fd, events, milliseconds):
    poller = select.poll()
    poller.register(fd, getattr(select, events))
    return bool(poller.poll(milliseconds))


# The machine

def call_dropCaches():
    """Dentries and inodes that nobody uses, of the whole machine."""
    try:
        write_drop_caches("/proc")
    except OSError as e:
        if e.errno != errno.EROFS:
            raise
        # A container's /proc/sys is read-only; a proc of one's own is not.
        own = os.fsencode("/run/veneer-test-proc-%d" % os.getpid())
        os.mkdir(own)
        try:
            check(libc.mount(b"proc", own, b"proc", 0, None))
            try:
                write_drop_caches(os.fsdecode(own))
            finally:
                check(libc.umount2(own, 2))
        finally:
            os.rmdir(own)


def write_drop_caches(proc):
    with open(proc + "/sys/vm/drop_caches", "w") as f:
        f.write("2\n")


def serve(calls):
    """Until stdin ends; `calls` holds the functions."""
    sys.stdin.reconfigure(encoding="latin1")
    os.umask(0o022)
    answer = os.fdopen(os.dup(1), "w", buffering=1, encoding="latin1", newline="\n")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line, object_hook=unbig)
        reply = {}
        try:
            reply["result"] = calls["call_" + request["call"]](*request["args"])
        except OSError as e:
            reply["errno"] = ERRNO_NAMES.get(e.errno, str(e.errno))
        except BaseException:
            import traceback
            reply["failure"] = traceback.format_exc()
        answer.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    serve(globals())
