#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What it costs to lose nothing in a power cut: byokfs beside other builds of it, gocryptfs, and the filesystem below.

    cost.py [--byokfs PROGRAM] [--other NAME=PROGRAM]... [--work DIR] [--rounds 5] [--only WORD]

All lie on one ext4 in a file in DIR. Each round runs each line once on each in turn, so that what else the machine does falls on all
alike. Prints the load, then medians (what is done a second; more is better), with the ratio of the first to each of the others;
and how often the disk was flushed for a hundred of them, which other load does not change.
Each round mounts anew: what a line writes over is durable, or fresh, or from an earlier mount, as its name says.
"""
import argparse
import contextlib
import ctypes
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
BLOCK = 4096
BIG = 32 * MIB


def run(*args):
    subprocess.run(args, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Plain:
    name = 'plain'

    def __init__(self, at):
        self.store = self.m = at + '/plain'
        os.mkdir(self.m)

    def mount(self):
        pass

    def umount(self):
        pass


class Byokfs:
    def __init__(self, at, name, program):
        self.name, self.program = name, program
        self.store, self.m = at + '/store-' + name, '%s/../m-%s' % (at, name)
        keys = '%s/../ks-%s' % (at, name)
        os.mkdir(self.m)
        run(program, 'keystore', 'init', keys, '--no-passphrase')
        run(program, 'keystore', 'create', keys, 'k')
        run(program, 'init', self.store, '--kms', 'local:' + keys + '/k')

    def mount(self):
        run(self.program, 'mount', self.store, self.m)

    def umount(self):
        run(self.program, 'umount', self.m)


class Gocryptfs:
    name = 'gocryptfs'

    def __init__(self, at):
        self.store, self.m, self.word = at + '/store-go', at + '/../m-go', at + '/../word'
        os.mkdir(self.store)
        os.mkdir(self.m)
        with open(self.word, 'w') as f:
            f.write('word\n')
        run('gocryptfs', '-init', '-q', '-scryptn', '10', '-passfile', self.word, self.store)

    def mount(self):
        run('gocryptfs', '-q', '-passfile', self.word, self.store, self.m)

    def umount(self):
        run('fusermount3', '-u', self.m)


# ---- the lines: what is done, and in how many seconds ----

def timed(f):
    begin = time.monotonic()
    f()
    return time.monotonic() - begin


@contextlib.contextmanager
def opened(path, flags=0):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def append(d, o):
    def work():
        with opened(d + '/log', os.O_APPEND) as fd:
            for _ in range(o.syncs):
                os.write(fd, bytes(1000))
                os.fsync(fd)
    return o.syncs, timed(work)


def fill(path, sync):
    with opened(path, os.O_TRUNC) as fd:
        for _ in range(BIG // MIB):
            os.write(fd, os.urandom(MIB))
        if sync:
            os.fsync(fd)


def overwrite(path, n, sync):
    """N blocks at random, and the close, which brings all of them to the filesystem's program."""
    def work():
        with opened(path) as fd:
            for _ in range(n):
                os.pwrite(fd, block, random.randrange(BIG // BLOCK) * BLOCK)
                if sync:
                    os.fsync(fd)
    block = os.urandom(BLOCK)
    return n, timed(work)


def random_fresh(d, o):
    fill(d + '/fresh', False)
    return overwrite(d + '/fresh', o.writes, False)


def random_durable(d, o):
    fill(d + '/durable', True)
    return overwrite(d + '/durable', o.writes, False)


def random_earlier(d, o):
    return overwrite(os.path.dirname(d) + '/earlier', o.writes, False)


def random_synced(d, o):
    fill(d + '/synced', True)
    return overwrite(d + '/synced', o.syncs, True)


def rsync(d, o):
    return o.files, timed(lambda: run('rsync', '-a', o.tree + '/', d + '/rsync'))


def tar(d, o):
    os.mkdir(d + '/tar')
    return o.files, timed(lambda: run('tar', '-xf', o.tree + '.tar', '-C', d + '/tar'))


def folders(d, o):
    """New folders in each other, each synced and what it lies in."""
    def work():
        for i in range(o.syncs // 4):
            at = '%s/%d' % (d, i)
            for name in ('', '/a', '/a/b', '/a/b/c'):
                os.mkdir(at + name)
                fd = os.open(at + name, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
    return o.syncs // 4 * 4, timed(work)


def sqlite(d, mode, n, sync='full'):
    def work():
        for i in range(n):
            db.execute('insert or replace into t values (?, ?)', (i * 7919 % 1000, 'x' * 200))
    db = sqlite3.connect('%s/%s-%s.db' % (d, mode, sync), isolation_level=None)
    db.execute('pragma journal_mode=' + mode)
    db.execute('pragma synchronous=' + sync)
    db.execute('create table t (k integer primary key, v text)')
    seconds = timed(work)
    db.close()
    return n, seconds


LINES = (
    ('append 1000 B + fsync', append),
    ('rsync a tree in, files', rsync),
    ('tar a tree in, files', tar),
    ('sqlite wal, transactions', lambda d, o: sqlite(d, 'wal', o.syncs * 2)),
    ('sqlite wal, synchronous=normal', lambda d, o: sqlite(d, 'wal', o.syncs * 20, 'normal')),
    ('sqlite rollback, transactions', lambda d, o: sqlite(d, 'delete', o.syncs)),
    ('4 KiB over fresh', random_fresh),
    ('4 KiB over durable', random_durable),
    ('4 KiB over an earlier mount\'s', random_earlier),
    ('4 KiB + fsync each', random_synced),
    ('new folders + fsync each', folders),
)


def make_tree(at):
    """Files of many sizes, as a system's are: most are small."""
    r = random.Random(1)
    n = 0
    for i in range(40):
        os.makedirs('%s/%d/sub' % (at, i))
        for name in range(25):
            with open('%s/%d/%s%d' % (at, i, 'sub/' if name % 2 else '', name), 'wb') as f:
                f.write(r.randbytes(int(min(r.lognormvariate(8.5, 1.5), 2e6))))
            n += 1
    run('tar', '-cf', at + '.tar', '-C', at, '.')
    return n


def flushes(path):
    """How often the disk below PATH was told to flush."""
    dev = os.stat(path).st_dev
    with open('/sys/dev/block/%d:%d/stat' % (os.major(dev), os.minor(dev))) as f:
        return int(f.read().split()[15])


def one_round(o, sides, lines, got, number):
    for t in sides:
        t.mount()
    try:
        for name, line in lines:
            for t in sides:
                d = '%s/%s' % (t.m, number)
                os.makedirs(d, exist_ok=True)
                os.sync()
                before = flushes(t.store)
                n, seconds = line(d, o)
                after = flushes(t.store)
                got.setdefault(name, {}).setdefault(t.name, []).append((n / seconds, 100 * (after - before) / n))
        for t in sides:
            shutil.rmtree('%s/%s' % (t.m, number))
    finally:
        for t in sides:
            t.umount()


def report(sides, lines, got):
    def median(name, t, i):
        return statistics.median(each[i] for each in got[name][t.name])

    print('%-32s' % 'a second' + ''.join('%20s' % t.name for t in sides))
    for name, _ in lines:
        mine = median(name, sides[0], 0)
        print('%-32s' % name + ''.join('%12.0f (%5.2f)' % (median(name, t, 0), mine / median(name, t, 0)) for t in sides))
    print('%-32s' % 'flushes for 100' + ''.join('%20s' % t.name for t in sides))
    for name, _ in lines:
        print('%-32s' % name + ''.join('%20.1f' % median(name, t, 1) for t in sides))


def own_mounts():
    """A mount namespace of our own: nobody else's copies keep these mounts in use."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(b'none', b'/', None, 0x4000 | 0x40000, None):
        raise OSError(ctypes.get_errno(), 'unshare: root only')


def compete(o, at):
    sides = [Byokfs(at, 'byokfs', o.byokfs)]
    sides += [Byokfs(at, *other.split('=', 1)) for other in o.other]
    if shutil.which('gocryptfs'):
        sides.append(Gocryptfs(at))
    sides.append(Plain(at))
    lines = [line for line in LINES if any(word in line[0] for word in o.only.split(','))]
    got = {}
    for t in sides:
        t.mount()
        fill(t.m + '/earlier', True)
        t.umount()
    random.seed(1)
    try:
        for i in range(o.rounds):
            one_round(o, sides, lines, got, i)
            print('# round %d of %d, load %.1f' % (i + 1, o.rounds, os.getloadavg()[0]), flush=True)
    finally:  # as far as it came
        report(sides, [line for line in lines if len(got.get(line[0], {})) == len(sides)], got)


def let_go(disk):
    """Unmount DISK, as soon as the last program is gone that was told to."""
    for _ in range(100):
        if subprocess.run(['umount', disk], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    run('umount', '-l', disk)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--byokfs', default=HERE + '/../../.build/release/tools/byokfs')
    a.add_argument('--other', action='append', default=[], metavar='NAME=PROGRAM')
    a.add_argument('--work', default='/dev/shm')
    a.add_argument('--rounds', type=int, default=5)
    a.add_argument('--only', default='')
    a.add_argument('--syncs', type=int, default=160)
    a.add_argument('--writes', type=int, default=8000)
    o = a.parse_args()
    own_mounts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix='byokfs-cost-', dir=o.work) as w, \
            tempfile.TemporaryDirectory(prefix='byokfs-cost-', dir='/dev/shm') as tree:
        os.environ['BYOKFS_STATE_DIR'] = w
        os.mkdir(w + '/disk')
        o.tree = tree + '/tree'
        o.files = make_tree(o.tree)
        with open(w + '/image', 'wb') as f:
            os.posix_fallocate(f.fileno(), 0, 4 << 30)
        run('mkfs.ext4', '-q', '-F', w + '/image')
        run('mount', '-o', 'loop', w + '/image', w + '/disk')
        try:
            compete(o, w + '/disk')
        finally:
            let_go(w + '/disk')


main()
