#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Fills a mount on a small disk: ENOSPC is told at fsync or close, old contents stay, a refused write never reads as zeros.

    full.py MNT               fill; the record of what must be there goes to MNT.record
    full.py --check MNT RECORD
"""
import errno, json, os, random, sys

rnd = random.Random(5)


def piece(seed, n):
    return random.Random(seed).randbytes(n)


def check(mnt, record):
    bad = 0
    for name, (seed, size) in json.load(open(record)).items():
        try:
            got = open(f'{mnt}/{name}', 'rb').read()
        except OSError as e:
            got = None
            print(f'{name}: {e}')
        if got is not None and got[:size] != piece(seed, size):
            first = next((i for i in range(min(size, len(got))) if got[i] != piece(seed, size)[i]), len(got))
            print(f'{name}: differs at {first}, {len(got)} bytes, expected {size}')
        if got is None or got[:size] != piece(seed, size):
            bad += 1
    return 1 if bad else 0


def fill(mnt):
    done, told, refused = {}, {}, []
    os.mkdir(mnt + '/fill')
    os.mkdir(mnt + '/kept')
    for i in range(8):
        with open(f'{mnt}/kept/{i}', 'wb') as f:
            f.write(piece(1000 + i, 100_000 + i))
            f.flush()
            os.fsync(f.fileno())
        done[f'kept/{i}'] = (1000 + i, 100_000 + i)
    i = 0
    while len(refused) < 12 and i < 2000:
        name, size = f'fill/{i}', rnd.choice((500, 5_000, 70_000, 900_000))
        i += 1
        try:
            fd = os.open(f'{mnt}/{name}', os.O_CREAT | os.O_RDWR, 0o644)
            try:
                data = piece(i, size)
                off = 0
                while off < size:
                    off += os.write(fd, data[off:off + 131072])
                os.fsync(fd)
            finally:
                os.close(fd)
            done[name] = (i, size)
        except OSError as e:
            told[errno.errorcode[e.errno]] = told.get(errno.errorcode[e.errno], 0) + 1
            refused.append((name, i, size))
    bad = []
    if not refused:
        bad.append('the disk never filled')
    if set(told) - {'ENOSPC'}:
        bad.append(f'told otherwise than by ENOSPC: {told}')
    # a refused write: its bytes, a shorter file or an error; never zeros or anything else
    for name, seed, size in refused:
        good, fd = piece(seed, size), None
        try:
            fd = os.open(f'{mnt}/{name}', os.O_RDONLY)
            for off in range(0, os.fstat(fd).st_size, 4096):
                try:
                    got = os.pread(fd, 4096, off)
                except OSError:
                    continue
                if got != good[off:off + len(got)]:
                    bad.append(f'{name}: wrong data at {off} of a refused write{" (zeros)" if not any(got) else ""}')
                    break
        except OSError:
            pass
        finally:
            if fd is not None:
                os.close(fd)
    # overwriting in place needs no space: it works, or the old contents stay
    for i in range(8):
        name = f'kept/{i}'
        try:
            fd = os.open(f'{mnt}/{name}', os.O_RDWR)
            os.pwrite(fd, piece(1000 + i, 100_000 + i)[:50_000], 0)
            os.fsync(fd)
            os.close(fd)
        except OSError as e:
            print(f'overwrite in place: {e}')
    json.dump(done, open(mnt + '.record', 'w'))
    bad += ['what was acknowledged is not there'] if check(mnt, mnt + '.record') else []
    print(f'  figure: full disk: {len(done)} files acknowledged, {len(refused)} refused with {told}')
    for b in bad[:5]:
        print(b)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(check(*sys.argv[2:4]) if sys.argv[1] == '--check' else fill(sys.argv[1]))
