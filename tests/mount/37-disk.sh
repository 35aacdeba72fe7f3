#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The disk below the store hangs under load (a frozen ext4): locks and deaths keep their bounds, nobody is left hanging.
. "$(dirname "$0")/lib.sh"
. "$here/load.sh"

workers=12 big_mib=16
thaw() { fsfreeze -u "$W/disk" 2>/dev/null; }
trap 'thaw; load_ended' EXIT
truncate -s 2G "$W/image"
mkdir "$W/disk"
if ! { mkfs.ext4 -qF "$W/image" && mount -o loop "$W/image" "$W/disk" && fsfreeze -f "$W/disk" && fsfreeze -u "$W/disk"; } >>"$W/cli.log" 2>&1; then
	skip "no loop device or no fsfreeze here: $(tail -n 1 "$W/cli.log")"
	pass 'nothing to do'
	exit
fi
json() { timeout 20 "$BYOKFS" status "$M" --json 2>/dev/null | sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p"; }

# in_disk: threads of our mounts that sleep where nothing wakes them
in_disk() {
	local p
	for p in $(mount_pids); do cat /proc/$p/task/*/stat 2>/dev/null; done | sed 's/.*) //' | grep -c '^D'
}

# frozen HOW BOUND: load, the disk hangs, then HOW
frozen() {
	local how=$1 bound=$2 worker t0 k i watch
	mount_store disk/store || return 1
	worker=$(json worker_pid)
	load_start || return 1
	sleep 0.7
	(trap 'kill $!' TERM; sleep 90 & wait $! && thaw) >/dev/null 2>&1 &
	watch=$!
	fsfreeze -f "$W/disk" || fail 'fsfreeze'
	sleep 1
	stuck_before=$(in_disk)
	[ "$stuck_before" -gt 0 ] && pass 'threads of the worker hang' || fail "$how: no thread of the worker hangs in the disk"
	case $how in
	kill) "$load" kill "$R/page" 9 "$worker" ;;
	lock) phase dead; key disable ;;
	order) phase dead; (timeout 60 "$BYOKFS" lock "$M" >>"$W/cli.log" 2>&1) & ;;
	esac
	sleep $((bound / 1000 + 1))
	each_answered "$how with a dead disk"
	take_last
	for k in read mapped written listed; do
		local v=last_$k
		[ "${!v}" -le "$bound" ] && pass "$k" || fail "$how with a dead disk: last $k after ${!v} ms, at most $bound"
	done
	out=$(timeout 60 "$load" stop "$R/page" 20 2>&1) && pass 'nobody hangs' || fail "$how with a dead disk: left hanging until it thaws: $(head -n 5 <<<"$out")"
	if [ "$how" = kill ]; then # the worker hangs on, with the control socket open
		t0=$(now_ms)
		same "$how: status while the worker cannot end" dead "$(json state)"
		[ $(($(now_ms) - t0)) -lt 2500 ] && pass 'status is quick' || fail "$how: status took $(($(now_ms) - t0)) ms"
	fi
	thaw
	kill $watch 2>/dev/null
	state=$(json state)
	reason=$(json reason)
	figure "$how, $stuck_before threads in the dead disk: last read $last_read, mapped $last_mapped, written $last_written, listed $last_listed ms; $state: $reason"
	load_stop "$how"
	key enable
	# thawed, its threads end, and the mount with them if it was taken away
	if [ "$state" = dead ]; then
		for i in $(seq 100); do [ -z "$(mount_pids)" ] && break; sleep 0.05; done
		same "$how: processes of the dead mount after the thaw" '' "$(mount_pids)"
	fi
	same "$how: processes in D state after the thaw" '' "$(stuck)"
	timeout 60 "$BYOKFS" umount "$M" >>"$W/cli.log" 2>&1
	for i in $(seq 100); do [ -z "$(mount_pids)" ] && break; sleep 0.05; done
	mount_store disk/store || return 1
	load_check "$how with a dead disk"
	umount_store
}

new_store disk/store
frozen kill 1000 || exit
frozen lock 6000 || exit
frozen order 6000 || exit
expect 'verify' timeout 60 "$BYOKFS" verify "$W/disk/store"
