#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a KMS that misbehaves does to a mount: the table of causes and states, each row timed (the table: causes.py).
BYOKFS=$(dirname "${BYOKFS:?path of the program}")/../tests/byokfs-fault
. "$(dirname "$0")/lib.sh"

[ -x "$BYOKFS" ] || { fail "no $BYOKFS: configure with -Dtests=true"; exit 1; }
export BYOKFS
rm -f "$W/rows.out"
timeout 300 python3 "$here/causes.py" "$W" --rows "${ROWS:-}" >"$W/rows.out" 2>"$W/rows.err"
rc=$?
while IFS=$'\t' read -r kind text; do
	case $kind in
	ok) pass "$text" ;;
	figure) figure "$text" ;;
	*) fail "$text" ;;
	esac
done <"$W/rows.out"
[ $rc -eq 0 ] && [ ! -s "$W/rows.err" ] || fail "causes.py: exit $rc: $(tail -n 5 "$W/rows.err")"
