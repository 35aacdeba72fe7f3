# SPDX-License-Identifier: BSD-2-Clause
"""A fixed script of operations, the same as a model, and what of it may be there after a cut.

Model: each inode has its versions (whole contents) since it was made and the first of them that still may be seen; each folder the
same for each name. An fsync (a cut of the power) or an fsync, a close or any change of a name (a death of the processes) lets go
of what was before. What is found must be made of versions that may be seen, block by block, and of nothing else.
"""
import os
import stat

BLOCK = 4096


def fill(tag, n):
    """n bytes that tell where they come from; never a zero."""
    out, line = b'', 0
    while len(out) < n:
        out += b'%s.%06d.' % (tag.encode(), line)
        line += 1
    return out[:n]


LONG = 'long-' + 'n' * 220  # has a sidecar in the store

# Files and folders of an earlier session, all of them durable
BEFORE = [
    ('mkdir', 'old'), ('make', 'old/one'), ('write', 'old/one', 0, 10000), ('fsync', 'old/one'), ('close', 'old/one'),
    ('make', 'old/two'), ('write', 'old/two', 0, 5 * BLOCK), ('close', 'old/two'),
    ('make', 'old/three'), ('write', 'old/three', 0, 777), ('close', 'old/three'), ('mkdir', 'old/deep'),
    ('make', 'old/deep/four'), ('write', 'old/deep/four', 0, 6000), ('close', 'old/deep/four'),
]

SCRIPT = [
    # new folders, a file that grows by records
    ('mkdir', 'new'), ('make', 'new/a'), ('write', 'new/a', 0, 1000), ('fsync', 'new/a'), ('write', 'new/a', 1000, 5000),
    ('fsync', 'new/a'), ('write', 'new/a', 6000, 100), ('write', 'new/a', 6100, 3000), ('close', 'new/a'), ('fsyncdir', 'new'),
    # overwrites, of whole blocks and of parts, of the end
    ('open', 'new/a'), ('write', 'new/a', BLOCK, BLOCK), ('write', 'new/a', 100, 200), ('fsync', 'new/a'), ('write', 'new/a', 8900, 700),
    ('truncate', 'new/a', 5000), ('write', 'new/a', 5000, 500), ('fsync', 'new/a'), ('truncate', 'new/a', BLOCK), ('truncate', 'new/a', 6000),
    ('close', 'new/a'),
    # files of an earlier session
    ('open', 'old/one'), ('write', 'old/one', 9000, 3000), ('write', 'old/one', 0, 100), ('fsync', 'old/one'), ('truncate', 'old/one', 200),
    ('write', 'old/one', 200, 9000), ('fsync', 'old/one'), ('open', 'old/two'), ('punch', 'old/two', BLOCK, 2 * BLOCK), ('write', 'old/two', 4 * BLOCK, 2 * BLOCK),
    ('fsync', 'old/two'), ('write', 'old/two', 0, BLOCK), ('close', 'old/two'),
    # replaced by rename; links
    ('make', 'new/b.tmp'), ('write', 'new/b.tmp', 0, 20000), ('fsync', 'new/b.tmp'), ('rename', 'new/b.tmp', 'new/a'), ('fsyncdir', 'new'),
    ('link', 'new/a', 'old/link'), ('symlink', 'target', 'new/sym'), ('fsyncdir', 'old'),
    # attributes
    ('setxattr', 'old/three', 'first'), ('fsync', 'old/three'), ('setxattr', 'old/three', 'second, and a longer one'), ('chmod', 'old/three', 0o600),
    ('fsync', 'old/three'), ('removexattr', 'old/three'),
    # folders that move and go, long names
    ('unlink', 'old/deep/four'), ('mkdir', 'new/d'), ('make', 'new/d/e'), ('write', 'new/d/e', 0, 4500), ('fsync', 'new/d/e'),
    ('rename', 'new/d', 'old/d'), ('fsyncdir', 'new'), ('rmdir', 'old/deep'), ('make', 'old/' + LONG), ('write', 'old/' + LONG, 0, 300),
    ('fsync', 'old/' + LONG), ('unlink', 'old/link'), ('fsyncdir', 'old'), ('rename', 'old/' + LONG, 'old/three'), ('fsyncdir', 'old'),
    # what is no file; a folder with a long name
    ('mkfifo', 'new/fifo'), ('fsyncdir', 'new'), ('mkdir', 'new/' + LONG), ('make', 'new/' + LONG + '/f'), ('write', 'new/' + LONG + '/f', 0, 9000),
    ('fsync', 'new/' + LONG + '/f'), ('mkfifo', 'old/fifo'), ('rename', 'old/fifo', 'new/sym'), ('fsyncdir', 'new'),
]


