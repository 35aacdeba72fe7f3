#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What an fsync has acknowledged, and whether it is there after a power cut.

usage: durable.py old DIR            make what is there before; the caller syncs it
       durable.py run DIR STEP...    do STEPs (all: every one), each ending with its fsync
       durable.py check DIR STEP...  print a line for each thing that is not there as it was acknowledged; exit 1 if there is one
       durable.py names DATA         the names below a store's data/, for cut
       durable.py cut DATA NAMES LOG take away what LOG (remotefs.c) does not say was synced: names that are not in NAMES,
                                     bytes of files, by the time of their last change
       durable.py shutdown DISK      cut the power of the ext4 filesystem DISK: its journal is not flushed
"""
import fcntl
import os
import shutil
import stat
import struct
import subprocess
import sys

LONG = 'l' * 220
SIZE = 5000


def data(name):
    return (name.encode() + b'.') * (SIZE // (len(name) + 1))


def put(path, synced=True):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, data(os.path.basename(path)[:8]))
    if synced:
        os.fsync(fd)
    os.close(fd)


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def tried(look):
    """What LOOK says, or the error that it met."""
    def safe(*args, **kw):
        try:
            return look(*args, **kw)
        except OSError as e:
            return ['%s: %s' % (str(e.filename)[-250:], e.strerror)]
    return safe


@tried
def listed(folder, *names):
    return ['%s: does not list %s' % (folder, n) for n in names if n not in os.listdir(folder)]


@tried
def whole(path, name=None):
    """The file is there, has the bytes that were written, and its folder lists it."""
    with open(path, 'rb') as f:
        got = f.read()
    bad = [] if got == data((name or os.path.basename(path))[:8]) else ['%s: other than was written' % path]
    return bad + listed(os.path.dirname(path), os.path.basename(path))


@tried
def links(folder, *names):
    return ['%s/%s: another target' % (folder, n) for n in names if os.readlink(folder + '/' + n) != '/a/target']


@tried
def fifo(path):
    return [] if stat.S_ISFIFO(os.lstat(path).st_mode) else ['%s: no fifo' % path]


@tried
def usable(path):
    """The folder is there, is listed by the one above, and takes a file."""
    os.listdir(path)
    open(path + '/new', 'w').close()
    os.unlink(path + '/new')
    return listed(os.path.dirname(path), os.path.basename(path))


def either(*paths, name):
    """The file is there under one of the names, and whole."""
    wrong = [whole(p, name) for p in paths]
    return sum(wrong, []) if all(wrong) else []


def old(d):
    for n in 'abcdefghij':
        os.mkdir(d + '/' + n)
        put(d + '/%s/file' % n)
    os.mkdir(d + '/moves')
    put(d + '/moves/file')


def opens(top):
    """Whatever is there can be listed, looked at and read, and removed."""
    bad = []
    for base, dirs, files in os.walk(top, onerror=lambda e: bad.append('%s: %s' % (e.filename[-250:], e.strerror))):
        for n in files:
            try:
                if stat.S_ISREG(os.lstat(base + '/' + n).st_mode):
                    open(base + '/' + n, 'rb').read()
            except OSError as e:
                bad.append('%s/%s: %s' % (base, n, e.strerror))
    if not bad and os.path.exists(top):
        shutil.rmtree(top)
    return bad


STEPS = {}


def step(check):
    """What a step does, and CHECK of what must be there afterwards."""
    def keep(do):
        STEPS[do.__name__] = do, check
        return do
    return keep


@step(lambda d: whole(d + '/n1/x/y/file'))
def file_in_new_folders(d):
    os.makedirs(d + '/n1/x/y')
    put(d + '/n1/x/y/file')


@step(lambda d: usable(d + '/n2/x'))
def new_folder(d):
    os.makedirs(d + '/n2/x')
    sync(d + '/n2/x')


@step(lambda d: whole(d + '/a/' + LONG))
def long_file(d):
    put(d + '/a/' + LONG)


@step(lambda d: listed(d + '/b', LONG))
def long_file_by_its_folder(d):
    put(d + '/b/' + LONG, synced=False)
    sync(d + '/b')


@step(lambda d: usable(d + '/n3' + LONG))
def long_folder(d):
    os.mkdir(d + '/n3' + LONG)
    sync(d + '/n3' + LONG)


@step(lambda d: links(d + '/c', 'link', LONG) + fifo(d + '/c/fifo') + listed(d + '/c', 'link', LONG, 'fifo'))
def special(d):
    os.symlink('/a/target', d + '/c/link')
    os.symlink('/a/target', d + '/c/' + LONG)
    os.mkfifo(d + '/c/fifo')
    sync(d + '/c')


@step(lambda d: sum((usable(d + '/d/sub%d' % i) for i in range(8)), []))
def folders_in_a_folder(d):
    for i in range(8):
        os.mkdir(d + '/d/sub%d' % i)
    sync(d + '/d')


@step(lambda d: whole(d + '/n4/' + LONG, 'file'))
def moved_and_synced(d):
    os.mkdir(d + '/n4')
    os.rename(d + '/e/file', d + '/n4/' + LONG)
    sync(d + '/n4/' + LONG)


@step(lambda d: whole(d + '/n5/' + LONG, 'file'))
def moved_and_left_folder_synced(d):
    os.mkdir(d + '/n5')
    os.rename(d + '/f/file', d + '/n5/' + LONG)
    sync(d + '/f')


@step(lambda d: either(d + '/g/file', d + '/n6/file', name='file'))
def moved(d):
    os.mkdir(d + '/n6')
    os.rename(d + '/g/file', d + '/n6/file')


@step(lambda d: whole(d + '/h/' + LONG, 'file'))
def called_long(d):
    os.rename(d + '/h/file', d + '/h/' + LONG)
    sync(d + '/h')


@step(lambda d: whole(d + '/n7/' + LONG, 'file') + whole(d + '/i/file'))
def linked(d):
    os.mkdir(d + '/n7')
    os.link(d + '/i/file', d + '/n7/' + LONG)
    sync(d + '/i/file')


@step(lambda d: whole(d + '/n8/' + LONG, 'file'))
def linked_and_left(d):
    os.mkdir(d + '/n8')
    os.link(d + '/j/file', d + '/n8/' + LONG)
    os.unlink(d + '/j/file')
    sync(d + '/j')


@step(lambda d: either(d + '/moves/file', d + '/n9/moves/file', name='file'))
def folder_moved(d):
    os.mkdir(d + '/n9')
    os.rename(d + '/moves', d + '/n9/moves')


@step(lambda d: opens(d + '/n10') + opens(d + '/a'))
def not_synced(d):
    os.makedirs(d + '/n10/sub')
    for i in range(5):
        put(d + '/n10/sub/%d' % i, synced=False)
    os.symlink('target', d + '/n10/link')
    os.mkfifo(d + '/n10/fifo')
    os.symlink('target', d + '/a/link')
    os.mkfifo(d + '/a/fifo')


@step(lambda d: sum((whole(d + '/n11/%d' % i) for i in range(5)), []) + links(d + '/n11', 'link'))
def unmounted(d):
    os.mkdir(d + '/n11')
    for i in range(5):
        put(d + '/n11/%d' % i, synced=False)
    os.symlink('/a/target', d + '/n11/link')


def look(top):
    """Each object below: inode of its folder and its own, mode, size, times of birth, last change, last write; path."""
    form = ['stat', '-c', '%i %A %s %.9W %.9Z %.9Y %n', '{}', '+']
    out = subprocess.run(['find', top, '-exec', *form], check=True, stdout=subprocess.PIPE, text=True).stdout
    ino, rows = {}, []
    for line in out.strip().split('\n'):
        own, kind, size, birth, change, write, path = line.split(' ', 6)
        ino[path] = int(own)
        ns = [int(t.replace('.', '')) for t in (birth, change, write)]
        rows.append((ino.get(os.path.dirname(path)), int(own), kind[0], int(size), *ns, path))
    return rows


def names(top):
    for folder, ino, *_, path in look(top):
        print('%s %d %s' % (folder, ino, os.path.basename(path)))


def cut(top, names_path, log_path):
    lines = [line.split(' ', 2) for line in open(names_path).read().strip().split('\n')]
    had, known = {tuple(line) for line in lines}, {line[1] for line in lines}
    synced = {}
    notes = open(log_path, 'rb').read()
    for i in range(struct.unpack_from('Q', notes)[0]):
        ino, ns = struct.unpack_from('QQ', notes, 8 + 16 * i)
        synced[ino] = max(synced.get(ino, 0), ns)
    print('%d things were synced, %d times' % (len(synced), struct.unpack_from('Q', notes)[0]))
    rows = look(top)
    quiet = {ino for _, ino, _, _, _, _, write, _ in rows if synced.get(ino, 0) >= write}  # no name came or went since
    for folder, ino, kind, size, birth, change, write, path in reversed(rows):
        if (str(folder), str(ino), os.path.basename(path)) in had:
            continue
        # a folder changes with each name in it: what counts is when its own name was made
        made = birth if kind == 'd' and str(ino) not in known else change
        if folder not in quiet and synced.get(folder, 0) < made:
            shutil.rmtree(path) if kind == 'd' else os.unlink(path)
        elif kind == '-' and size and str(ino) not in known and synced.get(ino, 0) < write:
            os.truncate(path, 0)


def shutdown(disk):
    fd = os.open(disk, os.O_RDONLY)
    fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))  # EXT4_IOC_SHUTDOWN, without flushing the journal


def every():
    return [name for name in STEPS if name != 'unmounted']


def run(d, *wanted):
    for name in every() if wanted == ('all',) else wanted:
        STEPS[name][0](d)


def check(d, *wanted):
    bad = ['%s: %s' % (name, b) for name in (every() if wanted == ('all',) else wanted) for b in STEPS[name][1](d)]
    print('\n'.join(bad))
    sys.exit(bool(bad))


globals()[sys.argv[1]](*sys.argv[2:])
