#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What POSIX says, call by call: prints each call's answer, so that two filesystems can be compared line by line.

    posix.py DIR [--uid N]        DIR is an empty folder; with --uid the calls run as that user, in a folder of his own
"""
import argparse, ctypes, errno, fcntl, mmap, os, shutil, signal, socket, stat, struct, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
KEEP, PUNCH, COLLAPSE, ZERO = 1, 2, 8, 16
OTHER = 1234


def name_of(e):
    return errno.errorcode.get(e.errno, str(e.errno))


def t(label, act):
    try:
        r = act()
        print(f'{label}: {r!r}')
    except OSError as e:
        print(f'{label}: {name_of(e)}')


def c(r):
    if r < 0:
        raise OSError(ctypes.get_errno(), '')
    return r


def renameat2(a, b, flags):
    return c(libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags))


def fallocate(fd, mode, off, n):
    return c(libc.fallocate(fd, mode, ctypes.c_int64(off), ctypes.c_int64(n)))


def put(path, data=b'data', mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.write(fd, data)
    os.close(fd)
    os.chmod(path, mode)


def get(path):
    with open(path, 'rb') as f:
        return f.read()


def mode(path):
    return oct(os.lstat(path).st_mode)


def as_user(uid, label, act):
    """The call in a child with another user's rights."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        t(label, act)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)


def times_changed(path, act, settle=0.02):
    """Which of atime (left out: relatime), mtime, ctime of PATH a call changes."""
    before = os.lstat(path)
    time.sleep(settle)
    try:
        act()
    except OSError as e:
        return name_of(e)
    after = os.lstat(path)
    return ('m' if after.st_mtime_ns != before.st_mtime_ns else '-') + ('c' if after.st_ctime_ns != before.st_ctime_ns else '-')


def test_open():
    t('open missing', lambda: os.open('missing', os.O_RDONLY))
    t('open missing/x', lambda: os.open('missing/x', os.O_RDONLY | os.O_CREAT))
    put('f')
    t('open f/x', lambda: os.open('f/x', os.O_RDONLY))
    t('open f/ ', lambda: os.open('f/', os.O_RDONLY))
    t('create new/', lambda: os.open('new/', os.O_RDWR | os.O_CREAT))
    t('open excl', lambda: os.open('f', os.O_CREAT | os.O_EXCL | os.O_RDWR))
    os.mkdir('d')
    t('open dir for writing', lambda: os.open('d', os.O_RDWR))
    t('open dir creat', lambda: os.open('d', os.O_RDONLY | os.O_CREAT))
    t('open O_DIRECTORY of file', lambda: os.open('f', os.O_RDONLY | os.O_DIRECTORY))
    os.symlink('f', 'l')
    t('open O_NOFOLLOW', lambda: os.open('l', os.O_RDONLY | os.O_NOFOLLOW))
    os.symlink('loop2', 'loop1')
    os.symlink('loop1', 'loop2')
    t('loop', lambda: os.open('loop1', os.O_RDONLY))
    os.symlink('dangling-target', 'dangling')
    t('open dangling', lambda: os.open('dangling', os.O_RDONLY))
    t('creat excl dangling', lambda: os.open('dangling', os.O_CREAT | os.O_EXCL | os.O_RDWR))
    t('creat through dangling', lambda: os.close(os.open('dangling', os.O_CREAT | os.O_RDWR)))
    t('target is there', lambda: stat.S_ISREG(os.lstat('dangling-target').st_mode))
    t('name of 255', lambda: put('n' * 255))
    t('name of 256', lambda: put('n' * 256))
    t('stat of 256', lambda: os.stat('n' * 256))
    t('utf-8 of 255 bytes', lambda: put('é' * 127 + 'x'))
    t('empty name', lambda: os.open('', os.O_RDONLY))
    t('O_TRUNC', lambda: (os.close(os.open('f', os.O_WRONLY | os.O_TRUNC)), os.stat('f').st_size))
    t('read on O_WRONLY', lambda: os.read(os.open('f', os.O_WRONLY), 1))
    t('write on O_RDONLY', lambda: os.write(os.open('f', os.O_RDONLY), b'x'))
    os.mkfifo('fifo')
    t('open fifo O_WRONLY nonblock', lambda: os.open('fifo', os.O_WRONLY | os.O_NONBLOCK))
    s = socket.socket(socket.AF_UNIX)
    t('bind', lambda: s.bind('sock'))
    t('bind again', lambda: socket.socket(socket.AF_UNIX).bind('sock'))
    t('open socket', lambda: os.open('sock', os.O_RDONLY))
    s.listen()
    t('connect', lambda: socket.socket(socket.AF_UNIX).connect('sock'))


def test_long_paths():
    start = os.open('.', os.O_RDONLY)
    top = os.getcwd()
    os.mkdir('deep')
    os.chdir('deep')
    length = len(top) + 5
    while length + 1 + 200 < 4095 - 1 - 255:
        os.mkdir('d' * 200)
        os.chdir('d' * 200)
        length += 201
    rest = 4095 - length - 1
    first = min(rest, 250)
    path = os.getcwd()
    for n, what in ((first, 'whole path'),):
        if rest > 255:
            os.mkdir('e' * (rest - 251))
            path += '/' + 'e' * (rest - 251)
            first = 250
    full = path + '/' + 'f' * first
    t('length of the path', lambda: len(full))
    t('create at 4095', lambda: put(full))
    t('read at 4095', lambda: get(full))
    t('path of 4096', lambda: get(full + 'g'))
    os.fchdir(start)
    for n in (1, 255, 1023, 1024, 2000, 4094, 4095):
        t(f'symlink of {n}', lambda: (os.symlink('s' * n, f'sym{n}'), os.readlink(f'sym{n}') == 's' * n, os.lstat(f'sym{n}').st_size))
    t('symlink of 4096', lambda: os.symlink('s' * 4096, 'sym4096'))
    t('symlink empty', lambda: os.symlink('', 'symempty'))


