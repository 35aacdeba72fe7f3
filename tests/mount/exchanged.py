#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""All kinds of calls on files and folders whose names on disk somebody exchanges: exchanged.py FOLDER UNTIL SEED, until the
file UNTIL is there. Prints how often each was answered, and how often with an error."""
import collections, os, random, sys

top, until, seed = sys.argv[1:]
random.seed(int(seed))
count, failed = collections.Counter(), collections.Counter()
names = [f'f{i}' for i in range(12)] + [f'd{i}/g' for i in range(3)] + ['n' * 240]


def whole(path, flags, act):
    fd = os.open(path, flags, 0o600)
    try:
        return act(fd)
    finally:
        os.close(fd)


def read(p):
    whole(p, os.O_RDONLY, lambda fd: (os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED), os.pread(fd, 9000, 0)))


def write(p):
    whole(p, os.O_RDWR, lambda fd: os.pwrite(fd, b'w' * 5000, random.choice((0, 3000, 20000))))


def create(p):
    whole(p, os.O_WRONLY | os.O_CREAT, lambda fd: os.write(fd, b'c' * 6000))


def folder(p):
    d = top + f'/d{random.randrange(3)}'
    random.choice((lambda: os.mkdir(d, 0o755), lambda: os.chmod(d, random.choice((0o755, 0o711))), lambda: os.rmdir(d),
                   lambda: os.chown(d, random.randrange(5), 5), lambda: os.utime(d, (7, 8)),
                   lambda: [os.stat(f'{d}/{e}') for e in os.listdir(d)], lambda: os.setxattr(d, 'user.d', b'x'),
                   lambda: os.rename(d, top + '/moved') or os.rename(top + '/moved', d)))()


calls = {
    'read': read, 'write': write, 'create': create, 'folder': folder,
    'trunc': lambda p: whole(p, os.O_WRONLY | os.O_TRUNC, lambda fd: None),
    'truncate': lambda p: os.truncate(p, random.randrange(9000)),
    'chmod': lambda p: os.chmod(p, random.choice((0o600, 0o644, 0o4755))),
    'chown': lambda p: os.chown(p, random.randrange(1, 9), random.randrange(1, 9)),
    'unlink': os.unlink,
    'rename': lambda p: os.rename(p, top + '/' + random.choice(names)),
    'link': lambda p: os.link(p, top + '/' + random.choice(names)),
    'setxattr': lambda p: os.setxattr(p, 'user.x', b'value'),
    'getxattr': lambda p: os.getxattr(p, 'user.x'),
    'utimens': lambda p: os.utime(p, (1, 2)),
    'stat': os.stat,
    'sync': lambda p: whole(p, os.O_RDWR, os.fsync),
    'list': lambda p: os.listdir(top),
    'symlink': lambda p: os.symlink('somewhere', p),
    'mknod': lambda p: os.mknod(p, 0o140600),
}
rare = {'unlink', 'symlink', 'mknod', 'rename'}
while not os.path.exists(until):
    what = random.choice([k for k in calls if k not in rare or random.random() < 0.3])
    try:
        p = top + '/' + random.choice(names)
        if what in ('read', 'write', 'trunc', 'sync') and not os.path.isfile(p):  # a link to nothing
            continue
        count[what] += 1
        calls[what](p)
    except OSError:
        failed[what] += 1
print(' '.join(f'{k}:{count[k] - failed[k]}/{count[k]}' for k in sorted(count)))
