# SPDX-License-Identifier: BSD-2-Clause
"""What tests/run.sh asks of meson's files.

    summary.py list BUILD PREFIX SUITES [PART]...    names of the tests in these suites; with PARTs those whose PREFIX:NAME has one in it
    summary.py rows PREFIX LOG EXIT                  rows (result, name, seconds, text) of a meson test log, whose run ended with EXIT
    summary.py table FILE...                         the rows of all files as a table, and the closing line
"""
import json, os, re, sys

BAD = re.compile(r'^ *(FAIL|Unexpected)|:[FE]:|ERROR|runtime error|WARNING: ThreadS| found$')


def tests(build, prefix, suites, *parts):
    known = f'{build}/meson-info/intro-tests.json'
    for test in json.load(open(known)) if os.path.exists(known) else ():
        in_suite = {s.split(':')[-1] for s in test['suite']} & set(suites.split('+'))
        if in_suite and (not parts or any(p in f'{prefix}:{test["name"]}' for p in parts)):
            print(test['name'])


def row(result, name, seconds, text):
    print(result, name, round(seconds), text.replace('\t', ' '), sep='\t')


def rows(prefix, log, status):
    """One row per test and one per skipped check in it."""
    failed = False
    try:
        lines = open(log).read().splitlines()
    except OSError:
        lines = []
    for test in map(json.loads, lines):
        name = prefix + ':' + re.split(r'[:/ ]', test['name'])[-1]
        out = ((test.get('stdout') or '') + '\n' + (test.get('stderr') or '')).splitlines()
        last = [x.strip() for x in out if x.strip()][-1:] or ['']
        text = [x for x in out if re.match(r'RESULT |\d+%: Checks: ', x)][-1:] or last
        text = re.sub(r'^(RESULT \S+|FAIL:) ', '', text[0])
        result = {'OK': 'ok', 'SKIP': 'skipped'}.get(test['result'], 'FAIL')
        if result == 'FAIL':
            failed = True
            bad = [x.strip() for x in out if BAD.search(x)] or [x.strip() for x in out if x.strip()]
            text = f'{test["result"]}: {text}' + (f' | {bad[0][:200]}' if bad and bad[0] not in text else '')
        row(result, name, test['duration'], text)
        for line in out:
            if line.startswith('  skipped: '):
                row('skipped', name, 0, line[len('  skipped: '):])
    if int(status) and not failed:
        row('FAIL', prefix, 0, f'meson test ended with {status}, and no test of it failed: {log}')


def table(*files):
    all_rows = [line.rstrip('\n').split('\t') for f in files if os.path.exists(f) for line in open(f)]
    for result, name, seconds, text in all_rows:
        print(f'{result:<7} {name:<30} {seconds:>5}s  {text}')
    count = [sum(r[0] == what for r in all_rows) for what in ('ok', 'FAIL', 'skipped')]
    print('\n%d passed, %d failed, %d skipped' % tuple(count) if any(count[:2]) else '\nnothing ran')
    sys.exit(1 if count[1] else 0 if count[0] else 2)


{'list': tests, 'rows': rows, 'table': table}[sys.argv[1]](*sys.argv[2:])