def test_dirs():
    os.mkdir('d')
    t('mkdir exists', lambda: os.mkdir('d'))
    put('f')
    t('mkdir over file', lambda: os.mkdir('f'))
    t('mkdir below file', lambda: os.mkdir('f/x'))
    t('mkdir below missing', lambda: os.mkdir('missing/x'))
    put('d/x')
    t('rmdir not empty', lambda: os.rmdir('d'))
    t('rmdir file', lambda: os.rmdir('f'))
    t('unlink dir', lambda: os.unlink('d'))
    t('unlink d/', lambda: os.unlink('f/'))
    t('rmdir .', lambda: os.rmdir('d/.'))
    t('rmdir ..', lambda: os.rmdir('d/..'))
    t('rmdir missing', lambda: os.rmdir('missing'))
    os.mkdir('e')
    t('links of dir', lambda: os.stat('e').st_nlink)
    os.mkdir('e/1'), os.mkdir('e/2')
    t('links of dir with two', lambda: os.stat('e').st_nlink)
    os.rmdir('e/1')
    t('links of dir with one', lambda: os.stat('e').st_nlink)
    fd = os.open('e/2', os.O_RDONLY)
    os.rmdir('e/2')
    t('fstat of removed dir', lambda: os.fstat(fd).st_nlink)
    t('list removed dir', lambda: os.listdir(fd))
    t('create in removed dir', lambda: os.open('x', os.O_CREAT | os.O_RDWR, dir_fd=fd))
    t('mkdir in removed dir', lambda: os.mkdir('x', dir_fd=fd))
    os.mkdir('many')
    for i in range(700):
        put(f'many/{i}')
    t('list of 700', lambda: sorted(os.listdir('many')) == sorted(map(str, range(700))))
    def while_removing():
        n = 0
        with os.scandir('many') as it:
            for e in it:
                os.unlink('many/' + e.name)
                n += 1
        return n, os.listdir('many')
    t('remove while listing', while_removing)
    fd = os.open('d', os.O_RDONLY)
    t('read on dir', lambda: os.read(fd, 1))
    t('fsync of dir', lambda: os.fsync(fd))


def test_rename():
    put('a', b'a'), put('b', b'b')
    t('rename over', lambda: (os.rename('a', 'b'), get('b'), os.path.exists('a')))
    t('rename missing', lambda: os.rename('missing', 'b'))
    os.mkdir('d'), os.mkdir('e')
    put('d/x', b'x')
    t('rename file over dir', lambda: os.rename('b', 'e'))
    t('rename dir over file', lambda: os.rename('e', 'b'))
    t('rename dir over full dir', lambda: os.rename('e', 'd'))
    t('rename dir over empty dir', lambda: (os.rename('d', 'e'), os.listdir('e'), os.path.exists('d')))
    t('rename into itself', lambda: os.rename('e', 'e/sub'))
    os.link('b', 'b2')
    t('rename to a link of itself', lambda: (os.rename('b', 'b2'), os.path.exists('b'), os.stat('b2').st_nlink))
    t('rename to itself', lambda: os.rename('b', 'b'))
    put('c', b'c')
    t('noreplace exists', lambda: renameat2('c', 'b', RENAME_NOREPLACE))
    t('noreplace', lambda: (renameat2('c', 'new', RENAME_NOREPLACE), get('new')))
    t('exchange', lambda: (renameat2('new', 'b', RENAME_EXCHANGE), get('new'), get('b')))
    t('exchange file and dir', lambda: (renameat2('new', 'e', RENAME_EXCHANGE), os.path.isdir('new'), get('e'), os.listdir('new')))
    t('exchange missing', lambda: renameat2('new', 'missing', RENAME_EXCHANGE))
    t('noreplace and exchange', lambda: renameat2('new', 'b', 3))
    t('rename ..', lambda: os.rename('new/..', 'q'))
    t('rename onto .', lambda: os.rename('new', '.'))
    os.makedirs('p/q/r')
    t('rename up', lambda: (os.rename('p/q/r', 'p/r'), sorted(os.listdir('p'))))
    t('name of 255', lambda: (os.rename('b', 'L' * 255), get('L' * 255)))
    t('long to long', lambda: (os.rename('L' * 255, 'M' * 255), get('M' * 255), os.path.exists('L' * 255)))
    t('long over long', lambda: (put('N' * 250, b'n'), os.rename('N' * 250, 'M' * 255), get('M' * 255)))
    t('long exchange', lambda: (put('O' * 250, b'o'), renameat2('O' * 250, 'M' * 255, RENAME_EXCHANGE), get('M' * 255), get('O' * 250)))
    t('long to short', lambda: (os.rename('M' * 255, 's'), get('s')))
    t('long dir', lambda: (os.mkdir('D' * 240), put('D' * 240 + '/x', b'x'), os.rename('D' * 240, 'E' * 240), get('E' * 240 + '/x')))
    t('rmdir long', lambda: (os.unlink('E' * 240 + '/x'), os.rmdir('E' * 240)))
    t('rename to 256', lambda: os.rename('s', 'X' * 256))


def test_links():
    put('f', b'f')
    os.link('f', 'g')
    t('two links', lambda: (os.stat('f').st_nlink, os.stat('f').st_ino == os.stat('g').st_ino))
    t('link exists', lambda: os.link('f', 'g'))
    t('link missing', lambda: os.link('missing', 'h'))
    os.mkdir('d')
    t('link of dir', lambda: os.link('d', 'dd'))
    os.symlink('f', 'l')
    t('link of symlink', lambda: (os.link('l', 'l2', follow_symlinks=False), os.readlink('l2'), os.lstat('l').st_nlink))
    os.mkfifo('p')
    t('link of fifo', lambda: (os.link('p', 'p2'), os.lstat('p').st_nlink, mode('p2')))
    fd = os.open('f', os.O_RDWR)
    os.unlink('f'), os.unlink('g')
    t('unlinked: links', lambda: os.fstat(fd).st_nlink)
    t('unlinked: read, write', lambda: (os.pread(fd, 9, 0), os.pwrite(fd, b'more', 1), os.pread(fd, 9, 0)))
    t('unlinked: chmod, chown, utimens', lambda: (os.fchmod(fd, 0o600), os.fchown(fd, -1, -1), os.utime(fd, ns=(1, 2)), os.fstat(fd).st_mtime_ns))
    t('unlinked: truncate', lambda: (os.ftruncate(fd, 2), os.fstat(fd).st_size, os.pread(fd, 9, 0)))
    t('unlinked: setxattr', lambda: (os.setxattr(fd, 'user.u', b'v'), os.getxattr(fd, 'user.u'), os.listxattr(fd)))
    t('unlinked: fsync', lambda: os.fsync(fd))
    t('unlinked: open through /proc', lambda: os.read(os.open(f'/proc/self/fd/{fd}', os.O_RDONLY), 9))
    t('readlink of file', lambda: os.readlink('d'))
    for i in range(50):
        put('many0') if i == 0 else os.link('many0', f'many{i}')
    t('fifty links', lambda: os.stat('many7').st_nlink)
    os.unlink('many0')
    t('first name gone', lambda: (get('many49'), os.stat('many49').st_nlink))


