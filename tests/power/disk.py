# SPDX-License-Identifier: BSD-2-Clause
"""Disks that lose their power: filesystems in files, on loop devices.

`Shutdown` ends one by the ioctl that ext4 and xfs have for it, without flushing the filesystem's journal; `Layer` by a block device of our
own (layer.c), which keeps what was written since the last flush apart, so that any part of it can be lost.
"""
import ctypes
import fcntl
import os
import stat
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SHUTDOWN = 0x8004587d  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN
NO_LOG_FLUSH = 2
SECTOR = 512
MKFS = {'ext4': ['mkfs.ext4', '-q', '-F', '-E', 'nodiscard'], 'xfs': ['mkfs.xfs', '-q', '-f', '-K'],
        'btrfs': ['mkfs.btrfs', '-q', '-f', '-K']}
# more than the kernel may hold dirty for a mount: a store with less room is written around the page cache
MIB = {'ext4': 400, 'xfs': 400, 'btrfs': 400}


def sh(*cmd, check=True, timeout=120, **kw):
    r = subprocess.run(cmd, timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       stdin=subprocess.DEVNULL, text=True, **kw)
    if check and r.returncode:
        raise RuntimeError('%s: exit %d: %s' % (' '.join(cmd), r.returncode, r.stdout[-800:]))
    return r


def in_table(path):
    return any(line.split()[4] == path for line in open('/proc/self/mountinfo'))


def until(seconds, done):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def compiled(name, work, *flags):
    """tests/power/NAME.c as a program, or a library for LD_PRELOAD (-shared)."""
    out = '%s/%s' % (work, name)
    if not os.path.exists(out):
        sh(os.environ.get('CC', 'gcc'), '-std=gnu17', '-O2', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE', '-o', out,
           '%s/%s.c' % (HERE, name), *flags)
    return out


class Shutdown:
    """A filesystem in a file that can be shut down under its users."""

    def __init__(self, fs, work):
        self.fs, self.image, self.at = fs, work + '/image', work + '/disk'
        self.loop, self.over = None, 0
        os.makedirs(self.at, exist_ok=True)

    def format(self):
        with open(self.image, 'wb') as f:
            f.truncate(MIB[self.fs] << 20)
        sh(*MKFS[self.fs], self.image)

    def mount(self):
        self.attach(self.image)
        sh('mount', '-o', 'noatime', self.loop, self.at)

    def attach(self, path):
        """On another loop device than the last time: after a reboot a disk has another number."""
        spare = None
        if self.loop and sh('losetup', '-f').stdout.strip() == self.loop:
            with open(self.image + '.spare', 'wb') as f:
                f.truncate(1 << 20)
            spare = sh('losetup', '-f', '--show', self.image + '.spare').stdout.strip()
        self.loop = sh('losetup', '-f', '--show', path).stdout.strip()
        if spare:
            sh('losetup', '-d', spare)

    def cut(self):
        """The power goes. Returns when it begins to: what was answered later has never been. `over`: when it was gone for certain."""
        when = time.monotonic()
        fd = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
        finally:
            os.close(fd)
            self.over = time.monotonic()
        return when

    def umount(self):
        gone = until(20, lambda: not in_table(self.at) or sh('umount', self.at, check=False).returncode == 0)
        if not gone:
            raise RuntimeError('%s cannot be unmounted: %s' % (self.at, sh('umount', self.at, check=False).stdout))
        for line in sh('losetup', '-n', '-O', 'NAME,BACK-FILE').stdout.split('\n'):
            if line.split()[1:2] and line.split()[1].startswith(os.path.dirname(self.image) + '/'):
                sh('losetup', '-d', line.split()[0], check=False)

    def settle(self, choose):
        """After cut() and umount(): which sectors of what was not flushed reach the disk; here what the file has is what was kept."""


class Layer(Shutdown):
    """The same on a block device that keeps what was written since the last flush apart."""

    def __init__(self, fs, work):
        super().__init__(fs, work)
        self.below, self.server = work + '/block', None
        self.program = compiled('layer', work, *sh('pkg-config', '--cflags', '--libs', 'fuse3').stdout.split())
        os.makedirs(self.below, exist_ok=True)

    def mount(self):
        self.server = subprocess.Popen([self.program, self.image, self.image + '.pending', self.below])
        if not until(20, lambda: in_table(self.below)):
            raise RuntimeError('the block layer does not come up')
        self.attach(self.below + '/disk')
        sh('mount', '-o', 'noatime', self.loop, self.at)

    def say(self, text):
        with open(self.below + '/ctl', 'w') as f:
            f.write(text)

    def ask(self):
        """flushes since the mount, frozen since (0: not), pieces and bytes not flushed."""
        fd = os.open(self.below + '/ctl', os.O_RDONLY)
        flushes, frozen, pieces, size = os.read(fd, 200).split()
        os.close(fd)
        return int(flushes), float(frozen), int(pieces), int(size)

    def cut(self):
        self.say('cut')
        self.over = self.ask()[1]
        return self.over

    def umount(self):
        super().umount()
        if self.server:
            if not until(20, lambda: sh('umount', self.below, check=False).returncode == 0):
                raise RuntimeError('%s cannot be unmounted' % self.below)
            self.server.wait(20)
            self.server = None

    def pending(self):
        """(offset, bytes) of each write since the last flush before the cut, in order."""
        data, out, at = open(self.image + '.pending', 'rb').read(), [], 0
        while at < len(data):
            off, size = struct.unpack_from('<QQ', data, at)
            out.append((off, data[at + 16:at + 16 + size]))
            at += 16 + size
        return out

    def settle(self, choose):
        self.apply(self.pending(), choose)

    def apply(self, pending, choose):
        """Let those sectors of the unflushed writes reach the disk for which choose(offset) is true."""
        with open(self.image, 'r+b') as f:
            for off, data in pending:
                for s in range(0, len(data), SECTOR):
                    if choose(off + s):
                        f.seek(off + s)
                        f.write(data[s:s + SECTOR])


def spill(top, part, rnd):
    """That part of what is dirty below TOP, page by page and by chance, goes to the disk; the disk is not told to flush."""
    libc = ctypes.CDLL(None, use_errno=True)
    for base, _, files in os.walk(top):
        for name in files:
            path = base + '/' + name
            if not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            fd = os.open(path, os.O_RDONLY)
            pages = range(0, os.fstat(fd).st_size, 4096)
            if part == 1:
                libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), 7)
            for off in pages if 0 < part < 1 and len(pages) < 4096 else []:
                if rnd.random() < part:
                    libc.sync_file_range(fd, ctypes.c_int64(off), ctypes.c_int64(4096), 7)
            os.close(fd)
