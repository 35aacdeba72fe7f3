#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Unmounted or killed, then at once mounted again: the daemon that is on its way out is waited for, one that serves is not.
. "$(dirname "$0")/lib.sh"

B=$BYOKFS
M=$W/mnt
new_store s
cp -a "$W/s" "$W/copy"
mkdir -p "$M" "$W/mnt2" "$W/moved"
again() { timeout $HANG "$B" mount "$W/s" "$M" >>"$W/again.log" 2>&1; }
serving() { [ "$(state_of)" = active ]; }

# --- each way out, each with something to seal

ways=(umount "$B umount" 'fusermount3 -u' 'umount -l')
for way in "${ways[@]}"; do
	refusals=0
	for i in 1 2 3; do
		again || { refusals=$((refusals + 1)); await $HANG no_daemons; again; }
		head -c 300000 /dev/urandom >"$M/f$i"
		$way "$M" 2>>"$W/again.log" || fail "$way: $(tail -n 1 "$W/again.log")"
	done
	again
	refusals=$((refusals + $?))
	same "mounted at once after ${way##*/}" 0 $refusals
	serving || fail "not active after ${way##*/}"
	umount_store
done

for who in supervisor_pid worker_pid both; do
	refusals=0
	again || fail "mount: $(tail -n 1 "$W/again.log")"
	w=$(worker_of) s=$(pid_of)
	case $who in
	supervisor_pid) kill -9 "$s" ;;
	worker_pid) kill -9 "$w" ;;
	*) kill -9 "$s" "$w" ;;
	esac
	again
	refusals=$((refusals + $?))
	same "mounted at once after a kill -9 ($who)" 0 $refusals
	serving || fail "not active after a kill -9 ($who)"
	umount_store
done

again || fail "mount: $(tail -n 1 "$W/again.log")"
w=$(worker_of)
kill -9 "$(pid_of)"
kill -STOP "$w"
(sleep 1.3 && kill -CONT "$w") 2>/dev/null &
again
same 'mounted when the daemon on its way out is slow to say so' 0 $?
umount_store

# --- what else wants the store, or its only place on this host

again
umount "$M"
expect 'verify at once' "$B" verify "$W/s"
expect 'another mount point' "$B" mount "$W/s" "$W/mnt2"
umount "$W/mnt2"
expect 'another copy' "$B" mount "$W/copy" "$W/mnt2" --kms "local:$W/ks/kek"
umount "$W/mnt2"
expect 'and the first one again' "$B" mount "$W/s" "$M"

# --- one that serves is told of at once

# prompt TEXT COMMAND...: refused as busy, in less time than anything is waited for
prompt() {
	local text=$1 t0
	shift
	t0=$(now_ms)
	refused "$text" 'in use|another copy|mounted on' 6 "$@"
	within "$text: at once" $(($(now_ms) - t0)) 5000 "$t0"
}
beside_start
prompt 'a store that is mounted' "$B" mount "$W/s" "$W/mnt2"
prompt 'a mount point that is taken' "$B" mount "$W/s" "$M"
prompt 'a copy of it' "$B" mount "$W/copy" "$W/mnt2"
prompt 'verify of it' "$B" verify "$W/s"
mount --make-private "$W" 2>/dev/null
if mount --move "$M" "$W/moved" 2>/dev/null; then
	prompt 'one that was moved' "$B" mount "$W/s" "$W/mnt2"
	mount --move "$W/moved" "$M"
fi
exec 8<"$M/f1"
umount -l "$M"
prompt 'one that is still open somewhere' "$B" mount "$W/s" "$W/mnt2"
exec 8<&-
expect 'when that is closed' "$B" mount "$W/s" "$M"
umount_store
