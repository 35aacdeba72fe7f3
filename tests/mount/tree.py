#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a tree of everything that a backup may meet, and compares two trees object by object.

    tree.py make DIR [--entries N] [--block B] [--small] [--plain-names]
    tree.py compare A B [--skip sockets,special-links,acls,xattrs,mtime-links,dirtimes]     exit 1 and up to 20 lines of differences
    tree.py count DIR
"""
import argparse, hashlib, os, random, socket, stat, struct, sys

ROOT = os.geteuid() == 0
rnd = random.Random(20240229)


def put(path, data, mode=0o644):
    with open(path, 'wb') as f:
        f.write(data)
    os.chmod(path, mode)


def make_sizes(d, block):
    os.mkdir(d)
    sizes = {0, 1, 2, 15, 16, 17, 4095, 4096, 4097}
    for b in (block, 2 * block, 1 << 20):
        sizes |= {b - 1, b, b + 1}
    for n in sorted(sizes):
        put(f'{d}/random.{n}', rnd.randbytes(n))
        put(f'{d}/zeros.{n}', bytes(n))
    put(f'{d}/large', rnd.randbytes(5_000_001))


def make_sparse(d):
    os.mkdir(d)
    def sparse(name, size, pieces):
        with open(f'{d}/{name}', 'wb') as f:
            for off, data in pieces:
                f.seek(off)
                f.write(data)
            f.truncate(size)
    sparse('all-hole', 3_000_001, [])
    sparse('front', 1_000_000, [(999_000, b'x' * 1000)])
    sparse('end', 1_000_000, [(0, b'x' * 1000)])
    sparse('middle', 5_000_000, [(0, b'a'), (2_500_000, rnd.randbytes(70_000)), (4_999_999, b'z')])
    sparse('gib', 1 << 26, [(1 << 25, b'here')])


def make_names(d, small, plain):
    os.mkdir(d)
    for n in range(1, 256, 1 if not small else 17):
        put(f'{d}/' + 'n' * (n - len(str(n)) if n > 3 else n) + (str(n) if n > 3 else ''), str(n).encode())
    raw = d.encode() + b'/raw'
    os.mkdir(raw)
    for c in range(1, 256):
        if c not in (ord('/'),) and not (small and c % 5):
            name = b'c' + bytes([c]) + b'x'
            put(raw + b'/' + name, bytes([c]))
    for name in (b'new\nline', b'\n', b'tab\tname', 'grün-日本-🗝'.encode(), b'\xff\xfe\x80invalid', b'-dash', b' space ', b'trailing.', b'...', b'*?[]',
                 b'"quotes\'', b'back\\slash', b'\x01\x02\x7f', 'é'.encode() * 127, 'e\u0301 combining'.encode(), b'\x80' * 255, b'\n' * 255):
        put(raw + b'/' + name, name)
    if not plain:
        for name in (b'.byokfs.dir', b'.byokfs.long.x', b'.byokfs.name.x', b'.byokfs.', b'.byokfs.anything'):
            put(raw + b'/' + name, name)
    both = d + '/' + 'D' * 255
    os.mkdir(both)
    put(both + '/' + 'F' * 255, b'long in long')
    put(both + '/' + 'F' * 254 + 'G', b'its neighbour')


def make_deep(d, total):
    """A path of TOTAL bytes below D, made step by step."""
    os.mkdir(d)
    start = os.open('.', os.O_RDONLY)
    os.chdir(d)
    left = total - len(d) - 1
    while left > 260:
        name = 'p' * min(200, left - 60)
        os.mkdir(name)
        os.chdir(name)
        left -= len(name) + 1
    put('f' * min(left, 255), b'at the end of a long path')
    os.fchdir(start)
    os.close(start)


def make_links(d, small):
    os.mkdir(d)
    put(f'{d}/target', b'target')
    lengths = list(range(1, 256, 1 if not small else 37)) + [256, 1000, 1023, 1024, 2047, 4000, 4093, 4094, 4095]
    for n in lengths:
        t = ''.join('/t' if i % 2 == 0 else 'xy' for i in range(n))[:n]
        os.symlink(t, f'{d}/sym.{n}')
    os.symlink('target', f'{d}/good')
    os.symlink(b'../\xff\n', f'{d}/bytes')
    os.mkdir(f'{d}/other')
    put(f'{d}/hard.0', b'hard link')
    for i in range(1, 5):
        os.link(f'{d}/hard.0', f'{d}/hard.{i}' if i % 2 else f'{d}/other/hard.{i}')
    os.link(f'{d}/sym.100' if not small else f'{d}/sym.1', f'{d}/sym.linked', follow_symlinks=False)
    put(f'{d}/twice', b'')
    os.link(f'{d}/twice', f'{d}/other/twice')
    os.utime(f'{d}/good', ns=(1_500_000_000_123_456_789,) * 2, follow_symlinks=False)


def make_special(d):
    os.mkdir(d)
    os.mkfifo(f'{d}/fifo', 0o640)
    os.link(f'{d}/fifo', f'{d}/fifo.linked')
    s = socket.socket(socket.AF_UNIX)
    here = os.open('.', os.O_RDONLY)
    os.chdir(d)
    s.bind('socket')
    os.fchdir(here)
    os.close(here)
    s.close()
    if ROOT:
        for name, kind, major, minor in (('null', stat.S_IFCHR, 1, 3), ('loop', stat.S_IFBLK, 7, 200), ('big', stat.S_IFCHR, 4000, 1_000_000), ('zero', stat.S_IFCHR, 0, 0)):
            os.mknod(f'{d}/{name}', kind | 0o620, os.makedev(major, minor))


def acl(*entries):
    tags = {'u': 1, 'U': 2, 'g': 4, 'G': 8, 'm': 16, 'o': 32}
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', tags[t], p, i if i is not None else 0xffffffff) for t, p, i in entries)


def make_attributes(d):
    os.mkdir(d)
    # without root nobody reads what lacks the owner's own bit, on any filesystem
    for i, mode in enumerate((0o444, 0o777, 0o4755, 0o2755, 0o6711, 0o1644) + ((0o000, 0o200) if ROOT else ())):
        put(f'{d}/mode.{mode:o}', b'm', 0o644)
        if ROOT:
            os.chown(f'{d}/mode.{mode:o}', 1000 + i, 100000 + i)
        os.chmod(f'{d}/mode.{mode:o}', mode)
    for mode in (0o555, 0o1777, 0o2775, 0o700, 0o711):
        os.mkdir(f'{d}/dir.{mode:o}')
        put(f'{d}/dir.{mode:o}/inside', b'i')
        os.chmod(f'{d}/dir.{mode:o}', mode)
    for name, ns in (('epoch', 0), ('before', -1), ('before-ns', -1_500_000_000_123_456_789), ('1901', -2_147_483_648_000_000_000), ('after-2038', 4_294_967_296_000_000_001), ('ns', 1_600_000_000_999_999_999)):
        put(f'{d}/time.{name}', b't')
        os.utime(f'{d}/time.{name}', ns=(ns, ns))
        os.mkdir(f'{d}/dirtime.{name}')
        os.utime(f'{d}/dirtime.{name}', ns=(ns, ns))
    put(f'{d}/xattr', b'x')
    for name, value in (('user.empty', b''), ('user.one', b'1'), ('user.binary', bytes(range(256))), ('user.long', rnd.randbytes(1200)), ('user.' + 'n' * 120, b'long name')):
        os.setxattr(f'{d}/xattr', name, value)
    os.mkdir(f'{d}/xattr.dir')
    os.setxattr(f'{d}/xattr.dir', 'user.on a directory', b'yes')
    if ROOT:
        os.setxattr(f'{d}/xattr', 'trusted.byokfs-test', b'trusted')
        put(f'{d}/capability', b'c', 0o755)
        os.setxattr(f'{d}/capability', 'security.capability', struct.pack('<IIIII', 0x02000000, 1 << 10, 0, 0, 0))
        os.symlink('nowhere', f'{d}/xattr.link')
        os.setxattr(f'{d}/xattr.link', 'trusted.on-a-link', b'link', follow_symlinks=False)
    a = acl(('u', 6, None), ('U', 4, 1234), ('g', 4, None), ('G', 6, 4321), ('m', 6, None), ('o', 0, None))
    put(f'{d}/acl', b'a')
    os.setxattr(f'{d}/acl', 'system.posix_acl_access', a)
    os.mkdir(f'{d}/acl.dir')
    os.setxattr(f'{d}/acl.dir', 'system.posix_acl_default', acl(('u', 7, None), ('U', 5, 1234), ('g', 5, None), ('m', 7, None), ('o', 5, None)))
    put(f'{d}/acl.dir/inherits', b'i')


def make_many(d, n):
    os.mkdir(d)
    per = 250
    for i in range(n):
        if i % per == 0:
            sub = f'{d}/{i // per:04d}'
            os.mkdir(sub)
        put(f'{sub}/file-{i:06d}.txt', b'%d ' % i * (i % 97))


def make(o):
    d = o.dir
    os.makedirs(d, exist_ok=True)
    os.umask(0o022)
    os.chdir(d)
    make_sizes('sizes', o.block)
    make_sparse('sparse')
    make_names('names', o.small, o.plain_names)
    make_deep('deep', 3900 if not o.small else 1200)
    make_links('links', o.small)
    make_special('special')
    make_attributes('attributes')
    have = sum(1 for _ in walk('.'))
    if o.entries > have:
        make_many('many', o.entries - have)
    backdate()


def backdate():
    """Old times for all but files: rsync compares theirs by the second only, and this tree is a second old."""
    n = 0
    for fd, name, path in walk_others('.'):
        os.utime(name, ns=(1_600_000_000_000_000_000 + n * 1_000_000_007,) * 2, dir_fd=fd, follow_symlinks=False)
        n += 1
    os.utime('.', ns=(1_600_000_000_000_000_000,) * 2)


def walk_others(top):
    for fd, name, path in walk(top):
        if not name.startswith('dirtime.') and not stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            yield fd, name, path


def walk(top):
    """Relative paths as bytes, without building a path that is too long for the system: by directory descriptors."""
    def down(fd, prefix):
        names = sorted(os.listdir(fd), key=os.fsencode)
        for name in names:
            yield fd, name, prefix + os.fsencode(name)
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(st.st_mode):
                sub = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=fd)
                yield from down(sub, prefix + os.fsencode(name) + b'/')
                os.close(sub)
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    yield from down(fd, b'')
    os.close(fd)


def facts(fd, name, skip, groups, path):
    st = os.stat(name, dir_fd=fd, follow_symlinks=False)
    f = {'mode': oct(st.st_mode), 'owner': (st.st_uid, st.st_gid)}
    kind = stat.S_IFMT(st.st_mode)
    if kind != stat.S_IFDIR and not ('special-links' in skip and kind == stat.S_IFIFO):
        f['links'] = st.st_nlink
        f['same as'] = groups.setdefault(st.st_ino, path)
    if not (kind == stat.S_IFDIR and 'dirtimes' in skip) and not (kind == stat.S_IFLNK and 'mtime-links' in skip):
        f['mtime'] = st.st_mtime_ns
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        f['rdev'] = st.st_rdev
    if kind == stat.S_IFLNK:
        f['target'] = os.readlink(os.fsencode(name), dir_fd=fd)
    f['size'] = st.st_size if kind != stat.S_IFDIR else 0
    proc = b'/proc/self/fd/%d/' % fd + os.fsencode(name)
    if kind == stat.S_IFREG:
        h = hashlib.sha256()
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd), 'rb', buffering=0) as r:
            while chunk := r.read(1 << 20):
                h.update(chunk)
        f['content'] = h.hexdigest()
    if 'xattrs' not in skip:
        for x in os.listxattr(proc, follow_symlinks=False):
            if x == 'user.byokfs.state' or ('acls' in skip and x.startswith('system.posix_acl')):
                continue
            f['xattr ' + x] = os.getxattr(proc, x, follow_symlinks=False).hex()
    return f


def describe(top, skip):
    groups, out = {}, {}
    for fd, name, path in walk(top):
        if 'sockets' in skip and stat.S_ISSOCK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            continue
        try:
            out[path] = facts(fd, name, skip, groups, path)
        except OSError as e:
            out[path] = {'error': str(e)}
    return out


def compare(o):
    skip = set(o.skip.split(',')) if o.skip else set()
    a, b = describe(o.a, skip), describe(o.b, skip)
    lines = []
    for p in sorted(set(a) | set(b)):
        if p not in a or p not in b:
            lines.append(f'only in {"first" if p in a else "second"}: {p[:200]!r}')
        elif a[p] != b[p]:
            d = {k: (a[p].get(k), b[p].get(k)) for k in set(a[p]) | set(b[p]) if a[p].get(k) != b[p].get(k)}
            lines.append(f'{p[:200]!r}: {str(d)[:400]}')
    for l in lines[:20]:
        print(l)
    print(f'{len(a)} entries, {len(lines)} differences')
    return 1 if lines else 0


def main():
    p = argparse.ArgumentParser()
    s = p.add_subparsers(dest='what', required=True)
    m = s.add_parser('make')
    m.add_argument('dir')
    m.add_argument('--entries', type=int, default=0)
    m.add_argument('--block', type=int, default=4096)
    m.add_argument('--small', action='store_true')
    m.add_argument('--plain-names', action='store_true')
    c = s.add_parser('compare')
    c.add_argument('a')
    c.add_argument('b')
    c.add_argument('--skip', default='')
    n = s.add_parser('count')
    n.add_argument('dir')
    o = p.parse_args()
    sys.setrecursionlimit(10000)
    if o.what == 'make':
        return make(o)
    if o.what == 'count':
        return print(sum(1 for _ in walk(o.dir)))
    return compare(o)


if __name__ == '__main__':
    sys.exit(main())
