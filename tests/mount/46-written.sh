#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# After a crash unfinished ends are tolerated in the files that were being written, and told; elsewhere they are damage.
. "$(dirname "$0")/lib.sh"

S=$W/store
file_of() { find "$S/data" -inum "$(stat -c %i "$W/mnt/$1")" -type f -print -quit; }
field() { "$BYOKFS" status "$W/mnt" --json 2>/dev/null | sed -nE "s/.*\"$1\": \"?([^\",]*).*/\\1/p"; }
reads() { timeout 20 cat "$W/mnt/$1" 2>/dev/null | wc -c; }
fails() { ! timeout 20 cat "$W/mnt/$1" >/dev/null 2>&1; }
blocks() { head -c 240000 /dev/zero | tr '\0' "$1"; }
old='old old-append old-empty old-link' new='new new-moved new-empty'
# crashed_store NAME: files of a session that ended, files of one that is killed; then ends cut in both
crashed_store() {
	S=$W/$1
	new_store "$1"
	mount_store "$1"
	for f in $old; do blocks A >"$W/mnt/$f"; done
	umount_store
	mount_store "$1"
	for f in new new-empty new-before; do blocks B >"$W/mnt/$f"; done
	mv "$W/mnt/new-before" "$W/mnt/new-moved"
	echo more >>"$W/mnt/old-append"
	: >"$W/mnt/empty"
	sync -f "$W/mnt"
	local f
	for f in $old $new empty; do disk[$f]=$(file_of "$f"); done
	head_end=$(stat -c %s "${disk[empty]}")
	record=$((($(stat -c %s "${disk[old]}") - head_end - 240000 % 4096) / 58))
	kill_daemons
	umount_store
	rm -f "$S/byokfs/journal" # what was old would be put back as it was; here it is about what no journal has
	for f in old old-append new new-moved; do truncate -s $((head_end + 10 * record)) "${disk[$f]}"; done
	truncate -s $((head_end + 4096 + 1)) "${disk[old-link]}" # the length of a symlink
	truncate -s 0 "${disk[old-empty]}" "${disk[new-empty]}"
}
# other_boot COMMAND...: where the machine has been started anew since
other_boot() {
	cat /proc/sys/kernel/random/uuid >"$W/boot_id"
	unshare -m bash -c 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"' "$W/boot_id" "$@"
}
declare -A disk

crashed_store store
if "$BYOKFS" verify "$S" --json >"$W/before" 2>&1; then fail 'verify of cut files of long ago finds no damage'; fi
same 'verify: damage is what was not being written' 3 "$(grep -c '"severity": "damage"' "$W/before")"
same 'verify: the others a crash may have left' 4 "$(grep -c '"severity": "crash"' "$W/before")"
mount_store store
same 'an old file that was cut has the size of its length' 40960 "$(stat -c %s "$W/mnt/old")"
for f in old old-empty old-link; do expect "$f: an error" fails "$f"; done
expect 'and they are counted' test "$(field corrupt)" -ge 3
same 'files that were being written end at their last block' '40960 40960 40960 0' \
	"$(reads new) $(reads new-moved) $(reads old-append) $(reads new-empty)"
same 'status tells them' 4 "$(field mended_files)"
same 'and what was cut off' $((3 * (head_end - 512))) "$(field mended_bytes_cut)"
umount_store
mount_store store
same 'so does the next mount' 4 "$(field mended_files)"
expect 'to which old files are damage still' fails old
umount_store
if "$BYOKFS" verify "$S" --json >"$W/after" 2>&1; then fail 'verify after the mount finds no damage'; fi
same 'verify tells what a mount has cut off' 4 "$(grep -c 'sealed by a mount' "$W/after")"
same 'and the damage' 3 "$(grep -c '"severity": "damage"' "$W/after")"
mount_store store
rm "$W/mnt/old" "$W/mnt/old-empty" "$W/mnt/old-link"
umount_store
expect 'verify without them makes the store clean' "$BYOKFS" verify "$S"
mount_store store
same 'which it is then' 'clean 0' "$(field session) $(field mended_files)"
umount_store

# The list taken away, altered, or put back from an earlier session.
for what in removed flipped earlier; do
	crashed_store "$what"
	case $what in
	removed) rm "$S/byokfs/writing" ;;
	flipped) flip "$S/byokfs/writing" 50 ;;
	earlier) cp "$W/store/byokfs/writing" "$S/byokfs/writing" ;;
	esac
	mount_store "$what"
	for f in old new new-empty; do expect "$what: $f is an error" fails "$f"; done
	same "$what: what is whole is read" 0 "$(reads empty)"
	umount_store
	if "$BYOKFS" verify "$S" >"$W/out" 2>&1; then fail "$what: verify finds no damage"; fi
	expect "$what: verify names the list" grep -q 'byokfs/writing' "$W/out"
	mount_store "$what" --accept-older-session
	same "$what: accepted, the files end at their last block" '40960 40960' "$(reads old) $(reads new)"
	ls -l "$W/mnt" >/dev/null
	umount_store
	expect "$what: verify makes it clean" "$BYOKFS" verify "$S"
done

# Entries that a power cut kept from the disk: after a restart of the machine young files are tolerated all the same.
no_entries() {
	crashed_store "$1"
	dd if=/dev/zero of="$S/byokfs/writing" bs=128 seek=1 count=16383 conv=notrunc 2>/dev/null
}
no_entries lost
rm -f /run/byokfs/*.slots
mount_store lost
expect 'without entries, and no restart that anybody knows of: an error' fails new
umount_store
no_entries pulled # what the machine remembers of the list says that the disk is behind it
mount_store pulled
same 'without entries that the machine remembers: as after a restart' '40960 0' "$(reads new) $(reads new-empty)"
umount_store
if other_boot true 2>/dev/null; then
	no_entries boot
	same 'without entries, after a restart: no damage' 0 \
		"$(other_boot "$BYOKFS" verify "$S" --json 2>/dev/null | grep -c '"severity": "damage"')"
	mount_store boot
	same 'which later mounts know' '40960 0' "$(reads new) $(reads new-empty)"
	same 'and tell' 2 "$(field mended_files)"
	umount_store
else
	skip 'after a restart of the machine' 'another boot id cannot be shown here'
fi