def test_tmpfile():
    def named(fd, name):
        return c(libc.linkat(-100, b'/proc/self/fd/%d' % fd, -100, os.fsencode(name), 0x400))
    fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o6666)
    t('nameless', lambda: (oct(os.fstat(fd).st_mode), os.fstat(fd).st_nlink, os.listdir('.')))
    t('write, truncate, read', lambda: (os.write(fd, b'x' * 100_000), os.ftruncate(fd, 70_000), os.fsync(fd), os.fstat(fd).st_size, os.pread(fd, 5, 69_998)))
    t('attributes', lambda: (os.fchmod(fd, 0o640), os.setxattr(fd, 'user.a', b'1'), os.getxattr(fd, 'user.a'), os.utime(fd, ns=(5, 6)), os.fstat(fd).st_mtime_ns))
    t('named', lambda: (named(fd, 'a'), get('a') == b'x' * 70_000, mode('a'), os.getxattr('a', 'user.a'), os.stat('a').st_nlink))
    t('named again', lambda: (named(fd, 'b' * 250), os.stat('a').st_nlink))
    t('name taken', lambda: named(fd, 'a'))
    t('names gone', lambda: (os.unlink('a'), os.unlink('b' * 250), os.fstat(fd).st_nlink, os.pread(fd, 3, 0)))
    t('after the last name', lambda: named(fd, 'a'))
    t('never to be named', lambda: named(os.open('.', os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600), 'never'))
    os.mkdir('d')
    w = os.open('d', os.O_TMPFILE | os.O_WRONLY, 0o600)
    t('its folder removed', lambda: (os.rmdir('d'), os.write(w, b'abc'), named(w, 'late'), get('late')))
    r = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(r, b'again')
    q, path = os.open(f'/proc/self/fd/{r}', os.O_RDONLY), os.open(f'/proc/self/fd/{r}', os.O_PATH)
    os.close(r)
    t('another handle', lambda: os.read(q, 9))
    os.close(q)
    t('no handle but a place', lambda: (get(f'/proc/self/fd/{path}'), os.stat(f'/proc/self/fd/{path}').st_size))
    t('O_RDONLY', lambda: os.open('.', os.O_TMPFILE | os.O_RDONLY, 0o600))
    t('in a file', lambda: os.open('late', os.O_TMPFILE | os.O_RDWR, 0o600))
    t('in nothing', lambda: os.open('none', os.O_TMPFILE | os.O_RDWR, 0o600))
    os.umask(0o077)
    t('umask', lambda: oct(os.fstat(os.open('.', os.O_TMPFILE | os.O_RDWR, 0o666)).st_mode))
    os.umask(0o022)
    t('many', lambda: len([named(os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600), f'm{i}') for i in range(200)]))
    t('times of the folder', lambda: times_changed('.', lambda: os.close(os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600))))
    if os.getuid() == 0:
        os.mkdir('acl')
        os.setxattr('acl', 'system.posix_acl_default', acl_of(5))
        os.umask(0o077)
        t('default acl', lambda: (named(os.open('acl', os.O_TMPFILE | os.O_RDWR, 0o666), 'acl/f'), shown('acl/f')))
        os.umask(0o022)
        os.mkdir('g')
        os.chown('g', 0, 4321)
        os.chmod('g', 0o2777)
        as_user(OTHER, "setgid folder, a user's", lambda: (named(os.open('g', os.O_TMPFILE | os.O_RDWR, 0o6777), 'g/f'), shown('g/f'), os.stat('g/f').st_uid))
        as_user(OTHER, "in root's folder", lambda: os.open('acl', os.O_TMPFILE | os.O_RDWR, 0o600))


def test_io():
    fd = os.open('f', os.O_RDWR | os.O_CREAT, 0o644)
    t('write', lambda: os.write(fd, b'0123456789'))
    t('pread past end', lambda: os.pread(fd, 10, 100))
    t('write past end', lambda: (os.pwrite(fd, b'x', 10_000), os.fstat(fd).st_size, os.pread(fd, 4, 9_997)))
    t('truncate down', lambda: (os.ftruncate(fd, 5), os.pread(fd, 10, 0)))
    t('truncate up', lambda: (os.ftruncate(fd, 9), os.pread(fd, 10, 0)))
    t('truncate negative', lambda: os.ftruncate(fd, -1))
    t('truncate path', lambda: (os.truncate('f', 3), os.stat('f').st_size))
    os.mkdir('d')
    t('truncate dir', lambda: os.truncate('d', 0))
    t('truncate missing', lambda: os.truncate('missing', 0))
    a = os.open('f', os.O_WRONLY | os.O_APPEND)
    t('append', lambda: (os.write(a, b'A'), os.write(fd, b'B'), os.write(a, b'C'), get('f')))
    t('pwrite on append', lambda: (os.pwrite(a, b'D', 0), get('f')))
    t('sparse far', lambda: (os.pwrite(fd, b'far', 1 << 35), os.fstat(fd).st_size, os.pread(fd, 5, (1 << 35) - 2)))
    os.ftruncate(fd, 0)
    def two_handles():
        b = os.open('f', os.O_RDWR)
        os.pwrite(fd, b'one', 0)
        os.pwrite(b, b'two', 3)
        return os.pread(fd, 9, 0), os.pread(b, 9, 0)
    t('two handles', two_handles)
    t('fsync, fdatasync', lambda: (os.fsync(fd), os.fdatasync(fd)))
    t('writev, readv', lambda: (os.pwritev(fd, [b'ab', b'cd'], 0), os.pread(fd, 4, 0)))
    t('sendfile', lambda: (os.lseek(fd, 0, 0), os.sendfile(os.open('out', os.O_RDWR | os.O_CREAT, 0o644), fd, 0, 4), get('out')))
    t('copy_file_range', lambda: (os.copy_file_range(fd, os.open('out', os.O_RDWR), 4, 0, 100), get('out')[100:]))
    t('O_DIRECT or not', lambda: len(get('f')) > 0)
    t('statvfs', lambda: (os.statvfs('.').f_namemax, os.statvfs('.').f_frsize > 0))
    def full_pipe():
        r, w = os.pipe()
        os.pwrite(fd, bytes(range(256)) * 64, 0)
        n = os.splice(fd, w, 4096, offset_src=0) if hasattr(os, 'splice') else 4096
        return n
    t('splice', full_pipe)


