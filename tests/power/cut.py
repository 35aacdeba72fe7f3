#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Power cuts: six writers on a mount whose store lies on a disk that loses its power.

Each round: writers in new folders (--old: in those of the rounds before); after a while the disk is cut off, so that whatever was not
made durable is gone (--layer: all but a random part of it), and all processes of the mount are killed; everything is mounted anew, under
another boot id. Then what was acknowledged is looked for, every file opened, and `byokfs verify` run. --control: each round once more on
the filesystem itself. --kill: the processes are killed and the disk stays, in the same boot. --same-boot: the disk alone is lost, as one
that is pulled out: the machine goes on. Root only.
"""
import os
import random
import subprocess
import sys
import time

import rig
import writers


def start(folder, work, seed):
    logs = {k: '%s/%s.log' % (work, k) for k in writers.KINDS}
    for path in logs.values():
        if os.path.exists(path):
            os.unlink(path)
    return logs, [subprocess.Popen([sys.executable, rig.HERE + '/writers.py', k, folder + '/' + k, logs[k], '%s %s' % (seed, k)],
                                   stderr=subprocess.DEVNULL) for k in writers.KINDS]


def begun(path):
    """A writer knows what is there, and has tried something."""
    return os.path.exists(path) and '"try"' in open(path).read(10000)


def the_cut(r, o, rnd):
    """Returns the moment; the disk is mounted again."""
    if o.kill:
        when = time.monotonic()
        r.kill()
        return when
    return r.cut()


def one_round(r, o, no, seed):
    rnd = random.Random(seed)
    if not o.same_boot:
        r.new_boot()
    r.mount()
    top = r.folder() + ('/old' if o.old else '/n%d' % no)
    logs, procs = start(top, r.w, seed)
    rig.until(60, lambda: all(begun(path) for path in logs.values()))
    time.sleep(1.2 + 2.5 * rnd.random())
    when = the_cut(r, o, rnd)
    r.abort()
    for p in procs:
        p.kill()
        p.wait()
    if o.kill:
        r.leave()
    else:
        r.down()
        part = rnd.choice((0, 0.2, 0.5, 0.8, 1))
        r.disk.settle(lambda _: rnd.random() < part)
        if o.keep:
            r.keep('cut')
        r.disk.mount()
        if not o.same_boot:
            r.new_boot()
    try:
        r.mount()
    except RuntimeError as e:
        return 0, [('unopenable', str(e))]
    acks, bad = 0, []
    for k in writers.KINDS:
        n, wrong, late = writers.check(k, top + '/' + k, logs[k], when)
        acks += n
        for _, text in late:
            print('  answered well after the cut and not there, not counted: %s (the cut took %.1f ms)' % (text, 1e3 * max(0, r.disk.over - when)))
        bad += wrong
    bad += [b for b in rig.every_file_opens(r.folder()) if b[1].split(':')[0] not in str(bad)]
    return acks, bad + r.end()


def run(r, o, tally):
    r.format()
    for no in range(o.rounds):
        seed = '%s.%d' % (o.seed, no)
        acks, bad = one_round(r, o, no, seed)
        tally.add('round %d (seed %s)' % (no, seed), acks, bad)
        if bad and o.keep:
            to = '%s/bad.%d' % (r.w, no)
            os.mkdir(to)
            for name in ['image.cut', 'state.cut', 'ks'] + [k + '.log' for k in writers.KINDS]:
                rig.sh('cp', '-a', '--sparse=always', r.w + '/' + name, to, check=False)
        if bad and not r.plain and no + 1 < o.rounds:
            r.down()  # what went wrong in this round is no fault of the next one
            r.format()
    r.down()


def main():
    o = rig.options(__doc__, rounds=5, old=False, control=False, kill=False, same_boot=False, keep=False)
    name = ' '.join([o.fs, 'layer' if o.layer else 'shutdown' if not o.kill else 'kill', 'old folders' if o.old else 'new folders'] +
                    ['same boot'] * o.same_boot)
    good = True
    for plain in [False, True] if o.control else [False]:
        tally = rig.Tally(name + (', plain' if plain else ''))
        r = rig.Rig(o, plain)
        run(r, o, tally)
        good &= tally.show() or plain  # the control is there to be looked at
    sys.exit(not good)


main()
