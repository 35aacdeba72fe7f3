#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The audit log: who and what stands in it, every change of it is found, a full disk and a killed daemon are told.
. "$(dirname "$0")/lib.sh"

log_of() { printf '%s/byokfs/audit.log' "$W/$1"; }
events() { byokfs audit show "$1" --json | sed -E 's/.*"event":"([a-z_]+)".*/\1/' | uniq | tr '\n' ' '; }
# has TEXT STORE PATTERN: a line of the log matches, at once or soon: it is written behind the event
in_log() { byokfs audit show "$1" --json 2>/dev/null | grep -qE -e "$2"; }
has() {
	if await 20 in_log "$2" "$3"; then pass "$1"; else fail "$1: no line matches $3: $(byokfs audit show "$2" 2>&1 | tail -n 6)"; fi
}
verified() { expect "verify: $1" byokfs audit verify "$2"; }
note_of() { byokfs audit verify "$1" --json | grep -c "\"code\": \"$2\""; }

beside_start
new_store s
refused 'a store that was never mounted has no log' 'no audit log' 8 "$BYOKFS" audit show "$W/s"
mount_store s || exit
echo content >"$W/mnt/marker-file-name"
mkdir "$W/mnt/marker-folder-name"
# pages that are dirty at the lock are sealed, and counted
head -c 3000000 /dev/urandom >"$W/mnt/dirty"
key disable
wait_state locked 15
for _ in $(seq 50); do stat "$W/mnt/marker-file-name" >/dev/null 2>&1; done
key enable
wait_state active 15
expect 'lock' byokfs lock "$W/mnt"
expect 'unlock' byokfs unlock "$W/mnt"
kill -USR1 "$(pid_of)"
wait_state locked 5
expect 'unlock after SIGUSR1' byokfs unlock "$W/mnt"
verified 'while it is mounted' "$W/mnt"
cp "$(log_of s)" "$W/older"
umount_store
has 'mount: who, where, how' "$W/s" '"event":"mount","found":"new","uid":0,.*"pid":[0-9]+,"host":"[^"]+","version":"[^"]+","mountpoint":"'"$W"'/mnt"'
has 'refused' "$W/s" '"to":"locking","cause":"revoked","reason":"[^"]*disabled[^"]*","kms":"local:[^"]*/kek","key_version":"1"'
has 'what the lock did' "$W/s" '"event":"locked","refused_at":[0-9]+,"gate_closed_at":[0-9]+,"sealed_bytes":[0-9]+,"refused_bytes":[0-9]+'
has 'who ordered' "$W/s" '"event":"order","order":"lock","uid":0,.*"pid":[0-9]+,"host"'
has 'who sent SIGUSR1' "$W/s" '"event":"order","order":"lock","signal":"SIGUSR1","uid":0,.*"pid":'$$,
has 'who unmounts' "$W/s" '"event":"order","order":"unmount","uid":0'
has 'returned' "$W/s" '"event":"returned"'
n=$(byokfs audit show "$W/s" --json | grep '"event":"denied"' | head -n 1 | sed -E 's/.*"operations":([0-9]+).*/\1/')
[ "${n:-0}" -ge 50 ] && pass 'denied operations are counted' || fail "50 refused operations, $n told"
same 'and told once' 1 "$(byokfs audit show "$W/s" --json | grep -c '"event":"denied"')"
same 'the last line' unmount "$(byokfs audit show "$W/s" --json | tail -n 1 | sed -E 's/.*"event":"([a-z]+)".*/\1/')"
same 'each line is JSON' 0 "$(byokfs audit show "$W/s" --json | python3 -c 'import json,sys; print(sum(1 for l in sys.stdin if json.loads(l)["v"] != 1))')"
same 'shown since tomorrow' '' "$(byokfs audit show "$W/s" --since "$(date -ud tomorrow +%F)")"
[ -n "$(byokfs audit show "$W/s" --since 1h)" ] && pass 'since an hour ago' || fail 'nothing since an hour ago'
mount_store s || exit
umount_store
has 'a second session follows' "$W/s" '"line":1,.*"event":"mount","found":"whole".*"session_before":"clean"'
verified 'two sessions' "$W/s"
expect 'byokfs verify takes the log for what it is' byokfs verify "$W/s"
if grep -q -a -e marker "$(log_of s)"; then fail 'a file name is in the log'; else pass 'no file name in the log'; fi
figure "log of a mount with two locks: $(stat -c %s "$W/older") bytes, $(wc -l <"$W/older") lines"

# --- every change is found
t0=$(now_ms)
out=$(python3 "$here/audit_tamper.py" "$BYOKFS" "$W/s" "$W/older" ${LONG:+--long} ${BYOKFS_SHORT:+--short} 2>&1) && pass 'tampering' || fail "tampering: $(tail -n 5 <<<"$out")"
printf '  %s (%d ms)\n' "$(tail -n 1 <<<"$out")" "$(($(now_ms) - t0))"