def test_mmap():
    fd = os.open('m', os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 10_000)
    m = mmap.mmap(fd, 10_000)
    m[0:5] = b'hello'
    m[9_990:10_000] = b'0123456789'
    t('mapped write seen by read', lambda: (os.pread(fd, 5, 0), os.pread(fd, 20, 9_990)))
    t('write seen by mapping', lambda: (os.pwrite(fd, b'WRITE', 100), bytes(m[100:105])))
    t('msync', lambda: m.flush())
    t('read after close', lambda: (m.close(), os.close(fd), get('m')[:5], len(get('m'))))
    fd = os.open('m', os.O_RDWR)
    p = mmap.mmap(fd, 10_000, mmap.MAP_PRIVATE)
    p[0:1] = b'J'
    t('private mapping', lambda: (bytes(p[0:5]), os.pread(fd, 5, 0)))
    p.close()
    t('map dir', lambda: mmap.mmap(os.open('.', os.O_RDONLY), 4096, mmap.MAP_SHARED, mmap.PROT_READ))
    def beyond():
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            q = mmap.mmap(fd, 10_000)
            os.ftruncate(fd, 100)
            os._exit(q[9_000])
        return os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGBUS
    t('SIGBUS past the end', beyond)
    shutil.copy('/bin/true', 'prog')
    os.chmod('prog', 0o755)
    t('run a program', lambda: subprocess.run(['./prog']).returncode)
    shutil.copy('/bin/sleep', 'sleeper')
    os.chmod('sleeper', 0o755)
    s = subprocess.Popen(['./sleeper', '5'])
    time.sleep(0.1)
    t('write to a running program', lambda: os.open('sleeper', os.O_RDWR))
    t('truncate a running program', lambda: os.truncate('sleeper', 0))
    t('unlink a running program', lambda: os.unlink('sleeper'))
    s.kill()
    s.wait()
    w = os.open('prog', os.O_RDWR)
    t('run a program open for writing', lambda: subprocess.run(['./prog']).returncode)
    os.close(w)


def test_sparse():
    fd = os.open('s', os.O_RDWR | os.O_CREAT, 0o644)
    t('fallocate', lambda: (fallocate(fd, 0, 0, 100_000), os.fstat(fd).st_size, os.pread(fd, 4, 50_000)))
    t('fallocate keep size', lambda: (fallocate(fd, KEEP, 0, 200_000), os.fstat(fd).st_size))
    os.pwrite(fd, b'x' * 100_000, 0)
    t('punch', lambda: (fallocate(fd, PUNCH | KEEP, 10_001, 50_000), os.fstat(fd).st_size, os.pread(fd, 3, 9_999), os.pread(fd, 3, 60_000)))
    t('punch without keep', lambda: fallocate(fd, PUNCH, 0, 10))
    t('punch past end', lambda: (fallocate(fd, PUNCH | KEEP, 90_000, 1 << 20), os.fstat(fd).st_size, os.pread(fd, 3, 89_999)))
    t('fallocate nothing', lambda: fallocate(fd, 0, 0, 0))
    t('fallocate on O_RDONLY', lambda: fallocate(os.open('s', os.O_RDONLY), 0, 0, 10))
    os.ftruncate(fd, 0)
    os.pwrite(fd, b'begin', 0)
    os.pwrite(fd, b'end', 10_000_000)
    t('data at 0', lambda: os.lseek(fd, 0, os.SEEK_DATA))
    t('hole after 0 is before the end', lambda: 0 < os.lseek(fd, 0, os.SEEK_HOLE) < 10_000_000)
    t('data after hole', lambda: 9_000_000 < os.lseek(fd, 5_000_000, os.SEEK_DATA) <= 10_000_000)
    t('hole at the end', lambda: os.lseek(fd, 10_000_001, os.SEEK_HOLE))
    t('data past the end', lambda: os.lseek(fd, 10_000_003, os.SEEK_DATA))
    t('hole past the end', lambda: os.lseek(fd, 10_000_003, os.SEEK_HOLE))
    t('blocks are few', lambda: os.fstat(fd).st_blocks < 1000)


def test_modes():
    for m in (0o000, 0o644, 0o4755, 0o2755, 0o1644, 0o7777):
        put('f', b'x')
        os.chmod('f', m)
        t(f'chmod {m:o}', lambda: mode('f'))
        os.unlink('f')
    os.umask(0o077)
    t('umask: file', lambda: (os.close(os.open('u', os.O_CREAT | os.O_RDWR, 0o666)), mode('u')))
    t('umask: dir', lambda: (os.mkdir('ud', 0o777), mode('ud')))
    t('umask: fifo', lambda: (os.mkfifo('uf', 0o666), mode('uf')))
    os.umask(0o022)
    t('mkdir 01777', lambda: (os.mkdir('st', 0o1777), mode('st')))
    t('mkdir 0151', lambda: (os.mkdir('odd', 0o151), mode('odd')))
    put('suid', b'x')
    os.chmod('suid', 0o6755)
    t('suid before write', lambda: mode('suid'))
    def write_suid():
        fd = os.open('suid', os.O_WRONLY)
        os.write(fd, b'y')
        os.close(fd)
        return mode('suid')
    t('suid after write', write_suid)
    os.chmod('suid', 0o6755)
    t('suid after truncate', lambda: (os.truncate('suid', 0), mode('suid')))
    os.chmod('suid', 0o6755)
    t('suid after chown', lambda: (os.chown('suid', os.getuid(), os.getgid()), mode('suid')))
    t('mknod char', lambda: (os.mknod('c', stat.S_IFCHR | 0o600, os.makedev(1, 3)), mode('c'), os.stat('c').st_rdev))
    t('mknod file', lambda: (os.mknod('reg', 0o640), mode('reg')))
    t('mknod exists', lambda: os.mknod('reg', 0o640))
    t('chown away', lambda: (put('own'), os.chown('own', OTHER, OTHER), os.stat('own').st_uid, os.stat('own').st_gid))
    t('lchown link', lambda: (os.symlink('nowhere', 'ln'), os.lchown('ln', OTHER, OTHER), os.lstat('ln').st_uid))
    t('access', lambda: [os.access('reg', m) for m in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)])


