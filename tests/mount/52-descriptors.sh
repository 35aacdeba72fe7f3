#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the mounting process has open, or has not: nothing of it stays in the daemon, and none of it keeps a mount from working.
. "$(dirname "$0")/lib.sh"

new_store store

# --- standard descriptors that are closed: each set of the three, detached and in the foreground
# closed N: closes what the bits of N say (1 stdin, 2 stdout, 4 stderr), then runs the rest
closed() {
	local bits=$1
	shift
	(
		[ $((bits & 1)) -eq 0 ] || exec 0<&-
		[ $((bits & 2)) -eq 0 ] || exec 1>&-
		[ $((bits & 4)) -eq 0 ] || exec 2>&-
		exec "$@"
	) </dev/null >>"$W/cli.log" 2>&1
}
# serves_and_ends TEXT: the mount takes a file and gives it back; the standard descriptors of its processes lead nowhere into
# the store or to the kernel's fuse; it can be unmounted, and nobody is left
serves_and_ends() {
	local p fd
	if ! timeout $HANG sh -c "echo hi >'$W/mnt/f' && [ \"\$(cat '$W/mnt/f')\" = hi ]" 2>>"$W/cli.log"; then
		fail "$1: the mount does not serve"
	else
		pass "$1"
	fi
	for p in $(our_daemons); do
		for fd in 0 1 2; do
			case $(readlink "/proc/$p/fd/$fd") in
			/dev/fuse | "$W/store"* | socket:* | *eventfd* | *memfd*) fail "$1: descriptor $fd of $p is $(readlink "/proc/$p/fd/$fd")" ;;
			esac
		done
	done
	umount_store
}
mkdir "$W/mnt"
for bits in 1 2 3 4 5 6 7; do
	closed $bits timeout $HANG "$BYOKFS" mount "$W/store" "$W/mnt" || fail "closed ($bits), detached: mount: exit $?"
	serves_and_ends "closed ($bits), detached"
	closed $bits "$BYOKFS" mount "$W/store" "$W/mnt" -f &
	daemon=$!
	await $HANG mounted_or_ended
	serves_and_ends "closed ($bits), in the foreground"
	wait $daemon
	same "closed ($bits), in the foreground: exit status" 0 $?
	for verb in status lock unlock; do
		[ $bits = 7 ] || continue
		mount_store store
		closed $bits timeout $HANG "$BYOKFS" $verb "$W/mnt" # what it would print goes nowhere
		rc=$?
		case $verb in status) [ $rc -le 1 ] ;; *) [ $rc -eq 0 ] ;; esac || fail "closed ($bits): $verb: exit $rc"
		umount_store
	done
done

# --- what was open beside them: a lock, a pipe that somebody reads to its end, a high number, a folder
cat >"$W/notify" <<SH
#!/bin/sh
cat >>"$W/notified"
ls -l /proc/self/fd/ >>"$W/notify.fds"
SH
chmod +x "$W/notify"
mkdir "$W/held"
mkfifo "$W/pipe"
for how in detached foreground; do
	: >"$W/notify.fds"
	: >"$W/notified"
	cat "$W/pipe" >/dev/null & # ends when the last writer has closed
	reader=$!
	(
		exec 7>"$W/pipe" 9>"$W/held/lock" 200<"$W/held"
		flock 9
		set -- "$BYOKFS" mount "$W/store" "$W/mnt" --notify-command "$W/notify"
		case $how in
		detached) timeout $HANG "$@" ;;
		foreground) exec "$@" -f ;;
		esac
	) </dev/null >>"$W/cli.log" 2>&1 &
	await $HANG is_mounted "$W/mnt" || fail "$how: not mounted: $(tail -n 2 "$W/cli.log")"
	awaited "$how: the pipe's reader ends while the mount serves" 30 eval "! kill -0 $reader 2>/dev/null"
	kill $reader 2>/dev/null
	expect "$how: the lock is free while the mount serves" timeout 30 flock -w 20 "$W/held/lock" true
	n=0
	for p in $(our_daemons); do
		n=$((n + 1))
		left=$(readlink "/proc/$p/fd/"* 2>/dev/null | grep -E "^$W/(pipe|held)") && fail "$how: $p holds $left"
	done
	if [ $n -ge 3 ]; then pass "$how: $n processes hold nothing of it"; else fail "$how: $n processes, three were expected"; fi
	expect "$how: lock" byokfs lock "$W/mnt"
	awaited "$how: the notify command was run" 60 grep -q locked "$W/notified"
	awaited "$how: and said what it has open" 30 test -s "$W/notify.fds"
	# its own three, and the folder that ls(1) reads
	left=$(grep -E ' [0-9]+ -> ' "$W/notify.fds" | grep -vE ' [012] -> | -> /proc/[0-9]+/fd/?$')
	same "$how: the notify command inherits nothing" '' "$left"
	expect "$how: unlock" byokfs unlock "$W/mnt"
	umount_store
	wait
done
