#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Copies of a live store, by rsync, cp -a and tar, while four writers write to its mount.

Each copy is mounted beside the store, in the same boot. No file in it may read as bytes that it had at no moment between the copy's
begin and its end: what the writers write has numbers, and they log when each number was begun and when it was synced. Files that nobody
writes to must be whole. A file that was changed while it was copied may be refused (EIO), and is counted. Root only.
"""
import os
import random
import shutil
import sys
import time

import rig
from writers import BLOCK, block, pattern

BLOCKS = 64
MIB = 1 << 20


class Steps:
    """Numbered steps of one thing: begun at, synced at."""

    def __init__(self, path):
        self.path = path

    def log(self):
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def step(self, what, value, do):
        begun = time.monotonic()
        os.write(self.fd, b'%d %d %.9f inf\n' % (what, value, begun))
        do()
        os.write(self.fd, b'%d %d %.9f %.9f\n' % (what, value, begun, time.monotonic()))

    def could_be(self, what, since, until):
        """The values that WHAT had at some moment in between."""
        seen = {}
        for line in open(self.path):
            f = line.split()
            if len(f) == 4 and int(f[0]) == what:
                seen[int(f[1])] = (float(f[2]), float(f[3]))
        values = sorted(seen)
        return [v for i, v in enumerate(values) if seen[v][0] <= until and (i + 1 == len(values) or seen[values[i + 1]][1] >= since)]


def put(path, data, off, flags=0):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    os.pwrite(fd, data, off)
    os.fsync(fd)
    os.close(fd)


def write_append(top, s, rnd):
    size = 0
    while True:
        n = rnd.choice((1000, rnd.randrange(1, 3 * BLOCK)))
        s.step(0, size + n, lambda: put(top + '/append', pattern(size, n), size))
        size += n


def write_blocks(top, s, rnd):
    version = [0] * BLOCKS
    while True:
        i = rnd.randrange(BLOCKS)
        version[i] += 1
        s.step(i, version[i], lambda: put(top + '/blocks', block(i, version[i]), i * BLOCK))


def write_replace(top, s, rnd):
    version = 0
    while True:
        version += 1
        put(top + '/replace.new', block(0, version) * rnd.randrange(1, 30), 0, os.O_TRUNC)
        s.step(0, version, lambda: os.rename(top + '/replace.new', top + '/replace'))


def write_big(top, s, rnd):
    n = 0
    while True:
        n = (n + 1) % 3
        path = '%s/big%d' % (top, n)
        s.step(n, time.monotonic_ns(), lambda: os.path.exists(path) and os.unlink(path))
        for i in range(8):
            put(path, pattern(i * MIB, MIB), i * MIB)
        s.step(n + 10, time.monotonic_ns(), lambda: None)


WRITERS = {'append': write_append, 'blocks': write_blocks, 'replace': write_replace, 'big': write_big}


def read(path, eio):
    try:
        return open(path, 'rb').read()
    except FileNotFoundError:
        return None
    except OSError as e:
        eio.append('%s: %s' % (path, e.strerror))
    return b''


def read_blocks(path, eio):
    """Block by block: one that was caught in the middle is refused alone."""
    out = []
    try:
        with open(path, 'rb', buffering=0) as f:
            for i in range(BLOCKS):
                try:
                    out.append(os.pread(f.fileno(), BLOCK, i * BLOCK))
                except OSError as e:
                    eio.append('%s: block %d: %s' % (path, i, e.strerror))
                    out.append(None)
    except OSError as e:
        eio.append('%s: %s' % (path, e.strerror))
    return out


def check(top, steps, since, until):
    """What is wrong, what was refused."""
    bad, eio = [], []
    data, may = read(top + '/append', eio), steps['append'].could_be(0, since, until)
    if data is None or not eio and not min(may) <= len(data) <= max(may):
        bad.append(('lost', 'append: %s bytes, it had %d to %d' % (data and len(data), min(may), max(may))))
    bad += not_pattern('append', data or b'')
    for i, part in enumerate(read_blocks(top + '/blocks', eio)):
        may = steps['blocks'].could_be(i, since, until)
        if part is not None and part not in [block(i, v) for v in may]:
            bad.append(('zeros' if part and part[0] == 0 else 'torn', 'blocks: block %d is %r, it was %s' % (i, part[:13], may)))
    n = len(eio)
    data, may = read(top + '/replace', eio), steps['replace'].could_be(0, since, until)
    if len(eio) == n and (not data or data != block(0, int(data[5:13])) * (len(data) // BLOCK) or int(data[5:13]) not in may):
        bad.append(('torn' if data else 'lost', 'replace: %r, it was %s' % (data and data[:13], may)))
    for i in range(3):
        bad += not_pattern('big%d' % i, read('%s/big%d' % (top, i), eio) or b'')
    for i in range(20):
        refused = []
        data = read('%s/static%d' % (top, i), refused)
        if data != pattern(0, i * 3001):
            bad.append(('unopenable' if refused else 'lost', 'static%d: %s, %d bytes' % (i, refused, len(data or b''))))
    return bad, eio


def not_pattern(name, data):
    good = pattern(0, len(data))
    if data == good:
        return []
    at = next(i for i in range(len(data)) if data[i] != good[i])
    return [('zeros' if data[at] == 0 else 'torn', '%s: %d bytes, wrong at %d: %r' % (name, len(data), at, data[at:at + 16]))]


def copy(how, store, to):
    """0, or 24 and 1: rsync's and tar's word for files that changed or went meanwhile."""
    os.makedirs(to)
    if how == 'tar':
        r = rig.sh('bash', '-c', 'tar -C "$0" --xattrs --sparse -cf - . | tar -C "$1" --xattrs -xf -', store, to, check=False)
    elif how == 'cp':
        r = rig.sh('cp', '-a', store + '/.', to, check=False)
    else:
        r = rig.sh('rsync', '-aHAXS', store + '/', to + '/', check=False)
    return r


def one(r, no, how, steps, tally):
    to, at = r.w + '/copy', r.w + '/at'
    shutil.rmtree(to, ignore_errors=True)
    os.makedirs(at, exist_ok=True)
    since = time.monotonic()
    copy(how, r.store, to)
    until = time.monotonic()
    m = r.byokfs('mount', to, at, '--allow-copy', '--kms', 'local:' + r.w + '/ks/k', check=False)
    if m.returncode:
        tally.add('copy %d by %s' % (no, how), 0, [('unopenable', 'mount: ' + m.stdout)])
        return 0
    bad, eio = check(at, steps, since, until)
    m = r.byokfs('umount', at, check=False)
    if m.returncode:
        bad.append(('verify', 'umount: ' + m.stdout))
    tally.add('copy %d by %s' % (no, how), 1, bad)
    return len(eio)


def main():
    o = rig.options(__doc__, rounds=12)
    r = rig.Rig(o)
    r.format()
    r.mount()
    for i in range(20):
        put('%s/static%d' % (r.m, i), pattern(0, i * 3001), 0)
    put(r.m + '/blocks', b''.join(block(i, 0) for i in range(BLOCKS)), 0)
    steps = {k: Steps('%s/%s.log' % (r.w, k)) for k in WRITERS}
    for k, write in WRITERS.items():
        if rig.child() == 0:
            try:
                steps[k].log()
                for i in range(BLOCKS if k == 'blocks' else 0):
                    steps[k].step(i, 0, lambda: None)
                write(r.m, steps[k], random.Random(o.seed + k))
            finally:
                os._exit(1)
    rig.until(20, lambda: all(os.path.exists(s.path) and os.path.getsize(s.path) > 4000 for k, s in steps.items() if k != 'big'))
    tally, refused = rig.Tally('copies of a live store, %s' % o.fs), 0
    for no in range(o.rounds):
        refused += one(r, no, ('rsync', 'cp', 'tar')[no % 3], steps, tally)
    for p in rig.CHILDREN:
        rig.gone(p)
    for kind, text in r.end():
        tally.bad[kind] += 1
        tally.good = min(tally.good, tally.rounds - 1)
        print('the store itself: %s: %s' % (kind, text))
    good = tally.show()
    print('  files and blocks refused that were changed while they were copied: %d' % refused)
    sys.exit(not good)


main()