def test_setgid_dir():
    os.mkdir('g')
    t('chgrp', lambda: os.chown('g', -1, 4321))
    os.chmod('g', 0o2775)
    t('setgid folder', lambda: (mode('g'), os.stat('g').st_gid == 4321 or os.getuid() != 0))
    put('g/f')
    os.mkdir('g/d')
    os.symlink('x', 'g/l')
    os.mkfifo('g/p')
    g = os.stat('g').st_gid
    t('inherited group', lambda: [os.lstat('g/' + n).st_gid == g for n in 'fdlp'])
    t('inherited setgid', lambda: mode('g/d'))


def test_users():
    """Root only: what another user may and may not."""
    os.chmod('.', 0o777)
    os.mkdir('sticky')
    os.chmod('sticky', 0o1777)
    put('sticky/root'), put('sticky/other'), put('sticky/mine')
    os.chown('sticky/other', 4000, 4000)
    os.chown('sticky/mine', OTHER, OTHER)
    os.mkdir('sticky/odir')
    os.chown('sticky/odir', 4000, 4000)
    as_user(OTHER, 'sticky: unlink of root', lambda: os.unlink('sticky/root'))
    as_user(OTHER, 'sticky: unlink of other', lambda: os.unlink('sticky/other'))
    as_user(OTHER, 'sticky: rename of other', lambda: os.rename('sticky/other', 'sticky/x'))
    as_user(OTHER, 'sticky: rename over other', lambda: os.rename('sticky/mine', 'sticky/other'))
    as_user(OTHER, 'sticky: rmdir of other', lambda: os.rmdir('sticky/odir'))
    as_user(OTHER, 'sticky: exchange with other', lambda: renameat2('sticky/mine', 'sticky/other', RENAME_EXCHANGE))
    as_user(OTHER, 'sticky: unlink of mine', lambda: os.unlink('sticky/mine'))
    put('secret', b's', 0o600)
    as_user(OTHER, 'read 0600 of root', lambda: get('secret'))
    as_user(OTHER, 'stat 0600 of root', lambda: mode('secret'))
    as_user(OTHER, 'chmod of root', lambda: os.chmod('secret', 0o644))
    as_user(OTHER, 'chown of root', lambda: os.chown('secret', OTHER, OTHER))
    as_user(OTHER, 'utime of root', lambda: os.utime('secret'))
    as_user(OTHER, 'truncate of root', lambda: os.truncate('secret', 0))
    as_user(OTHER, 'setxattr of root', lambda: os.setxattr('secret', 'user.x', b''))
    as_user(OTHER, 'getxattr of root', lambda: os.getxattr('secret', 'user.x'))
    os.mkdir('closed', 0o700)
    put('closed/f')
    as_user(OTHER, 'stat below 0700', lambda: mode('closed/f'))
    os.mkdir('noread')
    put('noread/f')
    os.chmod('noread', 0o711)
    as_user(OTHER, 'list 0711', lambda: os.listdir('noread'))
    as_user(OTHER, 'stat below 0711', lambda: mode('noread/f'))
    os.mkdir('readonly')
    put('readonly/f')
    as_user(OTHER, 'create in 0755 of root', lambda: put('readonly/new'))
    as_user(OTHER, 'unlink in 0755 of root', lambda: os.unlink('readonly/f'))
    as_user(OTHER, 'link file of root', lambda: os.link('secret', 'sticky/l'))
    put('w', b'w', 0o666)
    os.chmod('w', 0o6777)
    as_user(OTHER, 'write to suid of root', lambda: (put_no_chmod('w'), mode('w')))
    os.chmod('w', 0o6777)
    as_user(OTHER, 'truncate suid of root', lambda: (os.truncate('w', 0), mode('w')))
    put('w2', b'w')
    os.chmod('w2', 0o666)
    as_user(OTHER, 'utime now of 0666', lambda: os.utime('w2'))
    as_user(OTHER, 'utime set of 0666', lambda: os.utime('w2', (1, 1)))
    os.mkdir('group')
    os.chown('group', OTHER, 4321)
    os.chmod('group', 0o2777)
    as_user(OTHER, 'setgid lost for a stranger to the group', lambda: (put('group/f', b'x', 0o2755), mode('group/f'), os.stat('group/f').st_gid))
    as_user(OTHER, 'mknod char', lambda: os.mknod('sticky/c', stat.S_IFCHR | 0o600, os.makedev(1, 3)))
    as_user(OTHER, 'mkfifo', lambda: (os.mkfifo('sticky/p'), os.lstat('sticky/p').st_uid, os.lstat('sticky/p').st_gid))
    os.setxattr('secret', 'trusted.t', b'1')
    as_user(OTHER, 'list trusted', lambda: os.listxattr('w2'))
    os.setxattr('w2', 'trusted.t', b'1')
    as_user(OTHER, 'read trusted', lambda: os.getxattr('w2', 'trusted.t'))
    as_user(OTHER, 'set trusted', lambda: os.setxattr('w2', 'trusted.t', b'2'))
    acl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', a, b, i) for a, b, i in ((1, 6, 0xffffffff), (2, 4, OTHER), (4, 0, 0xffffffff), (16, 4, 0xffffffff), (32, 0, 0xffffffff)))
    put('acl', b'acl', 0o600)
    os.setxattr('acl', 'system.posix_acl_access', acl)
    t('mode with acl', lambda: mode('acl'))
    as_user(OTHER, 'read by acl', lambda: get('acl'))
    as_user(OTHER, 'write by acl', lambda: os.open('acl', os.O_WRONLY))
    as_user(4000, 'read of a stranger', lambda: get('acl'))
    os.chmod('acl', 0o600)
    as_user(OTHER, 'read with mask gone', lambda: get('acl'))
    os.mkdir('dacl')
    os.setxattr('dacl', 'system.posix_acl_default', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', a, b, i) for a, b, i in ((1, 7, 0xffffffff), (2, 6, OTHER), (4, 5, 0xffffffff), (16, 7, 0xffffffff), (32, 0, 0xffffffff))))
    t('under default acl', lambda: (put_no_chmod('dacl/f'), mode('dacl/f'), os.getxattr('dacl/f', 'system.posix_acl_access').hex()))
    t('dir under default acl', lambda: (os.mkdir('dacl/d'), mode('dacl/d'), os.getxattr('dacl/d', 'system.posix_acl_default').hex()))
    as_user(OTHER, 'write by inherited acl', lambda: put_no_chmod('dacl/f'))


def acl_of(mask, rights=7, owner=7, group=5):
    """An access ACL with an entry for user OTHER; MASK None: a minimal one, which a mode says as well."""
    rows = [(1, owner, 0xffffffff), (2, rights, OTHER), (4, group, 0xffffffff), (16, mask, 0xffffffff), (32, 0, 0xffffffff)]
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *r) for r in rows if mask is not None or r[0] not in (2, 16))


