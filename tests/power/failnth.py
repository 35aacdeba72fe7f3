#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A fixed script of some seventy operations, cut at every single n-th call by which the worker changes the store.

--death: the processes die, the boot and the disk stay. Otherwise the power goes: the disk is shut down before anything else happens,
and the next mount sees another boot; for two of three n a random half, or all, of what the store's files have dirty goes to the disk
just before, as the kernel does it when it likes. After each: mount, compare with the model of script.py, umount, verify. --stride and --first
choose some of all n; without them all are done, until the script comes to its end. Root only.
"""
import mmap
import os
import random
import struct
import sys
import time

import rig
import script

# the numbers of stopnth.c
NAMES = ('pwrite pwritev write writev ftruncate fallocate rename unlink mkdir link symlink mknod setxattr removexattr chmod chown utimens '
         'fsync fdatasync syncfs copy_file_range open').split()


class Stop:
    """What is shared with stopnth.c."""

    def __init__(self, work):
        self.path, self.lib = work + '/told', rig.compiled('stopnth', work, '-shared', '-fPIC')
        with open(self.path, 'wb') as f:
            f.write(bytes(32))
        self.fd = os.open(self.path, os.O_RDWR)
        self.map = mmap.mmap(self.fd, 32)

    def env(self):
        self.map[:] = bytes(32)
        return {'LD_PRELOAD': self.lib, 'STOPNTH': self.path}

    def arm(self, who, at):
        self.map[8:16] = struct.pack('Q', at)
        self.map[0:8] = struct.pack('Q', who)

    def disarm(self):
        self.map[0:8] = bytes(8)

    def count(self):
        return struct.unpack('Q', self.map[16:24])[0]

    def stopped(self):
        """The name of the call that is not made any more, or None."""
        no = struct.unpack('Q', self.map[24:32])[0]
        return NAMES[no - 1] if no else None


def run_script(top, log):
    """In a process of its own, which will not come back when the mount stands still. Its pid."""
    pid = rig.child()
    if pid:
        return pid
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        doer = script.Doer(top)
        for no, op in enumerate(script.SCRIPT):
            doer.do(no, op)
            os.write(fd, b'%d %.9f\n' % (no + 1, time.monotonic()))
        doer.close()
        os._exit(0)
    except OSError as e:
        os.write(fd, b'0 0 failed at %d: %s\n' % (no, str(e).encode()))
        os._exit(1)


def done_in(log, when):
    """How many operations had returned by then."""
    lines = [line.split()[:2] for line in open(log).read().split('\n') if line] if os.path.exists(log) else []
    return max([int(n) for n, at in lines if float(at) <= when], default=0)


def prepare(r):
    """A store with what script.BEFORE makes, ended well."""
    r.format()
    r.mount()
    doer = script.Doer(r.folder())
    for no, op in enumerate(script.BEFORE):
        doer.do(no, op)
    doer.close()
    bad = script.model_of(0, True, False).check(r.folder()) + r.end()
    if bad:
        raise RuntimeError('before any cut: %s' % bad)
    r.down()
    r.keep('before')


def one(r, o, stop, n):
    """The call it stopped at (None: the script ended), operations acknowledged, what is wrong."""
    r.again('before')
    r.new_boot()
    r.disk.mount()
    r.mount(**stop.env())
    log = r.w + '/script.log'
    if os.path.exists(log):
        os.unlink(log)
    stop.arm(r.worker(), n)
    pid = run_script(r.folder(), log)
    ended = []
    rig.until(60, lambda: stop.stopped() or ended or ended.extend(x for x in [os.waitpid(pid, os.WNOHANG)] if x[0]))
    at = stop.stopped()
    if not at and not (ended and ended[0][1] == 0):
        raise RuntimeError('n = %d: neither stopped nor ended: %s' % (n, ended))
    when = time.monotonic()
    if not o.death:
        rig.spill(r.disk.at, n % 3 / 2, random.Random('%s %d' % (o.seed, n)))
    r.kill() if o.death else r.cut()
    r.abort()
    rig.gone(pid)
    r.leave() if o.death else r.down()
    if not o.death:
        r.new_boot()
        r.disk.mount()
    done = done_in(log, when)
    try:
        r.mount()
    except RuntimeError as e:
        return at, done, [('unopenable', str(e))]
    bad = script.model_of(done, o.death).check(r.folder()) + r.end()
    return at, done, bad


def main():
    o = rig.options(__doc__, death=False, stride=1, first=1, last=1 << 20, keep=False)
    r = rig.Rig(o)
    stop = Stop(o.work)
    prepare(r)
    tally = rig.Tally('fail the n-th, %s, %s' % (o.fs, 'death' if o.death else 'power cut'))
    n, at = o.first, True
    while at and n <= o.last:
        at, done, bad = one(r, o, stop, n)
        where = 'after operation %d of %d then %s' % (done, len(script.SCRIPT), script.name(done))
        tally.add('n = %d, before %s, %s' % (n, at or 'nothing', where), done, bad)
        if bad and o.keep:
            rig.sh('cp', '--sparse=always', r.disk.image, '%s/image.%d' % (r.w, n))
        r.down()
        n += o.stride
    sys.exit(not tally.show())


if __name__ == '__main__':
    main()
