#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The leniency of a crash: not for an old session record that was put back, but for a crash that this host knows of.
. "$(dirname "$0")/lib.sh"

S=$W/store
# file_of NAME: where a plain name lies, by its inode (mounted)
file_of() { find "$S/data" -inum "$(stat -c %i "$W/mnt/$1")" -type f -print -quit; }
# field NAME: of the status
field() { "$BYOKFS" status "$W/mnt" --json 2>/dev/null | sed -nE "s/.*\"$1\": \"?([^\",]*).*/\1/p"; }
# reads NAME: how many bytes
reads() { timeout 20 cat "$W/mnt/$1" 2>/dev/null | wc -c; }
fails() { ! timeout 20 cat "$W/mnt/$1" >/dev/null 2>&1; }

new_store store
mount_store store
head -c 240000 /dev/zero | tr '\0' A >"$W/mnt/cut"
head -c 240000 /dev/zero | tr '\0' B >"$W/mnt/whole"
: >"$W/mnt/empty"
sync -f "$W/mnt"
cut=$(file_of cut) empty=$(file_of empty)
head_end=$(stat -c %s "$empty")                             # header and the final record of no bytes
record=$((($(stat -c %s "$cut") - head_end - 240000 % 4096) / 58)) # of a block
cp "$S/byokfs/session" "$W/session" # as any backup of a mounted store holds it
umount_store

cp "$W/session" "$S/byokfs/session"
truncate -s $((head_end + 10 * record)) "$cut"
truncate -s 0 "$empty"
if "$BYOKFS" verify "$S" >"$W/out" 2>&1; then
	fail 'verify of a session record put back finds nothing'
else
	pass 'verify of a session record put back is damage'
fi
expect 'verify names the record' grep -q 'put back' "$W/out"
expect 'verify names the cut file' grep -q 'cut' "$W/out"
"$BYOKFS" verify "$S" --no-key >"$W/out" 2>&1 && fail "verify without a key finds nothing"
expect 'so does verify without a key' grep -q 'put back' "$W/out"
for turn in first second; do
	mount_store store
	expect "$turn mount: what is whole is read" test "$(reads whole)" = 240000
	expect "$turn mount: a cut file is an error" fails cut
	expect "$turn mount: an emptied file is an error" fails empty
	expect "$turn mount: both are counted" test "$(field corrupt)" -ge 2
	expect "$turn mount: status says so" test "$(field session)" = 'put back'
	umount_store
done
mount_store store --accept-older-session
expect 'accepted, the file ends at its last block' test "$(reads cut)" = 40960
expect 'accepted, the empty file is one' test "$(reads empty)" = 0
expect 'and counts as recovered' test "$(field recovered)" -ge 2
umount_store
expect 'verify makes the store clean' "$BYOKFS" verify "$S"
mount_store store
expect 'which it is then' test "$(field session)" = clean
umount_store

# A crash, and ends as a power cut leaves them: no size is told before it is known, neither by name nor in a listing.
torn() {
	local wrap=$1 f
	new_store "crash-$wrap" --wrap "$wrap"
	S=$W/crash-$wrap
	mount_store "crash-$wrap"
	for f in stat list append odd special; do head -c 100000 /dev/zero | tr '\0' A >"$W/mnt/$f"; done
	: >"$W/mnt/empty"
	sync -f "$W/mnt"
	local -A disk
	for f in stat list append odd special empty; do disk[$f]=$(file_of $f); done
	kill_daemons
	umount_store
	local h r header=512
	[ "$wrap" = store ] || header=4096
	h=$(stat -c %s "${disk[empty]}")
	r=$((($(stat -c %s "${disk[stat]}") - h - 100000 % 4096) / 24))
	for f in stat list append; do # the last record's bytes never arrived
		dd if=/dev/zero of="${disk[$f]}" bs=1 seek=$((header + 24 * r)) count=$((100000 % 4096)) conv=notrunc 2>/dev/null
		dd if=/dev/urandom of="${disk[$f]}" bs=1 seek=$((h + 24 * r)) count=$((100000 % 4096)) conv=notrunc 2>/dev/null
	done
	truncate -s $((h + 24 * r - 10)) "${disk[odd]}"     # a length that no file has
	truncate -s $((h + 4096 + 1)) "${disk[special]}" # the length of a symlink
	truncate -s 0 "${disk[empty]}"
	mount_store "crash-$wrap"
	same "$wrap: the size in a listing" 98304 "$(ls -l "$W/mnt" | awk '$NF == "list" { print $5 }')"
	same "$wrap: the names' sizes" '98304 98304' "$(stat -c %s "$W/mnt/stat" "$W/mnt/odd" | paste -sd' ')"
	same "$wrap: what is read" "$(head -c 98304 /dev/zero | tr '\0' A | md5sum)" "$(md5sum <"$W/mnt/stat")"
	echo -n B >>"$W/mnt/append"
	same "$wrap: an append lands behind it" "$( (head -c 98304 /dev/zero | tr '\0' A; echo -n B) | md5sum)" "$(md5sum <"$W/mnt/append")"
	same "$wrap: a length that is a symlink's" 'regular file 4096' "$(stat -c '%F %s' "$W/mnt/special")"
	umount_store
	mount_store "crash-$wrap"
	same "$wrap: still so after a remount" 98305 "$(stat -c %s "$W/mnt/append")"
	umount_store
	expect "$wrap: verify finds no damage" "$BYOKFS" verify "$S"
}
torn store
torn file
