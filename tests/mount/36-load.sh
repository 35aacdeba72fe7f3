#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Revocations under load: what is served last, who hangs, who is answered otherwise; memory; all goes on; nothing is lost.
. "$(dirname "$0")/lib.sh"
. "$here/load.sh"

turns=6
[ -z "${BYOKFS_SHORT:-}" ] || turns=2
[ -z "$LONG" ] || turns=50
scan=$(tool scan) || fail 'compiling scan'
keydump=$(dirname "$BYOKFS")/../tests/keydump
python3 "$here/tree.py" make "$W/source" --small --entries 300 >>"$W/cli.log" 2>&1 || fail 'making the tree'
number_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE "s/.*\"$1\": *([0-9]+).*/\1/p"; }

reads='' maps='' writes='' lists='' returns='' orders=''
# judge HOW: the latest successes of this turn against the bounds, LOCKED seen after $locked ms; the turn began at $told
judge() {
	local bound=1000 late k
	[ "$1" = disable ] && bound=15000
	take_last
	for k in read mapped written listed; do
		local v=last_$k
		within "$how: last $k" "${!v}" $bound "$told"
		# nothing after LOCKED was announced, but for the time until a process that was served gets to look at the clock;
		# what a write(2) under way adds is in mappings of its file until the janitor comes by
		late=200
		[ $k = mapped ] && late=500
		within "$how: last $k after LOCKED" "${!v}" $((locked + late)) "$told"
	done
	reads="$reads $last_read" maps="$maps $last_mapped" writes="$writes $last_written" lists="$lists $last_listed"
	[ "$1" = disable ] || orders="$orders $(last_of read read-record read-big load load-record write store list stat open)"
	say "$how: locked $locked ms; last read $last_read, mapped $last_mapped, written $last_written, listed $last_listed ms"
}

# memory WRAP: no key, no marker in any process of the mount
memory() {
	local pids out
	pids=$(our_daemons)
	out=$("$scan" "$W/keys" --marker "$R/marker" $(for p in $pids; do printf -- '--pid %s ' "$p"; done) 2>&1) && pass "memory ($1)" ||
		fail "$how: memory after the lock: $(grep HIT <<<"$out" | sed -E 's/pid:[0-9]+://; s/0x.*//' | sort | uniq -c | head -n 5)"
	figure "$1: memory while locked: $(tail -n 1 <<<"$out"), $(wc -l <"$W/keys") keys and the marker"
}

# turn NUMBER WRAP: one lock and return
turn() {
	local t0 how scanned=''
	how=$(sed -n "$(($1 % 3 + 1))p" <<<$'disable\norder\nsignal')
	# the first two turns of each wrap type
	if [ "${seen[$2]:-0}" -lt 2 ]; then
		seen[$2]=$((${seen[$2]:-0} + 1))
		"$keydump" "$W/$2" >"$W/keys" 2>>"$W/cli.log"
		[ "$(grep -c '^dek ' "$W/keys")" -ge 100 ] && pass 'keys are known' || fail "keydump knows $(grep -c '^dek ' "$W/keys") DEKs"
		scanned=1
	fi
	sleep 1.$((RANDOM % 10))
	phase told
	told=$(now_ms)
	case $how in
	disable) key disable ;;
	order) timeout $HANG "$BYOKFS" lock "$W/mnt" >>"$W/cli.log" 2>&1 || fail 'byokfs lock' ;;
	signal) kill -USR1 "$(pid_of)" ;;
	esac
	wait_state locked 16
	locked=$(($(now_ms) - told))
	each_answered "$how ($2)"
	sleep 0.5
	[ -z "$scanned" ] || memory "$2"
	judge $how
	phase back
	t0=$(now_ms)
	if [ $how = disable ]; then key enable; else timeout $HANG "$BYOKFS" unlock "$W/mnt" >>"$W/cli.log" 2>&1 || fail 'byokfs unlock'; fi
	wait_state active 15
	phase serving
	each_served "$how ($2)"
	returns="$returns $(($(now_ms) - t0))"
}

beside_start
declare -A seen
n=0
for wrap in store file; do
	new_store $wrap --wrap $wrap
	rm -f "$R/ack.log"
	mount_store $wrap || exit
	load_start || exit
	programs_start
	for _ in $(seq $((turns / 2))); do
		turn $n $wrap
		n=$((n + 1))
	done
	[ -z "${BYOKFS_SHORT:-}" ] || n=1
	sleep 0.5
	load_stop $wrap
	programs_stop $wrap
	figure "$wrap: $(tail -n 1 "$W/report"); $(number_of refused_writes) page writes refused, $(number_of lost_ranges) lost ranges left"
	figure "$wrap: answers: $(awk '$1 == "answer" {n[$3 " " $4] += $5} END {for (k in n) printf "%s %d, ", k, n[k]}' "$W/report")"
	same "nobody is in D state ($wrap)" '' "$(stuck)"
	umount_store || exit
	mount_store $wrap || exit
	load_check "after the turns ($wrap)"
	figure "$wrap: on a fresh mount: $checked"
	umount_store
	expect "verify ($wrap)" "$BYOKFS" verify "$W/$wrap"
done
for k in reads maps writes lists; do figure "ms from the refusal or the order to the last of $k: $(middle ${!k}) in the middle, $(most ${!k}) at most"; done
figure "of orders alone, whatever kind: $(middle $orders) in the middle, $(most $orders) at most"
figure "ms until everybody is served again: $(middle $returns) in the middle, $(most $returns) at most; programs that had to be ended: $program_hangs"
