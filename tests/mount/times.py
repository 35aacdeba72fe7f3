# SPDX-License-Identifier: BSD-2-Clause
# What stat(2) has told of times: times.py make DIR STATE changes all kinds of things and notes it; check DIR STATE asks again.
import ctypes, json, mmap, os, subprocess, sys


def snapshot(top):
    seen = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = folder + '/' + name
            s = os.lstat(path)
            seen[path[len(top):]] = [s.st_mtime_ns, s.st_ctime_ns, s.st_size]
    s = os.stat(top)
    seen['/'] = [s.st_mtime_ns, s.st_ctime_ns, 0]
    return seen


def put(path, data=b'x' * 5000):
    with open(path, 'wb') as f:
        f.write(data)
    return path


def by_descriptor(path, *steps):
    fd = os.open(path, os.O_RDWR)
    for step in steps:
        step(fd)
    os.close(fd)


def mapped(path):
    fd = os.open(put(path), os.O_RDWR)
    m = mmap.mmap(fd, 5000)
    os.close(fd)
    m[100:105] = b'there'
    m.close()


def direct(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    m = mmap.mmap(-1, 8192)
    os.pwrite(fd, m, 0)
    os.close(fd)


def two_handles(path):
    a, b = os.open(path, os.O_RDWR | os.O_CREAT), os.open(path, os.O_WRONLY)
    os.pwrite(a, b'a' * 9000, 0)
    os.close(a)
    os.pwrite(b, b'b', 20000)
    os.close(b)


def unnamed(path):
    try:
        fd = os.open(os.path.dirname(path), os.O_RDWR | os.O_TMPFILE, 0o644)
    except OSError:
        return put(path)  # the store's filesystem has no such files
    os.write(fd, b'x' * 100)
    root = os.open('/', os.O_PATH)  # without one Python calls link(2), which does not follow
    os.link('/proc/self/fd/%d' % fd, path, src_dir_fd=root, follow_symlinks=True)
    os.close(root)
    os.close(fd)


KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
libc = ctypes.CDLL(None, use_errno=True)


def fallocate(mode, off, length):
    return lambda fd: libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length))


def silently(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


KINDS = {
    'write': lambda p: put(p),
    'small': lambda p: put(p, b'x'),
    'empty': lambda p: put(p, b''),
    'large': lambda p: put(p, os.urandom(3000000)),
    'append': lambda p: (put(p), open(p, 'ab').write(b'more')),
    'in place': lambda p: by_descriptor(put(p), lambda fd: os.pwrite(fd, b'here', 100)),
    'two handles': two_handles,
    'mapped': mapped,
    'O_DIRECT': direct,
    'fsync': lambda p: by_descriptor(put(p), lambda fd: os.write(fd, b'y'), os.fsync, lambda fd: os.write(fd, b'z')),
    'chmod': lambda p: os.chmod(put(p), 0o600),
    'fchmod': lambda p: by_descriptor(put(p), lambda fd: os.write(fd, b'y'), lambda fd: os.fchmod(fd, 0o640)),
    'unreadable': lambda p: os.chmod(put(p), 0),
    'chown': lambda p: os.chown(put(p), os.getuid(), os.getgid()),
    'utime': lambda p: os.utime(put(p), ns=(10**18 + 1, 10**18 + 2)),
    'utime now': lambda p: os.utime(put(p)),
    'old': lambda p: os.utime(put(p), ns=(-10**18 - 1, -10**18 - 2)),
    'futimens': lambda p: by_descriptor(put(p), lambda fd: os.write(fd, b'y'), lambda fd: os.utime(fd, (1, 1))),
    'rename': lambda p: os.rename(put(p + '.tmp'), p),
    'rename over': lambda p: (put(p), os.rename(put(p + '.tmp'), p)),
    'link': lambda p: os.link(put(p), p + ' 2'),
    'unlink': lambda p: (os.link(put(p), p + ' 2'), os.unlink(p + ' 2')),
    'setxattr': lambda p: os.setxattr(put(p), 'user.a', b'b'),
    'removexattr': lambda p: (os.setxattr(put(p), 'user.a', b'b'), os.removexattr(p, 'user.a')),
    'acl': lambda p: silently('setfacl', '-m', 'u:1234:r', put(p)),
    'cut': lambda p: os.truncate(put(p), 100),
    'grow': lambda p: os.truncate(put(p), 100000),
    'same size': lambda p: os.truncate(put(p), 5000),
    'ftruncate': lambda p: by_descriptor(put(p), lambda fd: os.ftruncate(fd, 7), lambda fd: os.write(fd, b'y')),
    'O_TRUNC': lambda p: (put(p), put(p, b'')),
    'allocate': lambda p: by_descriptor(put(p), fallocate(0, 0, 50000)),
    'keep size': lambda p: by_descriptor(put(p), fallocate(KEEP_SIZE, 0, 50000)),
    'punch': lambda p: by_descriptor(put(p, b'x' * 50000), fallocate(PUNCH_HOLE | KEEP_SIZE, 4096, 30000)),
    'zero': lambda p: by_descriptor(put(p), fallocate(ZERO_RANGE, 10, 100)),
    'O_TMPFILE': unnamed,
    'mknod': lambda p: os.mknod(p),
    'fifo': lambda p: (os.mkfifo(p), os.chmod(p, 0o600)),
    'symlink': lambda p: os.symlink('x' * 100, p),
    'symlink touched': lambda p: (os.symlink('x', p), os.utime(p, (1, 1), follow_symlinks=False)),
    'folder': lambda p: os.mkdir(p),
    'folder with': lambda p: (os.mkdir(p), put(p + '/f'), os.mkdir(p + '/d'), os.rename(p + '/f', p + '/d/f')),
    'folder touched': lambda p: (os.mkdir(p), put(p + '/f'), os.utime(p, (1, 1))),
    'folder changed': lambda p: (os.mkdir(p), os.chmod(p, 0o700), os.setxattr(p, 'user.a', b'b')),
    'folder moved': lambda p: (os.mkdir(p + '.tmp'), put(p + '.tmp/' + 'n' * 240), os.rename(p + '.tmp', p)),
}


def make(top):
    for i in range(3):  # a fault of a tick of the kernel's clock is not there each time
        for name, kind in KINDS.items():
            kind('%s/%s %d' % (top, name, i))


if sys.argv[1] == 'make':
    make(sys.argv[2])
    json.dump(snapshot(sys.argv[2]), open(sys.argv[3], 'w'))
else:
    told, now = json.load(open(sys.argv[3])), snapshot(sys.argv[2])
    moved = [k for k in told if told[k] != now.get(k)]
    for k in moved:
        print(k, told[k], now.get(k))
    print('moved: %d of %d' % (len(moved), len(told)))
    sys.exit(bool(moved) or len(told) != len(now))