def shown(path):
    try:
        acl = os.getxattr(path, 'system.posix_acl_access').hex()
    except OSError as e:
        acl = name_of(e)
    return mode(path), os.lstat(path).st_gid, acl


def test_setid():
    """Root only: what takes suid and sgid away, and what an ACL and a mode tell of each other."""
    os.chmod('.', 0o777)
    access, default = 'system.posix_acl_access', 'system.posix_acl_default'
    owner, group = 2000, 2100
    # who: in no group of the file, in it by his own group, by a further one, root
    callers = (('stranger', (owner, owner, [])), ('member', (owner, group, [])), ('further', (owner, owner, [7, group])))
    def fresh(m, kind='file'):
        if os.path.lexists('x'):
            os.rmdir('x') if os.path.isdir('x') else os.unlink('x')
        os.mkdir('x') if kind == 'dir' else put('x', b'x' * 9000)
        os.chown('x', owner, group)
        os.chmod('x', m)
    def by(who, label, act):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            if who:
                os.setgroups(who[2])
                os.setresgid(who[1], who[1], who[1])
                os.setresuid(who[0], who[0], who[0])
            t(label, lambda: (act(), shown('x'))[1])
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    def mapped():
        fd = os.open('x', os.O_RDWR)
        m = mmap.mmap(fd, 9000)
        m[0:1] = b'y'
        m.flush()
        os.close(fd)
    def at(act):
        fd = os.open('x', os.O_RDWR)
        act(fd)
        os.close(fd)
    put('source', b's' * 9000)
    os.chmod('source', 0o644)
    changes = (
        ('chmod', lambda: os.chmod('x', 0o6775)), ('chmod 2664', lambda: os.chmod('x', 0o2664)),
        ('acl', lambda: os.setxattr('x', access, acl_of(7))), ('acl without x', lambda: os.setxattr('x', access, acl_of(4))),
        ('minimal acl', lambda: os.setxattr('x', access, acl_of(None))),
        ('acl removed', lambda: os.removexattr('x', access)), ('acl twice', lambda: (os.setxattr('x', access, acl_of(7)), os.removexattr('x', access))),
        ('invalid acl', lambda: os.setxattr('x', access, b'\2\0\0\0\1\0')),
        ('acl of nobody', lambda: os.setxattr('x', access, struct.pack('<I', 2))),
        ('write', lambda: at(lambda fd: os.write(fd, b'y'))), ('write of nothing', lambda: at(lambda fd: os.write(fd, b''))),
        ('O_TRUNC', lambda: os.close(os.open('x', os.O_WRONLY | os.O_TRUNC))), ('truncate', lambda: os.truncate('x', 1)),
        ('truncate to the same', lambda: os.truncate('x', 9000)), ('ftruncate', lambda: at(lambda fd: os.ftruncate(fd, 20000))),
        ('fallocate', lambda: at(lambda fd: fallocate(fd, 0, 0, 20000))), ('punch', lambda: at(lambda fd: fallocate(fd, PUNCH | KEEP, 0, 4096))),
        ('copy_file_range', lambda: at(lambda fd: os.copy_file_range(os.open('source', os.O_RDONLY), fd, 4096))),
        ('splice', lambda: at(lambda fd: os.sendfile(fd, os.open('source', os.O_RDONLY), 0, 4096))),
        ('mapped write', mapped), ('setxattr', lambda: os.setxattr('x', 'user.a', b'1')), ('utime', lambda: os.utime('x')),
        ('link', lambda: (os.link('x', 'x2'), os.unlink('x2'))), ('rename', lambda: (os.rename('x', 'x2'), os.rename('x2', 'x'))),
        ('chgrp', lambda: os.chown('x', -1, owner)), ('chgrp to the same', lambda: os.chown('x', -1, group)), ('chown of nothing', lambda: os.chown('x', -1, -1)),
        ('chown to himself', lambda: os.chown('x', owner, -1)))
    for who, cred in callers + (('root', None),):
        for m in (0o6777, 0o2767, 0o4711):
            for what, act in changes:
                # setgid without the group's x is no right, and the kernel's FUSE leaves it: only who changes modes takes it away
                if m == 0o2767 and 'acl' not in what and 'chmod' not in what:
                    continue
                fresh(m)
                by(cred, f'{what} of {m:o} by {who}', act)
        for what, act in (('chmod', lambda: os.chmod('x', 0o2775)), ('acl', lambda: os.setxattr('x', access, acl_of(7))),
                          ('default acl', lambda: os.setxattr('x', default, acl_of(7))), ('chgrp', lambda: os.chown('x', -1, group))):
            fresh(0o2775, 'dir')
            by(cred, f'{what} of a setgid folder by {who}', act)
    for who, cred in (callers[0], ('root', None)):
        for what, act in changes:
            fresh(0o766)
            os.setxattr('x', 'security.capability', struct.pack('<5I', 0x02000001, 1 << 10, 0, 0, 0))
            by(cred, f'{what} of capabilities by {who}', lambda: (act(), print('security.capability' in os.listxattr('x'))))
    os.chmod('source', 0o4755)
    os.setxattr('source', access, acl_of(5))
    for m in (0o777, 0o700, 0o4750, 0o2770, 0):
        t(f'chmod {m:o} over an acl', lambda: (os.chmod('source', m), shown('source'))[1])
    t('removed: the mode stays the mask', lambda: (os.removexattr('source', access), shown('source'))[1])
    t('default acl on a file', lambda: os.setxattr('source', default, acl_of(7)))
    t('default acl removed from a file', lambda: os.removexattr('source', default))
    umask_and_default(default)


