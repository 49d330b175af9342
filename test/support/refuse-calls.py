"""refuse-calls.py NUMBER,... PROGRAM ARGUMENT...: runs a program for which these system calls are ENOSYS, as on older
kernels. By a seccomp filter, which holds for all that the program starts."""
import ctypes
import os
import struct
import sys

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
LOAD_NUMBER = 0x20  # BPF_LD | BPF_W | BPF_ABS, of seccomp_data.nr at 0
JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K
ALLOW = 0x7FFF0000
ERRNO_ENOSYS = 0x00050000 | 38

numbers = [int(number) for number in sys.argv[1].split(",")]
code = [(LOAD_NUMBER, 0, 0, 0)]
code += [(JUMP_IF_EQUAL, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
code += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO_ENOSYS)]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
