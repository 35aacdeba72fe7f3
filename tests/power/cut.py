#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Power cuts: six writers on a mount whose store lies on a filesystem that is shut down under them.

usage: cut.py --byokfs PROGRAM [--fs ext4|xfs] [--rounds N] [--old] [--work DIR] [--seed S] [--plain] [--wrap TYPE]

Each round: a filesystem in a file, on a loop device, with a store on it; writers in new folders (--old: in those of the rounds before);
after a while the shutdown ioctl without flushing the filesystem's journal, so that whatever was not made durable is
gone; both processes killed; everything mounted anew, under another boot id. Then what was acknowledged is looked for, every file opened,
and `byokfs verify` run. --plain: the same on the filesystem itself, the control. Root only.
"""
import argparse
import ctypes
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ('append', 'replace', 'blocks', 'truncate', 'make', 'xattr')
SHUTDOWN = 0x8004587d  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN
NO_LOG_FLUSH = 2


def sh(*cmd, check=True, timeout=120, **kw):
    return subprocess.run(cmd, check=check, timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, **kw)


class Rig:
    def __init__(self, o):
        self.o = o
        self.w = o.work
        self.disk, self.m = self.w + '/disk', self.w + '/m'
        self.store = self.disk + '/store'
        for d in (self.disk, self.m):
            os.makedirs(d, exist_ok=True)
        self.boot = self.w + '/boot_id'

    def new_boot(self):
        with open(self.boot, 'w') as f:
            f.write(str(uuid.uuid4()) + '\n')

    def format(self):
        image = self.w + '/image'
        with open(image, 'wb') as f:
            f.truncate(400 << 20)
        sh('mkfs.' + self.o.fs, *(['-q', '-F'] if self.o.fs == 'ext4' else ['-q', '-f']), image)
        self.mount_disk()
        if not self.o.plain:
            b = self.o.byokfs
            shutil.rmtree(self.w + '/ks', ignore_errors=True)
            sh(b, 'keystore', 'init', self.w + '/ks', '--no-passphrase')
            sh(b, 'keystore', 'create', self.w + '/ks', 'k')
            sh(b, 'init', self.store, '--kms', 'local:' + self.w + '/ks/k', *(['--wrap', self.o.wrap] if self.o.wrap else []))

    def mount_disk(self):
        sh('mount', '-o', 'loop,noatime', self.w + '/image', self.disk)

    def mount(self):
        if self.o.plain:
            return
        r = sh(self.o.byokfs, 'mount', self.store, self.m, check=False)
        if r.returncode:
            raise RuntimeError('mount: ' + r.stdout)

    def pids(self):
        r = sh(self.o.byokfs, 'status', self.m, '--json', check=False).stdout
        return [int(x.split(':')[1].strip(' ,')) for x in r.replace('{', '\n').replace(',', '\n').split('\n')
                if '"worker_pid"' in x or '"supervisor_pid"' in x]

    def cut(self, pids):
        fd = os.open(self.disk, os.O_RDONLY)
        fcntl.ioctl(fd, SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
        os.close(fd)
        for p in pids:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def down(self):
        if not self.o.plain:
            for _ in range(50):
                if not os.path.ismount(self.m) and not in_table(self.m):
                    break
                sh('umount', '-l', self.m, check=False)
                time.sleep(0.1)
        for _ in range(100):
            if sh('umount', self.disk, check=False).returncode == 0 or not in_table(self.disk):
                return
            time.sleep(0.1)
        raise RuntimeError('the disk cannot be unmounted')

    def folder(self):
        return self.disk + '/plain' if self.o.plain else self.m


def in_table(path):
    return any(line.split()[4] == path for line in open('/proc/self/mountinfo'))


def one_round(rig, no, rnd):
    o = rig.o
    d = rig.folder() + ('/old' if o.old else '/n%d' % no)
    rig.new_boot()
    rig.mount()
    logs = {k: '%s/%s.log' % (rig.w, k) for k in KINDS}
    for path in logs.values():
        if os.path.exists(path):
            os.unlink(path)
    os.makedirs(rig.folder(), exist_ok=True)
    procs = [subprocess.Popen([sys.executable, HERE + '/writers.py', 'run', k, d + '/' + k, logs[k], str(rnd.random())],
                              stderr=subprocess.DEVNULL) for k in KINDS]
    pids = [] if o.plain else rig.pids()
    time.sleep(1.2 + 2.5 * rnd.random())
    rig.cut(pids)
    for p in procs:
        p.kill()
        p.wait()
    rig.down()
    rig.mount_disk()
    rig.new_boot()
    bad = []
    try:
        rig.mount()
    except RuntimeError as e:
        return [str(e)], 0
    acks = 0
    for k in KINDS:
        if os.path.exists(logs[k]):
            acks += open(logs[k]).read().count('"ack"')
        r = sh(sys.executable, HERE + '/writers.py', 'check', k, d + '/' + k, logs[k], check=False)
        if r.returncode:
            bad += ['%s: %s' % (k, line) for line in r.stdout.strip().split('\n')]
    for base, _, files in os.walk(rig.folder()):
        for f in files:
            try:
                with open(base + '/' + f, 'rb') as fh:
                    fh.read()
            except OSError as e:
                bad.append('%s/%s cannot be read: %s' % (base, f, e.strerror))
    if not o.plain:
        r = sh(o.byokfs, 'umount', rig.m, check=False)
        if r.returncode:
            bad.append('umount: ' + r.stdout)
        r = sh(o.byokfs, 'verify', rig.store, check=False)
        if r.returncode:
            bad.append('verify: ' + r.stdout[-600:])
    if bad and o.keep:
        shutil.copy(rig.w + '/image', rig.w + '/image.bad%d' % no)
    return bad, acks


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--byokfs', default='byokfs')
    a.add_argument('--fs', default='ext4')
    a.add_argument('--rounds', type=int, default=5)
    a.add_argument('--old', action='store_true')
    a.add_argument('--plain', action='store_true')
    a.add_argument('--wrap')
    a.add_argument('--work', required=True)
    a.add_argument('--seed', default='1')
    a.add_argument('--keep', action='store_true')
    o = a.parse_args()
    os.environ['XDG_STATE_HOME'] = o.work + '/state'
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(b'none', b'/', None, 0x4000 | 0x40000, None):
        sys.exit('cut.py: no mount namespace of its own')
    rig = Rig(o)
    rig.new_boot()
    sh('mount', '--bind', rig.boot, '/proc/sys/kernel/random/boot_id')
    rnd = random.Random(o.seed)
    rig.format()
    good = acks = 0
    for no in range(o.rounds):
        bad, n = one_round(rig, no, rnd)
        acks += n
        good += not bad
        for line in bad:
            print('round %d: %s' % (no, line))
        if bad and not o.old:
            pass
        sys.stdout.flush()
    rig.down()
    print('%s%s: %d of %d rounds good, %d acknowledgements' %
          (o.fs + (' plain' if o.plain else ''), ', old folders' if o.old else ', new folders', good, o.rounds, acks))
    sys.exit(good != o.rounds)


main()
