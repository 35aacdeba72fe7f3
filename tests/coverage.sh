#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What share of the lines the unit tests reach, per folder: tests/coverage.sh BUILD, one that was made with b_coverage. A figure, no gate.
set -u
export LC_ALL=C
tree=$(cd "$(dirname "$0")/.." && pwd)
build=$(readlink -f "${1:?build directory}")
command -v gcovr >/dev/null || { echo '  FAIL: gcovr is not installed (Debian package gcovr)'; exit 1; }
find "$build" -name '*.gcda' -delete
for t in "$build"/tests/test_*; do [ -x "$t" ] && [ -f "$t" ] && echo "$t"; done | xargs -P "$(nproc)" -n 1 timeout 240 >"$build/units.log" 2>&1
r=$?
[ $r -eq 0 ] || echo "  FAIL: a unit test failed: $(grep -m 1 -E ':[FE]:' "$build/units.log")"
cd "$tree" || exit 2
gcovr --root . --object-directory "$build" --json-summary-pretty --output "$build/coverage.json" \
	--filter crypto/ --filter kms/ --filter fs/ --filter tools/ "$build" >"$build/gcovr.log" 2>&1 || { tail -n 3 "$build/gcovr.log"; exit 1; }
python3 - "$build/coverage.json" <<'PY'
import collections, json, os, sys
lines = collections.defaultdict(lambda: [0, 0])
for f in json.load(open(sys.argv[1]))['files']:
    room = os.path.dirname(f['filename'])
    for key in {room, room.split('/')[0]}:
        lines[key][0] += f['line_covered']
        lines[key][1] += f['line_total']
def show(keys):
    return ', '.join(f'{k} {100 * lines[k][0] / max(1, lines[k][1]):.0f} %' for k in keys)
print('  figure: lines reached by unit tests: ' + show(k for k in sorted(lines) if '/' in k))
print('lines reached by unit tests: ' + show(k for k in ('crypto', 'kms', 'fs', 'tools') if k in lines))
PY
exit $r
