"""Loops of system calls that no program makes alone. Each works below the current directory, so many times.

What one returns are the seconds that count, where these are not all that it took.
"""
import os
import shutil
import statistics
import time

SMALL = b"x" * 2048
MEGABYTE = b"y" * (1 << 20)


def rehearse(count):
    """What daemons are asked for by the workloads, each thing by the thousand, in a lower tree and a new one. Nothing is left of both."""
    lower = [os.path.join(place, name) for place, _, names in os.walk("rehearsal") for name in names]
    for path in lower:
        with open(path, "rb", buffering=0) as file:
            file.read()
        try:
            os.lstat(path + ".absent")
        except FileNotFoundError:
            pass
    for path in lower[::2]:
        os.chmod(path, 0o600)
    for path in lower[1::4]:
        with open(path, "ab", buffering=0) as file:
            file.write(SMALL)
    os.mkdir("rehearsed")
    for index in range(count):
        path = f"rehearsed/{index}"
        with open(path, "wb", buffering=0) as file:
            file.write(SMALL)
        os.utime(path, ns=(0, 0))
        os.chown(path, 0, 0)
        os.chmod(path, 0o640)
        os.rename(path, path + ".renamed")
    shutil.rmtree("rehearsed")
    shutil.rmtree("rehearsal")


def append(count):
    fd = os.open("appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for _ in range(count):
        os.write(fd, SMALL[:1024])
    os.close(fd)


def create(count):
    os.mkdir("made")
    for index in range(count):
        fd = os.open(f"made/{index:05}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, SMALL)
        os.close(fd)


def rename(count):
    for index in range(count):
        os.rename(f"made/{index:05}", f"made/new{index:05}")


def unlink(count):
    for index in range(count):
        os.unlink(f"made/{index:05}")


def chmod_each(count):
    for index in range(count):
        os.chmod(f"many/{index:05}", 0o600)


def append_each(count):
    for index in range(count):
        fd = os.open(f"many/{index:05}", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"more")
        os.close(fd)


def absent(count):
    for index in range(count):
        try:
            os.lstat(f"many/absent{index:05}")
        except FileNotFoundError:
            continue
        raise FileExistsError(index)


def read_big(_count):
    """Brings a file into the page cache."""
    buffer = bytearray(1 << 20)
    with open("big", "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def write_big(count):
    """A new file of so many MB."""
    fd = os.open("big", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    for _ in range(count):
        os.write(fd, MEGABYTE)
    os.close(fd)


def write_once(_count):
    """The first write to a file, which copies it up."""
    fd = os.open("big", os.O_WRONLY)
    os.pwrite(fd, b"first", 4096)
    os.close(fd)


def stat_beside_copy_up(count):
    """What the middle one of so many stat calls takes, of other files, while another process has a large file copied up."""
    writer = os.fork()
    if writer == 0:
        try:
            write_once(1)
        except BaseException:
            os._exit(1)
        os._exit(0)
    time.sleep(0.02)
    ended, status, taken = 0, 0, []
    for index in range(count):
        begin = time.perf_counter()
        os.lstat(f"many/{index:05}")
        taken.append(time.perf_counter() - begin)
        ended, status = os.waitpid(writer, os.WNOHANG)
        if ended != 0:
            break
    if ended == 0:
        _, status = os.waitpid(writer, 0)
    if status != 0:
        raise ChildProcessError(status)
    return statistics.median(taken)


CALLS = {
    call.__name__: call
    for call in (
        absent,
        append,
        append_each,
        chmod_each,
        create,
        read_big,
        rehearse,
        rename,
        stat_beside_copy_up,
        unlink,
        write_big,
        write_once,
    )
}
