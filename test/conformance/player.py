"""
Plays sequences of system calls for the differential tester, a batch of them a call, so that a step costs no round trip
to the tests. It is an agent (see support/agent.py) with a few more calls: play, view, layer.

A step is [actor, operation, arguments...]; an operation is the function `op_NAME` here, and its outcome a value that is
the same on every overlay that is right: an errno's name, or what was read, without inode numbers and with times of this
run as "now". Actors are processes of their own: two of root, two of users.
"""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import stat
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import agent
from agent import big, check, kind_of, libc, raw, text

# uid, gid, further groups
ACTORS = [(0, 0, []), (0, 0, []), (1000, 1000, [50]), (1001, 1001, [1000])]
HOUR = 3600 * 10**9
START = time.time_ns()


def when(ns):
    """Times that were set are compared; those of this run are not."""
    return "now" if abs(ns - START) < HOUR else str(ns)


def mode_of(s):
    """Without a setgid that means nothing, as the group may not execute the file: writes of others take it from a FUSE file."""
    idle = stat.S_ISREG(s.st_mode) and s.st_mode & 0o2010 == 0o2000
    return oct(s.st_mode & (0o5777 if idle else 0o7777))


def told(s, links=True):
    kind = kind_of(s.st_mode)
    result = [kind, mode_of(s), s.st_uid, s.st_gid]
    if kind != "file" or "file times" not in left_out:
        result.append(when(s.st_mtime_ns))
    if links and (kind != "dir" or "directory links" not in left_out):
        result.append(s.st_nlink)
    if kind in ("file", "symlink"):
        result.append(s.st_size)
    if kind in ("char", "block"):
        result.append(s.st_rdev)
    return result


class Skip(Exception):
    """The step has nothing to work on; so it is on every overlay."""


class Turn:
    """What an actor keeps of one sequence."""

    def __init__(self):
        self.handles = {}
        self.umask = 0o022

    def fd(self, slot):
        if slot not in self.handles:
            raise Skip
        return self.handles[slot][0]

    def writable(self, slot):
        """By a handle for reading, or of what is no file, the kernel's overlay can't change what has no name any more."""
        fd = self.fd(slot)
        if not self.handles[slot][1]:
            raise Skip
        return fd

    def keep(self, slot, flags, fd):
        changes = flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_PATH
        self.handles[slot] = (fd, changes and stat.S_ISREG(os.fstat(fd).st_mode))

    def release(self, slot):
        if slot in self.handles:
            os.close(self.handles.pop(slot)[0])

    def end(self):
        for slot in list(self.handles):
            self.release(slot)


def attempt(call):
    try:
        return call()
    except OSError as e:
        return agent.ERRNO_NAMES.get(e.errno, str(e.errno))


def lstat_quietly(path):
    try:
        return os.lstat(raw(path))
    except OSError:
        return None


def changing(path, change):
    """Makes a change; tells what the object is then, and whether it kept its inode number."""
    before = lstat_quietly(path)
    change()
    after = lstat_quietly(path)
    if after is None:
        return None
    return told(after) + [before is None or before.st_ino == after.st_ino]


def before_removing(file, name):
    """Leaves removals of ACLs alone that end in two ways, and both as they should."""
    if not name.startswith("system.posix_acl_"):
        return
    # Where the ACL is not there, that is no error to an upper object; and which directories are in the upper is told by names.
    if "directory links" in left_out and attempt(lambda: os.getxattr(file, raw(name))) == "ENODATA":
        raise Skip
    # The kernel's overlay takes setgid away with the access ACL, if the caller is not of the file's group; a FUSE overlay isn't told.
    s = attempt(lambda: os.stat(file, follow_symlinks=False) if isinstance(file, bytes) else os.fstat(file))
    is_of_others = isinstance(s, os.stat_result) and s.st_gid not in {os.getegid(), *os.getgroups()}
    if name == "system.posix_acl_access" and os.geteuid() != 0 and is_of_others and s.st_mode & stat.S_ISGID:
        raise Skip