# --- what only this host knows
end=$(echo /var/lib/byokfs/s-*.audit)
[ -f "$end" ] && pass 'the host remembers the end' || fail "no end record: $(ls /var/lib/byokfs)"
cp "$(log_of s)" "$W/good"
mv "$end" "$W/end"
head -n -1 "$W/good" >"$(log_of s)"
expect 'without it a cut end is not missed' byokfs audit verify "$W/s"
same 'and that is said' 1 "$(note_of "$W/s" no_end)"
cp "$W/good" "$(log_of s)"
mv "$W/end" "$end"

# --- a line that a crash cut off
printf '{"v":1,"session":4,"line":3,"prev":"00' >>"$(log_of s)"
verified 'an unfinished line is no tampering' "$W/s"
same 'it is told' 1 "$(note_of "$W/s" unfinished)"
mount_store s || exit
umount_store
has 'the next session says so' "$W/s" '"event":"mount","found":"torn","torn":38,'
verified 'a marked unfinished line' "$W/s"
# a cut that the next mount meets stays known for ever
cp "$(log_of s)" "$W/good"
head -c -100 "$W/good" >"$(log_of s)"
mount_store s || exit
umount_store
has 'the next session found the end cut' "$W/s" '"event":"mount","found":"cut"'
refused 'and verify goes on saying it' 'cut' 5 "$BYOKFS" audit verify "$W/s"
rm "$(log_of s)"
mount_store s || exit
umount_store
has 'a deleted log' "$W/s" '"event":"mount","found":"missing"'
refused 'goes on being said too' 'gone' 5 "$BYOKFS" audit verify "$W/s"
rm "$(log_of s)"
mkfifo "$(log_of s)"
mkdir -p "$W/mnt"
refused 'a fifo in its place' 'not a regular file' '' "$BYOKFS" mount "$W/s" "$W/mnt"
rm "$(log_of s)"

# --- killed
new_store k
mount_store k || exit
echo x >"$W/mnt/f"
await $HANG grep -q '"event":"mount"' "$(log_of k)" # nobody waits for the log, nor did the mount
worker=$(byokfs status "$W/mnt" --json | sed -nE 's/.*"worker_pid": *([0-9]+).*/\1/p')
kill -9 "$worker"
await $HANG no_daemons
verified 'after kill -9 of the worker' "$W/k"
mount_store k || exit
has 'the next mount tells that it was not unmounted' "$W/k" '"event":"mount","found":"(whole|torn)".*"session_before":"unclean"'
has 'and by whom it was ended, and why' "$W/k" '"event":"ended_before","by":"supervisor","reason":"[^"]*killed by signal 9.*"authentic":"no"'
supervisor=$(pid_of)
kill -9 "$supervisor"
await $HANG no_daemons
has 'a worker that lost its supervisor says so' "$W/k" '"event":"ended","by":"worker","reason":"[^"]*supervisor died'
byokfs umount "$W/mnt" >/dev/null 2>&1
mount_store k || exit
pids=$(our_daemons)
kill -9 $pids
await $HANG no_daemons
umount -l "$W/mnt" 2>/dev/null
mount_store k || exit
umount_store
verified 'after both were killed' "$W/k"
say "events: $(events "$W/k")"