def name(no):
    """Operation NO, for messages."""
    return ' '.join(str(x)[:24] for x in SCRIPT[no]) if no < len(SCRIPT) else 'the end'


def content(no, op):
    return fill('%s%02d' % (op[0][0], no), op[3])


class Doer:
    """Does it, in a folder."""

    def __init__(self, top):
        self.top, self.fds = top, {}

    def do(self, no, op):
        what, path = op[0], self.top + '/' + op[1]
        fd = self.fds.get(op[1], -1)
        if what in ('make', 'open'):
            self.fds[op[1]] = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if what == 'make' else 0), 0o644)
        elif what == 'write':
            os.pwrite(fd, content(no, op), op[2])
        elif what == 'close':
            os.close(self.fds.pop(op[1]))
        elif what == 'fsync' and fd >= 0:
            os.fsync(fd)
        elif what in ('fsync', 'fsyncdir'):
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        elif what == 'punch':
            fallocate(fd, op[2], op[3])
        elif what == 'truncate':
            os.ftruncate(fd, op[2])
        elif what in ('rename', 'link'):
            getattr(os, what)(path, self.top + '/' + op[2])
        elif what == 'symlink':
            os.symlink(op[1], self.top + '/' + op[2])
        elif what == 'setxattr':
            os.setxattr(path, 'user.v', op[2].encode())
        elif what == 'removexattr':
            os.removexattr(path, 'user.v')
        elif what == 'chmod':
            os.chmod(path, op[2])
        else:
            getattr(os, what)(path)

    def close(self):
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}


