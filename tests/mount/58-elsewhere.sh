#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Unmounted by others than byokfs: umount(8), lazily, in the sight of other mount namespaces. Whoever has it still is locked out.
. "$(dirname "$0")/lib.sh"

new_store store

# apart PROPAGATION: a process in a mount namespace of its own, $other
apart() {
	unshare -m --propagation "$1" sleep 1000 &
	other=$!
	await $HANG sh -c '[ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]' - $other
	awaited "another namespace ($1) has it" $HANG grep -q " $W/mnt " "/proc/$other/mountinfo"
}
together() {
	kill $other
	wait $other 2>/dev/null
	awaited "$1: with the last holder the daemon ends" $HANG no_daemons
}
in_log() { grep -q "$1" "$W/log"; }
begin() {
	: >"$W/log"
	mount_logged store "$W/log" || exit
	echo data >"$W/mnt/f"
}
locked_there() { nsenter -m -t $other cat "$W/mnt/f" 2>&1 | grep -qi 'permission denied'; }
# where what is mounted and unmounted here reaches others, and not beyond this scenario
mount --bind "$W" "$W" && mount --make-private "$W" && mount --make-shared "$W" || fail 'a shared folder'

# --- umount(8) while another namespace has a copy of its own
begin
apart private
expect 'umount(8)' umount "$W/mnt"
awaited 'there it is locked' 30 locked_there
awaited 'the log says who' 10 in_log "unmounted here, and in use still: .*process $other (sleep)"
together 'umount(8)'

# --- lazily, while a file is open, and a folder; what was written is kept
begin
exec 8<"$W/mnt/f" 9>"$W/mnt/g"
echo whole >&9
umount -l "$W/mnt"
refusing() { ! head -c 1 <&8 >/dev/null 2>&1; }
awaited 'umount -l: an open file is locked' 30 refusing
awaited 'and it is said why' 10 in_log 'unmounted here, and in use still: .*files are open'
exec 8<&- 9>&-
awaited 'when it is closed the daemon ends' $HANG no_daemons
mount_store store || exit
same 'what was written before is there' whole "$(cat "$W/mnt/g")"
umount_store
begin
(cd "$W/mnt" && exec sleep 1000) &
sleeper=$!
await $HANG sh -c '[ "$(readlink "/proc/$1/cwd")" = "$2" ]' - $sleeper "$W/mnt"
umount -l "$W/mnt"
folder_locked() { cat "/proc/$sleeper/cwd/f" 2>&1 | grep -qi 'permission denied'; }
awaited 'umount -l: whoever is in it is locked out' 30 folder_locked
kill $sleeper
wait $sleeper 2>/dev/null
awaited 'when he leaves the daemon ends' $HANG no_daemons

# --- its folder removed in another namespace, where nothing is mounted on it: the kernel unmounts everywhere
begin
exec 8<"$W/mnt/f"
apart private
nsenter -m -t $other umount "$W/mnt"
if nsenter -m -t $other rmdir "$W/mnt"; then
	awaited 'the folder removed elsewhere: locked' 30 refusing
	exec 8<&-
	together 'the folder removed elsewhere'
else
	exec 8<&-
	kill $other
	wait $other 2>/dev/null
	umount_store
fi

# --- copies that an unmount takes along are nobody's use
for p in slave shared; do
	begin
	apart $p
	expect "byokfs umount, $p elsewhere" "$BYOKFS" umount "$W/mnt" --timeout 20
	together "byokfs umount, $p"
	expect "$p: nothing was locked" eval '! in_log "in use"'
	begin
	apart $p
	kill -TERM "$daemon"
	awaited "SIGTERM, $p elsewhere: unmounted" $HANG unmounted
	together "SIGTERM, $p"
	expect "SIGTERM, $p: nothing was locked" eval '! in_log "in use"'
done
# a slave of a slave
begin
unshare -m --propagation slave unshare -m --propagation shared unshare -m --propagation slave sleep 1000 &
other=$!
await $HANG sh -c 'grep -q "^sleep" "/proc/$1/comm"' - $other
kill -TERM "$daemon"
awaited 'SIGTERM, a slave of a slave: unmounted' $HANG unmounted
together 'a slave of a slave'
expect 'nothing was locked' eval '! in_log "in use"'

# --- on revocation
mount_logged store "$W/log" --on-revoke unmount --poll 1 --lease 3 || exit
apart private
key disable
awaited 'revoked: locked there' 60 locked_there
expect 'and the place is kept' is_mounted "$W/mnt"
together 'revoked'
expect 'then it is unmounted' unmounted
key enable

# --- mounts that come and go beside it, and one that is moved, are no unmount
begin
mkdir -p "$W/beside" "$W/private/a" "$W/private/b"
for i in 1 2 3 4 5; do
	mount -t tmpfs none "$W/beside" && umount "$W/beside"
done
mount -t tmpfs none "$W/mnt" # on top of it
sleep 1
umount "$W/mnt"
same 'served as before' data "$(cat "$W/mnt/f")"
expect 'and nothing was said' eval '! in_log "unmounted here"'
umount_store
mount -t tmpfs none "$W/private" && mount --make-private "$W/private" && mkdir "$W/private/a" "$W/private/b" || fail 'a private folder'
expect 'on a private folder' "$BYOKFS" mount "$W/store" "$W/private/a"
expect 'moved' mount --move "$W/private/a" "$W/private/b"
same 'served' data "$(cat "$W/private/b/f")"
expect 'locked where it is' "$BYOKFS" lock "$W/private/b"
expect 'unlocked' "$BYOKFS" unlock "$W/private/b"
expect 'unmounted where it is' "$BYOKFS" umount "$W/private/b"
awaited 'and ended' $HANG no_daemons
umount "$W/private"
cd /
umount "$W" || umount -l "$W"
