"""Loops of system calls that no program makes alone. Usage: worker.py WORK DIRECTORY COUNT; prints the seconds taken.

The clock starts when Python has started and DIRECTORY is entered.
"""
import os
import sys
import time

work, directory, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.chdir(directory)
block = b"x" * 2048


def append(number):
    fd = os.open("appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for _ in range(number):
        os.write(fd, block[:1024])
    os.close(fd)


def create(number):
    os.mkdir("made")
    for index in range(number):
        fd = os.open(f"made/{index:05}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, block)
        os.close(fd)


def rename(number):
    for index in range(number):
        os.rename(f"made/{index:05}", f"made/new{index:05}")


def chmod(number):
    for index in range(number):
        os.chmod(f"many/{index:05}", 0o600)


def append_each(number):
    for index in range(number):
        fd = os.open(f"many/{index:05}", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"more")
        os.close(fd)


def absent(number):
    for index in range(number):
        try:
            os.lstat(f"many/absent{index:05}")
        except FileNotFoundError:
            pass


def write_once(_number):
    fd = os.open("big", os.O_WRONLY)
    os.pwrite(fd, b"first", 4096)
    os.close(fd)


def write_big(number):
    fd = os.open("written", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    megabyte = b"y" * (1 << 20)
    for _ in range(number):
        os.write(fd, megabyte)
    os.close(fd)


def read_big(_number):
    fd = os.open("big", os.O_RDONLY)
    while os.read(fd, 1 << 20):
        pass
    os.close(fd)


begin = time.perf_counter()
globals()[work](count)
print(time.perf_counter() - begin)
