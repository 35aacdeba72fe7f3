#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Options of mount that decide when and how keys come and go: wait, grace, restore, protect-mountpoint, and what is refused.
. "$(dirname "$0")/lib.sh"

number() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE "s/.*\"$1\": *([0-9]+).*/\\1/p"; }
reason() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"reason": *"([^"]*)".*/\1/p'; }
away() { mv "$W/ks" "$W/ks.away"; }
back() { mv "$W/ks.away" "$W/ks"; }

beside_start
new_store s
mkdir -p "$W/mnt"

# What cannot be meant
usage() {
	local pattern=$1
	shift
	refused "mount $*" "$pattern" 2 "$BYOKFS" mount "$W/s" "$W/mnt" "$@"
}
usage 'at least twice' --lease 5 --poll 3
usage 'at least twice' -o lease=5,poll=3
usage 'grace is a time from 0 to 7d' --grace 8d
usage 'grace is a time' -o grace=forever
usage "'auto' or 'manual'" --restore=never
usage 'no meaning' --restore manual --on-revoke unmount
usage 'absolute path' --notify-command touch
usage 'cannot be run' -o notify_command=/etc/passwd
usage 'respawn is how often' --respawn=-1
usage 'wait is a time' --wait=soon
usage "did you mean 'grace'" -o grce=1h

# --wait: a keystore that is not there is silence, a refusal is not
away
refused 'no keystore, no --wait' 'no keystore' 8 "$BYOKFS" mount "$W/s" "$W/mnt"
t0=$(now_ms)
refused '--wait=3 gives up' 'no keystore' 8 "$BYOKFS" mount "$W/s" "$W/mnt" --wait=3
t=$(($(now_ms) - t0))
[ $t -ge 2900 ] && pass 'waited as long as it was told' || fail "--wait=3 took $t ms"
within 'and no longer' $t 15000 "$t0"
rm -f "$W/wait.log"
"$BYOKFS" mount "$W/s" "$W/mnt" --wait </dev/null >"$W/wait.log" 2>&1 &
waiter=$!
awaited '--wait says that it waits' $HANG grep -q 'waiting for the KMS' "$W/wait.log"
sleep 3
kill -0 $waiter 2>/dev/null && pass '--wait goes on asking' || fail "--wait ended: $(cat "$W/wait.log")"
same 'and says so once' 1 "$(grep -c 'waiting for the KMS' "$W/wait.log")"
back
wait $waiter && pass 'mounted when the keystore came' || fail "--wait: $(cat "$W/wait.log")"
same 'state' active "$(state_of)"
umount_store
key disable
t0=$(now_ms)
refused 'a refusal ends --wait' disabled 3 "$BYOKFS" mount "$W/s" "$W/mnt" -o wait=1h
within 'at once' $(($(now_ms) - t0)) 5000 "$t0"
key enable
away
rm -f "$W/wait.log" # what the one before said is no answer
setsid -w "$BYOKFS" mount "$W/s" "$W/mnt" --wait </dev/null >"$W/wait.log" 2>&1 &
awaited 'waiting' $HANG grep -q 'waiting for the KMS' "$W/wait.log"
# again and again: a shell's job in the background ignores SIGINT but where the program waits for it
awaited 'an interrupt ends --wait' 20 eval 'kill -INT $(our_daemons) 2>/dev/null; no_daemons'
is_mounted "$W/mnt" && fail 'mounted after an interrupt'
back

# Grace: an outage serves on, to an end that stands; a refusal in it locks at once
mount_store s --poll 1 --lease 3 --grace 15
echo data >"$W/mnt/f"
away
wait_state grace 6 && figure "grace began, $(number grace_left_s) s left"
same 'reading goes on in grace' data "$(cat "$W/mnt/f" 2>&1)"
a=$(number grace_left_s)
sleep 2
b=$(number grace_left_s)
[ "${b:-99}" -lt "${a:-0}" ] && pass 'its end stands' || fail "grace_left_s went from $a to $b"
t=$(now_ms)
wait_state locked 18 && figure "locked $(($(now_ms) - t)) ms later"
refused 'nothing is read after grace' 'permission denied' '' cat "$W/mnt/f"
back
wait_state active 12
same 'the same data' data "$(cat "$W/mnt/f" 2>&1)"
away
wait_state grace 6
mv "$W/ks.away" "$W/ks.tmp" && byokfs keystore disable "$W/ks.tmp" kek >>"$W/cli.log" 2>&1
mv "$W/ks.tmp" "$W/ks"
wait_state locked 6
reason | grep -q disabled && pass 'a refusal ends grace' || fail "reason: $(reason)"
key enable
wait_state active 12
umount_store

