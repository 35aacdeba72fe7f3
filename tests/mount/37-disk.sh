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
json() { timeout $HANG "$BYOKFS" status "$M" --json 2>/dev/null | sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p"; }

# in_disk: threads of our mounts that sleep where nothing wakes them
in_disk() {
	local p
	for p in $(mount_pids); do cat /proc/$p/task/*/stat 2>/dev/null; done | sed 's/.*) //' | grep -c '^D'
}

hangs_in_disk() { [ "$(in_disk)" -gt 0 ]; }

# frozen HOW BOUND: load, the disk hangs, then HOW
frozen() {
	local how=$1 bound=$2 worker t0 k watch struck
	mount_store disk/store || return 1
	worker=$(json worker_pid)
	load_start || return 1
	sleep 0.7
	(trap 'kill $!' TERM; sleep 240 & wait $! && thaw) >/dev/null 2>&1 &
	watch=$!
	fsfreeze -f "$W/disk" || fail 'fsfreeze'
	awaited "$how: threads of the worker hang in the disk" $HANG hangs_in_disk
	sleep 0.5
	stuck_before=$(in_disk)
	struck=$(now_ms)
	case $how in
	kill) "$load" kill "$R/page" 9 "$worker" ;;
	lock) phase dead; key disable ;;
	order) phase dead; (timeout $HANG "$BYOKFS" lock "$M" >>"$W/cli.log" 2>&1) & ;;
	esac
	sleep $((bound / 1000 + 1))
	each_answered "$how with a dead disk"
	take_last
	for k in read mapped written listed; do
		local v=last_$k
		within "$how with a dead disk: last $k" "${!v}" "$bound" "$struck"
	done
	out=$("$load" stop "$R/page" 20 2>&1) && pass 'nobody hangs' || fail "$how with a dead disk: left hanging until it thaws: $(head -n 5 <<<"$out")"
	if [ "$how" = kill ]; then # the worker hangs on, with the control socket open
		t0=$(now_ms)
		same "$how: status while the worker cannot end" dead "$(json state)"
		within "$how: status" $(($(now_ms) - t0)) 2500 "$t0"
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
		await 30 no_mount_pids
		same "$how: processes of the dead mount after the thaw" '' "$(mount_pids)"
	fi
	same "$how: processes in D state after the thaw" '' "$(stuck)"
	timeout $HANG "$BYOKFS" umount "$M" >>"$W/cli.log" 2>&1
	await $HANG no_mount_pids
	mount_store disk/store || return 1
	load_check "$how with a dead disk"
	umount_store
}

new_store disk/store
beside_start
frozen kill 1000 || exit
frozen lock 3000 || exit
frozen order 1500 || exit
expect 'verify' "$BYOKFS" verify "$W/disk/store"
