#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Torn writes: any part of the sectors that were written since the disk's last flush reaches it.

The script of script.py runs on the block layer (layer.c). It is cut after each operation, when all that is dirty has been handed to the
disk without a flush (sync_file_range), or at each flush that the filesystem asks for (--at flush), or at each flush of a mount that has to
mend its keyring (--at mount). What is not flushed then is sorted by
what it belongs to: headers, tails and blocks of files, the undo journal, slots, the store's other files, the filesystem's own. For each of
these its sectors are dealt into 8 parts, and the store is looked at with the parts of --masks subsets (256: all of them), the other sectors
there or not by chance. After each: mount, compare with the model, umount, verify. --stride, --first, --last choose points. Root only.
"""
import fcntl
import os
import random
import stat
import struct
import sys
import time

import failnth
import rig
import script

PARTS = 8
FIEMAP = 0xc020660b
OWN = ('journal', 'inflight', 'writing', 'session', 'keyring', 'lost')


def extents(path):
    """(logical, physical, length) of what PATH has on disk."""
    out, fd, at = [], os.open(path, os.O_RDONLY), 0
    try:
        while True:
            buf = bytearray(struct.pack('<QQIIII', at, 1 << 62, 0, 0, 64, 0) + bytes(64 * 56))
            fcntl.ioctl(fd, FIEMAP, buf)
            n = struct.unpack_from('<I', buf, 20)[0]
            for i in range(n):
                logical, physical, length, _, _, flags = struct.unpack_from('<QQQQQI', buf, 32 + i * 56)
                if not flags & 0xe:  # unknown, not allocated yet, encoded
                    out.append((logical, physical, length))
                at = logical + length
                if flags & 1:
                    return out
            if n == 0:
                return out
    finally:
        os.close(fd)


def belongs(store):
    """sector -> what it is part of, of everything below STORE."""
    out = {}
    for base, _, files in os.walk(store):
        for name in files:
            path = base + '/' + name
            try:
                st = os.lstat(path)
                size, parts = st.st_size, extents(path) if stat.S_ISREG(st.st_mode) else []
            except OSError:
                continue  # removed meanwhile; and xfs tells nothing after its shutdown
            own = next((o for o in OWN if base == store + '/byokfs' and name.startswith(o)), None)
            for logical, physical, length in parts:
                for s in range(0, length, rig.SECTOR):
                    at = logical + s
                    kind = own or ('byokfs' if base == store + '/byokfs' or name.startswith('.byokfs') else
                                   'header' if at < 512 else 'tail' if at // 4096 >= (size - 1) // 4096 - 1 else 'block')
                    out[physical + s] = kind
    return out


def child(top, log, upto):
    """The first UPTO operations, then what the kernel keeps for the mount goes to its daemon; and waits."""
    pid = rig.child()
    if pid:
        return pid
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        doer = script.Doer(top)
        for no, op in enumerate(script.SCRIPT[:upto]):
            doer.do(no, op)
            os.write(fd, b'%d %.9f\n' % (no + 1, time.monotonic()))
        rig.spill(top, 1, None)
        os.write(fd, b'%d %.9f\n' % (1 << 20, time.monotonic()))
        while True:
            time.sleep(1)
    except OSError as e:
        os.write(fd, b'0 0 failed: %s\n' % str(e).encode())
    finally:
        os._exit(1)


def cut_at(r, o, point):
    """Run the script to POINT and cut. None: it came to its end before; else (operations done, sector -> kind)."""
    r.again('before')
    r.new_boot()
    r.disk.mount()
    if o.at == 'mount':
        return cut_in_mount(r, point)
    r.mount()
    log = r.w + '/script.log'
    upto = len(script.SCRIPT)
    if o.at == 'flush':
        r.disk.say('flush %d' % point)
    else:
        upto = min(point, upto)
    if os.path.exists(log):
        os.unlink(log)
    pid = child(r.folder(), log, upto)
    pushed = lambda: failnth.done_in(log, 1e18) == 1 << 20
    if not rig.until(60, lambda: pushed() or r.disk.ask()[1]):
        raise RuntimeError('the script hangs')
    frozen = r.disk.ask()[1]
    if not frozen and pushed() and o.at == 'op':
        rig.spill(r.disk.at, 1, None)
    when = r.cut()
    kinds = belongs(r.disk.at if r.plain else r.store)
    r.abort()
    rig.gone(pid)
    r.down()
    if o.at == 'flush' and not frozen or o.at == 'op' and point > len(script.SCRIPT):
        return None
    done = [n for n in range(upto + 1) if n <= failnth.done_in(log, when) and n < 1 << 20]
    return max(done), kinds


def cut_in_mount(r, point):
    """The same at a flush within a mount, which mends the keyring's copy, and the umount after it."""
    with open(r.store + '/byokfs/keyring.copy', 'r+b') as f:
        f.seek(-1, 2)
        last = f.read(1)
        f.seek(-1, 2)
        f.write(bytes([last[0] ^ 1]))
        os.fsync(f.fileno())
    r.disk.say('flush %d' % point)
    for args in ('mount', r.store, r.m), ('umount', r.m):
        r.byokfs(*args, check=False)
    frozen = r.disk.ask()[1]
    r.cut()
    kinds = belongs(r.disk.at if r.plain else r.store)
    r.down()
    return (0, kinds) if frozen else None


def variants(pending, kinds, masks, rnd):
    """(text, choose) of each subset: of each kind among the sectors its 8 parts."""
    sectors = sorted({off + s for off, data in pending for s in range(0, len(data), rig.SECTOR)})
    by = {}
    for s in sectors:
        by.setdefault(kinds.get(s, 'filesystem'), []).append(s)
    for kind, mine in sorted(by.items()):
        part = {s: i * PARTS // len(mine) if len(mine) >= PARTS else i for i, s in enumerate(mine)}
        most = 1 << min(PARTS, len(mine))
        for mask in sorted(rnd.sample(range(most), min(masks, most))):
            p = rnd.choice((0, 0.5, 1))
            others = {s for s in sectors if rnd.random() < p}
            yield ('%s %d sectors, mask %02x, others %g' % (kind, len(mine), mask, p),
                   lambda off, mask=mask, part=part, others=others: mask >> part[off] & 1 if off in part else off in others)


def look(r, done, choose, pending):
    r.again('cut')
    r.disk.apply(pending, choose)
    r.new_boot()
    r.disk.mount()
    try:
        r.mount()
        return script.model_of(done, False).check(r.folder(), torn_too=r.plain) + r.end()
    except RuntimeError as e:
        return [('unopenable', str(e))]
    finally:
        r.down()


def run(r, o, tally):
    failnth.prepare(r)
    point, rnd = o.first, random.Random(o.seed)
    while point <= o.last:
        got = cut_at(r, o, point)
        if not got:
            break
        done, kinds = got
        pending = r.disk.pending()
        r.keep('cut')
        for text, choose in variants(pending, kinds, o.masks, rnd):
            tally.add('%s %d (%d done, then %s), %s' % (o.at, point, done, script.name(done), text),
                      done, look(r, done, choose, pending))
        point += o.stride


def main():
    o = rig.options(__doc__, at='op', stride=1, first=1, last=1 << 20, masks=4, control=False)
    o.layer, good = True, True
    for plain in [False, True] if o.control else [False]:
        tally = rig.Tally('torn at each %s, %s%s' % (o.at, o.fs, ', plain' if plain else ''))
        run(rig.Rig(o, plain), o, tally)
        good &= tally.show() or plain
    sys.exit(not good)


main()
