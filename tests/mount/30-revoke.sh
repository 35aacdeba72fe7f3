#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Revocation: every kind of access ends, timed; comes back on the same handles, timed; a writer loses nothing acknowledged.
. "$(dirname "$0")/lib.sh"

ks="$BYOKFS keystore"
writer=$(tool ackwriter) || fail 'compiling ackwriter'
new_keystore
beside_start
# acknowledged N: the writer has got so many acknowledgements, and goes on getting them
acknowledged() { [ "$(grep -c '^size' "$W/ack.log" 2>/dev/null)" -ge "$1" ]; }
more_acknowledged() { awaited 'the writer writes' $HANG acknowledged $(($(grep -c '^size' "$W/ack.log") + 10)); }

for wrap in store file; do
	new_store $wrap --wrap $wrap
	mount_store $wrap || continue
	rm -f "$W/ack.log"
	mkdir "$W/mnt/acks"
	"$writer" write "$W/mnt/acks" "$W/ack.log" 7 0 12 >/dev/null 2>&1 &
	w=$!
	awaited 'the writer writes' $HANG acknowledged 10
	say "wrap type $wrap, key disabled and enabled, with a writer"
	timeout 300 python3 "$here/probe.py" "$W/mnt" --limit 15 --lock "$ks disable $W/ks kek" --unlock "$ks enable $W/ks kek" >"$W/probe.out" 2>&1
	rc=$?
	grep figure "$W/probe.out"
	[ $rc -eq 0 ] && pass "disable and enable ($wrap)" || fail "disable and enable ($wrap): $(grep -v figure "$W/probe.out" | tail -n 8)"
	# more turns under the writer alone
	for _ in 1 2 3; do
		more_acknowledged
		key disable
		wait_state locked 15
		same "user.byokfs.state tells ($wrap)" 1 "$(getfattr --only-values -n user.byokfs.state "$W/mnt" 2>/dev/null | grep -ci locked)"
		sleep 0.5
		key enable
		wait_state active 15
	done
	more_acknowledged
	say "wrap type $wrap, byokfs lock and unlock"
	timeout 300 python3 "$here/probe.py" "$W/mnt/acks" --limit 15 --lock "$BYOKFS lock $W/mnt" --unlock "$BYOKFS unlock $W/mnt" >"$W/probe.out" 2>&1
	rc=$?
	grep figure "$W/probe.out"
	[ $rc -eq 0 ] && pass "lock and unlock ($wrap)" || fail "lock and unlock ($wrap): $(grep -v figure "$W/probe.out" | tail -n 8)"
	kill $w
	wait $w 2>/dev/null
	umount_store
	mount_store $wrap || continue
	out=$("$writer" check "$W/mnt/acks" "$W/ack.log" 2>&1) && pass "writer lost nothing ($wrap)" || fail "writer ($wrap): $(tail -n 5 <<<"$out")"
	figure "writer ($wrap): $(tail -n 1 <<<"$out"); $(grep -c '^error' "$W/ack.log") refusals seen by it"
	odd=$(awk '$1 == "error" {print $3, $4}' "$W/ack.log" | grep -vE ' (EACCES)$' | grep -vE '^close (EIO)$' | sort | uniq -c)
	[ -z "$odd" ] && pass "the writer was refused by EACCES ($wrap)" || fail "the writer saw ($wrap): $odd"
	umount_store
	expect "verify ($wrap)" byokfs verify "$W/$wrap"
done

# an ordered lock stays, whatever the key says
mount_store store || exit
echo before >"$W/mnt/f"
expect 'byokfs lock' byokfs lock "$W/mnt"
same 'state' locked "$(state_of)"
key disable
key enable
sleep 1
same 'an ordered lock stays when the key comes back' locked "$(state_of)"
refused 'root may not read' 'permission denied' '' cat "$W/mnt/f"
expect 'statfs while locked' stat -f "$W/mnt"
expect 'stat of the mount root while locked' stat "$W/mnt"
refused 'listing' 'permission denied' '' ls "$W/mnt/"
key disable
refused 'unlock with the key disabled' 'disabled|refus' '' "$BYOKFS" unlock "$W/mnt"
key enable
expect 'byokfs unlock' byokfs unlock "$W/mnt"
same 'content' before "$(cat "$W/mnt/f")"
# umount while locked
byokfs lock "$W/mnt" >/dev/null
umount_store
mount_store store || exit
same 'content after an unmount in the locked state' before "$(cat "$W/mnt/f")"
umount_store

# --on-revoke=unmount: a backup that goes on must not fill the bare directory unseen
mount_store store --on-revoke unmount || exit
echo again >"$W/mnt/g"
t0=$(now_ms)
key disable
awaited 'unmounted on revocation' $HANG unmounted
t1=$(now_ms)
within 'unmounted on revocation' $((t1 - t0)) 8000 "$t0"
figure "disabled to unmounted: $((t1 - t0)) ms"
awaited 'the daemon has ended' 20 no_daemons
refused 'mount with the key disabled' 'disabled' '' "$BYOKFS" mount "$W/store" "$W/mnt"
key enable
mount_store store || exit
same 'what was written is there' again "$(cat "$W/mnt/g")"

# with an open file the unmount cannot complete at once, access ends all the same
umount_store
mount_store store --on-revoke unmount || exit
exec 8<"$W/mnt/g"
t0=$(now_ms)
key disable
not_served() { ! python3 -c 'import os; os.pread(8, 1, 0)'; }
awaited 'open file refused, on-revoke=unmount' $HANG not_served
within 'open file refused, on-revoke=unmount' $(($(now_ms) - t0)) 1500 "$t0"
exec 8<&-
awaited 'unmounted once nothing is open' 20 unmounted
key enable