def data_of(pattern, length):
    return (raw(pattern) * (length // max(len(pattern), 1) + 1))[:length]


# Handles

def op_open(turn, slot, path, flags, mode):
    turn.release(slot)
    bits = agent.flags_of(flags) | os.O_NONBLOCK
    turn.keep(slot, bits, os.open(raw(path), bits, mode))


def op_unnamed(turn, slot, path, flags, mode):
    turn.release(slot)
    bits = agent.flags_of(flags)
    turn.keep(slot, bits, os.open(raw(path), bits | os.O_TMPFILE, mode))


def op_close(turn, slot):
    turn.fd(slot)
    turn.release(slot)


def op_read(turn, slot, length):
    fd = turn.fd(slot)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        # Where the position behind the last entry is a large number it is EINVAL.
        os.lseek(fd, 0, os.SEEK_SET)
    return summary(os.read(fd, length))


def op_pread(turn, slot, length, offset):
    return summary(os.pread(turn.fd(slot), length, offset))


def op_write(turn, slot, pattern, length):
    return os.write(turn.fd(slot), data_of(pattern, length))


def op_pwrite(turn, slot, pattern, length, offset):
    return os.pwrite(turn.fd(slot), data_of(pattern, length), offset)


def op_ftruncate(turn, slot, size):
    os.ftruncate(turn.fd(slot), size)


def op_fallocate(turn, slot, mode, offset, length):
    agent.call_fallocate(turn.fd(slot), mode, offset, length)
    return told(os.fstat(turn.fd(slot)), False)


def op_lseek(turn, slot, offset, whence):
    fd = turn.fd(slot)
    if os.path.isdir("/proc/self/fd/%d" % fd):
        raise Skip
    return os.lseek(fd, offset, getattr(os, whence))


def op_holes(turn, slot, offset):
    """SEEK_DATA and SEEK_HOLE agree with the content: what is passed over is zeros. How fine holes are kept is not told."""
    fd = turn.fd(slot)
    if not os.path.isfile("/proc/self/fd/%d" % fd):
        raise Skip
    size = os.fstat(fd).st_size
    position = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        try:
            data = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO or offset >= size:
                raise
            data = size
        hole = os.lseek(fd, offset, os.SEEK_HOLE)
        return [offset <= data <= size, offset <= hole <= size, not any(os.pread(fd, min(data - offset, 1 << 20), offset))]
    finally:
        os.lseek(fd, position, os.SEEK_SET)


def op_copyRange(turn, source, destination, length, source_offset, offset):
    return os.copy_file_range(turn.fd(source), turn.fd(destination), length, source_offset, offset)


def op_mmapWrite(turn, slot, offset, pattern, length):
    """Through a shared mapping, only within the file."""
    fd = turn.writable(slot)
    size = os.fstat(fd).st_size
    # A write through a mapping takes the capability from a FUSE file alone: an intended difference.
    if size <= offset or "security.capability" in os.listxattr(fd):
        raise Skip
    mapping = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    try:
        end = min(offset + length, size)
        mapping[offset:end] = data_of(pattern, end - offset)
        mapping.flush()
    finally:
        mapping.close()


def op_mmapRead(turn, path, sharing):
    """Of a fresh handle: the kernel's overlay maps the lower by one that was opened before the copy-up."""
    fd = os.open(raw(path), os.O_RDONLY | os.O_NONBLOCK)
    try:
        size = os.fstat(fd).st_size
        if size == 0 or not os.path.isfile("/proc/self/fd/%d" % fd):
            raise Skip
        mapping = mmap.mmap(fd, size, getattr(mmap, sharing), mmap.PROT_READ)
        try:
            return summary(mapping[:])
        finally:
            mapping.close()
    finally:
        os.close(fd)


def op_fsync(turn, slot):
    os.fsync(turn.fd(slot))


def op_fdatasync(turn, slot):
    os.fdatasync(turn.fd(slot))


def op_fstat(turn, slot):
    return told(os.fstat(turn.fd(slot)), False)


def op_fchmod(turn, slot, mode):
    os.fchmod(turn.writable(slot), mode)
    return told(os.fstat(turn.fd(slot)), False)


def op_fchown(turn, slot, uid, gid):
    os.fchown(turn.writable(slot), uid, gid)
    return told(os.fstat(turn.fd(slot)), False)


def op_futimens(turn, slot, atime, mtime):
    fd = turn.writable(slot)
    check(libc.futimens(fd, timespec(atime) + timespec(mtime)))
    return told(os.fstat(fd), False)


def op_fsetxattr(turn, slot, name, value, flags):
    os.setxattr(turn.writable(slot), raw(name), raw(value), agent.XATTR[flags] if flags else 0)


def op_fgetxattr(turn, slot, name):
    return summary(os.getxattr(turn.fd(slot), raw(name)))


def op_flistxattr(turn, slot):
    return agent.call_listxattr(turn.fd(slot))


def op_fremovexattr(turn, slot, name):
    fd = turn.writable(slot)
    before_removing(fd, name)
    os.removexattr(fd, raw(name))


def op_getFlags(turn, slot):
    return agent.call_getFlags(turn.fd(slot))


def op_setFlags(turn, slot, flags):
    fd = turn.writable(slot)
    agent.call_setFlags(fd, agent.call_getFlags(fd) & ~0xc0 | flags)
    return agent.call_getFlags(fd)


def op_linkHandle(turn, slot, path):
    agent.call_linkFd(turn.fd(slot), path)
    return told(os.lstat(raw(path)))


def op_flock(turn, slot, kind):
    agent.call_flock(turn.fd(slot), kind)


def op_lock(turn, slot, kind, start, length):
    agent.call_lock(turn.fd(slot), kind, start, length, True)


def op_flist(turn, slot, size):
    fd = turn.fd(slot)
    os.lseek(fd, 0, os.SEEK_SET)
    return listing(fd, size, None)


# Names

def op_mkdir(turn, path, mode):
    os.mkdir(raw(path), mode)
    return told(os.lstat(raw(path)))


def op_rmdir(turn, path):
    os.rmdir(raw(path))


def op_unlink(turn, path):
    os.unlink(raw(path))


def op_removeTree(turn, path):
    agent.call_removeTree(path)


def op_rename(turn, source, destination, flags):
    before = lstat_quietly(source)
    bits = sum(agent.RENAME[name] for name in flags.split("|")) if flags else 0
    try:
        check(libc.renameat2(agent.AT_FDCWD, raw(source), agent.AT_FDCWD, raw(destination), bits))
    except OSError as e:
        if e.errno == errno.ENOTEMPTY:
            # By then the kernel has copied the directory up, Veneer has not: from here on it is copied up on both.
            attempt(lambda: os.chmod(raw(source), before.st_mode & 0o7777))
        target = lstat_quietly(destination)
        if e.errno == errno.EXDEV and target is not None and stat.S_ISDIR(target.st_mode):
            return "EXDEV onto a directory"
        raise
    after = lstat_quietly(destination)
    return None if after is None or before is None else told(after) + [before.st_ino == after.st_ino]


def op_link(turn, source, destination, follow):
    check(libc.linkat(agent.AT_FDCWD, raw(source), agent.AT_FDCWD, raw(destination), agent.AT_SYMLINK_FOLLOW if follow else 0))
    return told(os.lstat(raw(destination)))


def op_symlink(turn, target, path):
    os.symlink(raw(target), raw(path))
    return told(os.lstat(raw(path)))


def op_readlink(turn, path):
    return text(os.readlink(raw(path)))


def op_mknod(turn, path, kind, mode, major, minor):
    agent.call_mknod(path, kind, mode, major, minor)
    return told(os.lstat(raw(path)))


# Attributes

def timespec(value):
    """[seconds, nanoseconds], "now" or "omit"."""
    return agent.timespec(value) if isinstance(value, str) else struct.pack("=qq", *value)


def op_chmod(turn, path, mode):
    return changing(path, lambda: os.chmod(raw(path), mode))


def op_chown(turn, path, uid, gid):
    return changing(path, lambda: os.chown(raw(path), uid, gid))


def op_lchown(turn, path, uid, gid):
    return changing(path, lambda: os.lchown(raw(path), uid, gid))


def op_utimens(turn, path, atime, mtime):
    times = timespec(atime) + timespec(mtime)
    result = changing(path, lambda: check(libc.utimensat(agent.AT_FDCWD, raw(path), times, agent.AT_SYMLINK_NOFOLLOW)))
    # The path of a symlink may lead through itself, which moves its atime wherever the kernel's overlay is asked to follow it.
    s = os.lstat(raw(path))
    return result + [when(s.st_atime_ns)] if isinstance(atime, list) and not stat.S_ISLNK(s.st_mode) else result


def op_truncate(turn, path, size):
    return changing(path, lambda: os.truncate(raw(path), size))


def op_setxattr(turn, path, name, value, flags):
    bits = agent.XATTR[flags] if flags else 0
    if value == "":
        before_removing(raw(path), name)
    return changing(path, lambda: os.setxattr(raw(path), raw(name), raw(value), bits, follow_symlinks=False))


def op_getxattr(turn, path, name):
    return summary(os.getxattr(raw(path), raw(name), follow_symlinks=False))


def op_removexattr(turn, path, name):
    before_removing(raw(path), name)
    return changing(path, lambda: os.removexattr(raw(path), raw(name), follow_symlinks=False))


def op_listxattr(turn, path):
    return agent.call_listxattr(path)


def op_access(turn, path, mode):
    check(libc.faccessat(agent.AT_FDCWD, raw(path), mode, 0))


def op_lstat(turn, path):
    return told(os.lstat(raw(path)))


def op_stat(turn, path):
    return told(os.stat(raw(path)))


def op_statfs(turn, path):
    s = os.statvfs(raw(path))
    return [s.f_namemax, s.f_bsize, s.f_frsize]


def op_list(turn, path, size, seek):
    fd = os.open(raw(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        return listing(fd, size, seek)
    finally:
        os.close(fd)


def op_readFile(turn, path):
    fd = os.open(raw(path), os.O_RDONLY | os.O_NONBLOCK)
    try:
        return summary(os.read(fd, 1 << 20))
    finally:
        os.close(fd)


def op_writeFile(turn, path, flags, mode, pattern, length):
    def write():
        fd = os.open(raw(path), agent.flags_of(flags) | os.O_WRONLY | os.O_NONBLOCK, mode)
        try:
            os.write(fd, data_of(pattern, length))
        finally:
            os.close(fd)
    return changing(path, write)


def op_umask(turn, mask):
    turn.umask = mask


def summary(data):
    """Short data as they are, long ones by their length and hash."""
    if len(data) <= 40:
        return text(data)
    import hashlib
    return [len(data), hashlib.sha1(data).hexdigest()]


def entries_of(fd, size):
    entries, buffer = [], agent.call_getdents(fd, size)
    while buffer:
        entries += buffer
        buffer = agent.call_getdents(fd, size)
    return entries


def listing(fd, size, seek):
    """
    The names, sorted, with types, and whether each stands once, with the inode number that stat gives it. It is read in
    buffers of `size`; with `seek`, the entry of that number is sought once more by its offset.
    """
    entries = entries_of(fd, size)
    right = len({entry["name"] for entry in entries}) == len(entries)
    if seek is not None and entries:
        at = seek % len(entries)
        os.lseek(fd, int(entries[at]["offset"]["$big"]), os.SEEK_SET)
        rest = agent.call_getdents(fd, 32768)
        while len(rest) < len(entries) - at - 1:
            more = agent.call_getdents(fd, 32768)
            if not more:
                break
            rest += more
        right = right and [entry["name"] for entry in rest] == [entry["name"] for entry in entries[at + 1:]]
    found = []
    for entry in entries:
        if entry["name"] in (".", ".."):
            continue
        try:
            s = os.lstat(raw(entry["name"]), dir_fd=fd)
            same = str(s.st_ino) == entry["ino"]["$big"] and kind_of(s.st_mode) == entry["type"]
        except OSError as e:
            same = agent.ERRNO_NAMES.get(e.errno)
        found.append([entry["name"], entry["type"], same])
    return [sorted(found), right]


# Actors

def act(number, requests, answers):
    """An actor's life: runs of steps in, their outcomes out."""
    check(libc.prctl(1, 9))
    uid, gid, groups = ACTORS[number]
    agent.call_become(uid, gid, groups) if uid else None
    turns = {}
    for line in requests:
        root, sequence, steps = json.loads(line)
        outcomes = []
        if steps is None:
            turns.pop(sequence, Turn()).end()
        else:
            turn = turns.setdefault(sequence, Turn())
            try:
                os.chdir(raw(root))
                os.umask(turn.umask)
                outcomes = [outcome(turn, step) for step in steps]
            except OSError as e:
                outcomes = [["no root", e.errno]] * len(steps)
            os.chdir("/")
        answers.write(json.dumps(outcomes) + "\n")
        answers.flush()


def outcome(turn, step):
    try:
        return globals()["op_" + step[1]](turn, *step[2:])
    except OSError as e:
        return agent.ERRNO_NAMES.get(e.errno, str(e.errno))
    except Skip:
        return "skipped"
    except (ValueError, OverflowError) as e:
        return str(e)
    finally:
        if step[1] == "umask":
            os.umask(turn.umask)


class Actor:
    def __init__(self, number):
        request, answer = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.close(request[1])
            os.close(answer[0])
            try:
                act(number, os.fdopen(request[0]), os.fdopen(answer[1], "w"))
            finally:
                os._exit(0)
        os.close(request[0])
        os.close(answer[1])
        self.requests, self.answers = os.fdopen(request[1], "w"), os.fdopen(answer[0])

    def ask(self, root, sequence, steps):
        self.requests.write(json.dumps([root, sequence, steps]) + "\n")
        self.requests.flush()
        return json.loads(self.answers.readline())


actors = []
left_out = []


def call_play(root, sequences, final, leave_out):
    """
    The outcomes of sequences [[directory, steps], ...]; a sequence may go on in a later call, with the handles that it has,
    until one is `final`. `leave_out`: "file times", "directory links".
    """
    global left_out
    left_out = leave_out
    if not actors:
        actors.extend(Actor(number) for number in range(len(ACTORS)))
    result = []
    for directory, steps in sequences:
        place, outcomes, at = root + "/" + directory, [], 0
        while at < len(steps):
            end = at
            while end < len(steps) and steps[end][0] == steps[at][0]:
                end += 1
            outcomes += actors[steps[at][0]].ask(place, directory, steps[at:end])
            at = end
        if final:
            for actor in actors:
                actor.ask(place, directory, None)
        result.append(outcomes)
    return result


# Trees

def call_view(root, directories):
    """Every object below each directory, with all that can be known of it; listings must tell what stat tells."""
    return [view_of(raw(root + "/" + directory)) for directory in directories]


def view_of(root):
    result, numbers, pending = {}, {}, [b""]
    if not os.path.isdir(root):
        return result
    while pending:
        directory = pending.pop()
        here = os.path.join(root, directory)
        if not directory:
            result["."] = entry_of(here, os.lstat(here))
        entries = attempt(lambda: entries_below(here))
        if isinstance(entries, str):
            result[text(directory) or "."] = {"type": "dir", "errno": entries}
            continue
        for listed in sorted(entries, key=lambda entry: entry["name"]):
            if listed["name"] in (".", ".."):
                continue
            relative = os.path.join(directory, raw(listed["name"]))
            path = os.path.join(root, relative)
            try:
                s = os.lstat(path)
            except OSError as e:
                result[text(relative)] = {"listed": listed["type"], "errno": agent.ERRNO_NAMES.get(e.errno)}
                continue
            entry = result[text(relative)] = entry_of(path, s)
            if str(s.st_ino) != listed["ino"]["$big"] or kind_of(s.st_mode) != listed["type"]:
                entry["listed"] = "as %s of another inode number or type" % listed["type"]
            if entry["type"] == "dir":
                pending.append(relative)
            else:
                first = numbers.setdefault(s.st_ino, text(relative))
                if first != text(relative):
                    entry["same"] = first
    return result


def entries_below(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return entries_of(fd, 32768)
    finally:
        os.close(fd)


def entry_of(path, s):
    kind = kind_of(s.st_mode)
    entry = {"type": kind, "mode": mode_of(s), "uid": s.st_uid, "gid": s.st_gid, "nlink": s.st_nlink,
             "ino": str(s.st_ino), "mtime": str(s.st_mtime_ns), "when": when(s.st_mtime_ns), "ctime": str(s.st_ctime_ns)}
    if kind in ("char", "block"):
        entry["rdev"] = "%d:%d" % (os.major(s.st_rdev), os.minor(s.st_rdev))
    elif kind == "symlink":
        entry["target"] = text(os.readlink(path))
    elif kind == "file":
        entry["size"] = s.st_size
        entry["sha1"] = attempt(lambda: agent.hash_quietly(path))
    names = attempt(lambda: sorted(os.listxattr(path, follow_symlinks=False)))
    if names and isinstance(names, list):
        entry["xattrs"] = {name: attempt(lambda: text(os.getxattr(path, raw(name), follow_symlinks=False))) for name in map(fsname, names)}
    elif names:
        entry["xattrs"] = names
    return entry


def fsname(name):
    return text(os.fsencode(name))


agent.serve(globals())
