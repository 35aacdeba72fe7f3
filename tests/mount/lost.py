#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a full or broken disk, or a lock, takes from a file, and what of it reads afterwards, page by page.

    lost.py write FILE PAGES HOW [FREE BACKING]   open FILE, leave FREE bytes on the disk under the folder BACKING, write so many pages:
                                                  HOW is write, map, back (the last page first), holes (every other page), again (all,
                                                  durable, and every 16th page once more); says what fsync said
    lost.py write FILE PAGES HOW - COMMAND...     the same, with COMMAND run before the fsync
    lost.py map FILE PAGES [FROM]                 a letter for each page: . as written, E an error, 0 zeros, - behind the end, X else
"""
import errno, hashlib, mmap, os, subprocess, sys

PAGE = 4096


def page(i):
    return (hashlib.sha256(b'lost %d' % i).digest() * (PAGE // 32))[:PAGE]


def leave(free, backing):
    """A file beside the store that takes all but FREE bytes of the disk."""
    with open(backing + '/filler', 'wb') as f:
        size = 0
        for step in (1 << 24, 1 << 20, 1 << 16, PAGE):
            while True:
                v = os.statvfs(backing)
                if v.f_bavail * v.f_frsize < free + step:
                    break
                try:
                    os.posix_fallocate(f.fileno(), size, step)
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise
                    break
                size += step
        os.fsync(f.fileno())


def write(path, pages, how, *rest):
    if rest and rest[0] == '-':  # before the file is open: whoever begins with it closes it, and writes it back by that
        command = subprocess.Popen(['sh', '-c', 'read go && exec "$@"', '-', *rest[1:]], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, page(0), 0)
    os.fsync(fd)
    if how == 'map':
        os.ftruncate(fd, pages * PAGE)
        m = mmap.mmap(fd, pages * PAGE)
    order = range(pages)
    if how == 'back':
        order = range(pages - 1)
        os.pwrite(fd, page(pages - 1), (pages - 1) * PAGE)
        os.fsync(fd)
    if rest and rest[0] != '-':
        leave(int(rest[0]), rest[1])
    if how == 'holes':
        order = range(0, pages, 2)
    if how == 'again':
        os.pwrite(fd, b''.join(page(i) for i in order), 0)
        os.fsync(fd)
        order = range(8, pages, 16)
    elif rest and rest[0] == '-':  # all in one call: the kernel holds up who writes much to a slow disk bit by bit
        os.pwrite(fd, b''.join(page(i) for i in order), 0)
        order = ()
    for i in order:
        if how == 'map':
            m[i * PAGE:(i + 1) * PAGE] = page(i)
        else:
            os.pwrite(fd, page(i), i * PAGE)
    if rest and rest[0] == '-':
        command.communicate(b'go\n')
    try:
        os.fsync(fd)
        print('ok', flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
    os._exit(0)  # a mapping that cannot be written back must not end this otherwise


def show(path, pages, start=0):
    fd = os.open(path, os.O_RDONLY)
    out = ''
    for i in range(int(start), pages):
        try:
            got = os.pread(fd, PAGE, i * PAGE)
        except OSError as e:
            out += 'E' if e.errno == errno.EIO else 'X'
            continue
        out += '-' if not got else '.' if got == page(i) else '0' if not any(got) else 'X'
    print(out)


if __name__ == '__main__':
    if sys.argv[1] == 'write':
        write(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        show(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
