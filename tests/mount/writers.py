#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who writes to a store that takes nothing more is told, whatever he checks: write(2), fsync(2), close(2).

    writers.py endless FILE FLAGS MIB     write(2) until it fails; FLAGS as WRONLY|APPEND; exit 0 when told before MIB
    writers.py small FILE FLAGS BYTES     one write(2), then one more a second later, then fsync and close: prints who told
"""
import errno, os, sys, time


def name_of(e):
    return errno.errorcode.get(e.errno, str(e.errno)) if e else 'ok'


def tried(f, *args):
    try:
        f(*args)
    except OSError as e:
        return e
    return None


def open_as(name, flags):
    bits = os.O_CREAT
    for f in flags.split('|'):
        bits |= getattr(os, 'O_' + f)
    return os.open(name, bits, 0o644)


def endless(name, flags, most):
    fd, piece, n, told = open_as(name, flags), bytes(1 << 20), 0, None
    try:
        while n < int(most) << 20:
            n += os.write(fd, piece)
    except OSError as e:
        told = e
    end = tried(os.close, fd)
    print(f'{flags}: write(2) accepted {n >> 20} MiB: {name_of(told)}; close: {name_of(end)}')
    return 0 if told and told.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else 1


def small(name, flags, size):
    fd = open_as(name, flags)
    first = tried(os.write, fd, bytes(int(size)))
    out = tried(os.fsync, fd)
    again = tried(os.write, fd, b'x' * int(size))
    print(name_of(first), name_of(out), name_of(again), name_of(tried(os.close, fd)))


if __name__ == '__main__':
    sys.exit({'endless': endless, 'small': small}[sys.argv[1]](*sys.argv[2:]))
