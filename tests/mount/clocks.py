#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a suspend, a wall clock that is set, and a stopped daemon do to a mount. Usage and output as causes.py.

$CLOCKSHIM is the library that shows the daemon its clocks (clockshim.c). The mount's KMS is tests/kms/scripted.h.
"""
import errno, mmap, os, re, signal, struct, sys, threading, time

sys.dont_write_bytecode = True
from causes import DATA, HANG, PAGE, Rig, main, now

HOUR, DAY = 3600, 86400
LOCK_TIME = 3.0  # after a suspend pages are gone within the lock time


class ClockRig(Rig):
    def __init__(self, work, name, wrap='store'):
        self.clock = None
        super().__init__(work, name, wrap)
        self.clock = os.open(self.dir + '/clock', os.O_RDWR | os.O_CREAT, 0o600)
        self.set_clock()
        self.env = dict(os.environ, LD_PRELOAD=os.environ['CLOCKSHIM'], BYOKFS_TEST_CLOCK=self.dir + '/clock')

    def set_clock(self, boot=0, real=0):
        os.pwrite(self.clock, struct.pack('qq', boot, real), 0)

    def begin(self, options):
        self.mount(options)
        self.fill()
        self.direct = os.open(self.mnt + '/held', os.O_RDONLY | os.O_DIRECT)
        self.watch()
        time.sleep(1.2)  # a poll at least

    def let_go(self):
        super().let_go()
        try:
            os.close(self.direct)
        except OSError:
            pass

    def ask(self):
        """The errno of a read that no cache answers, 0 for the right data."""
        try:
            got = os.pread(self.direct, PAGE, 5 * PAGE)
        except OSError as e:
            return errno.errorcode.get(e.errno, '?')
        return 0 if got == DATA[5 * PAGE:6 * PAGE] else 'wrong data'

    def unwraps_from(self, wall):
        """When the first good answer to a question asked after WALL came; the log's line is written at the answer."""
        good = [ms / 1000 for ms, op, answer in self.calls() if op == 'unwrap:keyring' and answer == 'ok' and ms / 1000 >= wall]
        return min(good) if good else None

    def in_time(self, t, since):
        """T is at most the lock time, and what a slow machine adds."""
        return t is not None and (t <= LOCK_TIME or t <= LOCK_TIME + self.extra(since))

    def becomes(self, pattern):
        """The state matches, after a while on a slow machine."""
        end = now() + HANG
        while now() < end and not re.match(pattern, self.state_now()):
            time.sleep(0.05)
        return re.match(pattern, self.state_now()) is not None

    def worker(self):
        s = self.status()
        return s.get('worker_pid') or s['pid']


class Readers:
    """One asks the daemon for a page all the while, one reads a cached page, one a mapped one: (began, ended, result)."""

    def __init__(self, rig):
        self.rig, self.stop = rig, threading.Event()
        self.asked, self.cached = [], []
        self.map_child(rig)
        self.threads = [threading.Thread(target=self.loop, args=a, daemon=True)
                        for a in ((rig.ask, self.asked), (rig.read_cached, self.cached))]
        for t in self.threads:
            t.start()

    def loop(self, f, out):
        while not self.stop.wait(0.004):
            t0 = time.time()
            r = f()
            out.append((t0, time.time(), r))

    def map_child(self, rig):
        """A process that loads from a mapping until it gets SIGBUS; the time of its last load is in shared memory."""
        self.last_load = mmap.mmap(-1, PAGE)
        self.child = os.fork()
        if self.child == 0:
            try:
                m = mmap.mmap(rig.cached, len(DATA), mmap.MAP_SHARED, mmap.PROT_READ)
                while True:
                    if m[PAGE] == DATA[PAGE]:
                        self.last_load[0:8] = struct.pack('d', time.time())
                    time.sleep(0.002)
            finally:
                os._exit(0)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(10)
        try:
            os.kill(self.child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.child, 0)

    def data_after(self, wall, limit=None):
        """Requests begun after WALL and answered with data (before LIMIT)."""
        return [(t0, t1) for t0, t1, r in list(self.asked) if t0 > wall and r == 0 and (limit is None or t1 < limit)]

    def last_cached(self, wall, limit=None):
        """Seconds after WALL until the last cached page was seen (before LIMIT), by read and by load."""
        reads = [t1 - wall for t0, t1, r in list(self.cached) if r == 0 and t1 > wall and (limit is None or t1 < limit)]
        load = struct.unpack('d', self.last_load[0:8])[0] - wall
        return max(reads, default=0), max(load, 0)

    def odd(self, wall, allowed):
        return sorted({str(r) for t0, t1, r in self.asked + self.cached if t1 > wall and r and r not in allowed})


