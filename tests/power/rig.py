# SPDX-License-Identifier: BSD-2-Clause
"""What all rigs of power cuts share: a store on a disk that can be cut off (disk.py), its mount, boot ids, and the tally.

Root only; everything happens in a mount namespace of its own.
"""
import argparse
import atexit
import ctypes
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import uuid

from disk import HERE, MKFS, SECTOR, Layer, Shutdown, compiled, in_table, sh, spill, until  # noqa: F401, the rigs take them from here

# what can be wrong after a cut; a mount that fails counts as unopenable
KINDS = ('lost', 'torn', 'zeros', 'unopenable', 'verify')


def child():
    """A process that goes when this one does: 0 in it, else its pid."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    else:
        CHILDREN.append(pid)
    return pid


def gone(pid):
    """Kill a child, and be sure."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


class Rig:
    """A disk, and unless `plain` a store on it and its mount."""

    def __init__(self, o, plain=False, name=None):
        self.o, self.plain = o, plain
        self.w = '%s/%s' % (o.work, name or ('plain' if plain else 'byokfs'))
        os.makedirs(self.w + '/m', exist_ok=True)
        self.disk = (Layer if o.layer else Shutdown)(o.fs, self.w)
        self.m, self.store = self.w + '/m', self.disk.at + '/store'
        self.env = dict(os.environ, BYOKFS_STATE_DIR=self.w + '/state')
        RIGS.append(self)

    def new_boot(self):
        with open(self.o.work + '/boot_id', 'w') as f:
            f.write(str(uuid.UUID(int=random.getrandbits(128))) + '\n')

    def byokfs(self, *args, **kw):
        kw.setdefault('env', self.env)
        return sh(self.o.byokfs, *args, **kw)

    def format(self):
        """A new disk, mounted; the store on it is not."""
        self.disk.format()
        self.disk.mount()
        if self.plain:
            return
        shutil.rmtree(self.w + '/ks', ignore_errors=True)
        shutil.rmtree(self.w + '/state', ignore_errors=True)
        os.makedirs(self.w + '/state', mode=0o700)
        self.byokfs('keystore', 'init', self.w + '/ks', '--no-passphrase')
        self.byokfs('keystore', 'create', self.w + '/ks', 'k')
        self.byokfs('init', self.store, '--kms', 'local:' + self.w + '/ks/k',
                    *(['--wrap', self.o.wrap] if self.o.wrap else []))

    def keep(self, name):
        """Copy what there is, unmounted, to come back to it by `again`."""
        sh('cp', '--sparse=always', self.disk.image, self.w + '/image.' + name)
        if not self.plain:
            shutil.rmtree(self.w + '/state.' + name, ignore_errors=True)
            shutil.copytree(self.w + '/state', self.w + '/state.' + name)

    def again(self, name):
        sh('cp', '--sparse=always', self.w + '/image.' + name, self.disk.image)
        if not self.plain:
            shutil.rmtree(self.w + '/state', ignore_errors=True)
            shutil.copytree(self.w + '/state.' + name, self.w + '/state')
            os.chmod(self.w + '/state', 0o700)

    def mount(self, **env):
        if self.plain:
            os.makedirs(self.disk.at + '/plain', exist_ok=True)
            return
        self.byokfs('mount', self.store, self.m, env=dict(self.env, **env))

    def folder(self):
        return self.disk.at + '/plain' if self.plain else self.m

    def daemons(self):
        """Every process of the mount, the guard too."""
        out, program = [], os.stat(self.o.byokfs)
        for p in os.listdir('/proc'):
            try:
                if not p.isdigit() or not os.path.samestat(os.stat('/proc/%s/exe' % p), program):
                    continue
                if self.w + '/' in open('/proc/%s/cmdline' % p).read():
                    out.append(int(p))
            except OSError:
                pass  # on its way out
        return out

    def worker(self):
        text = self.byokfs('status', self.m, '--json').stdout
        return int(text.split('"worker_pid":')[1].split(',')[0].split('}')[0])

    def kill(self):
        for p in [] if self.plain else self.daemons():
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def abort(self):
        """Nobody waits for the dead: with the guard killed too, a process may wait for one that waits for it."""
        for line in open('/proc/self/mountinfo'):
            if line.split()[4] == self.m:
                with open('%s/fusectl/%s/abort' % (self.o.work, line.split()[2].split(':')[1]), 'w') as f:
                    f.write('1')

    def cut(self):
        when = self.disk.cut()
        self.kill()
        return when

    def leave(self):
        """What was killed is unmounted."""
        self.kill()
        self.abort()
        if not until(20, lambda: self.plain or not self.daemons()):
            raise RuntimeError('killed, and still there: %s' % self.daemons())
        until(20, lambda: not in_table(self.m) or sh('umount', '-l', self.m, check=False) is None)
        for name in os.listdir(self.m):  # what a writer put there after the cut has never been
            shutil.rmtree(self.m + '/' + name, ignore_errors=True)

    def down(self):
        self.leave()
        self.disk.umount()

    def end(self):
        """Unmount as it should be, look at the whole store. Findings."""
        if self.plain:
            return []
        bad = []
        r = self.byokfs('umount', self.m, check=False)
        if r.returncode:
            bad.append(('verify', 'umount: ' + r.stdout[-300:]))
        until(20, lambda: not self.daemons())
        r = self.byokfs('verify', self.store, check=False)
        if r.returncode:
            damage = ' '.join(x for x in r.stdout.split('\n') if x.startswith('damage: /'))
            bad.append(('verify', 'verify: exit %d: %s' % (r.returncode, damage[:500] or r.stdout[-300:])))
        return bad


