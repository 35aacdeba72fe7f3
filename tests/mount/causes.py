#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The table of causes and states: each row a store of its own under a KMS that misbehaves (tests/kms/scripted.h).

    causes.py WORKDIR [--rows WORD] [--jobs N]

Rows run side by side, since most of their time is waiting. Prints `ok TEXT`, `FAIL TEXT` and `figure TEXT`, tab behind the
first word, in the order of the table. The program is $BYOKFS; BYOKFS_LONG=1 flaps for a minute. Needs root.
"""
import argparse, errno, json, os, re, signal, subprocess, sys, tempfile, threading, time, traceback, warnings

BYOKFS = os.environ['BYOKFS']
LONG = os.environ.get('BYOKFS_LONG') == '1'
POLL, LEASE, GRACE = 1.0, 3.0, 9.0  # the grace counts from the last good answer, as the lease does
TIMES = f'poll={POLL:.0f}s,lease={LEASE:.0f}s,grace=0'
SLACK = 1.0  # of a machine that does other things too; one that is slower is measured (Rig.slack)
HANG = 60  # seconds after which what has not happened will not happen: no bound of the product
ROW_LIMIT = 300
PAGE = 4096
DATA = os.urandom(32 * PAGE)


def now():
    return time.monotonic()


class Failed(Exception):
    pass


class Rig:
    """A store, its KMS, its mount, and what is seen of its state."""

    def __init__(self, work, name, wrap='store'):
        self.out, self.bad = [], 0
        self.dir = os.path.join(work, re.sub(r'[^a-z0-9]+', '-', name.lower()))
        self.kms, self.store, self.mnt = (os.path.join(self.dir, n) for n in ('kms', 'store', 'mnt'))
        self.name, self.wrap = name, wrap
        self.states, self.seen, self.worst_look, self.stop = [], [], 0, threading.Event()
        self.sampler, self.env = None, None
        for d in (self.dir, self.kms, self.mnt):
            os.mkdir(d)
        self.mode('ok')
        self.must('init', self.store, '--kms', 'fault:' + self.kms, '--wrap', wrap)

    # --- words

    def check(self, good, text):
        self.out.append(('ok' if good else 'FAIL', f'{self.name}: ' + text.replace('\n', ' | ')))
        self.bad += not good
        return good

    def figure(self, text):
        self.out.append(('figure', f'{self.name}: {text}'))

    # --- the program and the KMS

    def run(self, *args, limit=120):
        t0 = now()
        r = subprocess.run([BYOKFS, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=limit, env=self.env)
        return r.returncode, r.stdout, now() - t0

    def must(self, *args):
        rc, text, _ = self.run(*args)
        if rc:
            raise Failed(f'byokfs {args[0]}: exit {rc}: {text.strip()[-300:]}')

    def mode(self, text):
        with open(self.kms + '/mode.new', 'w') as f:
            f.write(text + '\n')
        os.rename(self.kms + '/mode.new', self.kms + '/mode')
        self.mode_at = now()

    def calls(self):
        """(MS, OP, ANSWER) of each call so far."""
        try:
            with open(self.kms + '/calls') as f:
                return [(int(l.split(' ', 2)[0]), l.split(' ', 2)[1], l.split(' ', 2)[2].strip()) for l in f]
        except FileNotFoundError:
            return []

    def mount(self, options=''):
        self.must('mount', self.store, self.mnt, '-o', TIMES + (',' + options if options else ''))

    def umount(self):
        self.unwatch()
        rc, text, _ = self.run('umount', self.mnt)
        return self.check(rc == 0, f'unmounts{"" if rc == 0 else ": " + text.strip()[-200:]}')

    def fill(self, extra=0):
        for n in ('held', 'cached', *(f'x{i}' for i in range(extra))):
            with open(f'{self.mnt}/{n}', 'wb') as f:
                f.write(DATA if n in ('held', 'cached') else b'x' * PAGE)
        os.sync()
        self.hold()

    def hold(self):
        self.held = os.open(self.mnt + '/held', os.O_RDWR)
        self.cached = os.open(self.mnt + '/cached', os.O_RDONLY)
        os.pread(self.cached, len(DATA), 0)

    def let_go(self):
        for fd in (self.held, self.cached):
            try:
                os.close(fd)
            except OSError:
                pass

    def serve(self, options='', extra=0):
        self.mount(options)
        self.fill(extra)
        self.watch()
        time.sleep(0.3)

    # --- bounds in time

    def held_up(self, since):
        """The slowest request of the mount with a good KMS that stands beside all rows, in seconds, from SINCE on."""
        asked, path = now(), os.path.join(os.path.dirname(self.dir), 'control.log')
        while now() < asked + HANG:
            try:
                with open(path) as f:
                    lines = [[float(x) for x in l.split()] for l in f if l.endswith('\n')]
            except FileNotFoundError:
                return 0
            # what it is at now counts too
            if lines and lines[-1][0] >= asked:
                return max((d for t, d in lines if t + d >= since), default=0)
            time.sleep(0.05)
        return 0

    def extra(self, since):
        """What a machine that is slow since SINCE adds to a bound, in seconds."""
        return 3 * self.held_up(since)

    def slack(self, since):
        return max(SLACK, self.extra(since))

    def within(self, t, bound, since):
        """T is there, and at most BOUND and the slack."""
        return t is not None and (t <= bound + SLACK or t <= bound + self.slack(since))

    # --- what is seen

    def state_now(self):
        try:
            return os.getxattr(self.mnt, 'user.byokfs.state').decode()
        except OSError as e:
            return errno.errorcode.get(e.errno, '?')

    def watch(self):
        def look():
            last = None
            while not self.stop.wait(0.01):
                t0 = now()
                s = self.state_now()
                t1 = now()
                self.worst_look = max(self.worst_look, t1 - t0)
                word = re.sub(r': .*', '', s)
                if word != last:
                    self.states.append((t1, word, s))
                    last = word
        self.stop.clear()
        self.watched = now()
        self.sampler = threading.Thread(target=look, daemon=True)
        self.sampler.start()

    def unwatch(self):
        self.stop.set()
        if self.sampler:
            self.sampler.join(5)

    def changes(self, since):
        return [(round(t - since, 2), w) for t, w, _ in list(self.states) if t >= since]

    def until(self, pattern, since, limit):
        """Seconds from SINCE to the first state that matches; None."""
        while now() < since + limit:
            for t, w, _ in list(self.states):
                if t >= since and re.match(pattern, w):
                    return t - since
            time.sleep(0.01)
        return None

    def status(self):
        rc, text, _ = self.run('status', self.mnt, '--json')
        try:
            return json.loads(text)
        except ValueError:
            return {}

    def read(self, page=3):
        """The errno of an uncached read on the old handle, 0 for the right data."""
        try:
            os.posix_fadvise(self.held, 0, 0, os.POSIX_FADV_DONTNEED)
            got = os.pread(self.held, PAGE, page * PAGE)
        except OSError as e:
            return errno.errorcode.get(e.errno, '?')
        return 0 if got == DATA[page * PAGE:(page + 1) * PAGE] else 'wrong data'

    def read_cached(self):
        try:
            got = os.pread(self.cached, PAGE, PAGE)
        except OSError as e:
            return errno.errorcode.get(e.errno, '?')
        return 0 if got == DATA[PAGE:2 * PAGE] else 'wrong data'

    def check_locked(self, why):
        """Everything is refused, by EACCES."""
        odd = []
        for what, f in (('read', self.read), ('cached read', self.read_cached),
                        ('write', lambda: os.pwrite(self.held, b'w', 0)), ('list', lambda: os.listdir(self.mnt)),
                        ('open', lambda: os.close(os.open(self.mnt + '/held', os.O_RDONLY)))):
            try:
                r = f()
            except OSError as e:
                r = errno.errorcode.get(e.errno, '?')
            if r != 'EACCES':
                odd.append(f'{what}: {r}')
        self.check(not odd, f'everything is refused{"" if not odd else " - but " + ", ".join(odd)} ({why})')
        s = self.status()
        self.check(s.get('keys_in_memory') == 0, f'status: no key in memory ({s.get("keys_in_memory")})')

    def comes_back(self, limit=POLL):
        self.mode('ok')
        t0 = self.mode_at
        t = self.until('active', t0, HANG)
        self.check(self.within(t, limit, t0), f'back by itself within {limit:.1f} s of the KMS ({t and round(t, 2)})')
        r = self.read()
        self.check(r == 0, f'the same open handle reads again ({r})')
        return t or 0


def prompt(rig, since):
    """
    What counts as prompt: 200 ms, or three times what a mount with a good KMS takes for the same requests at the same time,
    on a machine that is so busy.
    """
    return max(0.2, rig.extra(since))


def control(make, work):
    """A mount with a good KMS beside all rows, asked the same all the while: `BEGAN SECONDS` a line, into control.log."""
    r = make(work, 'control')
    r.serve()
    over = []
    signal.signal(signal.SIGTERM, lambda *_: over.append(1))
    traffic, told = Traffic(r), 0
    with open(os.path.join(work, 'control.log'), 'w') as f:
        while not over:
            time.sleep(0.1)
            new = traffic.done[told:]
            told += len(new)
            for t, d, e in new:
                f.write(f'{t} {d}\n')
            f.flush()
    traffic.end()
    r.let_go()
    r.umount()


class Traffic:
    """Looks a name up and reads on an open handle every 50 ms; how long each took, what it said."""

    def __init__(self, rig):
        self.rig, self.done, self.stop = rig, [], threading.Event()
        self.threads = [threading.Thread(target=self.loop, args=(f,), daemon=True)
                        for f in (self.look_up, self.read_once)]
        for t in self.threads:
            t.start()

    def look_up(self, n):
        try:
            os.stat(f'{self.rig.mnt}/none{n}')
        except FileNotFoundError:
            return 0
        except OSError as e:
            return errno.errorcode.get(e.errno, '?')
        return 'exists'

    def read_once(self, n):
        return self.rig.read(n % 30)

    def loop(self, f):
        n = 0
        while not self.stop.wait(0.05):
            t0 = now()
            r = f(n)
            self.done.append((t0, now() - t0, r))
            n += 1

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(15)

    def judge(self, served_from, served_to):
        """Between the two all must be served, outside of it EACCES is right too; none may be slow."""
        r = self.rig
        worst = max((d for _, d, _ in self.done), default=99)
        bound = prompt(r, served_from)
        r.check(len(self.done) > 20 and worst < bound,
                f'unrelated requests never wait: worst of {len(self.done)} {worst * 1000:.0f} ms, bound {bound * 1000:.0f} ms')
        odd = sorted({str(e) for t, d, e in self.done if e and (e != 'EACCES' or served_from <= t and t + d < served_to)})
        r.check(not odd, f'all served while it should be{"" if not odd else ": " + ", ".join(odd)}')
        bound = max(bound, prompt(r, r.watched))
        r.check(r.worst_look < bound, f'the state is told at any time: {r.worst_look * 1000:.0f} ms at worst, bound {bound * 1000:.0f} ms')
        return worst


# --- rows: each takes a rig that has a store and no mount yet

def locks(mode, cause, lo, hi, options='', back=POLL):
    """MODE leads to LOCKED of CAUSE, between LO and HI seconds after it began."""
    def row(r):
        r.serve(options)
        r.mode(mode)
        t0 = r.mode_at
        t = r.until(r'locked', t0, HANG)
        last = r.changes(t0)[-1:] or [(0, r.state_now())]
        r.check(r.within(t, hi, t0) and lo - 0.1 <= t and last[0][1] == f'locked ({cause})',
                f'locked ({cause}) after {lo:.1f} to {hi:.1f} s: {r.changes(t0)}')
        r.check_locked(mode)
        b = r.comes_back(back)
        r.figure(f'locked ({cause}) after {t or -1:.2f} s, back after {b:.2f} s')
        r.let_go()
        r.umount()
    return row


def refused(mode):
    return locks(mode, 'revoked', 0, POLL)


def silent(mode):
    # the last good answer was up to one poll old
    return locks(mode, 'outage', LEASE - POLL, LEASE)


def stays(mode, options='', seconds=6.0):
    def row(r):
        r.serve(options)
        r.mode(mode)
        # a machine that holds up everybody for as long as the lease leaves is asked again
        for _ in range(3):
            t0 = now()
            time.sleep(seconds)
            bad = [c for c in r.changes(t0) if c[1] != 'active']
            if not bad or r.held_up(t0) < 0.5:
                break
            r.until('active', t0, HANG)
        r.check(not bad and r.read() == 0, f'stays active for {seconds:.0f} s: {r.changes(t0)}')
        r.let_go()
        r.umount()
    return row


def hang(wrap):
    """Silence of the worst kind, under traffic; grace 0."""
    def row(r):
        r.serve()
        traffic = Traffic(r)
        r.mode('hang')
        t0 = r.mode_at
        t = r.until('locked', t0, HANG)
        time.sleep(0.5)
        traffic.end()
        r.check(r.within(t, LEASE, t0) and LEASE - POLL - 0.1 <= t, f'locked when the lease ends: {r.changes(t0)}')
        worst = traffic.judge(t0, t0 + LEASE - POLL)
        r.check_locked('hang')
        b = r.comes_back(2.5)
        r.figure(f'locked (outage) after {t or -1:.2f} s; slowest unrelated request {worst * 1000:.0f} ms; back after {b:.2f} s')
        r.let_go()
        r.umount()
    return row


def grace(mode):
    def row(r):
        r.serve(f'grace={GRACE:.0f}s')
        traffic = Traffic(r)
        r.mode(mode)
        t0 = r.mode_at
        g = r.until('grace', t0, LEASE + GRACE)
        s = r.status()
        r.check(g is not None and (g <= LEASE or g <= LEASE + r.extra(t0)), f'grace begins before the lease ends: {r.changes(t0)}')
        left = s.get('grace_left_s', -1)
        r.check(s.get('state') == 'grace' and (GRACE - LEASE <= left or GRACE - LEASE - r.extra(t0) <= left) and left <= GRACE - LEASE + POLL + 1, f'status tells the grace that is left ({left})')
        t = r.until('locked', t0, HANG)
        time.sleep(0.3)
        traffic.end()
        deadline = GRACE
        r.check(r.within(t, deadline, t0) and deadline - POLL - 0.1 <= t,
                f'locked at the deadline, {deadline - POLL:.0f} to {deadline:.0f} s after the silence began: {r.changes(t0)}')
        r.check(r.changes(t0)[-1:] and r.changes(t0)[-1][1] == 'locked (outage)', 'the cause is outage')
        worst = traffic.judge(t0, t0 + deadline - POLL)
        r.check_locked(mode)
        b = r.comes_back(2.5)
        r.figure(f'grace after {g or -1:.2f} s, locked (outage) after {t or -1:.2f} s; slowest unrelated request '
                 f'{worst * 1000:.0f} ms; back after {b:.2f} s')
        r.let_go()
        r.umount()
    return row


def grace_then(mode, want, limit):
    def row(r):
        r.serve(f'grace={GRACE:.0f}s')
        r.mode('down')
        g = r.until('grace', r.mode_at, LEASE + GRACE)
        time.sleep(1.2)
        r.check(g is not None and r.read() == 0, 'served in grace')
        r.mode(mode)
        t = r.until(want, r.mode_at, HANG)
        r.check(r.within(t, limit, r.mode_at), f'{want} within {limit:.1f} s: {r.changes(r.mode_at)}')
        r.figure(f'{want} {t or -1:.2f} s after the first answer'.replace('\\', ''))
        if want != 'active':
            r.check_locked(mode)
            r.comes_back()
        r.let_go()
        r.umount()
    return row


def confirmed(calls):
    """How often the answers entitle the gate to change: each yes and each no counts when it is repeated."""
    changes, locked, last = 0, False, None
    for _, op, answer in calls:
        if op != 'unwrap:keyring' or answer == 'transient cancelled':
            continue
        no = answer.startswith('revoked')
        if no == last and no != locked:
            locked, changes = no, changes + 1
        last = no
    return changes


def flap(ms):
    def row(r):
        seconds = 60 if LONG else 12
        r.serve()
        skip = len(r.calls())
        r.mode(f'flap {ms}')
        t0 = r.mode_at
        time.sleep(seconds)
        r.mode('ok')
        # the last no may still be confirmed
        time.sleep(POLL + SLACK)
        end = now() + HANG
        while r.state_now() != 'active' and now() < end:
            time.sleep(0.05)
        words = [w for _, w in r.changes(t0) if w in ('active', 'locked (revoked)')]
        odd = [w for _, w in r.changes(t0) if w not in ('active', 'locked (revoked)', 'locking (revoked)', 'returning')]
        allowed = confirmed(r.calls()[skip:])
        r.check(not odd, f'no other states: {odd}')
        r.check(len(words) <= allowed, f'{len(words)} changes of state, {allowed} confirmed changes of the KMS in {seconds} s')
        if ms == 0:
            r.check(not words, 'a refusal that is not confirmed changes nothing')
        r.check(r.state_now() == 'active' and r.read() == 0, f'active in the end, on the same handle ({r.state_now()})')
        r.figure(f'{len(words)} changes of state in {seconds} s, {allowed} confirmed changes of the KMS')
        r.let_go()
        r.umount()
    return row


def die(r):
    r.serve()
    os.pread(r.cached, len(DATA), 0)
    r.mode('die')
    t0 = r.mode_at
    t = None
    while now() < t0 + HANG and t is None:
        if r.read_cached() != 0:
            t = now() - t0
        time.sleep(0.005)
    r.check(r.within(t, POLL, t0), f'a provider that aborts takes the cached pages with it ({t and round(t, 2)})')
    odd = [x for x in (r.read(), r.read_cached()) if x not in ('EACCES', 'ENOTCONN', 'EIO')]
    r.check(not odd, f'nothing is served afterwards {odd}')
    r.let_go()
    r.mode('ok')
    r.unwatch()
    r.run('umount', r.mnt)
    r.mount()
    r.hold()
    r.check(r.read() == 0, 'a new mount serves')
    r.figure(f'nothing readable after {t or -1:.2f} s')
    r.let_go()
    r.umount()


def open_errno(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return 0
    except OSError as e:
        return errno.errorcode.get(e.errno, '?')


def hang_files(r):
    """Wrap type `file`, and the KMS hangs for files' keys: whoever needs no new key goes on."""
    r.mount()
    r.fill(20)
    r.let_go()
    r.umount()
    r.mount('lease=20s')
    r.hold()
    r.watch()
    time.sleep(0.3)
    r.mode('hang-file')
    t0 = r.mode_at
    ends = []
    waiting = [threading.Thread(target=lambda i=i: ends.append((open_errno(f'{r.mnt}/x{i}'), now())), daemon=True)
               for i in range(20)]
    for t in waiting:
        t.start()
    time.sleep(0.2)
    traffic = Traffic(r)
    slow = {}
    for _ in range(10):
        for what, f in (('open of a file whose key is in memory', lambda: os.close(os.open(r.mnt + '/held', os.O_RDONLY))),
                        ('write and fsync', lambda: (os.pwrite(r.held, b'y', 31 * PAGE), os.fsync(r.held))),
                        ('listing', lambda: os.listdir(r.mnt)),
                        ('truncate, open file', lambda: os.ftruncate(r.held, 32 * PAGE)),
                        ('rename', lambda: os.rename(r.mnt + '/held', r.mnt + '/held'))):
            t1 = now()
            f()
            slow[what] = max(slow.get(what, 0), now() - t1)
        time.sleep(0.12)
    traffic.end()
    bound = prompt(r, t0)
    late = [f'{what} {s * 1000:.0f} ms' for what, s in slow.items() if s >= bound]
    r.check(not late, f'what needs no new key goes on: {late or "all prompt"} (bound {bound * 1000:.0f} ms)')
    worst = traffic.judge(t0, now())
    r.check(not ends, f'the opens wait ({len(ends)} ended)')
    r.check(not [c for c in r.changes(t0) if c[1] != 'active'], f'files that wait do not lock the mount: {r.changes(t0)}')
    waits = len([c for c in r.calls() if c[1] == 'unwrap:file' and c[2] == 'waits'])
    r.mode('refuse')
    t1 = r.mode_at
    t = r.until('locked', t1, HANG)
    for w in waiting:
        w.join(max(0.1, t1 + HANG - now()))
    freed = max((e[1] for e in ends), default=t1 + 99) - t1
    r.check(r.within(t, POLL, t1), f'a revocation meanwhile locks within the bound: {r.changes(t1)}')
    r.check(len(ends) == 20 and r.within(freed, POLL, t1), f'and frees all that wait: {len(ends)} of 20, the last after {freed:.2f} s')
    r.check({e[0] for e in ends} <= {'EACCES'}, f'they get EACCES: {sorted({str(e[0]) for e in ends})}')
    r.check_locked('hang-file, refuse')
    r.comes_back()
    r.figure(f'{waits} unwraps waiting; slowest other request {max([worst, *slow.values()]) * 1000:.0f} ms; '
             f'revoked: locked after {t or -1:.2f} s, waiting opens freed after {freed:.2f} s')
    r.let_go()
    r.umount()


