"""Opens /dev/fuse as descriptor N, mounts it at MOUNTPOINT, and becomes COMMAND, which inherits it.

usage: given-fuse.py N MOUNTPOINT COMMAND...    without a mountpoint ("") nothing is mounted

With FIRST_MESSAGE=taken in the environment the kernel's first message is read, so that it never comes to the command.
"""

import ctypes
import os
import sys

number, mountpoint, *command = sys.argv[1:]
number = int(number)
opened = os.open("/dev/fuse", os.O_RDWR)
if opened != number:
    os.dup2(opened, number)
    os.close(opened)
os.set_inheritable(number, True)
if mountpoint:
    libc = ctypes.CDLL(None, use_errno=True)
    data = f"fd={number},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"given", mountpoint.encode(), b"fuse.veneer", 0, data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
if os.environ.get("FIRST_MESSAGE") == "taken":
    os.read(number, 1 << 20)
os.execvp(command[0], command)