def every_file_opens(top):
    bad = []
    for base, _, files in os.walk(top, onerror=lambda e: bad.append(('unopenable', str(e)))):
        for f in files:
            try:
                if stat.S_ISREG(os.lstat(base + '/' + f).st_mode):
                    with open(base + '/' + f, 'rb') as fh:
                        fh.read()
            except OSError as e:
                bad.append(('unopenable', '%s/%s: %s' % (base, f, e.strerror)))
    return bad


class Tally:
    """rounds, acknowledgements, lost, torn, zeros, unopenable, verify: of one program or of the control."""

    def __init__(self, name):
        self.name, self.rounds, self.good, self.acks = name, 0, 0, 0
        self.bad, self.shown = dict.fromkeys(KINDS, 0), False
        TALLIES.append(self)

    def add(self, what, acks, bad):
        self.rounds += 1
        self.acks += acks
        self.good += not bad
        for kind, text in bad:
            self.bad[kind] += 1
            print('%s, %s: %s: %s' % (self.name, what, kind, text), flush=True)

    def show(self):
        self.shown = True
        print('%s: %d rounds, %d good, %d acknowledgements, %s' %
              (self.name, self.rounds, self.good, self.acks, ', '.join('%d %s' % (self.bad[k], k) for k in KINDS)), flush=True)
        return self.rounds > 0 and self.good == self.rounds


RIGS, CHILDREN, TALLIES = [], [], []


def options(doc, **more):
    """The options that all rigs have; MORE: name=default, of its type."""
    a = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--byokfs', required=True, help='the program')
    a.add_argument('--fs', default='ext4', choices=sorted(MKFS))
    a.add_argument('--layer', action='store_true', help='on the block layer: any part of the last writes is lost (btrfs: always)')
    a.add_argument('--wrap', help='wrap type of the store')
    a.add_argument('--work', help='a folder for disks and logs, kept; default: a new one, removed')
    a.add_argument('--seed', default='1')
    for name, value in more.items():
        name = '--' + name.replace('_', '-')
        if isinstance(value, bool):
            a.add_argument(name, action='store_true')
        else:
            a.add_argument(name, type=type(value), default=value)
    o = a.parse_args()
    o.byokfs = os.path.realpath(o.byokfs)
    o.layer = o.layer or o.fs == 'btrfs'
    o.kept = bool(o.work)
    o.work = os.path.realpath(o.work or tempfile.mkdtemp(prefix='power.'))
    os.makedirs(o.work, exist_ok=True)
    begin(o)
    return o


def begin(o):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(b'none', b'/', None, 0x4000 | 0x40000, None):
        sys.exit('no mount namespace of its own')
    os.environ.pop('LD_PRELOAD', None)
    random.seed(o.seed)
    with open(o.work + '/boot_id', 'w') as f:
        f.write(str(uuid.uuid4()) + '\n')
    sh('mount', '--bind', o.work + '/boot_id', '/proc/sys/kernel/random/boot_id')
    os.makedirs('/run/byokfs', mode=0o700, exist_ok=True)
    sh('mount', '-t', 'tmpfs', '-o', 'mode=700', 'none', '/run/byokfs')
    os.makedirs(o.work + '/fusectl', exist_ok=True)
    sh('mount', '-t', 'fusectl', 'none', o.work + '/fusectl')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    atexit.register(end, o, os.getpid())


def end(o, pid):
    """Whatever happened: no process, no mount, no loop device is left."""
    if os.getpid() != pid:
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for tally in TALLIES:
        if not tally.shown:
            tally.show()
    for rig in RIGS:
        try:
            rig.kill()
            rig.abort()
            for p in CHILDREN:
                gone(p)
            rig.down()
        except (RuntimeError, OSError, subprocess.SubprocessError) as e:
            print('left behind: %s' % e, file=sys.stderr)
    sh('umount', o.work + '/fusectl', check=False)
    if not o.kept:
        shutil.rmtree(o.work, ignore_errors=True)
