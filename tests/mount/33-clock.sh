#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Suspend, a wall clock that is set, a daemon that was stopped: nothing is served before a new unwrap (the rows: clocks.py).
BYOKFS=$(dirname "${BYOKFS:?path of the program}")/../tests/byokfs-fault
. "$(dirname "$0")/lib.sh"

[ -x "$BYOKFS" ] || { fail "no $BYOKFS: configure with -Dtests=true"; exit 1; }
mkdir -p "$TEST_BIN"
export BYOKFS CLOCKSHIM=$W/clockshim.so
"${CC:-gcc}" -std=gnu17 -O2 -g -Wall -Wextra -D_GNU_SOURCE -shared -fPIC -o "$CLOCKSHIM" "$here/clockshim.c" || {
	fail 'cannot compile clockshim.c'
	exit 1
}
rows clocks.py
