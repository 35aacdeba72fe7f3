#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How slow the machine is at the moment: small jobs on a mount that nobody locks, timed one after the other.

    beside.py BYOKFS MNT LOG

A line `BEGAN TOOK` (ms since the epoch, ms) is added to LOG for each: a name looked up, a page read through the daemon, a
process of BYOKFS, a MiB written, and a sleep that took longer than it should. lib.sh (slack_ms) reads it.
"""
import mmap, os, subprocess, sys, time

PAGE, MIB = 4096, 1 << 20


def look_up(mnt):
    try:
        os.stat(f'{mnt}/none{time.monotonic_ns()}')
    except FileNotFoundError:
        pass


def main(byokfs, mnt, log):
    fd = os.open(mnt + '/beside', os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, os.urandom(MIB), 0)
    os.fsync(fd)
    direct = os.open(mnt + '/beside', os.O_RDONLY | os.O_DIRECT)
    page, data = mmap.mmap(-1, PAGE), os.urandom(MIB)

    def write():
        os.pwrite(fd, data, 0)
        os.fsync(fd)

    def run():
        subprocess.run([byokfs, 'status', mnt, '--json'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    small = (lambda: look_up(mnt), lambda: os.preadv(direct, [page], 0))
    out, n = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 0
    while True:
        # a process and a MiB once in a second, the rest twenty times
        for job in small + ((run, write) if n % 20 == 0 else ()) + (lambda: time.sleep(0.05),):
            began, t0 = time.time(), time.monotonic()
            job()
            os.write(out, b'%d %d\n' % (began * 1000, (time.monotonic() - t0) * 1000))
        n += 1


if __name__ == '__main__':
    main(*sys.argv[1:4])