def in_call(pid):
    """It has begun its program, and waits in a system call that is not one of the loader's."""
    try:
        with open(f'/proc/{pid}/wchan') as f:
            return f.read() not in ('', '0') and os.readlink(f'/proc/{pid}/exe').endswith('/head')
    except OSError:
        return True


def hundred_opens(r):
    """100 opens hang in the KMS; the key is refused (by the same KMS, which hangs for files only)."""
    r.mount()
    r.fill(100)
    r.let_go()
    r.umount()
    r.mount('lease=20s')
    r.hold()
    r.watch()
    time.sleep(0.3)
    r.mode('hang-file')
    openers = [subprocess.Popen(['head', '-c', '1', f'{r.mnt}/x{i}'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for i in range(100)]
    time.sleep(1.0)
    # each is inside open(2) now
    end = now() + HANG
    while now() < end and any(p.poll() is None and not in_call(p.pid) for p in openers):
        time.sleep(0.05)
    running = sum(p.poll() is None for p in openers)
    waits = len([c for c in r.calls() if c[1] == 'unwrap:file' and c[2] == 'waits'])
    r.check(running == 100, f'{running} of 100 opens wait')
    r.mode('refuse')
    t1 = r.mode_at
    t = r.until('locked', t1, HANG)
    end = t1 + HANG
    while now() < end and any(p.poll() is None for p in openers):
        time.sleep(0.01)
    freed = now() - t1
    left = [p for p in openers if p.poll() is None]
    r.check(r.within(t, POLL, t1), f'locked within the bound, not after the timeout: {r.changes(t1)}')
    r.check(not left and r.within(freed, POLL + SLACK, t1), f'no opener is left hanging: {len(left)}, the last ended after {freed:.2f} s')
    for p in left:
        p.kill()
    texts = [p.communicate()[1].decode() for p in openers]
    r.check(all('Permission denied' in x for x in texts), f'each was told: {sorted(set(x[-60:] for x in texts))[:3]}')
    r.check_locked('refuse')
    b = r.comes_back()
    r.check(open_errno(r.mnt + '/x7') == 0, 'the files open again')
    r.figure(f'{running} opens waiting ({waits} in the KMS); locked after {t or -1:.2f} s, all freed after {freed:.2f} s, '
             f'back after {b:.2f} s')
    r.let_go()
    r.umount()


def refuse_files(r):
    """Single key versions are refused while the keyring's is not: that file, not the mount."""
    r.serve(extra=2)
    r.mode('refuse-file')
    t0 = r.mode_at
    t = None
    while now() < t0 + HANG and t is None:
        if r.read() == 'EACCES' and r.read_cached() == 'EACCES':
            t = now() - t0
        time.sleep(0.01)
    r.check(r.within(t, POLL, t0), f'open files of a refused version are closed to all ({t and round(t, 2)})')
    r.check(not [c for c in r.changes(t0) if c[1] != 'active'], f'the mount stays: {r.changes(t0)}')
    try:
        names = sorted(os.listdir(r.mnt))
    except OSError as e:
        names = [errno.errorcode.get(e.errno)]
    r.check(names == ['cached', 'held', 'x0', 'x1'], f'names are still there ({names})')
    r.mode('ok')
    t1 = r.mode_at
    b = None
    while now() < t1 + HANG and b is None:
        if r.read() == 0 and r.read_cached() == 0:
            b = now() - t1
        time.sleep(0.01)
    r.check(r.within(b, POLL, t1), f'back on the same handle ({b and round(b, 2)})')
    r.figure(f'files refused after {t or -1:.2f} s, back after {b or -1:.2f} s, the mount stays')
    r.let_go()
    r.umount()


# --- mounting

def mount_fails(mode, code, words, limit, *more):
    def row(r):
        r.mode(mode)
        t0 = now()
        rc, text, took = r.run('mount', r.store, r.mnt, '-o', TIMES, *more)
        last = text.strip().splitlines()[-1] if text.strip() else ''
        r.check(rc == code, f'mount exits with {code} ({rc}: {last})')
        r.check(re.search(words, last) is not None, f'and says why: {last}')
        r.check(took <= limit or took <= limit + r.extra(t0), f'within {limit:.1f} s ({took:.2f})')
        r.check(not os.path.ismount(r.mnt), 'nothing is mounted')
        r.figure(f'exit {rc} after {took:.2f} s: {last}')
    return row


def wait_returns(mode):
    def row(r):
        r.mode(mode)
        t0 = now()
        threading.Timer(3.0, lambda: r.mode('ok')).start()
        rc, text, took = r.run('mount', r.store, r.mnt, '-o', TIMES, '--wait')
        r.check(rc == 0 and os.path.ismount(r.mnt), f'mount --wait waits and mounts ({rc}: {text.strip()[-200:]})')
        # the call under way when the KMS came back may still be silent, then comes the pause between two tries
        r.check(2.9 <= took and r.within(took, 3 + 8, t0), f'when the KMS answers ({took:.2f} s, it was silent for 3)')
        r.figure(f'mounted {took - 3:.2f} s after the KMS came back')
        if rc == 0:
            r.umount()
    return row


def restart_in_outage(r):
    """Grace is the worker's memory and dies with it."""
    r.serve(f'grace={GRACE:.0f}s')
    r.mode('down')
    g = r.until('grace', r.mode_at, LEASE + GRACE)
    r.check(g is not None and r.read() == 0, 'served in grace')
    r.let_go()
    r.umount()
    rc, text, took = r.run('mount', r.store, r.mnt, '-o', f'{TIMES},grace={GRACE:.0f}s')
    r.check(rc == 4, f'a restart in the middle of an outage gets no grace (exit {rc} after {took:.1f} s: {text.strip()[-120:]})')
    r.mode('ok')
    r.mount()
    r.umount()


def restore_manual(r):
    r.serve('restore=manual')
    r.mode('refuse')
    r.check(r.within(r.until('locked', r.mode_at, HANG), POLL, r.mode_at), f'locked: {r.changes(r.mode_at)}')
    r.mode('ok')
    time.sleep(3 * POLL)
    r.check(not [c for c in r.changes(r.mode_at) if c[1] != 'locked (revoked)'] and r.read() == 'EACCES',
            f'stays locked although the KMS gives the key: {r.changes(r.mode_at)} {r.read()}')
    t0 = now()
    rc, text, took = r.run('unlock', r.mnt)
    r.check(rc == 0, f'byokfs unlock ({rc}: {text.strip()[-120:]})')
    r.check(r.read() == 0, f'the same handle reads again ({r.read()})')
    r.figure(f'unlock took {took:.2f} s')
    r.let_go()
    r.umount()


ROWS = [
    # name, wrap type, row
    ('refuse', 'store', refused('refuse')),
    ('refuse, per file', 'file', refused('refuse')),
    ('garbage', 'store', refused('garbage')),
    ('wrong key', 'store', refused('wrongkey')),
    ('corrupt', 'store', refused('corrupt')),
    ('corrupt, per file', 'file', refused('corrupt')),
    ('expired', 'store', refused('expired')),
    ('refused version of files', 'file', refuse_files),
    ('down', 'store', silent('down')),
    ('stranger', 'store', silent('stranger')),
    ('throttled', 'store', silent('throttled')),
    ('auth', 'store', silent('auth')),
    ('misconfigured', 'store', silent('misconfigured')),
    ('down, per file', 'file', silent('down')),
    ('hang', 'store', hang('store')),
    ('hang, per file', 'file', hang('file')),
    ('slow 300 ms', 'store', stays('slow 300')),
    ('slow 1000 ms', 'store', stays('slow 1000')),
    ('slow 1000 ms, per file', 'file', stays('slow 1000')),
    ('slow 1000 ms, grace', 'store', stays('slow 1000', f'grace={GRACE:.0f}s')),
    ('hang, grace', 'store', grace('hang')),
    ('hang, grace, per file', 'file', grace('hang')),
    ('down, grace', 'store', grace('down')),
    ('stranger, grace', 'store', grace('stranger')),
    ('auth, grace', 'store', grace('auth')),
    ('refuse in grace', 'store', grace_then('refuse', r'locked \(revoked\)', POLL)),
    ('back in grace', 'store', grace_then('ok', 'active', POLL)),
    ('flap 700 ms', 'store', flap(700)),
    ('flap 1500 ms', 'file', flap(1500)),
    ('flap each call', 'store', flap(0)),
    ('provider dies', 'store', die),
    ('files hang', 'file', hang_files),
    ('100 opens hang', 'file', hundred_opens),
    ('mount, refuse', 'store', mount_fails('refuse', 3, 'disabled', 2)),
    ('mount, hang', 'store', mount_fails('hang', 4, 'did not answer', 11)),
    ('mount, down', 'store', mount_fails('down', 4, 'nobody listens', 2)),
    ('mount, corrupt', 'store', mount_fails('corrupt', 5, 'did not wrap', 2)),
    ('mount --wait, refuse', 'store', mount_fails('refuse', 3, 'disabled', 2, '--wait')),
    ('mount --wait, down', 'store', wait_returns('down')),
    ('mount --wait, hang', 'store', wait_returns('hang')),
    ('restart in grace', 'store', restart_in_outage),
    ('restore=manual', 'store', restore_manual),
]


def run_row(make, work, row, out):
    name, wrap, act = row
    r = None

    def too_long(*_):
        raise Failed('the row takes too long')

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(ROW_LIMIT)
    try:
        r = make(work, name, wrap)
        act(r)
    except Exception as e:  # a row that breaks is a row that failed
        if r is None:
            out.write(f'FAIL\t{name}: {e}\n')
        else:
            last = traceback.extract_tb(e.__traceback__)[-1]
            r.check(False, f'broke at line {last.lineno}: {e!r}')
    signal.alarm(0)
    if r:
        r.stop.set()
        for kind, text in r.out:
            out.write(f'{kind}\t{text}\n')
        if os.path.ismount(r.mnt):
            subprocess.run([BYOKFS, 'umount', r.mnt], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)
    out.flush()


def main(table, make=Rig):
    p = argparse.ArgumentParser()
    p.add_argument('work')
    p.add_argument('--rows', default='')
    p.add_argument('--jobs', type=int, default=8)
    o = p.parse_args()
    # of Python 3.12 and later, about fork(2) beside threads: what is forked here runs no other code of theirs
    warnings.filterwarnings('ignore', category=DeprecationWarning)
    rows = [r for r in table if re.search(o.rows, r[0])]
    running = {}
    aside = os.fork()
    if aside == 0:
        try:
            control(make, o.work)
        finally:
            os._exit(0)
    # the longest first, printed in the order of the table all the same
    order = sorted(range(len(rows)), key=lambda i: not re.search('grace|flap|hang', rows[i][0]))
    files = [tempfile.TemporaryFile('w+') for _ in rows]
    for i in order:
        if len(running) == o.jobs:
            running.pop(os.wait()[0], None)
        pid = os.fork()
        if pid == 0:
            try:
                run_row(make, o.work, rows[i], files[i])
            finally:
                os._exit(0)
        running[pid] = i
    while running:
        running.pop(os.wait()[0], None)
    try:
        os.kill(aside, signal.SIGTERM)
        os.waitpid(aside, 0)
    except (ProcessLookupError, ChildProcessError):
        print('FAIL\tcontrol: the mount beside the rows ended early')
    for f, row in zip(files, rows):
        f.seek(0)
        text = f.read()
        sys.stdout.write(text or f'FAIL\t{row[0]}: the row said nothing\n')


if __name__ == '__main__':
    main(ROWS)
