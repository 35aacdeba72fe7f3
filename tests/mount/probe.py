#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tries every kind of access to a mount all the while, and tells when each stopped and came back.

    probe.py MNT --lock 'COMMAND' --unlock 'COMMAND' [--limit 15] [--gone]

Makes its own files in MNT, starts one process per kind of access, runs the first command, waits until all are refused,
checks for a second that nothing is served again, runs the second command, waits until all are served. Prints one line
per kind (milliseconds from the start of the command to the last time served, and to the first time served again); exit 1
when anything is served after the limit, refused otherwise than by EACCES, or does not come back. --gone: the mount is
unmounted instead (ENOTCONN, EACCES and an empty directory are all refusals then, nothing comes back).
"""
import argparse, errno, mmap, os, select, signal, struct, subprocess, sys, time

PAGE = 4096
DATA = os.urandom(64 * PAGE)


def prepare(mnt):
    d = mnt + '/probe'
    os.makedirs(d + '/many')
    for n in ('open', 'cached', 'mapped', 'stat', 'attr', 'target', 'append', 'sync', 'cut'):
        with open(f'{d}/{n}', 'wb') as f:
            f.write(DATA)
    os.setxattr(d + '/attr', 'user.x', b'value')
    os.symlink('somewhere', d + '/link')
    for i in range(3000):
        os.close(os.open(f'{d}/many/u{i}', os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
    os.sync()
    return d


def probes(d):
    """name -> function that does one access, or raises OSError."""
    held = os.open(d + '/open', os.O_RDWR)
    cached = os.open(d + '/cached', os.O_RDONLY)
    os.pread(cached, len(DATA), 0)
    writing = os.open(d + '/append', os.O_RDWR)
    syncing = os.open(d + '/sync', os.O_RDWR)
    folder = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    count = [0]

    def read_uncached():
        os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
        must(os.pread(held, PAGE, PAGE * (count[0] % 60)), count[0] % 60)

    def must(got, page):
        if got != DATA[page * PAGE:(page + 1) * PAGE]:
            raise AssertionError('wrong data')

    def write_sync():
        os.pwrite(syncing, b'w' * 100, 77)
        os.fsync(syncing)

    def read_new():
        fd = os.open(d + '/target', os.O_RDONLY)
        try:
            must(os.pread(fd, PAGE, 0), 0)
        finally:
            os.close(fd)

    def rename():
        a, b = (d + '/many/moved', d + '/many/u0') if count[0] % 2 else (d + '/many/u0', d + '/many/moved')
        try:
            os.rename(a, b)
        except FileNotFoundError:
            os.rename(b, a)

    def unlink():
        name = f'{d}/many/u{count[0] % 2900 + 1}'
        try:
            os.unlink(name)
        except FileNotFoundError:
            os.mknod(name)

    return {
        'open and read': read_new,
        'read, open file': read_uncached,
        'read, cached pages': lambda: must(os.pread(cached, PAGE, 0), 0),
        'write, open file': lambda: os.pwrite(writing, b'x' * PAGE, PAGE),
        'write and fsync': write_sync,
        'stat': lambda: os.stat(d + '/stat'),
        'fstat, open file': lambda: os.fstat(cached),
        'readdir': lambda: os.listdir(d),
        'readdir, open folder': lambda: os.listdir(folder),
        'readlink': lambda: os.readlink(d + '/link'),
        'getxattr': lambda: os.getxattr(d + '/attr', 'user.x'),
        'setxattr': lambda: os.setxattr(d + '/attr', 'user.y', b'%d' % count[0]),
        'create': lambda: os.close(os.open(f'{d}/new{count[0] % 500}', os.O_CREAT | os.O_WRONLY)),
        'unlink': unlink,
        'rename': rename,
        'mkdir': lambda: os.mkdir(f'{d}/many/d{count[0]}'),
        'chmod': lambda: os.chmod(d + '/stat', 0o600 + count[0] % 8),
        'truncate': lambda: os.truncate(d + '/cut', count[0] % 100),
    }, count


def child(pipe, name, d):
    table, count = probes(d)
    act = table[name]
    last = None
    while True:
        try:
            act()
            now = 'ok'
        except OSError as e:
            now = errno.errorcode.get(e.errno, str(e.errno))
        except AssertionError as e:
            now = str(e)
        t1 = time.monotonic_ns()
        count[0] += 1
        # every success is reported when it is the first; the last one before a refusal comes with the refusal
        if now != last:
            os.write(pipe, f'{name}\t{now}\t{t1}\t{last_ok if last == "ok" else 0}\n'.encode())
            last = now
        if now == 'ok':
            last_ok = t1
        time.sleep(0.002)


def mapped_child(pipe, d, private):
    """Touches a mapped page until SIGBUS; tells the time of the last good load."""
    fd = os.open(d + '/mapped', os.O_RDWR)
    m = mmap.mmap(fd, len(DATA), mmap.MAP_PRIVATE if private else mmap.MAP_SHARED, mmap.PROT_READ)
    name = 'load, private mapping' if private else 'load, shared mapping'
    state = mmap.mmap(-1, PAGE)
    pid = os.fork()
    if pid == 0:
        n = 0
        while True:
            if m[n % len(DATA)] != DATA[n % len(DATA)]:
                os._exit(3)
            state[0:8] = struct.pack('Q', time.monotonic_ns())
            n += 997
            if n % 64 == 0:
                time.sleep(0.001)
    os.write(pipe, f'{name}\tok\t{time.monotonic_ns()}\t0\n'.encode())
    _, status = os.waitpid(pid, 0)
    what = 'SIGBUS' if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS else f'status {status}'
    os.write(pipe, f'{name}\t{what}\t{time.monotonic_ns()}\t{struct.unpack("Q", state[0:8])[0]}\n'.encode())
    # after the return of the key a new mapping of the same descriptor must work
    while True:
        try:
            again = mmap.mmap(fd, len(DATA), mmap.MAP_SHARED, mmap.PROT_READ)
            os.pread(fd, 1, 0)
            if again[5] == DATA[5]:
                os.write(pipe, f'{name}\tok\t{time.monotonic_ns()}\t0\n'.encode())
                break
        except OSError:
            time.sleep(0.005)
    while True:
        time.sleep(60)


class Watch:
    def __init__(self, mnt):
        self.d = prepare(mnt)
        self.state, self.changed, self.last_ok, self.pids, self.rest = {}, {}, {}, [], b''
        self.strange = set()
        r, w = os.pipe()
        self.pipe = r
        names = list(probes(self.d)[0])
        for n in names:
            self.spawn(lambda n=n: child(w, n, self.d))
        for p in (False, True):
            self.spawn(lambda p=p: mapped_child(w, self.d, p))
        os.close(w)
        self.names = names + ['load, shared mapping', 'load, private mapping']

    def spawn(self, f):
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, 0)
                f()
            except BaseException as e:  # noqa: a probe that dies must be seen
                print('probe died:', repr(e), file=sys.stderr)
            os._exit(1)
        self.pids.append(pid)

    def read(self, timeout):
        if not select.select([self.pipe], [], [], timeout)[0]:
            return
        self.rest += os.read(self.pipe, 65536)
        *lines, self.rest = self.rest.split(b'\n')
        for l in lines:
            name, now, t, last_ok = l.decode().split('\t')
            self.state[name], self.changed[name] = now, int(t)
            if int(last_ok):
                self.last_ok[name] = int(last_ok)
            if now not in ('ok', 'EACCES', 'SIGBUS'):
                self.strange.add((name, now))

    def until(self, good, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if len(self.state) == len(self.names) and all(good(s) for s in self.state.values()):
                return True
            self.read(0.05)
        return False

    def stop(self):
        for p in self.pids:
            try:
                os.killpg(p, signal.SIGKILL)
            except OSError:
                pass
        for p in self.pids:
            os.waitpid(p, 0)


def report(w, what, t0, times):
    late = [(round((times[n] - t0) / 1e6, 1), n) for n in w.names if n in times and times[n] >= t0 - 10**9]
    worst = max(late) if late else (0, '-')
    print(f'  figure: {what}: worst {worst[0]} ms ({worst[1]})')
    if os.environ.get('VERBOSE'):
        for ms, n in sorted(late):
            print(f'    {ms:8.1f} ms  {n}')
    return worst[0]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('mnt')
    p.add_argument('--lock', required=True)
    p.add_argument('--unlock')
    p.add_argument('--limit', type=float, default=15)
    p.add_argument('--gone', action='store_true')
    o = p.parse_args()
    w = Watch(o.mnt)
    try:
        return watch(w, o)
    finally:
        w.stop()  # whoever waits for the end of our output waits for them


def watch(w, o):
    bad = []
    if not w.until(lambda s: s == 'ok', 120):
        bad.append(f'not all served at the start: {[(n, w.state.get(n)) for n in w.names if w.state.get(n) != "ok"]}')
    time.sleep(0.5)
    w.strange.clear()
    t0 = time.monotonic_ns()
    subprocess.run(o.lock, shell=True, check=True, stdout=subprocess.DEVNULL)
    told = (time.monotonic_ns() - t0) / 1e6
    if not w.until(lambda s: s != 'ok', o.limit + 5):
        bad.append(f'still served {o.limit + 5} s later: {[n for n in w.names if w.state.get(n) == "ok"]}')
    print(f'  figure: the command took {told:.0f} ms')
    last = {n: w.last_ok.get(n, 0) for n in w.names}
    worst = report(w, 'last time served after the start of the command', t0, last)
    if worst > o.limit * 1000:
        bad.append(f'served {worst} ms after the command')
    held = dict(w.state)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        w.read(0.1)
    back = [n for n in w.names if w.state.get(n) == 'ok']
    if back:
        bad.append(f'served again while locked: {back}')
    allowed = {'EACCES', 'SIGBUS'} | ({'ENOTCONN', 'ENOENT', 'EIO', 'ESTALE'} if o.gone else set())
    odd = sorted((n, s) for n, s in w.strange if s not in allowed)
    if odd:
        bad.append(f'refused otherwise than by EACCES: {odd}')
    if o.unlock:
        w.strange.clear()
        t1 = time.monotonic_ns()
        subprocess.run(o.unlock, shell=True, check=True, stdout=subprocess.DEVNULL)
        if not w.until(lambda s: s == 'ok', o.limit + 5):
            bad.append(f'not served again: {[(n, w.state.get(n)) for n in w.names if w.state.get(n) != "ok"]}')
        report(w, 'first time served after the start of the return', t1, {n: t for n, t in w.changed.items() if w.state[n] == 'ok'})
    print(f'  figure: {len(w.names)} kinds of access, refused with {sorted(set(held.values()))}')
    for b in bad:
        print('  ' + b)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
