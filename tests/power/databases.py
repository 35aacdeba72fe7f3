#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""sqlite (both journals) and PostgreSQL on a mount whose disk loses its power.

Each round: a database that was made before; transactions (a row, its index, a counter) are committed until the disk is cut off; then
all is mounted anew, another boot, and the database opened. Every transaction whose commit was answered before the cut must be there,
none that nobody made, and integrity_check or amcheck must be content; then `byokfs verify`. --control: each on the filesystem itself too.
--what sqlite-wal, sqlite-rollback, postgres or all. Root; PostgreSQL runs as postgres.
"""
import glob
import os
import pwd
import random
import signal
import sqlite3
import subprocess
import sys
import time

import rig


def pad(n):
    return ('%d.' % n) * (40 + n * 37 % 600)


class Sqlite:
    def __init__(self, r, journal):
        self.r, self.journal = r, journal

    def open(self):
        db = sqlite3.connect(self.r.folder() + '/db', timeout=20, isolation_level=None)
        db.execute('pragma journal_mode=' + self.journal)
        db.execute('pragma synchronous=' + ('full' if self.journal == 'wal' else 'extra'))
        db.execute('pragma wal_autocheckpoint=40')
        return db

    def make(self):
        db = self.open()
        db.execute('create table t(n integer primary key, pad text)')
        db.execute('create index i on t(pad)')
        db.execute('create table c(v integer)')
        db.execute('insert into c values(0)')
        db.close()

    def write(self, say):
        db = self.open()
        n = 0
        while True:
            n += 1
            db.execute('begin immediate')
            db.execute('insert into t values(?, ?)', (n, pad(n)))
            db.execute('update c set v=?', (n,))
            db.execute('commit')
            say(n)

    def look(self, acked):
        db = sqlite3.connect(self.r.folder() + '/db', timeout=20)
        try:
            whole = db.execute('pragma integrity_check').fetchall()
            rows = dict(db.execute('select n, pad from t'))
            v = db.execute('select v from c').fetchone()[0]
        except sqlite3.Error as e:
            return [('unopenable', 'sqlite: %s (%d committed)' % (e, acked))] + rig.every_file_opens(self.r.folder())
        finally:
            db.close()
        return ([] if whole == [('ok',)] else [('torn', 'integrity_check: %s' % whole[:3])]) + rows_wrong(rows, v, acked)

    def stop(self):
        pass


def rows_wrong(rows, v, acked):
    bad = [('lost', 'row %d of %d committed ones is not there' % (n, acked)) for n in range(1, acked + 1) if n not in rows][:3]
    bad += [('torn', 'row %d has other bytes' % n) for n, text in rows.items() if text != pad(n)][:3]
    if v < acked or v != max(rows, default=0):
        bad.append(('lost' if v < acked else 'torn', 'counter %d, %d committed, newest row %d' % (v, acked, max(rows, default=0))))
    return bad


class Postgres:
    def __init__(self, r, _):
        self.r, self.data, self.socket = r, r.folder() + '/pg', r.w + '/socket'
        self.bin = max(glob.glob('/usr/lib/postgresql/*/bin'), default='')
        self.user, self.server = pwd.getpwnam('postgres'), None
        for d in (r.o.work, r.w, r.m, r.disk.at):
            os.chmod(d, 0o755)
        os.makedirs(self.socket, exist_ok=True)
        os.chown(self.socket, self.user.pw_uid, self.user.pw_gid)

    def run(self, *cmd, **kw):
        return rig.sh('setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', self.bin + '/' + cmd[0], *cmd[1:], cwd='/', **kw)

    def start(self):
        self.server = subprocess.Popen(
            ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', self.bin + '/postgres', '-D', self.data, '-k', self.socket,
             '-c', 'listen_addresses=', '-c', 'checkpoint_timeout=30s', '-c', 'wal_init_zero=off', '-c', 'shared_buffers=16MB'],
            cwd='/', stdin=subprocess.DEVNULL, stdout=open(self.r.w + '/postgres.log', 'a'), stderr=subprocess.STDOUT)
        return rig.until(60, lambda: self.server.poll() is not None or self.run('pg_isready', '-q', '-h', self.socket, check=False).returncode == 0) \
            and self.server.poll() is None

    def stop(self):
        """At once, and all of them: each backend is in a session of its own."""
        if self.server:
            mine = [self.server.pid]
            for p in mine:
                mine += [int(x) for t in glob.glob('/proc/%d/task/*/children' % p) for x in open(t).read().split()]
            for p in mine:
                try:
                    os.kill(p, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.server.wait()
            self.server = None

    def sql(self, text):
        return self.run('psql', '-h', self.socket, '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', text, 'postgres').stdout

    def make(self):
        os.mkdir(self.data, 0o700)
        os.chown(self.data, self.user.pw_uid, self.user.pw_gid)
        self.run('initdb', '-k', '-D', self.data, '-A', 'trust')
        if not self.start():
            raise RuntimeError('PostgreSQL does not start')
        self.sql('create extension amcheck; create table t(n integer primary key, pad text); create index i on t(md5(pad)); '
                 'create table c(v integer); insert into c values(0)')
        self.server.send_signal(signal.SIGINT)
        self.server.wait(60)
        self.server = None

    def write(self, say):
        p = subprocess.Popen(['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', self.bin + '/psql', '-h', self.socket, '-XqAt',
                              '-v', 'ON_ERROR_STOP=1', 'postgres'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd='/')
        n = 0
        while True:
            n += 1
            text = "begin; insert into t values(%d, '%s'); update c set v=%d; commit;\nselect %d;\n" % (n, pad(n), n, n)
            p.stdin.write(text.encode())
            p.stdin.flush()
            if p.stdout.readline() != b'%d\n' % n:
                os._exit(1)
            say(n)

    def look(self, acked):
        try:
            if not self.start():
                return [('unopenable', 'PostgreSQL does not start: ' + open(self.r.w + '/postgres.log').read()[-300:])]
            check = self.run('pg_amcheck', '-h', self.socket, '--heapallindexed', '--parent-check', 'postgres', check=False)
            rows = dict((int(x.split('|')[0]), x.split('|')[1]) for x in self.sql('select n, pad from t').split('\n') if x)
            v = int(self.sql('select v from c'))
            self.server.send_signal(signal.SIGINT)
            self.server.wait(60)
            self.server = None
        except (RuntimeError, subprocess.SubprocessError) as e:
            return [('unopenable', 'PostgreSQL: %s' % e)]
        return ([('torn', 'amcheck: ' + check.stdout[:300])] if check.returncode else []) + rows_wrong(rows, v, acked)


KINDS = {'sqlite-wal': (Sqlite, 'wal'), 'sqlite-rollback': (Sqlite, 'delete'), 'postgres': (Postgres, None)}


def prepare(r, kind):
    r.format()
    r.mount()
    db = KINDS[kind][0](r, KINDS[kind][1])
    db.make()
    bad = r.end()
    if bad:
        raise RuntimeError(str(bad))
    r.down()
    r.keep('before')


def writer(db, log):
    pid = rig.child()
    if pid:
        return pid
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        db.write(lambda n: os.write(fd, b'%d %.9f\n' % (n, time.monotonic())))
    finally:
        os._exit(1)


def one_round(r, kind, seed):
    rnd, log = random.Random(seed), r.w + '/commits.log'
    db = KINDS[kind][0](r, KINDS[kind][1])
    r.again('before')
    r.new_boot()
    r.disk.mount()
    r.mount()
    if kind == 'postgres' and not db.start():
        raise RuntimeError('PostgreSQL does not start')
    pid = writer(db, log)
    time.sleep(0.5 + 2 * rnd.random())
    when = r.cut()
    r.abort()
    rig.gone(pid)
    db.stop()
    r.down()
    part = rnd.choice((0, 0.2, 0.5, 0.8, 1))
    r.disk.settle(lambda _: rnd.random() < part)
    r.disk.mount()
    r.new_boot()
    acked = max([int(x.split()[0]) for x in open(log) if float(x.split()[1]) <= when], default=0)
    try:
        r.mount()
    except RuntimeError as e:
        return acked, [('unopenable', str(e))]
    try:
        return acked, db.look(acked) + r.end()
    finally:
        db.stop()
        r.down()


def main():
    o = rig.options(__doc__, what='all', rounds=5, control=False)
    good = True
    for kind in KINDS if o.what == 'all' else [o.what]:
        for plain in [False, True] if o.control else [False]:
            r = rig.Rig(o, plain, kind + ('-plain' if plain else ''))
            prepare(r, kind)
            tally = rig.Tally('%s, %s%s%s' % (kind, o.fs, ' layer' if o.layer else '', ', plain' if plain else ''))
            for no in range(o.rounds):
                seed = '%s.%d' % (o.seed, no)
                tally.add('round %d (seed %s)' % (no, seed), *one_round(r, kind, seed))
            good &= tally.show() or plain
    sys.exit(not good)


main()
