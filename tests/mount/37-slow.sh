#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Slow is not dead: a slow disk, an fsync that lasts and a starved machine at a lock cost no mount.
. "$(dirname "$0")/lib.sh"

turns=8
[ -z "${BYOKFS_SHORT:-}" ] || turns=4
[ -z "$LONG" ] || turns=60
slow_store || exit
new_store store
LD_PRELOAD=$slow_lib mount_store store || exit
worker=$(worker_of)
order() { timeout $HANG "$BYOKFS" lock "$W/mnt" >>"$W/cli.log" 2>&1; }
back() { timeout $HANG "$BYOKFS" unlock "$W/mnt" >>"$W/cli.log" 2>&1 || fail "$1: unlock: $(tail -n 1 "$W/cli.log")"; }
# lives TEXT STATE: no takeover: the worker of the beginning, in that state
lives() { same "$1: state and worker" "$2 $worker" "$(state_of) $(worker_of)"; }

# an fsync that takes as long as a disk likes
echo old >"$W/mnt/synced"
slow 0 0 6000000
python3 - "$W/mnt/synced" >"$W/synced" <<'PY' &
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
os.write(fd, b'new\n')
print('begins', flush=True)
os.fsync(fd)
print('synced', flush=True)
PY
writer=$!
awaited 'the fsync begins' $HANG grep -q begins "$W/synced"
sleep 0.5
t0=$(now_ms)
order || fail 'an order during an fsync'
took=$(($(now_ms) - t0))
same 'the fsync goes on meanwhile' begins "$(tail -n 1 "$W/synced")"
[ $took -lt 5000 ] && pass 'the lock does not wait for the fsync' || fail "a lock during an fsync of 6 s: $took ms"
lives 'an order during an fsync' locked
figure "an order during an fsync of 6 s: $took ms"
wait $writer
same 'the fsync ends well: its bytes were sealed before' synced "$(tail -n 1 "$W/synced")"
slow 0 0
back 'after the fsync'
same 'what was synced' new "$(cat "$W/mnt/synced")"

# a disk that takes 0.3 s for each read, with readers on every serving thread
head -c 64M /dev/zero >"$W/mnt/large"
umount_store
LD_PRELOAD=$slow_lib mount_store store || exit
worker=$(worker_of)
slow 300000 0
for i in $(seq 0 7); do (dd if="$W/mnt/large" of=/dev/null bs=64k skip=$((i * 100)) count=100 2>/dev/null; :) & done
sleep 1
t0=$(now_ms)
order || fail 'an order on a slow disk'
lives 'an order on a slow disk' locked
figure "an order with eight readers, 0.3 s a read: $(($(now_ms) - t0)) ms"
slow 0 0
wait
back 'after the slow disk'
lives 'after the slow disk' active

# a starved machine: four busy processes for each processor, files that come and go, orders and refusals by turns
: >"$W/busy"
for _ in $(seq $((4 * $(nproc)))); do (while [ -e "$W/busy" ]; do :; done) & done
mkdir "$W/mnt/churn"
for i in 1 2 3; do
	(
		while [ -e "$W/busy" ]; do
			dd if=/dev/zero of="$W/mnt/churn/$i" bs=64k count=20
			cat "$W/mnt/churn/"*
			mv "$W/mnt/churn/$i" "$W/mnt/churn/moved-$i"
			rm -f "$W/mnt/churn/moved-$i"
		done
	) >/dev/null 2>&1 &
done
most=0
for n in $(seq $turns); do
	t0=$(now_ms)
	if [ $((n % 2)) = 0 ]; then key disable; else order || fail "order $n"; fi
	await $HANG in_state locked
	[ $(($(now_ms) - t0)) -le $most ] || most=$(($(now_ms) - t0))
	if [ $((n % 2)) = 0 ]; then key enable; else back "turn $n"; fi
	await $HANG in_state active
	lives "turn $n on a starved machine" active || break
done
figure "$turns locks beside $((4 * $(nproc))) busy processes: $most ms at most, seen from outside"
rm "$W/busy"
wait
umount_store
expect 'verify' "$BYOKFS" verify "$W/store"