def umask_and_default(default):
    made = (('file', lambda n: os.close(os.open(n, os.O_CREAT | os.O_WRONLY, 0o6777))), ('folder', lambda n: os.mkdir(n, 0o1777)),
            ('fifo', lambda n: os.mkfifo(n, 0o666)), ('node', lambda n: os.mknod(n, stat.S_IFREG | 0o666)),
            ('socket', lambda n: os.mknod(n, stat.S_IFSOCK | 0o777)), ('symlink', lambda n: os.symlink('f', n)))
    for gid, m in ((0, 0o777), (4321, 0o2777)):
        for what, acl in (('no', None), ('a', acl_of(5)), ('a minimal', acl_of(None)), ('a closed', acl_of(0, rights=0, owner=6, group=0))):
            d = f'd{gid}{what}'
            os.mkdir(d)
            os.chown(d, 0, gid)
            os.chmod(d, m)
            if acl:
                os.setxattr(d, default, acl)
            for umask in (0o022, 0o077, 0):
                os.umask(umask)
                for kind, make in made:
                    for who, uid in (('root', 0), ('user', OTHER)):
                        n = f'{d}/{kind}{umask:o}{who}'
                        label = f'{kind} by {who} under {what} default acl, umask {umask:o}, folder {m:o}'
                        if uid:
                            as_user(uid, label, lambda: (make(n), shown(n))[1])
                        else:
                            t(label, lambda: (make(n), shown(n))[1])
    os.umask(0o022)


