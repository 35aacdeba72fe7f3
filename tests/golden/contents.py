#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What lies in every golden store. `make MNT FORMAT` writes it, `check MNT FORMAT` compares: it must never change for a released format."""
import hashlib, os, stat, sys

BLOCK = 4096


def stream(seed, n):
    out, i = b'', 0
    while len(out) < n:
        out += hashlib.sha256(b'%d %d' % (seed, i)).digest()
        i += 1
    return out[:n]


FILES = {f'size-{n}': stream(n, n) for n in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 77, 66_001)}
FILES['folder/' + 'long' * 62] = b'a name of 248 bytes'
FILES['folder/gr\u00fcn'] = b'a name in UTF-8'


def of_format(version):
    if version > 1:  # enough of it is in format 1
        del FILES['size-66001']


def make(top):
    os.makedirs(top + '/folder/deeper')
    for name, data in FILES.items():
        with open(f'{top}/{name}', 'wb') as f:
            f.write(data)
    with open(top + '/sparse', 'wb') as f:
        f.seek(300_000)
        f.write(b'behind a hole')
    os.symlink('../where/it/points', top + '/link')
    os.symlink('x' * 4095, top + '/long-link')
    os.mkfifo(top + '/fifo', 0o640)
    os.mknod(top + '/device', stat.S_IFCHR | 0o600, os.makedev(4000, 70_000))
    os.link(top + '/size-1', top + '/folder/deeper/hard')
    os.setxattr(top + '/size-1', 'user.golden', b'value')
    os.setxattr(top + '/folder', 'user.of a folder', stream(1, 500))
    os.chmod(top + '/size-1', 0o604)
    os.utime(top + '/size-1', ns=(-1_000_000_001, 1_234_567_890_123_456_789))


def check(top):
    bad = []
    def expect(what, got, want):
        if got != want:
            bad.append(f'{what}: {str(got)[:80]}, expected {str(want)[:80]}')
    for name, data in FILES.items():
        try:
            expect(name, open(f'{top}/{name}', 'rb').read(), data)
        except OSError as e:
            bad.append(f'{name}: {e}')
    for what, act, want in (
            ('sparse', lambda: open(top + '/sparse', 'rb').read(), bytes(300_000) + b'behind a hole'),
            ('link', lambda: os.readlink(top + '/link'), '../where/it/points'),
            ('long link', lambda: os.readlink(top + '/long-link'), 'x' * 4095),
            ('fifo', lambda: os.lstat(top + '/fifo').st_mode, stat.S_IFIFO | 0o640),
            ('device', lambda: (os.lstat(top + '/device').st_mode, os.lstat(top + '/device').st_rdev), (stat.S_IFCHR | 0o600, os.makedev(4000, 70_000))),
            ('hard link', lambda: os.stat(top + '/folder/deeper/hard').st_ino, os.stat(top + '/size-1').st_ino),
            ('xattr', lambda: os.getxattr(top + '/size-1', 'user.golden'), b'value'),
            ('folder xattr', lambda: os.getxattr(top + '/folder', 'user.of a folder'), stream(1, 500)),
            ('mode', lambda: oct(os.stat(top + '/size-1').st_mode), oct(stat.S_IFREG | 0o604)),
            ('mtime', lambda: os.stat(top + '/size-1').st_mtime_ns, 1_234_567_890_123_456_789),
            ('root', lambda: sorted(os.listdir(top)), sorted([n for n in FILES if '/' not in n] + ['sparse', 'link', 'long-link', 'fifo', 'device', 'folder']))):
        try:
            expect(what, act(), want)
        except OSError as e:
            bad.append(f'{what}: {e}')
    print('\n'.join(bad) if bad else 'as it was')
    return 1 if bad else 0


if __name__ == '__main__':
    of_format(int(sys.argv[3]))
    sys.exit(check(sys.argv[2]) if sys.argv[1] == 'check' else make(sys.argv[2]))