# --- a full disk
mkdir "$W/small"
mount -t tmpfs -o size=40m,mode=755 none "$W/small" || fail 'tmpfs'
byokfs init "$W/small/store" --kms "local:$W/ks/kek" >>"$W/cli.log" 2>&1 || fail 'init on the small disk'
mount_store small/store || exit
dd if=/dev/zero of="$W/small/filler" bs=64k >/dev/null 2>&1
dd if=/dev/zero of="$W/small/filler2" bs=1k >/dev/null 2>&1
same 'the disk is full' 0 "$(df --output=avail "$W/small" | tail -n 1 | tr -d ' ')"
t0=$(now_ms)
expect 'lock on a full disk' byokfs lock "$W/mnt"
figure "lock on a full disk: $(($(now_ms) - t0)) ms"
same 'locked' locked "$(state_of)"
has 'the lock is in the log' "$W/small/store" '"to":"locked","cause":"ordered"'
byokfs unlock "$W/mnt" >/dev/null
value() { byokfs status "$W/mnt" --json | sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p"; }
for i in $(seq 150); do
	byokfs lock "$W/mnt" >/dev/null && byokfs unlock "$W/mnt" >/dev/null || { fail "lock $i with the log full"; break; }
	[ "$(value audit_lost)" -ge 5 ] && break
done
lost=$(value audit_lost)
[ "$lost" -ge 5 ] && pass 'what cannot be written is counted' || fail "after $i locks on a full disk $lost events are lost, $(value audit_waiting) wait"
grep -qi 'no space' <<<"$(value audit_error)" && pass 'status says why' || fail "audit_error is [$(value audit_error)]"
figure "full disk: $i locks before $lost events were lost; $(value audit_lines) lines written, $(value audit_waiting) wait"
verified 'while the disk is full' "$W/mnt"
rm -f "$W/small/filler" "$W/small/filler2"
nothing_waits() { [ "$(value audit_waiting)" = 0 ]; }
awaited 'written again' $HANG nothing_waits
told=$(byokfs audit show "$W/mnt" --json | sed -nE 's/.*"event":"lost","events":([0-9]+).*/\1/p' | awk '{n += $1} END {print n + 0}')
same 'and the log tells how many were lost' "$(value audit_lost)" "$told"
umount_store
verified 'after the full disk' "$W/small/store"
umount "$W/small"

# --- a disk that hangs holds up the log and nobody else
truncate -s 64M "$W/disk.img"
mkdir "$W/disk"
if mkfs.ext4 -q "$W/disk.img" 2>>"$W/cli.log" && mount -o loop "$W/disk.img" "$W/disk" 2>>"$W/cli.log"; then
	byokfs init "$W/disk/store" --kms "local:$W/ks/kek" >>"$W/cli.log" 2>&1 || fail 'init on the disk that hangs'
	mount_store disk/store || exit
	sync
	fsfreeze -f "$W/disk"
	t0=$(now_ms)
	timeout $HANG "$BYOKFS" lock "$W/mnt" >/dev/null && pass 'lock with a hanging disk' || fail 'lock with a hanging disk'
	took=$(($(now_ms) - t0))
	figure "lock with a disk that hangs: $took ms"
	within 'lock with a hanging disk' $took 20000 "$t0"
	same 'locked' locked "$(state_of)"
	[ "$(value audit_waiting)" -ge 1 ] && pass 'the log waits' || fail "nothing waits: $(value audit_waiting)"
	fsfreeze -u "$W/disk"
	has 'and is written when the disk is back' "$W/disk/store" '"to":"locked","cause":"ordered"'
	umount_store
	verified 'after the hang' "$W/disk/store"
	mount_store disk/store || exit
	sync
	fsfreeze -f "$W/disk"
	"$BYOKFS" umount "$W/mnt" >>"$W/cli.log" 2>&1 &
	u=$!
	t0=$(now_ms)
	await 30 unmounted
	within 'the unmount does not wait for the log of a hanging disk' $(($(now_ms) - t0)) 3000 "$t0"
	fsfreeze -u "$W/disk"
	wait $u && pass 'the unmount ends when the disk is back' || fail "umount: $(tail -n 1 "$W/cli.log")"
	verified 'after an unmount with a hanging disk' "$W/disk/store"
	umount "$W/disk"
else
	skip "a disk that hangs: no loop device here ($(tail -n 1 "$W/cli.log"))"
fi

# --- a user's mount: two people order
U=65534
chmod 755 "$W"
fuse_for_users
mkdir -p /run/user && mount -t tmpfs -o mode=755 none /run/user || fail 'a /run/user of our own'
install -d -o $U -g $U "$W/home" "$W/home/mnt" && install -d -m 700 -o $U -g $U /run/user/$U
install -m 755 "$BYOKFS" "$W/byokfs"
real=$BYOKFS
BYOKFS=$W/byokfs
as_user() {
	setpriv --reuid $U --regid $U --clear-groups env -i PATH="$PATH" HOME="$W/home" XDG_RUNTIME_DIR=/run/user/$U \
		XDG_STATE_HOME="$W/home/state" LC_ALL=C timeout $HANG "$W/byokfs" "$@" </dev/null
}
as_user keystore init "$W/home/ks" --no-passphrase >>"$W/cli.log" 2>&1 && as_user keystore create "$W/home/ks" kek >>"$W/cli.log" 2>&1 &&
	as_user init "$W/home/store" --kms "local:$W/home/ks/kek" >>"$W/cli.log" 2>&1 || fail "a user's store: $(tail -n 2 "$W/cli.log")"
expect 'a user mounts' as_user mount "$W/home/store" "$W/home/mnt" || exit
expect 'he locks' as_user lock "$W/home/mnt"
expect 'root unlocks' byokfs unlock "$W/home/mnt"
expect 'he unmounts' as_user umount "$W/home/mnt"
await $HANG no_daemons
has 'his mount' "$W/home/store" '"event":"mount","found":"new","uid":'$U
has 'his lock' "$W/home/store" '"order":"lock","uid":'$U
has "root's unlock" "$W/home/store" '"order":"unlock","uid":0'
expect 'he verifies' as_user audit verify "$W/home/store"
same 'his host remembers the end' 1 "$(ls "$W/home/state/byokfs" | grep -c '\.audit$')"
BYOKFS=$real

# --- syslog, read-only
mount_store s || exit
kill -TERM "$(pid_of)"
await $HANG no_daemons
has 'who sent SIGTERM' "$W/s" '"event":"order","order":"unmount","signal":"SIGTERM","uid":0,.*"pid":'$$,
mount_store k -o ro --audit-syslog || exit
umount_store
same 'a read-only mount leaves no line in the store' 0 "$(byokfs audit show "$W/k" --json | grep -c '"access":"ro"')"
verified 'after a read-only mount' "$W/k"
