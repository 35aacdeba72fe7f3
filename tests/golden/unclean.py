#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What lies in a golden store whose machine went down, from format 2 on. It must never change for a released format.

    unclean.py make MNT BACKING   write it, the store being on the filesystem BACKING, and leave it open: kill the mount then
    unclean.py tear MAP DATA      what the disk did not get: MAP has a line `name inode-number` for each file
    unclean.py map MNT            such lines
    unclean.py slots INFLIGHT     one request in flight
    unclean.py check MNT          compare, after the next mount
    unclean.py mend MNT           write again what was lost
"""
import ctypes, errno, mmap, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from contents import BLOCK, stream

HEADER, RECORD = 512, BLOCK + 28
SIZES = {'kept': 2 * BLOCK + 77, 'appended': BLOCK + 100, 'cut': 3 * BLOCK, 'hole': 4 * BLOCK, 'whole': BLOCK,
         'unfinished': 3 * BLOCK, 'stump': 0, 'lost': 6 * BLOCK, 'n' * 240: 50}
OLD = {name: stream(100 + i, n) for i, (name, n) in enumerate(SIZES.items())}
NEW = {name: stream(200 + i, n) for i, (name, n) in enumerate(SIZES.items())}
STORED = 2 * BLOCK  # of `lost`


def write(path, data, off=0, flags=0, sync=True):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    os.pwrite(fd, data, off)
    if sync:
        os.fsync(fd)
    return fd


def put(path, data, off):
    """Over what is durable, past the cache, not synced."""
    m = mmap.mmap(-1, len(data))  # O_DIRECT wants a page's address
    m.write(data)
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
    os.pwrite(fd, m, off)


def make(top, backing):
    for name in ('kept', 'appended', 'cut', 'hole', 'whole', 'n' * 240):
        os.close(write(f'{top}/{name}', OLD[name]))
    put(top + '/kept', NEW['kept'][:BLOCK], 0)  # makes the journal, before there is no room for it
    fd = write(top + '/lost', OLD['lost'][:STORED])
    with open(backing + '/filler', 'wb') as f:
        v = os.statvfs(backing)
        os.posix_fallocate(f.fileno(), 0, v.f_bavail * v.f_frsize - 4 * BLOCK)
        os.fsync(f.fileno())
    os.pwrite(fd, OLD['lost'][STORED:], STORED)
    try:
        os.fsync(fd)
        sys.exit('nothing was lost')
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
    os.close(fd)
    os.unlink(backing + '/filler')
    os.sync()
    fd = os.open(top + '/kept', os.O_WRONLY)
    os.pwrite(fd, OLD['kept'][:BLOCK], 0)
    os.fsync(fd)
    # from here on nothing that is durable is synced again
    put(top + '/kept', NEW['kept'][BLOCK:2 * BLOCK], BLOCK)
    put(top + '/whole', NEW['whole'], 0)
    fd = os.open(top + '/hole', os.O_RDWR)
    if ctypes.CDLL(None).fallocate(fd, 3, ctypes.c_long(BLOCK), ctypes.c_long(BLOCK)):
        sys.exit('no hole')
    put(top + '/hole', NEW['hole'][3 * BLOCK:], 3 * BLOCK)
    os.truncate(top + '/cut', BLOCK + 5)
    f = os.open(top + '/appended', os.O_WRONLY | os.O_APPEND)
    os.write(f, NEW['appended'][:500])
    os.close(f)  # which writes it back
    os.close(write(top + '/unfinished', OLD['unfinished'], sync=False))
    os.close(write(top + '/stump', b'', sync=False))


def record(no):
    return HEADER + no * RECORD


def tear(mapped, data):
    ino = dict(line.split() for line in open(mapped))
    paths = {os.lstat(os.path.join(d, n)).st_ino: os.path.join(d, n) for d, _, names in os.walk(data) for n in names}
    for name, off in (('kept', record(1) + 700), ('hole', record(3) + 9), ('cut', record(1) + 20), ('appended', record(1) + 100)):
        with open(paths[int(ino[name])], 'r+b') as f:
            f.seek(off)
            f.write(b'#' * 20)
    os.truncate(paths[int(ino['unfinished'])], record(2) + 1000)
    os.truncate(paths[int(ino['stump'])], 0)


def slots(path):
    """The one that wrote over `kept` looks as it did meanwhile; what the others have left is nothing, and large."""
    with open(path, 'r+b') as f:
        data = f.read()
        n, seen = len(data) // 16, 0
        for i in range(16):
            slot = data[i * n:(i + 1) * n]
            path_len = int.from_bytes(slot[56:60], 'big')
            f.seek(i * n)
            if slot.startswith(b'BYOKFS1T') and path_len and not seen:
                seen = f.write(slot[:8] + b'VALD' + slot[12:])
            else:
                f.write(bytes(n))
    if not seen:
        sys.exit('no slot')


def holed():
    return OLD['hole'][:BLOCK] + bytes(BLOCK) + OLD['hole'][2 * BLOCK:]


def check(top):
    bad = []
    for name, want in (('kept', OLD['kept']), ('appended', OLD['appended']), ('cut', OLD['cut'][:BLOCK + 5]), ('hole', holed()),
                       ('whole', NEW['whole']), ('unfinished', OLD['unfinished'][:2 * BLOCK]), ('stump', b''),
                       ('n' * 240, OLD['n' * 240])):
        try:
            got = open(f'{top}/{name}', 'rb').read()
            if got != want:
                bad.append(f'{name[:20]}: {len(got)} bytes, the first other one is {next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), None)}')
        except OSError as e:
            bad.append(f'{name[:20]}: {e}')
    fd = os.open(top + '/lost', os.O_RDONLY)
    if os.fstat(fd).st_size != SIZES['lost'] or os.pread(fd, STORED, 0) != OLD['lost'][:STORED]:
        bad.append('lost: its size, or what was not lost')
    for off in range(STORED, SIZES['lost'], BLOCK):
        try:
            bad.append(f'lost: byte {off} reads as {os.pread(fd, BLOCK, off)[:4]}')
        except OSError as e:
            if e.errno != errno.EIO:
                bad.append(f'lost: {e}')
    print('\n'.join(bad) if bad else 'as it was')
    return 1 if bad else 0


if __name__ == '__main__':
    what = sys.argv[1]
    if what == 'make':
        make(sys.argv[2], sys.argv[3])
    elif what == 'tear':
        tear(sys.argv[2], sys.argv[3])
    elif what == 'slots':
        slots(sys.argv[2])
    elif what == 'map':
        for name in ('kept', 'hole', 'cut', 'appended', 'unfinished', 'stump'):
            print(name, os.lstat(f'{sys.argv[2]}/{name}').st_ino)
    elif what == 'mend':
        os.close(write(sys.argv[2] + '/lost', OLD['lost']))
    else:
        sys.exit(check(sys.argv[2]))
