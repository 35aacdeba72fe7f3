#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# byokfs umount while somebody else has the mount: who it is is told, for how long is waited, and a status of its own.
. "$(dirname "$0")/lib.sh"

new_store store
still_held=11
await_told() { await $HANG grep -q "$1" "$W/out"; }

# --- another mount namespace
mount_store store || exit
echo data >"$W/mnt/f"
unshare -m --propagation private sleep 1000 &
other=$!
awaited 'the other namespace has it' $HANG grep -q " $W/mnt " "/proc/$other/mountinfo"
await $HANG sh -c '[ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]' - $other
refused 'umount says who, and ends in time' "process $other \\(sleep\\) has it in another mount namespace, at $W/mnt" $still_held \
	"$BYOKFS" umount "$W/mnt" --timeout 2
expect 'here its place is kept' is_mounted "$W/mnt"
refused 'and locked' 'permission denied' '' cat "$W/mnt/f"
refused 'there it is locked' 'permission denied' '' nsenter -m -t $other cat "$W/mnt/f"
kill $other
wait $other 2>/dev/null
awaited 'with the other namespace the daemon ends' $HANG no_daemons
expect 'and it is unmounted' unmounted

# --- told while it waits, and done when the other lets go
mount_store store || exit
unshare -m --propagation private sleep 1000 &
other=$!
await $HANG sh -c 'grep -q " $2 " "/proc/$1/mountinfo" && [ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]' - $other "$W/mnt"
timeout $HANG "$BYOKFS" umount "$W/mnt" --timeout 10m >"$W/out" 2>&1 &
waiting=$!
awaited 'told while it waits' $HANG await_told "process $other"
kill -0 $waiting 2>/dev/null && pass 'and it still waits' || fail 'it does not wait'
kill $other
wait $waiting
same 'done when the other has ended' 0 $?
await $HANG no_daemons

# --- a second path here
mount_store store || exit
mkdir "$W/second"
mount --bind "$W/mnt" "$W/second"
refused 'a second path is told' "mounted here too, at $W/second" $still_held "$BYOKFS" umount "$W/mnt" --timeout 2
refused 'and locked' 'permission denied' '' cat "$W/second/f"
expect 'and its place kept' is_mounted "$W/mnt"
umount "$W/second"
awaited 'without it the daemon ends' $HANG no_daemons

# --- a second path alone goes: the mount's own is served
mount_store store || exit
mount --bind "$W/mnt" "$W/second"
expect 'umount of the second path' "$BYOKFS" umount "$W/second"
expect 'it is gone' eval '! is_mounted "$W/second"'
expect 'and the first is served' cat "$W/mnt/f"
: >"$W/file"
mount --bind "$W/mnt/f" "$W/file"
expect 'a file of it mounted by itself: locked by that path' "$BYOKFS" lock "$W/file"
refused 'so that it is not read' 'permission denied' '' cat "$W/file"
expect 'unlocked' "$BYOKFS" unlock "$W/file"
expect 'unmounted' "$BYOKFS" umount "$W/file"
mount -t tmpfs none "$W/mnt"
refused 'with something mounted over it' 'something else is mounted over' 6 "$BYOKFS" umount "$W/mnt"
umount "$W/mnt"
umount_store

# --- signals: a second path or another namespace is in use: locked, the place kept
mount_logged store "$W/log" || exit
mount --bind "$W/mnt" "$W/second"
kill -TERM "$daemon"
awaited 'a second path: SIGTERM locks' $HANG in_state locked
refused 'the second path, too' 'permission denied' '' cat "$W/second/f"
expect 'and the place is kept' is_mounted "$W/mnt"
umount "$W/second"
awaited 'without it: unmounted' $HANG unmounted
wait "$daemon"
same 'exit code' 0 $?
mount_logged store "$W/log" || exit
unshare -m --propagation private sleep 1000 &
other=$!
await $HANG sh -c 'grep -q " $2 " "/proc/$1/mountinfo" && [ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]' - $other "$W/mnt"
nsenter -m -t $other sh -c 'echo more >"$1/g"' - "$W/mnt"
kill -TERM "$daemon"
awaited 'another namespace: SIGTERM locks' $HANG in_state locked
refused 'there, too' 'permission denied' '' nsenter -m -t $other cat "$W/mnt/g"
expect 'here the place is kept' is_mounted "$W/mnt"
expect 'the log says who' grep -q "still in use: .*process $other (sleep) has it in another mount namespace, at $W/mnt" "$W/log"
kill $other
wait $other 2>/dev/null
wait "$daemon"
same 'its end is the end: exit code' 0 $?
expect 'unmounted' unmounted
mount_store store || exit
same 'what was written there is whole' more "$(cat "$W/mnt/g")"
umount_store

# --- a great deal to write back: nothing is locked before that is done
slow_store
export LD_PRELOAD=$slow_lib
mount_store store || exit
unset LD_PRELOAD
slow 0 100000
head -c 12M /dev/urandom >"$W/big"
cp "$W/big" "$W/mnt/big"
expect 'umount of what takes seconds to write' "$BYOKFS" umount "$W/mnt"
slow 0 0
mount_store store || exit
expect 'all of it is there' cmp "$W/big" "$W/mnt/big"
umount_store

# --- the command line
mount_store store || exit
for t in x -1 25h '' 1d; do refused "--timeout [$t]" 'not a time' 2 "$BYOKFS" umount "$W/mnt" --timeout "$t"; done
refused '--timeout alone' 'requires an argument|needs' 2 "$BYOKFS" umount "$W/mnt" --timeout
expect 'nobody else has it: done' byokfs umount --timeout 2m "$W/mnt"