def put_no_chmod(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    os.write(fd, b'z')
    os.close(fd)


def test_times():
    put('f', b'0123456789')
    os.utime('f', ns=(111_222_333_444, 555_666_777_888))
    t('utime ns', lambda: (os.stat('f').st_atime_ns, os.stat('f').st_mtime_ns))
    t('utime omit', lambda: (os.utime('f', ns=(5, 6)), os.stat('f').st_mtime_ns))
    for ns in (-1, -1_000_000_001, -2_147_483_648_000_000_000, 4_294_967_296_123_456_789):
        t(f'utime {ns}', lambda: (os.utime('f', ns=(ns, ns)), os.stat('f').st_mtime_ns))
    os.symlink('f', 'l')
    t('utime of link', lambda: (os.utime('l', ns=(1, 2), follow_symlinks=False), os.lstat('l').st_mtime_ns, os.stat('f').st_mtime_ns))
    os.mkdir('d')
    t('utime of dir', lambda: (os.utime('d', ns=(3, 4)), os.stat('d').st_mtime_ns))
    fd = os.open('f', os.O_RDWR)
    t('times: write', lambda: times_changed('f', lambda: os.pwrite(fd, b'x', 0)))
    t('times: read', lambda: times_changed('f', lambda: os.pread(fd, 4, 0)))
    # truncate(2) to the same size is left out: POSIX asks for new times only if the size changes, ext4 gives them all the
    # same, and with the write-back cache the times are the kernel's, which then sends none
    t('times: ftruncate same size', lambda: times_changed('f', lambda: os.ftruncate(fd, 10)))
    t('times: truncate', lambda: times_changed('f', lambda: os.truncate('f', 5)))
    t('times: chmod', lambda: times_changed('f', lambda: os.chmod('f', 0o600)))
    t('times: chown', lambda: times_changed('f', lambda: os.chown('f', os.getuid(), -1)))
    t('times: link', lambda: times_changed('f', lambda: os.link('f', 'f2')))
    t('times: unlink of a link', lambda: times_changed('f', lambda: os.unlink('f2')))
    t('times: rename', lambda: times_changed_pair('f', 'f3'))
    t('times: setxattr', lambda: times_changed('f3', lambda: os.setxattr('f3', 'user.x', b'1')))
    t('times: removexattr', lambda: times_changed('f3', lambda: os.removexattr('f3', 'user.x')))
    t('times: open O_TRUNC', lambda: times_changed('f3', lambda: os.close(os.open('f3', os.O_WRONLY | os.O_TRUNC))))
    t('times: write nothing', lambda: times_changed('f3', lambda: os.pwrite(fd, b'', 0)))
    t('times: fsync', lambda: times_changed('f3', lambda: os.fsync(fd)))
    t('times: punch', lambda: (os.pwrite(fd, b'x' * 9000, 0), os.fsync(fd), times_changed('f3', lambda: fallocate(fd, PUNCH | KEEP, 0, 4096))))
    t('dir: create', lambda: times_changed('d', lambda: put_no_chmod('d/a')))
    t('dir: write into a file', lambda: times_changed('d', lambda: put_no_chmod('d/a')))
    t('dir: link', lambda: times_changed('d', lambda: os.link('d/a', 'd/b')))
    t('dir: rename inside', lambda: times_changed('d', lambda: os.rename('d/b', 'd/c')))
    t('dir: unlink', lambda: times_changed('d', lambda: os.unlink('d/c')))
    t('dir: mkdir', lambda: times_changed('d', lambda: os.mkdir('d/s')))
    t('dir: rmdir', lambda: times_changed('d', lambda: os.rmdir('d/s')))
    t('dir: failed unlink', lambda: times_changed('d', lambda: _swallow(os.unlink, 'd/none')))
    t('dir: failed rmdir', lambda: (os.makedirs('d/full/x'), times_changed('d/full', lambda: _swallow(os.rmdir, 'd/full'))))
    t('dir: list', lambda: times_changed('d', lambda: os.listdir('d')))
    def written_then_set():
        w = os.open('late', os.O_RDWR | os.O_CREAT, 0o644)
        os.write(w, b'x' * 10_000)
        os.utime('late', ns=(7, 8))
        os.close(w)
        return os.stat('late').st_mtime_ns
    t('utime before close stays', written_then_set)
    def mapped_changes():
        w = os.open('mm', os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(w, 4096)
        m = mmap.mmap(w, 4096)
        return times_changed('mm', lambda: (m.__setitem__(0, 1), m.flush()))[0]
    t('times: mapped write', mapped_changes)


def _swallow(f, *a):
    try:
        f(*a)
    except OSError:
        pass


def times_changed_pair(a, b):
    before = os.lstat(a)
    time.sleep(0.02)
    os.rename(a, b)
    return os.lstat(b).st_mtime_ns == before.st_mtime_ns


def test_xattr():
    put('f')
    t('none', lambda: os.listxattr('f'))
    t('get missing', lambda: os.getxattr('f', 'user.none'))
    t('set', lambda: (os.setxattr('f', 'user.a', b'1'), os.getxattr('f', 'user.a')))
    t('create exists', lambda: os.setxattr('f', 'user.a', b'2', os.XATTR_CREATE))
    t('replace missing', lambda: os.setxattr('f', 'user.b', b'2', os.XATTR_REPLACE))
    t('replace', lambda: (os.setxattr('f', 'user.a', b'', os.XATTR_REPLACE), os.getxattr('f', 'user.a')))
    t('list', lambda: sorted(os.listxattr('f')))
    t('remove missing', lambda: os.removexattr('f', 'user.b'))
    t('remove', lambda: (os.removexattr('f', 'user.a'), os.listxattr('f')))
    t('no namespace', lambda: os.setxattr('f', 'nonamespace', b'1'))
    t('empty name in namespace', lambda: os.setxattr('f', 'user.', b'1'))
    t('value of 65537', lambda: os.setxattr('f', 'user.big', b'x' * 65537))
    t('name of 256', lambda: os.setxattr('f', 'user.' + 'n' * 251, b'1'))
    os.symlink('f', 'l')
    t('user on symlink', lambda: os.setxattr('l', 'user.a', b'1', follow_symlinks=False))
    os.mkfifo('p')
    t('user on fifo', lambda: os.setxattr('p', 'user.a', b'1'))
    os.mkdir('d')
    t('on dir', lambda: (os.setxattr('d', 'user.d', b'dir'), os.getxattr('d', 'user.d'), os.listxattr('d')))
    def small_buffer():
        os.setxattr('f', 'user.s', b'12345')
        buf = ctypes.create_string_buffer(3)
        return c(libc.getxattr(b'f', b'user.s', buf, 3))
    t('buffer too small', small_buffer)
    t('size asked', lambda: c(libc.getxattr(b'f', b'user.s', None, 0)))
    t('survives rename', lambda: (os.rename('f', 'g'), os.getxattr('g', 'user.s')))


def test_locks():
    put('f', b'x' * 100)
    a, b = os.open('f', os.O_RDWR), os.open('f', os.O_RDWR)
    t('flock', lambda: fcntl.flock(a, fcntl.LOCK_EX))
    t('flock taken', lambda: fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB))
    t('flock freed', lambda: (fcntl.flock(a, fcntl.LOCK_UN), fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)))
    fcntl.flock(b, fcntl.LOCK_UN)
    fcntl.lockf(a, fcntl.LOCK_EX, 10, 0)
    def in_child(act):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            t('in a child', act)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    in_child(lambda: fcntl.lockf(os.open('f', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5))
    in_child(lambda: fcntl.lockf(os.open('f', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10))
    in_child(lambda: fcntl.lockf(os.open('f', os.O_RDWR), fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 0))
    fcntl.lockf(a, fcntl.LOCK_UN, 10, 0)
    in_child(lambda: fcntl.lockf(os.open('f', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0))
    t('lease', lambda: fcntl.fcntl(os.open('f', os.O_RDONLY), fcntl.F_GETLEASE) == fcntl.F_UNLCK)


def test_threads():
    """Names made and removed in one folder by four threads: nothing lost, nothing left."""
    os.mkdir('t')
    bad = []
    def work(k):
        for i in range(150):
            n = f't/{k}-{i}'
            put(n, n.encode())
            if get(n) != n.encode():
                bad.append(n)
            if i % 3:
                os.rename(n, n + '.moved')
                if i % 2:
                    os.unlink(n + '.moved')
    ts = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [x.start() for x in ts]
    [x.join() for x in ts]
    t('threads', lambda: (bad, len(os.listdir('t'))))


def main():
    p = argparse.ArgumentParser()
    p.add_argument('dir')
    p.add_argument('--uid', type=int)
    o = p.parse_args()
    os.umask(0o022)
    os.chdir(o.dir)
    if o.uid:
        os.setgroups([])
        os.setresgid(o.uid, o.uid, o.uid)
        os.setresuid(o.uid, o.uid, o.uid)
    top = os.open('.', os.O_RDONLY)
    tests = [f for n, f in sorted(globals().items()) if n.startswith('test_') and not (n in ('test_users', 'test_setid') and os.getuid()) and not (n == 'test_tmpfile' and os.environ.get('NO_TMPFILE'))]
    for f in tests:
        name = f.__name__[5:]
        os.fchdir(top)
        os.mkdir(name)
        os.chdir(name)
        print(f'== {name}')
        try:
            f()
        except OSError as e:
            print(f'{name} ended early: {name_of(e)} in line {e.__traceback__.tb_next and e.__traceback__.tb_next.tb_lineno}')
        sys.stdout.flush()
    os.fchdir(top)


if __name__ == '__main__':
    main()
