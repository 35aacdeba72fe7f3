#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A disk that is lost alone, in the same boot, when the last that was done made names: no in-flight slot says that anything is missing.

Each round: files that are written and synced, then empty files, links and folders, of which the disk has the names (something else on it
was synced) and not the bytes; then the disk goes, and the processes are killed, or end in good order, and the disk comes back where it
was, or elsewhere. `byokfs verify` and a mount must call all of it left by a crash. And each fourth time the disk is unmounted in good order
and mounted again: nothing is lost, and nothing may be taken for it. --reboot: in another boot, for comparison. Root only.
"""
import ctypes
import os
import sys

import rig

WRITTEN, MADE = 8, 20


def syncfs(path):
    fd = os.open(path, os.O_RDONLY)
    ctypes.CDLL(None).syncfs(fd)
    os.close(fd)


def make(r, top):
    os.mkdir(top)
    for i in range(WRITTEN):
        with open('%s/w%d' % (top, i), 'wb') as f:
            f.write(b'%d' % i * 100000)
            os.fsync(f.fileno())
    syncfs(r.m)
    syncfs(r.disk.at)  # slots and all
    for i in range(MADE):
        open('%s/e%d' % (top, i), 'w').close()
        os.symlink('target', '%s/l%d' % (top, i))
        os.mkdir('%s/d%d' % (top, i))
        open('%s/d%d/e' % (top, i), 'w').close()
    fd = os.open(r.disk.at + '/other', os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b'x')
    os.fsync(fd)
    os.close(fd)


def lose(r, way):
    """The disk goes and comes back."""
    if way == 'ends':
        r.disk.cut()
        r.byokfs('umount', r.m, check=False)
        rig.until(20, lambda: not r.daemons())
    elif way == 'keeps':
        r.kill()
    else:
        r.cut()
    r.down()
    r.disk.settle(lambda _: False)
    if way == 'elsewhere':
        r.disk.at += '.'
        os.makedirs(r.disk.at, exist_ok=True)
        r.store = r.disk.at + '/store'
    r.disk.mount()


def look(r, top, way):
    bad = []
    v = r.byokfs('verify', r.store, check=False)
    if v.returncode or ('left by a crash: ' in v.stdout) != (way != 'keeps') or ('lost its last writes' in v.stdout) != (way != 'keeps'):
        bad.append(('verify', 'before the mount: exit %d: %s' % (v.returncode, v.stdout[-300:])))
    r.mount()
    bad += rig.every_file_opens(r.m)
    for i in range(WRITTEN):
        if open('%s/w%d' % (top, i), 'rb').read() != b'%d' % i * 100000:
            bad.append(('lost', 'w%d' % i))
    for i in range(MADE):  # the disk has their names, and folders are made again
        if not os.path.isdir('%s/d%d' % (top, i)):
            bad.append(('lost', 'd%d' % i))
    links = sum(os.path.islink('%s/l%d' % (top, i)) for i in range(MADE))
    if way == 'keeps' and links < MADE:
        bad.append(('lost', '%d of %d links' % (MADE - links, MADE)))
    return bad + r.end()


def main():
    o = rig.options(__doc__, rounds=4, reboot=False)
    r, tally = rig.Rig(o), rig.Tally('names in %s boot' % ('another' if o.reboot else 'the same'))
    r.format()
    for no in range(o.rounds):
        way = ('is killed', 'ends', 'elsewhere', 'keeps')[no % 4]
        r.mount()
        top = '%s/n%d' % (r.m, no)
        make(r, top)
        lose(r, way)
        if o.reboot:
            r.new_boot()
        try:
            bad = look(r, top, way)
        except (RuntimeError, OSError) as e:
            bad = [('unopenable', str(e))]
        tally.add('round %d (%s)' % (no, way), WRITTEN, bad[:20])
        if bad:
            r.down()
            r.format()
    r.down()
    sys.exit(not tally.show())


main()
