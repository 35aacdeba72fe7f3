#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Alters a store, byte by byte and in bulk, and looks through the mount: right data or an error, never anything else.

    tamper.py STORE MNT BYOKFS LOG [--long]

While mounted: data files, names, directory ids, sidecars, xattrs, special objects. Unmounted: keyring, session, in-flight
file. Prints one figure a kind, and every wrong answer (at most 40); exit 1 if there was one.
"""
import argparse, errno, os, random, shutil, signal, stat, subprocess, sys, time

rnd = random.Random(7)
bad = []
BLOCK = 4096
RECORD = BLOCK + 28
FINAL = 60


class Hang(Exception):
    pass


def on_alarm(*_):
    raise Hang()


signal.signal(signal.SIGALRM, on_alarm)


def drop():
    with open('/proc/sys/vm/drop_caches', 'w') as f:
        f.write('2')


def wrong(what):
    bad.append(what)
    if len(bad) <= 40:
        print('  FAIL: ' + what, flush=True)


def populate(mnt):
    os.makedirs(mnt + '/folder/deeper')
    def put(n, data):
        with open(f'{mnt}/{n}', 'wb') as f:
            f.write(data)
    put('empty', b'')
    put('small', b'three small words')
    put('blocks', rnd.randbytes(2 * BLOCK + 100))
    put('even', rnd.randbytes(2 * BLOCK))
    put('folder/other', rnd.randbytes(2 * BLOCK + 100))
    put('folder/deeper/leaf', b'leaf')
    put('folder/' + 'l' * 250, b'long name')
    with open(mnt + '/sparse', 'wb') as f:
        f.seek(3 * BLOCK)
        f.write(b'behind a hole')
    os.symlink('a target of some length', mnt + '/link')
    os.mkfifo(mnt + '/fifo')
    os.mknod(mnt + '/node', stat.S_IFCHR | 0o600, os.makedev(5, 7))
    os.setxattr(mnt + '/small', 'user.one', b'value of one')
    os.setxattr(mnt + '/small', 'user.two', b'value of two')
    os.setxattr(mnt + '/folder', 'user.dir', b'of a folder')
    os.setxattr(mnt + '/link', 'trusted.link', b'of a link', follow_symlinks=False)
    # settle: rewritten once, so that nothing is sparse that is said not to be
    os.sync()


def attempt(f):
    try:
        return f()
    except OSError as e:
        return 'error ' + errno.errorcode.get(e.errno, str(e.errno))


def content(path):
    out = []
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        size = os.fstat(fd).st_size
        off = 0
        while off < size:
            try:
                b = os.pread(fd, BLOCK, off)
            except OSError as e:
                out.append(('error', off, errno.errorcode.get(e.errno)))
                b = b'?' * min(BLOCK, size - off)
            else:
                if not b:
                    out.append(('short', off))
                    break
                out.append(('data', off, b))
            off += len(b)
        return size, out
    finally:
        os.close(fd)


def snapshot(mnt):
    """path -> facts, every one of which may be an error instead."""
    found = {}
    def visit(rel):
        p = f'{mnt}/{rel}' if rel else mnt
        st = attempt(lambda: os.lstat(p))
        if isinstance(st, str):
            found[rel] = {'stat': st}
            return
        f = {'type': stat.S_IFMT(st.st_mode)}
        if stat.S_ISREG(st.st_mode):
            f['content'] = attempt(lambda: content(p))
        if stat.S_ISLNK(st.st_mode):
            f['target'] = attempt(lambda: os.readlink(p))
        if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            f['rdev'] = st.st_rdev
        names = attempt(lambda: os.listxattr(p, follow_symlinks=False))
        if isinstance(names, list):
            for x in names:
                if x != 'user.byokfs.state':
                    f['xattr ' + x] = attempt(lambda: os.getxattr(p, x, follow_symlinks=False))
        found[rel] = f
        if stat.S_ISDIR(st.st_mode):
            entries = attempt(lambda: sorted(os.listdir(p)))
            if isinstance(entries, str):
                f['list'] = entries
                return
            for e in entries:
                visit(f'{rel}/{e}' if rel else e)
    signal.alarm(30)
    try:
        visit('')
    finally:
        signal.alarm(0)
    return found


def is_error(v):
    return isinstance(v, str) and v.startswith('error ')


def judge(good, now, what, type_may_change=False):
    """Nothing that NOW shows may differ from GOOD except by being an error or missing. Number of errors seen."""
    errors = 0
    for path, f in now.items():
        if path not in good:
            if is_error(f.get('stat')):
                errors += 1
                continue
            wrong(f'{what}: a new object {path[:60]!r}')
            continue
        g = good[path]
        for k, v in f.items():
            if is_error(v):
                errors += 1
            elif k == 'stat':
                pass
            elif k == 'content':
                errors += judge_content(g.get('content'), v, what, path)
            elif k not in g:
                wrong(f'{what}: {path[:60]!r} has a new {k}: {v!r}')
            elif k == 'type' and v == stat.S_IFREG and is_error(f.get('content')):
                # the type is told by the size: a special object of another size looks like a file that cannot be opened
                errors += 1
            elif g[k] != v:
                wrong(f'{what}: {path[:60]!r}: {k} is {v!r}, was {g[k]!r}')
    missing = set(good) - set(now)
    return errors + len(missing)


def judge_content(g, v, what, path):
    errors = 0
    if g is None or is_error(g):
        wrong(f'{what}: {path!r} has contents now')
        return 0
    size, pieces = v
    gsize, gpieces = g
    whole = b''.join(p[2] for p in gpieces if p[0] == 'data')
    for p in pieces:
        if p[0] != 'data':
            errors += 1
        elif whole[p[1]:p[1] + len(p[2])] != p[2]:
            wrong(f'{what}: {path[:60]!r}: wrong data at {p[1]} ({p[2][:8].hex()}.. for {whole[p[1]:p[1] + 8].hex()}..)')
    if size != gsize and not errors:
        wrong(f'{what}: {path[:60]!r}: size {size}, was {gsize}, and no error')
    return errors


class Store:
    def __init__(self, o):
        self.o, self.proc, self.kinds = o, None, {}
        self.data = o.store + '/data'

    def mount(self):
        self.log = open(self.o.log, 'ab')
        self.proc = subprocess.Popen([self.o.byokfs, 'mount', '-f', self.o.store, self.o.mnt], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for _ in range(600):
            if os.path.ismount(self.o.mnt):
                return True
            if self.proc.poll() is not None:
                return False
            time.sleep(0.01)
        wrong('mount hangs')
        self.proc.kill()
        return False

    def umount(self):
        subprocess.run([self.o.byokfs, 'umount', self.o.mnt], stdout=self.log, stderr=self.log, timeout=30)
        try:
            rc = self.proc.wait(20)
        except subprocess.TimeoutExpired:
            wrong('the daemon does not end after umount')
            self.proc.kill()
            rc = self.proc.wait()
        if rc < 0:
            wrong(f'the daemon died of signal {-rc}')

    def alive(self, what):
        if self.proc.poll() is None:
            return
        wrong(f'{what}: the daemon ended with {self.proc.returncode}')
        subprocess.run(['umount', '-l', self.o.mnt])
        self.mount()

    def plain_of(self, disk):
        """The path in the mount of a file of the store: they have the same inode number."""
        if not hasattr(self, 'plain'):
            self.plain = {}
            for rel in self.good:
                self.plain.setdefault(os.lstat(f'{self.o.mnt}/{rel}').st_ino, rel)
        return self.plain.get(os.lstat(disk).st_ino)

    def glance(self, rel, what, kind):
        """Only the contents of one file, opened anew, its pages forgotten."""
        def act():
            fd = os.open(f'{self.o.mnt}/{rel}', os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
            return content(f'{self.o.mnt}/{rel}')
        signal.alarm(30)
        t0 = time.monotonic()
        try:
            v = attempt(act)
        except Hang:
            wrong(f'{what}: hangs')
            return
        finally:
            signal.alarm(0)
        self.alive(what)
        e = 1 if is_error(v) else judge_content(self.good[rel]['content'], v, what, rel)
        n, errs, slow = self.kinds.get(kind, (0, 0, 0))
        self.kinds[kind] = (n + 1, errs + (1 if e else 0), max(slow, time.monotonic() - t0))

    def look(self, what, kind):
        drop()
        self.alive(what)
        t0 = time.monotonic()
        try:
            now = snapshot(self.o.mnt)
        except Hang:
            wrong(f'{what}: hangs')
            return 0
        self.alive(what)
        e = judge(self.good, now, what)
        n, errs, slow = self.kinds.get(kind, (0, 0, 0))
        self.kinds[kind] = (n + 1, errs + (1 if e else 0), max(slow, time.monotonic() - t0))
        return e


def files_of(data):
    out = []
    for top, dirs, files in os.walk(data):
        dirs.sort()
        out += [os.path.join(top, f) for f in sorted(files)]
    return out


def kind_of(path, size, header):
    n = os.path.basename(path)
    if n == '.byokfs.dir':
        return 'directory id'
    if n.startswith('.byokfs.name.'):
        return 'long-name sidecar'
    extra = size - header - FINAL - BLOCK
    return 'special object' if 0 < extra < 28 else 'file'


def flips(s, stride):
    for path in files_of(s.data):
        size = os.path.getsize(path)
        kind = kind_of(path, size, s.header)
        with open(path, 'r+b') as f:
            original = f.read()
            rel = s.plain_of(path) if kind == 'file' else None
            used = len(original.rstrip(b'\0')) if kind == 'special object' else size
            step = 1 if kind == 'file' and stride < 10 else stride
            at = range(rnd.randrange(step) if step > 1 else 0, size, step) if size > 200 else range(size)
            for i in at:
                if kind == 'special object' and i > used + 40 and i % 97:
                    continue
                part = kind if kind != 'file' else ('file header' if i < s.header else 'file contents')
                f.seek(i)
                f.write(bytes([original[i] ^ (1 << rnd.randrange(8) if i % 2 else 0xff)]))
                f.flush()
                what = f'{os.path.relpath(path, s.data)[:50]} byte {i} of {size} flipped'
                if rel is not None and i % 500:
                    s.glance(rel, what, part)
                else:
                    s.look(what, part)
                f.seek(i)
                f.write(original[i:i + 1])
                f.flush()


def xattr_flips(s, stride):
    for path in files_of(s.data) + [d for d, _, _ in os.walk(s.data)]:
        for x in os.listxattr(path):
            if not x.startswith('user.'):
                continue
            v = os.getxattr(path, x)
            for i in range(0, len(v), stride):
                os.setxattr(path, x, v[:i] + bytes([v[i] ^ 0x41]) + v[i + 1:])
                s.look(f'xattr value of {os.path.relpath(path, s.data)[:40]} byte {i}', 'xattr value')
            os.removexattr(path, x)
            for i in range(5, len(x), max(1, stride * 2)):
                other = x[:i] + ('A' if x[i] != 'A' else 'B') + x[i + 1:]
                os.setxattr(path, other, v)
                s.look(f'xattr name of {os.path.relpath(path, s.data)[:40]} character {i}', 'xattr name')
                os.removexattr(path, other)
            # onto another object
            victim = files_of(s.data)[0]
            if victim != path:
                os.setxattr(victim, x, v)
                s.look('xattr moved to another object', 'xattr moved')
                os.removexattr(victim, x)
            os.setxattr(path, x, v)


def name_changes(s, stride):
    for path in files_of(s.data) + [d for d, _, _ in os.walk(s.data) if d != s.data]:
        d, n = os.path.split(path)
        for i in range(0, len(n), max(1, stride)):
            m = n[:i] + ('A' if n[i] != 'A' else 'B') + n[i + 1:]
            if os.path.lexists(f'{d}/{m}'):
                continue
            os.rename(path, f'{d}/{m}')
            s.look(f'name {n[:30]} character {i} changed', 'name')
            os.rename(f'{d}/{m}', path)


def cuts(s):
    s.sizes = {p: os.path.getsize(p) for p in files_of(s.data)}
    for path in files_of(s.data):
        with open(path, 'rb') as f:
            original = f.read()
        size, n = len(original), os.path.basename(path)[:30]
        edges = {0, 1, s.header - 1, s.header, s.header + 1, s.header + FINAL - 1, s.header + FINAL, s.header + FINAL + 1, size - 1, size - FINAL, size - FINAL - 1, size // 2}
        for b in range(4):
            for d in (-1, 0, 1, FINAL - 1, FINAL, FINAL + 1):
                edges.add(s.header + b * RECORD + d)
        for e in sorted(x for x in edges if 0 <= x < size):
            with open(path, 'r+b') as f:
                f.truncate(e)
            s.look(f'{n} cut from {size} to {e}', 'emptied' if e == 0 else 'cut')
            with open(path, 'r+b') as f:
                f.write(original)
        for extra in (b'\0', b'\0' * FINAL, b'\0' * RECORD, original[-RECORD:], original[s.header:s.header + RECORD]):
            if not extra:
                continue
            with open(path, 'r+b') as f:
                f.seek(0, 2)
                f.write(extra)
            s.look(f'{n} longer by {len(extra)}', 'longer')
            with open(path, 'r+b') as f:
                f.truncate(size)
        for at in (0, s.header, s.header + RECORD, s.header + 2 * RECORD):
            if at >= size:
                continue
            end = min(s.header if at == 0 else at + RECORD, size)
            with open(path, 'r+b') as f:
                f.seek(at)
                f.write(bytes(end - at))
            s.look(f'{n} zeros at {at}', 'zeroed block or header')
            with open(path, 'r+b') as f:
                f.write(original)
    for path in files_of(s.data):
        if os.path.getsize(path) != s.sizes[path]:
            raise RuntimeError(f'the test itself changed {path}')


def moves(s):
    same = [p for p in files_of(s.data) if os.path.getsize(p) == s.header + 2 * RECORD + FINAL + 100]
    even = [p for p in files_of(s.data) if os.path.getsize(p) == s.header + 2 * RECORD + FINAL]
    a, b = same[0], same[1]
    raw = {p: open(p, 'rb').read() for p in same + even}
    h = s.header
    def plant(path, off, bytes_, what):
        with open(path, 'r+b') as f:
            f.seek(off)
            f.write(bytes_)
        s.look(what, 'moved within or between files')
        with open(path, 'r+b') as f:
            f.write(raw[path])
            f.truncate(len(raw[path]))
    for p in same + even:
        r = raw[p]
        plant(p, h, r[h + RECORD:h + 2 * RECORD] + r[h:h + RECORD], 'blocks swapped within a file')
        plant(p, h, r[h + RECORD:h + 2 * RECORD], 'block copied over its neighbour')
    plant(a, h, raw[b][h:h + RECORD], 'block of another file')
    plant(a, h + 2 * RECORD, raw[b][h + 2 * RECORD:], 'final record of another file')
    plant(a, 0, raw[b][:h], 'header of another file')
    plant(a, h, raw[b][h:], 'contents of another file under its own header')
    # objects planted where files were
    for path in (a, [p for p in files_of(s.data) if os.path.basename(p) == '.byokfs.dir'][-1], [p for p in files_of(s.data) if '.byokfs.name.' in p][0]):
        aside = s.o.store + '/../aside'
        n = os.path.basename(path)[:20]
        shutil.move(path, aside)
        for what, make in (('fifo', lambda: os.mkfifo(path)), ('link out of the store', lambda: os.symlink('/etc/passwd', path)), ('link to its own file', lambda: os.symlink(os.path.abspath(aside), path)),
                           ('folder', lambda: os.mkdir(path)), ('device', lambda: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))), ('socket', lambda: os.mknod(path, stat.S_IFSOCK | 0o666))):
            make()
            s.look(f'{n} replaced by a {what}', 'replaced by a fifo, link, folder or device')
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        shutil.move(aside, path)
    # a folder replaced by a link to another, and objects moved to another folder
    folder = [d for d, _, _ in os.walk(s.data) if d != s.data][0]
    os.rename(folder, s.o.store + '/../aside')
    os.symlink('/etc', folder)
    s.look('folder replaced by a link', 'replaced by a fifo, link, folder or device')
    os.unlink(folder)
    os.rename(s.o.store + '/../aside', folder)
    inner = [p for p in files_of(folder) if not os.path.basename(p).startswith('.byokfs.')][0]
    os.rename(inner, s.data + '/' + os.path.basename(inner))
    s.look('file moved to another folder', 'moved to another folder')
    os.rename(s.data + '/' + os.path.basename(inner), inner)
    ids = [p for p in files_of(s.data) if os.path.basename(p) == '.byokfs.dir']
    x, y = open(ids[0], 'rb').read(), open(ids[1], 'rb').read()
    open(ids[0], 'wb').write(y)
    s.look('directory id of another folder', 'directory id')
    open(ids[0], 'wb').write(x)
    os.unlink(ids[1])
    s.look('directory id gone', 'directory id')
    open(ids[1], 'wb').write(y)


def own_files(s, stride):
    """byokfs/*: each change is looked at by a whole mount; a refusal is as good as the right data."""
    own = s.o.store + '/byokfs'
    names = sorted(os.listdir(own))
    originals = {n: open(f'{own}/{n}', 'rb').read() for n in names if stat.S_ISREG(os.lstat(f'{own}/{n}').st_mode)}
    rings = [n for n in originals if 'keyring' in n]
    def restore():
        for n in os.listdir(own):
            if n not in originals:
                shutil.rmtree(f'{own}/{n}') if n.endswith('.displaced') else os.unlink(f'{own}/{n}')
        for n, b in originals.items():
            with open(f'{own}/{n}', 'wb') as f:
                f.write(b)
    def turn(what, kind):
        if s.mount():
            s.look(what, kind + ', mounted')
            s.umount()
        else:
            rc = s.proc.wait()
            if rc < 0 or rc > 123:
                wrong(f'{what}: mount ended with {rc}')
            n, e, slow = s.kinds.get(kind + ', refused', (0, 0, 0))
            s.kinds[kind + ', refused'] = (n + 1, e + 1, slow)
        restore()
    for n, b in originals.items():
        heads = [i for i in range(0, min(len(b), 4096))] if len(b) > 65536 else range(len(b))
        step = stride * (4 if len(b) <= 65536 else 64) + (1 if len(b) > 100 else -stride * 4 + 2)
        if s.o.long:
            step = 1 if len(b) <= 65536 else 16
        for i in list(heads)[rnd.randrange(step)::step]:
            for both in ((False, True) if n in rings and i % 2 else (False,)):
                for m in (rings if both else [n]):
                    with open(f'{own}/{m}', 'r+b') as f:
                        f.seek(i)
                        f.write(bytes([originals[m][i] ^ 0x55]) if i < len(originals[m]) else b'')
                turn(f'{n} byte {i} flipped{" in both copies" if both else ""}', n if n not in rings else 'keyring' + (', both copies' if both else ''))
        for cut in sorted({0, 1, len(b) // 2, max(0, len(b) - 1)}):
            with open(f'{own}/{n}', 'r+b') as f:
                f.truncate(cut)
            turn(f'{n} cut to {cut}', n + ' cut')
        for what, make in (('fifo', os.mkfifo), ('link', lambda p: os.symlink('/etc/passwd', p)), ('folder', os.mkdir)):
            shutil.rmtree(f'{own}/{n}') if n.endswith('.displaced') else os.unlink(f'{own}/{n}')
            make(f'{own}/{n}')
            if s.mount():
                s.look(f'{n} is a {what}', n + ' replaced')
                s.umount()
            elif s.proc.wait() < 0:
                wrong(f'{n} is a {what}: mount died')
            p = f'{own}/{n}'
            if os.path.lexists(p):
                shutil.rmtree(p) if os.path.isdir(p) and not os.path.islink(p) else os.unlink(p)
            restore()


def main():
    p = argparse.ArgumentParser()
    p.add_argument('store')
    p.add_argument('mnt')
    p.add_argument('byokfs')
    p.add_argument('log')
    p.add_argument('--header', type=int, default=512)
    p.add_argument('--long', action='store_true')
    p.add_argument('--stride', type=int, default=5)
    o = p.parse_args()
    stride = 1 if o.long else o.stride
    s = Store(o)
    s.header = o.header
    if not s.mount():
        wrong('the untouched store does not mount')
        return 1
    populate(o.mnt)
    s.umount()
    s.mount()
    s.good = snapshot(o.mnt)
    if any('error' in str(v)[:6] for f in s.good.values() for v in f.values()):
        wrong('errors before anything was altered')
    t0 = time.monotonic()
    for step in (lambda: flips(s, stride), lambda: xattr_flips(s, stride), lambda: name_changes(s, stride), lambda: cuts(s), lambda: moves(s)):
        step()
        if os.environ.get('VERBOSE'):
            print(f'    {time.monotonic() - t0:.0f} s', flush=True)
        if s.look('everything put back', 'put back'):
            now = snapshot(o.mnt)
            wrong(f'with everything put back there are errors: {[(k, v) for k, v in now.items() if v != s.good.get(k)][:3]} missing {sorted(set(s.good) - set(now))[:3]}')
            s.umount()
            s.mount()
    s.umount()
    own_files(s, stride)
    if s.mount():
        if s.look('at the end', 'put back'):
            wrong('the store is not as it was at the end')
        s.umount()
    total = sum(n for n, _, _ in s.kinds.values())
    for k, (n, e, slow) in sorted(s.kinds.items()):
        print(f'    {k}: {n} changes, {e} noticed, slowest look {slow * 1000:.0f} ms')
    print(f'  figure: {total} changes, {sum(e for _, e, _ in s.kinds.values())} noticed, {len(bad)} wrong answers, {time.monotonic() - t0:.0f} s')
    return 1 if bad else 0


if __name__ == '__main__':
    try:
        code = main()
    finally:
        subprocess.run(['umount', '-l', sys.argv[2]], stderr=subprocess.DEVNULL)
    sys.exit(code)
