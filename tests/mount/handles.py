#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""File handles of name_to_handle_at(2).

    handles.py make PATH...              one line of hex each, of what lies there
    handles.py open MOUNTPOINT HEX...    (or a descriptor of it) one line each: the contents, or the name of the error
"""
import ctypes, errno, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
MAX = 128


def make(path):
    buf = ctypes.create_string_buffer(struct.pack('Ii', MAX, 0), 8 + MAX)
    mount = ctypes.c_int()
    if libc.name_to_handle_at(-100, os.fsencode(path), buf, ctypes.byref(mount), 0) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return buf.raw[:8 + struct.unpack('I', buf.raw[:4])[0]].hex()


def contents(mount_fd, handle):
    fd = libc.open_by_handle_at(mount_fd, bytes.fromhex(handle), os.O_RDONLY)
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    try:
        return os.read(fd, 100).decode().strip()
    except OSError as e:
        return errno.errorcode[e.errno]
    finally:
        os.close(fd)


if sys.argv[1] == 'make':
    print(*map(make, sys.argv[2:]), sep='\n')
else:
    mount_fd = int(sys.argv[2]) if sys.argv[2].isdigit() else os.open(sys.argv[2], os.O_RDONLY)
    print(*(contents(mount_fd, h) for h in sys.argv[3:]), sep='\n')
