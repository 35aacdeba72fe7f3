#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# Changes an audit log in every way that its reader must find, one at a time. audit_tamper.py BYOKFS STORE OLDER_LOG [--long|--short]
import json
import os
import subprocess
import sys

BYOKFS, STORE, OLDER = sys.argv[1:4]
LONG = '--long' in sys.argv
LOG = os.path.join(STORE, 'byokfs', 'audit.log')
good = open(LOG, 'rb').read()
lines = good.splitlines(keepends=True)
bad = tried = 0


def put(data):
    if data is None:
        os.unlink(LOG)
        return
    with open(LOG, 'wb') as f:
        f.write(data)
    os.chmod(LOG, 0o600)


def verify():
    p = subprocess.run([BYOKFS, 'audit', 'verify', STORE, '--json'], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    found = [json.loads(x) for x in p.stdout.splitlines()]
    return p.returncode, [x for x in found if x['type'] == 'problem'], (p.stdout + p.stderr).decode()


def found(what, data, code=None, at=None):
    """The change must be damage; with CODE and AT: this one at this line of the file must be named."""
    global bad, tried
    tried += 1
    put(data)
    rc, problems, text = verify()
    named = [x for x in problems if x['severity'] == 'damage' and (code is None or x['code'] in code.split('|')) and
             (at is None or x['at'] == at)]
    if rc != 5 or not named:
        bad += 1
        print('not found: %s: exit %d, wanted %s at %s: %s' % (what, rc, code, at, text[:600]))


def flip(data, i, bit=1):
    return data[:i] + bytes([data[i] ^ bit]) + data[i + 1:]


def join(parts):
    return b''.join(parts)


n = len(lines)
starts = [sum(map(len, lines[:i])) for i in range(n)]
for i in range(n):
    if i < n - 1:
        found('line %d removed' % (i + 1), join(lines[:i] + lines[i + 1:]), 'removed', i + 1)
    found('line %d changed' % (i + 1), flip(good, starts[i] + len(lines[i]) // 2), 'changed', i + 1)
    found('line %d doubled' % (i + 1), join(lines[:i + 1] + lines[i:]), 'order|changed|removed')
    if i < n - 1:
        found('lines %d and %d exchanged' % (i + 1, i + 2), join(lines[:i] + [lines[i + 1], lines[i]] + lines[i + 2:]), 'removed|order')
        found('lines %d and last exchanged' % (i + 1), join(lines[:i] + [lines[-1]] + lines[i + 1:-1] + [lines[i]]),
              'removed|order')
    if i > 0:
        found('cut before line %d' % (i + 1), join(lines[:i]), 'end', 0)
        found('cut in line %d' % (i + 1), good[:starts[i] + len(lines[i]) // 2], 'end', 0)
one = n // 2
for j in range(0, len(lines[one]), 11 if '--short' in sys.argv else 1):
    for bit in (1, 2, 4, 8, 16, 32, 64, 128) if LONG else (1,):
        found('byte %d of line %d' % (j, one + 1), flip(good, starts[one] + j, bit))
found('the last newline cut', good[:-1], 'end', 0)
found('deleted', None, 'end', 0)
found('emptied', b'', 'end', 0)
found('an older log put back', open(OLDER, 'rb').read(), 'end', 0)
found('zeros', bytes(len(good)), 'end', 0)
found('a line made up', good + lines[-1].replace(b'"line":', b'"line":1', 1), 'changed', n + 1)
found('text behind', good + b'hello\n', 'changed', n + 1)
found('a line of 1 MiB', good + b'x' * (1 << 20) + b'\n' + lines[-1], 'changed', n + 1)
found('a far number', good + b'{"v":1,"session":99999999,"line":18446744073709551615,"prev":"' + b'0' * 64 +
      b'","time":"2026-11-24T15:26:12.123Z","event":"x","mac":"' + b'0' * 64 + b'"}\n', 'changed', n + 1)
put(good)
rc, problems, text = verify()
if rc != 0 or problems:
    bad += 1
    print('the good log is not good: ' + text)
print('figure: %d changes of a log of %d lines tried, %d not found' % (tried, n, bad))
sys.exit(bad > 0)