# A daemon that begins in an outage has no grace
away
refused 'no mount in an outage, whatever the grace' 'no keystore' 8 "$BYOKFS" mount "$W/s" "$W/mnt" --grace 7d
back

# --restore manual
mount_store s --poll 1 --lease 3 --restore manual
key disable
wait_state locked 8
key enable
key_is_back() { reason | grep -q 'byokfs unlock'; }
awaited 'status says that the key is back' 20 key_is_back
sleep 2
same 'and it stays locked' locked "$(state_of)"
expect 'unlock' byokfs unlock "$W/mnt"
same 'serves again' data "$(cat "$W/mnt/f" 2>&1)"
umount_store

# --protect-mountpoint
expect 'protected mount' mount_store s --protect-mountpoint
same 'it serves' data "$(cat "$W/mnt/f" 2>&1)"
umount_store
if lsattr -d "$W/mnt" 2>/dev/null | grep -q '^[^ ]*i'; then
	same 'root owns it, mode 0000' '0 0 0' "$(stat -c '%u %g %a' "$W/mnt")"
	refused 'nothing is written while nothing is mounted' 'not permitted|denied' '' touch "$W/mnt/leak"
	out=$(byokfs mount "$W/s" "$W/mnt" -o protect_mountpoint </dev/null 2>&1) && pass 'again is harmless' || fail "again: $out"
	same 'and silent' '' "$out"
	umount_store
	chattr -i "$W/mnt"
else
	skip 'no immutable flag on this filesystem'
fi
chmod 755 "$W/mnt"
mkdir -p "$W/ramfs" && mount -t ramfs none "$W/ramfs" && mkdir "$W/ramfs/m"
out=$(byokfs mount "$W/s" "$W/ramfs/m" --protect-mountpoint </dev/null 2>&1) && pass 'a filesystem without the flag' || fail "ramfs: $out"
byokfs umount "$W/ramfs/m" >>"$W/cli.log" 2>&1 || fail 'umount'
if chattr +i "$W/ramfs/m" 2>/dev/null; then
	chattr -i "$W/ramfs/m"
	skip 'ramfs has the flag here'
else
	grep -q 'cannot be made immutable' <<<"$out" && pass 'says what it could not do' || fail "it said: $out"
fi
umount "$W/ramfs"

# What mount(8) lists as independent of the filesystem is taken, and remount changes flags, no more
for o in lazytime strictatime iversion noiversion silent loud mand nomand nosymfollow fsname=x,subtype=y \
	nogroup,noowner,nousers user=joe,X-mount.mkdir,x-systemd.automount context=system_u:object_r:tmp_t:s0 \
	'ro,context="system_u:object_r:tmp_t:s0:c1,c2",fscontext=a:b:c:s0,noexec'; do
	out=$(byokfs mount "$W/s" "$W/mnt" -o $o </dev/null 2>&1) && pass "-o $o" || fail "-o $o: $out"
	[[ $o != ro,* ]] || findmnt -no OPTIONS "$W/mnt" | grep -q '^ro.*noexec' || fail "-o $o: $(findmnt -no OPTIONS "$W/mnt")"
	umount_store
done
mount_store s -o nosymfollow
expect 'remount,ro' byokfs mount "$W/s" "$W/mnt" -o remount,ro
refused 'nothing is written then' 'read-only' '' touch "$W/mnt/x"
findmnt -no OPTIONS "$W/mnt" | grep -q nosymfollow && pass 'nosymfollow is kept' || fail "remount lost nosymfollow: $(findmnt -no OPTIONS "$W/mnt")"
findmnt -no OPTIONS "$W/mnt" | grep -q nosuid && pass 'nosuid is kept' || fail "remount lost nosuid: $(findmnt -no OPTIONS "$W/mnt")"
expect 'remount,rw,noexec' byokfs mount "$W/s" "$W/mnt" -o remount,rw,noexec
expect 'written again' touch "$W/mnt/x"
findmnt -no OPTIONS "$W/mnt" | grep -q noexec && pass 'and noexec' || fail 'noexec was not set'
same 'the same daemon' active "$(state_of)"
umount_store
refused 'remount of nothing' 'no byokfs is mounted' 8 "$BYOKFS" mount "$W/s" "$W/mnt" -o remount,ro
