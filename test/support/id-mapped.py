#!/usr/bin/python3
"""Mounts a directory once more, with other owners: an id-mapped mount, as container engines make them (mount_setattr(2)).

usage: id-mapped.py SOURCE TARGET FROM TO COUNT

Owners from FROM on, COUNT of them, are those from TO on in the mount. The status is 2 where the kernel or the file system has no such mounts.
"""
import ctypes
import errno
import os
import struct
import sys

AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH, MOUNT_ATTR_IDMAP, CLONE_NEWUSER = 1, 4, 0x100000, 0x10000000
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
libc = ctypes.CDLL(None, use_errno=True)


def system_call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0:
        code = ctypes.get_errno()
        print(os.strerror(code), file=sys.stderr)
        sys.exit(2 if code in (errno.ENOSYS, errno.EINVAL) else 1)
    return result


def user_namespace(first, to, count):
    """A descriptor of one that has these ids."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x" if libc.unshare(CLONE_NEWUSER) == 0 else b"")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{child}/{kind}_map", "w") as file:
            file.write(f"{first} {to} {count}")
    namespace = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    return namespace


source, target = map(os.fsencode, sys.argv[1:3])
namespace = user_namespace(*map(int, sys.argv[3:6]))
tree = system_call(OPEN_TREE, AT_FDCWD, source, OPEN_TREE_CLONE)
attributes = struct.pack("=QQQQ", MOUNT_ATTR_IDMAP, 0, 0, namespace)
system_call(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, attributes, len(attributes))
system_call(MOVE_MOUNT, tree, b"", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
