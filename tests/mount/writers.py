#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who writes to a store that takes nothing more is told, whatever he checks: write(2), fsync(2), close(2).

    writers.py endless FILE FLAGS MIB     write(2) until it fails; FLAGS as WRONLY|APPEND; exit 0 when told before MIB
    writers.py small FILE FLAGS BYTES     one write(2), then fsync, one more and close: prints who told
    writers.py database FILE              one of a hundred rows
    writers.py more FILE                  more rows than there is room for: what it says, and what is there then
    writers.py look FILE                  what is there of it
    writers.py synced FILE                write and fsync: quickly, and the time of change moves
    writers.py busy FOLDER SECONDS        six write, fsync and close: how often
    writers.py mapped FILE                a change in a mapping, a write(2) later, fsync: the time is the write's
"""
import errno, mmap, os, sqlite3, sys, time


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


def rows(base, text, n):
    base.executemany('insert into t values(?)', [(text,)] * n)
    base.commit()


def look(name, base=None):
    base = base or sqlite3.connect(name)
    print(base.execute('pragma integrity_check').fetchone()[0], base.execute('select count(*) from t').fetchone()[0])


def database(name):
    base = sqlite3.connect(name)
    base.execute('create table t(a)')
    rows(base, 'x' * 10, 100)


def more(name):
    base = sqlite3.connect(name)
    try:
        rows(base, 'y' * 1000, 100000)
    except sqlite3.Error as e:
        print(e, end=' ')
    look(name, base)


def synced(name):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
    begin, bad = time.monotonic(), 0
    for i in range(20):
        os.utime(fd, (1000, 1000))
        os.write(fd, b'line\n')
        os.fsync(fd)
        end = time.monotonic() + 10
        while os.fstat(fd).st_mtime == 1000 and time.monotonic() < end:
            time.sleep(0.001)
        bad += os.fstat(fd).st_mtime == 1000
    took = time.monotonic() - begin
    print(f'20 writes and fsyncs took {took:.1f} s, {bad} times the time stood still')
    return bad > 0 or took > 10


def busy(folder, seconds):
    """Writes, fsyncs and closes by six on three files, however often that goes: prints the count."""
    end, n = time.monotonic() + float(seconds), 0
    pids = []
    for i in range(6):
        r, w = os.pipe()
        if os.fork() == 0:
            while time.monotonic() < end:
                fd = os.open(f'{folder}/busy{i % 3}', os.O_RDWR | os.O_CREAT, 0o644)
                os.pwrite(fd, b'x' * 1000, i * 1000)
                os.fsync(fd)
                os.close(fd)
                n += 1
            os.write(w, b'%d' % n)
            os._exit(0)
        os.close(w)
        pids.append(r)
    print(sum(int(os.read(r, 20) or 0) for r in pids))


def mapped(name):
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 8192)
    m = mmap.mmap(fd, 8192)
    bad = 0
    for i in range(5):
        m[5000 + i] = 65
        bad += os.pread(fd, 1, 5000 + i) != b'A'
        time.sleep(0.1)
        then = time.time()
        os.pwrite(fd, b'B', i)
        bad += m[i] != 66
        os.fsync(fd)
        time.sleep(0.1)
        bad += os.fstat(fd).st_mtime < then - 0.05
    os.close(fd)
    print(f'{bad} times wrong')
    return bad > 0


if __name__ == '__main__':
    what = {'endless': endless, 'small': small, 'database': database, 'more': more, 'look': look,
            'synced': synced, 'busy': busy, 'mapped': mapped}
    sys.exit(what[sys.argv[1]](*sys.argv[2:]))
