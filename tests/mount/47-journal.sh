#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The undo journal taken away while the store is mounted, and one on a disk that has little room: what is durable stays protected.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
B=4096
field() { "$BYOKFS" status "$M" --json 2>/dev/null | sed -nE "s/.*\"$1\": \"?([^\",}]*).*/\\1/p"; }
# bytes LETTER N: so many of it
bytes() { head -c "$2" /dev/zero | tr '\0' "$1"; }
# put LETTER BLOCK: a block of FILE is written over, past the cache, and not synced
put() { bytes "$1" $B | dd of="$M/$file" bs=$B seek="$2" oflag=direct conv=notrunc status=none; }
# letters: the first of each block
letters() { python3 -c 'import sys; d = open(sys.argv[1], "rb").read(); print("".join(chr(d[i]) for i in range(0, len(d), 4096)))' "$M/$file"; }
# torn BLOCK: the machine goes down, and half of what was written there has reached the disk
torn() {
	local disk
	disk=$(find "$S/data" -inum "$(stat -c %i "$M/$file")" -print -quit)
	kill_daemons
	umount_store
	bytes '#' 2000 | dd of="$disk" bs=1 seek=$((512 + $1 * (B + 28) + 700)) conv=notrunc status=none
}
new_keystore

# --- taken away

S=$W/store
J=$S/byokfs/journal
new_store store
for kind in removed moved copied cut regrown; do
	mount_store store || exit
	file=$kind
	bytes A $((4 * B)) >"$M/$file" && sync "$M/$file"
	put B 0
	[ -f "$J" ] && [ "$(field journal_entries)" -gt 0 ] && pass "$kind: there is a journal" || fail "$kind: nothing is in the journal"
	size=$(stat -c %s "$J")
	case $kind in
	removed) rm "$J" ;;
	moved) mv "$J" "$W/moved" ;;
	copied) cp "$J" "$W/copy" && mv "$W/copy" "$J" ;;
	cut) : >"$J" ;;
	regrown) : >"$J" && truncate -s "$size" "$J" ;;
	esac
	awaited "$kind: what it kept is synced" $HANG eval '[ "$(field journal_entries)" = 0 ]'
	put C 1
	[ "$(field journal_entries)" -gt 0 ] && pass "$kind: and there is a new one" || fail "$kind: nothing is in the new journal"
	same "$kind: it is in place" "$size" "$(stat -c %s "$J")"
	torn 1
	mount_store store || exit
	same "$kind: after a power cut the file is as it was when the journal was missed" BAAA "$(letters)"
	same "$kind: and that is told" 1 "$(field put_back_files)"
	umount_store
	expect "$kind: verify" byokfs verify "$S"
done

# --- little room

truncate -s 48M "$W/img"
mkfs.ext4 -q -F -m 0 -O ^has_journal "$W/img"
mkdir "$W/small"
mount -o loop "$W/img" "$W/small" || { fail 'a small disk'; exit; }
S=$W/small/s
J=$S/byokfs/journal
new_store small/s
mount_store small/s || exit
file=f
bytes A $((4 * B)) >"$M/$file" && sync "$M/$file"
# leave BYTES: all but so many are taken
leave() {
	rm -f "$W/small/filler"
	fallocate -l $(($(df -B1 --output=avail "$W/small" | tail -n 1) - $1)) "$W/small/filler" && sync -f "$W/small"
}
leave 1500000
refused 'no room at all: not written over' 'No space' '' bash -c "$(declare -f bytes put); B=$B M=$M file=$file; put B 0"
same 'and nothing is lost' AAAA "$(letters)"
same 'nor taken' '' "$(ls "$S/byokfs" | grep journal)"
leave 9000000
expect 'with some room it is' put B 0
same 'by a short journal' $((2 << 20)) "$(field journal_bytes)"
same 'which takes no more' $(((2 << 20) + 4096)) "$(stat -c %s "$J")"
for i in 1 2 3; do put C $((i % 4)); done
torn 2
mount_store small/s || exit
same 'a power cut: as it was synced' AAAA "$(letters)"
# four requests of 1 MiB at once over what is durable: more than a journal of 2 MiB holds
leave 6500000
bytes A 4M >"$M/big" && sync "$M/big"
for i in 0 1 2 3; do bytes D 1M | dd of="$M/big" bs=1M seek=$i oflag=direct conv=notrunc iflag=fullblock status=none & done
for p in $(jobs -p); do wait "$p" || fail 'writing more over than the journal holds'; done
file=big
same 'more is written over at once than it holds' DDDD "$(letters | grep -o 'D\{256\}' | tr -d '\n' | head -c 1024 | sed 's/D\{256\}/D/g')"
same 'and it stays short' $((2 << 20)) "$(field journal_bytes)"
rm "$W/small/filler"
umount_store
expect 'verify' byokfs verify "$S"
umount "$W/small"
