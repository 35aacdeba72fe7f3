#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Six writers that a power cut meets, and what must be there afterwards.

usage: writers.py KIND DIR LOG SEED    write in DIR until killed; LOG says what was begun and what was acknowledged

LOG has a JSON line before each step ("try") and one after what was acknowledged by fsync ("ack"), with the moment (CLOCK_MONOTONIC);
the log is elsewhere and survives. check(): what was acknowledged before the cut must be there; what was tried since may be there,
wholly or not, but nothing that nobody wrote may, and every file must open. An acknowledgement that came after the cut counts for
nothing: whoever gave it had no power any more (xfs answers 0 to fsync of a folder after its shutdown).
"""
import errno
import json
import os
import random
import sys
import time

STEP = 1000
BLOCK = 4096
N_BLOCKS = 64


def pattern(off, n):
    """What every byte is, by its offset: bytes that nobody wrote do not look like this, zeros neither."""
    first = off // 8
    words = b''.join(b'%07x\n' % (w * 2654435761 % (1 << 28)) for w in range(first, (off + n) // 8 + 1))
    return words[off - first * 8:off - first * 8 + n]


def block(no, version):
    line = b'%04d.%08d.' % (no, version)
    return (line * (BLOCK // len(line) + 1))[:BLOCK]


class Log:
    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, what, **facts):
        os.write(self.fd, (json.dumps({'what': what, 'at': time.monotonic(), **facts}) + '\n').encode())


def read_log(path, cut):
    """The steps; what was acknowledged after CUT is only a step that was tried."""
    out = []
    for line in open(path, 'rb').read().split(b'\n'):
        try:
            step = json.loads(line)
            if step['what'] == 'ack' and step['at'] > cut:
                step['what'] = 'late'
            out.append(step)
        except ValueError:
            pass  # the last one, cut short by the kill
    return out


def sync_dir(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


# ---- append and fsync

def run_append(d, log, rnd):
    fd = os.open(d + '/append', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    size = os.fstat(fd).st_size
    os.fsync(fd)
    sync_dir(d)
    log.say('ack', size=size)
    while True:
        n = rnd.choice((STEP, STEP, rnd.randrange(1, 3 * BLOCK)))
        log.say('try', size=size + n)
        os.write(fd, pattern(size, n))
        size += n
        os.fsync(fd)
        log.say('ack', size=size)


def check_append(d, steps):
    acked = max([s['size'] for s in steps if s['what'] == 'ack'], default=None)
    if acked is None:
        return openable(d + '/append')
    most = max(s['size'] for s in steps)
    return prefix(d + '/append', acked, most)


def openable(path):
    try:
        open(path, 'rb').read()
    except FileNotFoundError:
        pass
    except OSError as e:
        return [('unopenable', '%s: %s' % (path, e.strerror))]
    return []


def prefix(path, least, most):
    try:
        data = open(path, 'rb').read()
    except OSError as e:
        return [('lost' if e.errno == errno.ENOENT else 'unopenable', '%s: %s (%d bytes were acknowledged)' % (path, e.strerror, least))]
    bad = []
    if len(data) < least:
        bad.append(('lost', '%s: %d bytes, %d were acknowledged' % (path, len(data), least)))
    if len(data) > most:
        bad.append(('torn', '%s: %d bytes, %d were written' % (path, len(data), most)))
    good = pattern(0, len(data))
    if data != good:
        at = next(i for i in range(len(data)) if data[i] != good[i])
        zeros = data[at:].count(0)
        bad.append(('zeros' if zeros else 'torn', '%s: wrong from %d on (acknowledged %d, length %d, %d zeros)' % (path, at, least, len(data), zeros)))
    return bad


# ---- replace by rename

def run_replace(d, log, rnd):
    version = 0
    for no in range(7):  # those of the rounds before are there
        try:
            there = int(open('%s/r%d' % (d, no), 'rb').read(13)[5:])
            log.say('ack', name=no, version=there)
            version = max(version, there)
        except FileNotFoundError:
            pass
    while True:
        version += 1
        name = '%s/r%d' % (d, version % 7)
        log.say('try', name=version % 7, version=version)
        fd = os.open(name + '.new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, block(version % 7, version) * rnd.randrange(1, 9))
        os.fsync(fd)
        os.close(fd)
        os.rename(name + '.new', name)
        sync_dir(d)
        log.say('ack', name=version % 7, version=version)


def check_replace(d, steps):
    bad = []
    for no in range(7):
        path = '%s/r%d' % (d, no)
        mine = [s for s in steps if s.get('name') == no]
        acked = max([s['version'] for s in mine if s['what'] == 'ack'], default=0)
        most = max([s['version'] for s in mine], default=0)
        bad += openable(path + '.new')
        try:
            data = open(path, 'rb').read()
        except FileNotFoundError:
            bad += [('lost', '%s: gone, version %d was acknowledged' % (path, acked))] if acked else []
            continue
        except OSError as e:
            bad.append(('unopenable', '%s: %s' % (path, e.strerror)))
            continue
        version = int(data[5:13]) if len(data) >= BLOCK else -1
        if version < acked or version > most or data != block(no, version) * (len(data) // BLOCK):
            kind = 'lost' if 0 <= version < acked else 'zeros' if b'\0' in data else 'torn'
            bad.append((kind, '%s: version %d (%d bytes), acknowledged %d' % (path, version, len(data), acked)))
    return bad


# ---- a database's file: random blocks written over, and fsync

def run_blocks(d, log, rnd):
    path = d + '/blocks'
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    version = [0] * N_BLOCKS
    if os.fstat(fd).st_size < N_BLOCKS * BLOCK:
        os.pwrite(fd, b''.join(block(i, 0) for i in range(N_BLOCKS)), 0)
    else:
        version = [int(os.pread(fd, 13, i * BLOCK)[5:]) for i in range(N_BLOCKS)]
    os.fsync(fd)
    sync_dir(d)
    log.say('ack', version=version)
    while True:
        some = [rnd.randrange(N_BLOCKS) for _ in range(rnd.randrange(1, 6))]
        for i in some:
            version[i] += 1
        log.say('try', version=version)
        for i in some:
            os.pwrite(fd, block(i, version[i]), i * BLOCK)
        if rnd.random() < 0.7:
            os.fsync(fd)
            log.say('ack', version=version)


def check_blocks(d, steps):
    acks = [s['version'] for s in steps if s['what'] == 'ack']
    if not acks:
        return openable(d + '/blocks')
    least, most = acks[-1], steps[-1]['version']
    bad = []
    try:
        fd = os.open(d + '/blocks', os.O_RDONLY)
    except OSError as e:
        return [('lost' if e.errno == errno.ENOENT else 'unopenable', '%s/blocks: %s' % (d, e.strerror))]
    for i in range(N_BLOCKS):
        try:
            data = os.pread(fd, BLOCK, i * BLOCK)
            version = int(data[5:13]) if data[5:13].isdigit() else -1
            if not least[i] <= version <= most[i] or data != block(i, version):
                kind = 'zeros' if b'\0' in data else 'torn' if data != block(i, version) else 'lost'
                bad.append((kind, '%s/blocks: block %d has version %d, acknowledged %d, written %d' % (d, i, version, least[i], most[i])))
        except OSError as e:
            bad.append(('unopenable', '%s/blocks: block %d: %s' % (d, i, e.strerror)))
    os.close(fd)
    return bad


# ---- truncate

def run_truncate(d, log, rnd):
    fd = os.open(d + '/cut', os.O_RDWR | os.O_CREAT, 0o600)
    size = os.fstat(fd).st_size
    os.fsync(fd)
    sync_dir(d)
    log.say('ack', size=size)
    grown = False
    while True:
        if size > 12 * BLOCK or (size > BLOCK and rnd.random() < 0.5):
            if grown:  # a cut into what only the kernel has goes ahead of it and leaves zeros, as on ext4
                os.fsync(fd)
                log.say('ack', size=size)
            size = rnd.randrange(0, size)
            log.say('try', size=size)
            os.ftruncate(fd, size)
            grown = False
        else:
            n = rnd.randrange(1, 5 * BLOCK)
            log.say('try', size=size + n)
            os.pwrite(fd, pattern(size, n), size)
            size += n
            grown = True
        if rnd.random() < 0.6:
            os.fsync(fd)
            log.say('ack', size=size)
            grown = False


def check_truncate(d, steps):
    acks = [i for i, s in enumerate(steps) if s['what'] == 'ack']
    if not acks:
        return openable(d + '/cut')
    since = steps[acks[-1]:]
    return prefix(d + '/cut', min(s['size'] for s in since), max(s['size'] for s in since))


# ---- make and remove, folders too

def run_make(d, log, rnd):
    n = 0
    while True:
        n += 1
        folder = '%s/f%d' % (d, n % 5)
        name = '%s/%d' % (folder, n)
        if not os.path.isdir(folder):
            os.mkdir(folder)
            sync_dir(d)
        log.say('try', name=os.path.relpath(name, d), there=True)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, pattern(0, n % 5000))
        os.fsync(fd)
        os.close(fd)
        sync_dir(folder)
        log.say('ack', name=os.path.relpath(name, d), there=True, size=n % 5000)
        if n % 3 == 0:
            gone = '%s/f%d/%d' % (d, (n - 2) % 5, n - 2)
            log.say('try', name=os.path.relpath(gone, d), there=False)
            os.unlink(gone)
            sync_dir(os.path.dirname(gone))
            log.say('ack', name=os.path.relpath(gone, d), there=False)


def check_make(d, steps):
    state, bad = {}, []
    for s in steps:
        state[s['name']] = s if s['what'] == 'ack' else None
    for name, s in state.items():
        path = d + '/' + name
        if s is None:
            bad += openable(path)
        elif s['there']:
            bad += prefix(path, s['size'], s['size'])
        elif os.path.lexists(path):
            bad.append(('lost', '%s: there, though its removal was acknowledged' % path))
    return bad


# ---- extended attributes

def run_xattr(d, log, rnd):
    path = d + '/attr'
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.fsync(fd)
    sync_dir(d)
    version = int(os.getxattr(path, 'user.v')[:8]) if os.listxattr(path) else 0
    log.say('ack', version=version)
    while True:
        version += 1
        log.say('try', version=version)
        os.setxattr(path, 'user.v', b'%08d' % version * rnd.randrange(1, 20))
        os.fsync(fd)
        log.say('ack', version=version)


def check_xattr(d, steps):
    path = d + '/attr'
    acked = max([s['version'] for s in steps if s['what'] == 'ack'], default=0)
    most = max([s['version'] for s in steps], default=0)
    bad = openable(path)
    try:
        value = os.getxattr(path, 'user.v')
    except FileNotFoundError:
        return bad + ([('lost', '%s: gone' % path)] if acked else [])
    except OSError as e:
        return bad + ([('lost', '%s: %s, version %d was acknowledged' % (path, e.strerror, acked))] if acked else [])
    version = int(value[:8])
    if not acked <= version <= most or value != value[:8] * (len(value) // 8):
        bad.append(('lost' if version < acked else 'torn', '%s: attribute %d, acknowledged %d' % (path, version, acked)))
    return bad


KINDS = ('append', 'replace', 'blocks', 'truncate', 'make', 'xattr')


def check(kind, d, log, cut):
    """Acknowledgements before CUT; (kind, text) for each thing that is wrong; and what was acknowledged after it and is not there."""
    if not os.path.exists(log):
        return 0, [], []
    steps = read_log(log, cut)
    bad = globals()['check_' + kind](d, steps)
    late = globals()['check_' + kind](d, read_log(log, float('inf')))
    return sum(s['what'] == 'ack' for s in steps), bad[:20], [x for x in late if x not in bad]


if __name__ == '__main__':
    os.makedirs(sys.argv[2], exist_ok=True)
    globals()['run_' + sys.argv[1]](sys.argv[2], Log(sys.argv[3]), random.Random(sys.argv[4]))
