#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Verifies the models with spin, every state, and shows that each can fail: one line per property and per mutation.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
usage='usage: tests/model/run.sh [gate|pages|death]...'
command -v spin >/dev/null || { echo 'spin is not installed (Debian package spin)'; exit 77; }
[ $# -gt 0 ] || set -- gate pages death
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
failed=0 checks=0 total=0

# spin_run MODEL DEFINES ACCEPT: the verifier's output; ACCEPT: liveness under weak fairness
spin_run() {
	local dir accept=$3 how=-E
	[ -z "$accept" ] || how='-a -f'
	dir=$(mktemp -d -p "$scratch") && cd "$dir" || return 1
	# shellcheck disable=SC2086
	spin $2 -a "$here/$1.pml" || return 1
	# shellcheck disable=SC2086
	cc -O1 -w -DMEMLIM=1500 -DVECTORSZ=512 -DCOLLAPSE -DNFAIR=3 ${accept:--DSAFETY} -o pan pan.c || return 1
	# shellcheck disable=SC2086
	timeout 240 ./pan -w22 -m1000000 $how 2>&1
}
# property MODEL NAME DEFINES [ACCEPT]: must hold in every state
property() {
	local out states
	out=$(spin_run "$1" "$3" "${4:-}")
	states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' <<<"$out")
	checks=$((checks + 1))
	total=$((total + ${states:-0}))
	if grep -q 'errors: 0' <<<"$out" && ! grep -qE 'max search depth|hint: to reduce memory|interrupted' <<<"$out"; then
		printf 'ok      %-6s %-58s %9s states\n' "$1" "$2" "$states"
		return
	fi
	printf 'FAIL    %-6s %s\n' "$1" "$2"
	grep -E '^pan|error|hint' <<<"$out" | head -n 3
	failed=$((failed + 1))
}
# mutation MODEL N DEFINES [ACCEPT]: must be found
mutation() {
	local out text
	text=$(grep -oE "BUG_$2 [^*]*" "$here/$1.pml" | head -n 1 | sed -E 's/ {3,}.*//; s/[ .]*$//')
	out=$(spin_run "$1" "-DBUG_$2 $3" "${4:-}")
	checks=$((checks + 1))
	if grep -qE '^pan:[0-9]*: (assertion violated|acceptance cycle)' <<<"$out"; then
		printf 'found   %-6s %s\n' "$1" "$text"
		return
	fi
	printf 'FAIL    %-6s %s: not found\n' "$1" "$text"
	grep -E '^pan|error|hint' <<<"$out" | head -n 3
	failed=$((failed + 1))
}

live=-DLIVE
run_gate() {
	property gate 'P1 P4 P6: the door, the answers (wrap type store)' ''
	property gate 'P1 P4 P6: the same with wrap type file' -DWRAP_FILE
	property gate 'P1 P4: orders to lock and to unlock' -DORDERS
	property gate 'P1 P4 P9: whoever watches stops and goes on' -DWATCH
	property gate 'P1 P4 P9: the same with wrap type file' '-DWATCH -DWRAP_FILE'
	property gate 'P9: unwatched, LOCKED always comes' '-DWATCH -DP9' $live
	property gate 'P3: LOCKING ends' -DP3 $live
	property gate 'P7: without the key LOCKED always comes' -DP7 $live
	mutation gate 1 ''
	mutation gate 2 ''
	mutation gate 3 '-DWRAP_FILE -DORDERS'
	mutation gate 4 -DORDERS
	mutation gate 5 -DP3 $live
	mutation gate 6 ''
	mutation gate 7 -DORDERS
	mutation gate 8 -DP7 $live
	mutation gate 9 -DWATCH
	mutation gate 10 -DWATCH
	mutation gate 11 '-DWATCH -DWRAP_FILE'
	mutation gate 12 '-DWATCH -DP9' $live
}
run_pages() {
	property pages 'P1: replies without a page' ''
	property pages 'P1 P2: a page and its writer' -DWRITERS=1
	property pages 'P2: two writers, fsync' '-DWRITERS=2 -DFSYNC_ONLY'
	property pages 'P1: the janitor ends' '-DWRITERS=1 -DP1' $live
	property pages 'P3: LOCKING ends' '-DWRITERS=1 -DP3' $live
	mutation pages 1 -DWRITERS=1
	mutation pages 2 -DWRITERS=1
	mutation pages 3 -DWRITERS=1
	mutation pages 4 -DWRITERS=1
	mutation pages 5 ''
	mutation pages 6 ''
	mutation pages 7 '-DWRITERS=1 -DP3' $live
	mutation pages 8 -DWRITERS=1
	mutation pages 9 -DWRITERS=1
	mutation pages 10 -DWRITERS=2
}
run_death() {
	property death 'P5 P1: nothing is readable, whoever dies' ''
	property death 'P3: LOCKING ends' '-DNO_S_DEATH -DP3' $live
	property death 'P8: a dead or hung worker is dealt with' '-DNO_S_DEATH -DP8' $live
	property death 'P9: both dead: somebody is through' -DP9 $live
	mutation death 1 '-DNO_S_DEATH -DP8' $live
	mutation death 2 '-DNO_S_DEATH -DP8' $live
	mutation death 3 '-DNO_S_DEATH -DP8' $live
	mutation death 4 '-DNO_S_DEATH -DP3' $live
	mutation death 5 ''
	mutation death 6 ''
	mutation death 7 ''
	mutation death 8 -DP9 $live
	mutation death 9 -DP9 $live
}

for model; do
	case $model in
	gate | pages | death) "run_$model" ;;
	*) echo "$usage" >&2; exit 2 ;;
	esac
done
printf '%d checks, %d failed, %d states in all properties\n' $checks $failed $total
[ $failed -eq 0 ]