def suspend_silent(mode, cause, final):
    """A suspend of an hour, and afterwards a KMS that says nothing good."""
    def row(r):
        r.begin('lease=15s')
        readers = Readers(r)
        time.sleep(0.3)
        r.mode(mode)
        t0 = now()
        r.set_clock(boot=HOUR)
        wall = time.time()
        t = r.until('locked', t0, HANG)
        time.sleep(final)
        readers.end()
        data = readers.data_after(wall)
        r.check(len(readers.asked) > 50 and not data, f'no request is answered with data after the resume ({len(data)} were)')
        seen = readers.last_cached(wall)
        r.check(r.in_time(max(seen), t0), f'cached pages are gone within {LOCK_TIME:.0f} s (read {seen[0]:.2f}, mapped {seen[1]:.2f})')
        word = (r.changes(t0)[-1:] or [(0, '')])[0][1]
        r.check(r.in_time(t, t0) and word == f'locked ({cause})', f'locked ({cause}): {r.changes(t0)}')
        r.check(not readers.odd(wall, ['EACCES']), f'refused by EACCES only: {readers.odd(wall, ["EACCES"])}')
        r.check_locked(mode)
        b = r.comes_back(LOCK_TIME + 7)
        r.figure(f'first refusal at once, cached pages until {seen[0]:.2f} s (mapped {seen[1]:.2f}), locked after {t or -1:.2f} s, '
                 f'back {b:.2f} s after the KMS')
        r.let_go()
        r.umount()
    return row


def jump_good(jump):
    """The clock of the lease jumps, and the KMS is well: closed at once, open again after a new unwrap."""
    def row(r):
        r.begin('lease=15s')
        readers = Readers(r)
        time.sleep(0.3)
        t0 = now()
        r.set_clock(boot=jump)
        wall = time.time()
        time.sleep(LOCK_TIME + 1)
        end = now() + HANG
        while now() < end and not readers.data_after(wall):
            time.sleep(0.1)
        readers.end()
        first = r.unwraps_from(wall)
        early = readers.data_after(wall, first)
        back = [t1 for _, t1 in readers.data_after(wall)]
        r.check(first is not None and not early, f'no data before a new unwrap ({len(early)} were)')
        r.check(back and r.in_time(min(back) - wall, t0), f'serves again by itself: {r.changes(t0)}')
        r.check(not readers.odd(wall, ['EACCES']), f'refused by EACCES only: {readers.odd(wall, ["EACCES"])}')
        r.check(r.becomes('active') and r.read() == 0, 'active, the same handle reads')
        r.figure(f'new unwrap after {(first or 0) - wall:.2f} s, first data after {min(back, default=0) - wall:.2f} s: {r.changes(t0)}')
        r.let_go()
        r.umount()
    return row


def wall_clock(r):
    r.begin('lease=3s')
    readers = Readers(r)
    for jump in (HOUR, -HOUR, DAY, -DAY):
        wall, t0 = time.time(), now()
        r.set_clock(real=jump)
        lefts = []
        while now() < t0 + 3.5:  # a lease and more
            s = r.status()
            lefts.append(s.get('lease_left_s', -1))
            time.sleep(0.2)
        seen = s.get('last_good', 0) - time.time()
        r.check(abs(seen - jump) < 5, f'the daemon sees that clock ({seen:+.0f} s)')
        r.check(not r.changes(t0), f'nothing changes at {jump:+d} s: {r.changes(t0)}')
        r.check((1 <= min(lefts) or 1 - r.extra(t0) <= min(lefts)) and max(lefts) <= 3, f'the lease runs as before at {jump:+d} s: {min(lefts)} to {max(lefts)} s left')
        r.check(not readers.odd(wall, []), f'all is served at {jump:+d} s: {readers.odd(wall, [])}')
    readers.end()
    r.figure(f'wall clock by an hour and a day, forwards and back: 0 changes, {len(readers.asked)} reads served')
    r.let_go()
    r.umount()


def grace_and_clocks(r):
    """The deadline of grace is fixed at its entry: the wall clock does not move it, a suspend counts."""
    r.begin('lease=3s,grace=60s')
    r.mode('down')
    g = r.until('grace', r.mode_at, HANG)
    readers = Readers(r)
    t0 = now()
    for jump in (DAY, -DAY):
        r.set_clock(real=jump)
        time.sleep(1)
        s = r.status()
        r.check(s.get('state') == 'grace' and 51 - r.extra(t0) <= s.get('grace_left_s', 0) <= 58,
                f'grace runs as before at {jump:+d} s: {s.get("state")}, {s.get("grace_left_s")} s left')
    r.check(g is not None and not r.changes(t0) and not readers.odd(time.time() - 2, []), f'all is served: {r.changes(t0)}')
    t1 = now()
    r.set_clock(boot=HOUR)
    wall = time.time()
    t = r.until('locked', t1, HANG)
    time.sleep(0.5)
    readers.end()
    data, seen = readers.data_after(wall), readers.last_cached(wall)
    r.check(not data, f'no request is answered with data after a suspend past the deadline ({len(data)} were)')
    r.check(r.in_time(t, t1) and r.in_time(max(seen), t1), f'locked, cached pages gone: {r.changes(t1)}, {seen}')
    r.comes_back()
    r.figure(f'wall clock +-1 day: grace as before; a suspend past the deadline: locked after {t or -1:.2f} s')
    r.let_go()
    r.umount()