def fallocate(fd, off, n):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate64(fd, 3, ctypes.c_int64(off), ctypes.c_int64(n)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Seen:
    """Values of one thing, oldest first; those from `since` on may be seen."""

    def __init__(self, value):
        self.values, self.since = [value], 0

    def set(self, value):
        self.values.append(value)

    def now(self):
        return self.values[-1]

    def durable(self):
        self.since = len(self.values) - 1

    def may(self):
        return self.values[self.since:]


class Inode:
    def __init__(self, kind, value=None):
        self.kind = kind
        self.data = Seen(b'') if kind == 'file' else value  # a symlink: its target
        self.names = {}  # a folder: name -> Seen(inode or None)
        self.xattr, self.mode = Seen(None), Seen(0o644)


class Model:
    """DEATH: only the processes die."""

    def __init__(self, death):
        self.death = death
        self.root = Inode('folder')

    def folder(self, path):
        at = self.root
        for name in path.split('/')[:-1]:
            at = at.names[name].now()
        return at, path.split('/')[-1]

    def get(self, path):
        at, name = self.folder(path)
        return at.names[name].now()

    def put(self, path, inode):
        at, name = self.folder(path)
        at.names.setdefault(name, Seen(None)).set(inode)
        if self.death:
            at.names[name].durable()

    def synced(self, path):
        """fsync of what is at PATH: itself, and that it can be reached."""
        at = self.root
        for name in path.split('/'):
            at.names[name].durable()
            at = at.names[name].now()
        if at.kind == 'file':
            for seen in (at.data, at.xattr, at.mode):
                seen.durable()
        for seen in at.names.values():
            seen.durable()

    def do(self, no, op):
        what, path = op[0], op[1]
        if what in ('make', 'mkdir'):
            self.put(path, Inode('file' if what == 'make' else 'folder'))
        elif what in ('symlink', 'mkfifo'):
            self.put(op[2] if what == 'symlink' else path, Inode(what[-4:].replace('link', 'symlink'), path))
        elif what == 'link':
            self.put(op[2], self.get(path))
        elif what == 'rename':
            it = self.get(path)
            self.put(op[2], it)
            self.put(path, None)
        elif what in ('unlink', 'rmdir'):
            self.put(path, None)
        elif what in ('fsync', 'fsyncdir'):
            self.synced(path)
        elif what == 'close' and self.death:
            self.get(path).data.durable()
        elif what in ('write', 'truncate', 'punch'):
            self.change(no, op, self.get(path).data)
        elif what in ('setxattr', 'removexattr', 'chmod'):
            seen = self.get(path).mode if what == 'chmod' else self.get(path).xattr
            seen.set(op[2] if what == 'chmod' else op[2].encode() if what == 'setxattr' else None)
            if self.death:
                seen.durable()

    @staticmethod
    def change(no, op, seen):
        was = seen.now()
        if op[0] == 'truncate':
            seen.set(was[:op[2]] + bytes(max(0, op[2] - len(was))))
        elif op[0] == 'punch':
            seen.set(was[:op[2]] + bytes(op[3]) + was[op[2] + op[3]:])
        else:
            seen.set(was[:op[2]] + bytes(max(0, op[2] - len(was))) + content(no, op) + was[op[2] + op[3]:])

    # ---- what is there

    def check(self, top, torn_too=False):
        """(kind, text) for each thing in TOP that may not be, or is not and must be. TORN_TOO: sector by sector."""
        self.piece = 512 if torn_too else BLOCK
        return self.check_folder(top, self.root)

    def check_folder(self, path, folder):
        bad = []
        try:
            there = os.listdir(path)
        except OSError as e:
            return [('unopenable', '%s: %s' % (path, e.strerror))]
        for name in there:
            may = [i for i in folder.names[name].may() if i] if name in folder.names else []
            tries = [self.check_one('%s/%s' % (path, name), i) for i in may]
            if not tries:
                known = name in folder.names
                bad.append(('lost' if known else 'torn', '%s/%s is there%s' % (path, name, ', its removal was durable' if known else '')))
            elif all(tries):
                bad += min(tries, key=len)
        bad += [('lost', '%s/%s is not there' % (path, name)) for name, seen in folder.names.items()
                if name not in there and None not in seen.may()]
        return bad

    def check_one(self, path, inode):
        try:
            st = os.lstat(path)
            kind = 'folder' if stat.S_ISDIR(st.st_mode) else 'symlink' if stat.S_ISLNK(st.st_mode) else \
                'fifo' if stat.S_ISFIFO(st.st_mode) else 'file'
            if kind != inode.kind:
                return [('torn', '%s is a %s' % (path, kind))]
            if kind == 'folder':
                return self.check_folder(path, inode)
            if kind == 'fifo':
                return []
            if kind == 'symlink':
                return [] if os.readlink(path) == inode.data else [('torn', '%s leads elsewhere' % path)]
            with open(path, 'rb') as f:
                data = f.read()
            if len(data) != st.st_size:
                return [('torn', '%s: %d bytes by stat, %d read' % (path, st.st_size, len(data)))]
            value = os.getxattr(path, 'user.v') if os.listxattr(path) else None
        except OSError as e:
            return [('unopenable', '%s: %s' % (path, e.strerror))]
        bad = self.check_data(path, data, inode.data.may())
        if value not in inode.xattr.may():
            bad.append(('lost', '%s: attribute %r, not of %r' % (path, value, inode.xattr.may())))
        if stat.S_IMODE(st.st_mode) not in inode.mode.may():
            bad.append(('lost', '%s: mode %o' % (path, stat.S_IMODE(st.st_mode))))
        return bad

    def check_data(self, path, data, may):
        sizes = [len(v) for v in may]
        if not min(sizes) <= len(data) <= max(sizes):
            return [('lost' if len(data) < min(sizes) else 'torn', '%s: %d bytes, not of %s' % (path, len(data), sorted(set(sizes))))]
        bad = []
        for off in range(0, len(data), self.piece):
            part = data[off:off + self.piece]
            if not any(v[off:off + len(part)] == part for v in may):
                at = off + max(next((i for i in range(len(part)) if v[off + i:off + i + 1] != part[i:i + 1]), 0) for v in may)
                bad.append(('zeros' if data[at] == 0 else 'torn', '%s: %d bytes, wrong at %d: %r' % (path, len(data), at, data[at:at + 20])))
        return bad


def model_of(done, death, half=True):
    """The model when DONE operations of the script have returned; HALF: the next one may be made too, or in part."""
    m = Model(death)
    for no, op in enumerate(BEFORE):
        m.do(no, op)
    everything_durable(m.root)
    for no, op in enumerate(SCRIPT[:done]):
        m.do(no, op)
    if half and done < len(SCRIPT) and SCRIPT[done][0] not in ('fsync', 'fsyncdir', 'close'):
        m.death = False  # it may have been made: what was before it may still be there
        m.do(done, SCRIPT[done])
    return m


def everything_durable(inode):
    if inode.kind == 'file':
        inode.data.durable()
    for seen in inode.names.values():
        seen.durable()
        everything_durable(seen.now())