def stopped(seconds, mode, dies):
    """The worker stands still for SECONDS and the KMS says MODE when it goes on.

    Longer than the watch takes: it is taken over. Shorter: its lease ends meanwhile, since the machine sleeps too.
    """
    def row(r):
        r.begin('lease=2s')
        pid = r.worker()
        readers = Readers(r)
        time.sleep(0.3)
        stop, stopped_at = time.time(), now()
        os.kill(pid, signal.SIGSTOP)
        if not dies:
            r.set_clock(boot=HOUR)
        r.mode(mode)
        time.sleep(seconds)
        wall = time.time()
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        time.sleep(LOCK_TIME + 0.5)
        r.becomes('active' if mode == 'ok' and not dies else 'locked|EACCES|ENOTCONN')
        readers.end()
        first = r.unwraps_from(wall)
        # what was asked before the stop may have been decided before it
        early = readers.data_after(stop + 0.05, first)
        r.check(not early, f'no request is answered with data before a new unwrap ({len(early)} were)')
        seen = readers.last_cached(stop, first)
        # by read: the kernel asks when the attributes are as old as the lease; mapped: until the supervisor or the lock comes
        r.check(r.within(seen[0], 2, stopped_at), f'cached pages are not read for longer than the lease ({seen[0]:.2f} s)')
        r.check(mode == 'ok' or r.in_time(seen[1] - seconds, stopped_at), f'mapped pages are gone within the lock time ({seen[1]:.2f} s)')
        left = [t for t in readers.threads if t.is_alive()]
        r.check(not left, f'no reader is left hanging ({len(left)})')
        odd = readers.odd(stop, ['EACCES'] if not dies else ['EACCES', 'ENOTCONN', 'ECONNABORTED', 'EIO'])
        r.check(not odd, f'refused as it should be: {odd}')
        state = r.state_now()
        if dies:
            r.check(not os.path.exists(f'/proc/{pid}') and state in ('EACCES', 'ENOTCONN'), f'the supervisor has ended it ({state})')
            r.check(seen[1] <= 2.5 or seen[1] <= 2.5 + r.extra(stopped_at), f'nothing mapped for longer than the watch takes ({seen[1]:.2f} s)')
        elif mode == 'ok':
            r.check(state == 'active' and r.read() == 0, f'active again by itself, on the same handle ({state})')
        else:
            r.check(state.startswith('locked'), f'locked ({state})')
            r.check_locked(mode)
        r.figure(f'{seconds:.1f} s: cached pages read until {seen[0]:.2f} s, mapped until {seen[1]:.2f} s; then {state}')
        r.let_go()
        r.unwatch()
        r.mode('ok')
        if dies:
            r.run('umount', r.mnt)
            r.mount()
            r.hold()
            r.check(r.read() == 0, 'a new mount serves')
            Rig.let_go(r)
        r.umount()
    return row


ROWS = [
    ('suspend, KMS hangs', 'store', suspend_silent('hang', 'outage', 0.5)),
    ('suspend, KMS hangs, per file', 'file', suspend_silent('hang', 'outage', 0.5)),
    ('suspend, KMS refuses', 'store', suspend_silent('refuse', 'revoked', 1.5)),
    ('suspend, KMS well', 'store', jump_good(HOUR)),
    ('suspend, KMS well, per file', 'file', jump_good(HOUR)),
    ('clock of the lease put back', 'store', jump_good(-HOUR)),
    ('wall clock', 'store', wall_clock),
    ('grace and clocks', 'store', grace_and_clocks),
    ('stopped for a moment, KMS refuses', 'store', stopped(0.8, 'refuse', False)),
    ('stopped for a moment, KMS hangs, per file', 'file', stopped(0.8, 'hang', False)),
    ('stopped for a moment, KMS well', 'store', stopped(0.8, 'ok', False)),
    ('stopped, KMS refuses', 'store', stopped(2.6, 'refuse', True)),
    ('stopped, KMS hangs, per file', 'file', stopped(2.6, 'hang', True)),
    ('stopped, KMS well', 'store', stopped(2.6, 'ok', True)),
    ('stopped for long, KMS refuses', 'store', stopped(9, 'refuse', True)),
    ('stopped for long, KMS well', 'store', stopped(9, 'ok', True)),
]

if __name__ == '__main__':
    main(ROWS, ClockRig)
