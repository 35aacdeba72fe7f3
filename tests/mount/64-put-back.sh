#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# After a power cut: the words for what went back, what was cut off, what is gone and what is lost, file by file, against what is so.
. "$(dirname "$0")/lib.sh"

S=$W/store M=$W/mnt
field() { byokfs status "$M" --json | sed -nE "s/.*\"$1\": *\"?([a-z0-9 ]+).*/\1/p"; }
disk_of() { find "$S/data" -inum "$(stat -c %i "$M/$1")" -type f -print -quit; }
bytes() { yes "$1" | head -c "$2"; } # WORD COUNT
another_boot() {
	umount /proc/sys/kernel/random/boot_id 2>/dev/null
	cat /proc/sys/kernel/random/uuid >"$W/boot_id"
	mount --bind "$W/boot_id" /proc/sys/kernel/random/boot_id || fail 'another boot'
}
# torn NAME: of what was written since $W/before/NAME was taken, the disk has the first quarter
torn() {
	python3 -c 'import sys
was, path = open(sys.argv[1], "rb").read(), sys.argv[2]
f = open(path, "r+b")
now = f.read()
was += bytes(len(now) - len(was))
differ = [i for i in range(len(now)) if now[i] != was[i]]
cut = differ[0] + (differ[-1] - differ[0]) // 4  # of two records the middle may be where one ends: both would be whole
f.seek(cut)
f.write(was[cut:differ[-1] + 1])' "$W/before/$1" "${disk[$1]}" || fail "tearing $1"
}
# has NAME WORD COUNT: the file is that
has() {
	if cmp -s <(bytes "$2" "$3") "$M/$1"; then pass "$1: $3 bytes of $2"; else fail "$1: not $3 bytes of $2 but $(stat -c %s "$M/$1") of $(head -c 3 "$M/$1")"; fi
}
# names FILE NAME: the lines of FILE about NAME in the mount, without paths
names() { grep -F ": /$2 (" "$1" | sed 's/: [^ ]* ([^)]*)//'; }
# named TEXT NAME LINE: verify said exactly that of it
named() { same "$1: $2" "$3" "$(names "$W/verify" "$2")"; }
# verified TEXT CODE: verify, its words in $W/verify
verified() {
	byokfs verify "$S" >"$W/verify" 2>"$W/verify.err"
	same "$1: verify" "$2" $?
}
declare -A disk

# --- what was durable, and the second writing, which is not: the daemon syncs it after 20 s, and is killed long before
another_boot
export FAILSTORE=$W/failstore
printf '%-15d' 0 >"$FAILSTORE"
"${CC:-gcc}" -std=gnu17 -shared -fPIC -O2 -Wall -Wextra -D_GNU_SOURCE -o "$W/failstore.so" "$here/failstore.c" || fail 'compiling failstore'
new_store store
LD_PRELOAD=$W/failstore.so mount_store store || exit
mkdir "$W/before"
for f in over append whole later lost; do bytes old 40000 >"$M/$f"; done
for f in over append whole later lost; do
	sync "$M/$f" # fsync: nothing less makes a file durable
	disk[$f]=$(disk_of $f)
	cp "${disk[$f]}" "$W/before/$f"
done
bytes new 40000 >"$M/grown"
: >"$M/empty"
ln -s target "$M/link"
bytes new 40000 >"$M/fresh"
for f in grown empty link fresh; do disk[$f]=$(find "$S/data" -inum "$(stat -c %i "$M/$f")" -print -quit); done
printf '%-15d' 5 >"$FAILSTORE"
bytes new 8192 | dd of="$M/lost" bs=4096 seek=2 conv=notrunc status=none 2>/dev/null
printf '%-15d' 0 >"$FAILSTORE"
await 10 eval '[ "$(field lost_ranges)" = 1 ]' || fail "no range is lost: $(field lost_ranges)"
entries=$(field journal_entries_put)
bytes new 4000 | dd of="$M/over" bs=4000 seek=3 conv=notrunc status=none
bytes new 3000 >>"$M/append"
bytes new 4000 | dd of="$M/whole" bs=4000 seek=3 conv=notrunc status=none
expect 'what was durable is in the journal' test "$(field journal_entries_put)" -ge $((entries + 3))
[ "$(field journal_bytes_used)" -gt 8000 ] && pass 'and takes room in it' || fail "journal_bytes_used $(field journal_bytes_used)"

# --- the power goes
kill_daemons
umount -l "$M"
torn over
torn append
cut=1000
truncate -s $((512 + 6 * 4124 + cut)) "${disk[grown]}" # the header, six blocks of 4096, and what is cut off
truncate -s 0 "${disk[empty]}"
dd if=/dev/zero of="${disk[link]}" bs="$(stat -c %s "${disk[link]}")" count=1 conv=notrunc status=none
another_boot

back='half written when the machine went down'
mount_logged store "$W/mount.log" || exit
awaited 'log: one is lost' $HANG grep -q "1 ranges of 1 files .* were lost by an earlier mount" "$W/mount.log"
log_of() { sed -nE "s|^byokfs: data/${disk[$1]##*/}[^:]*: ||p" "$W/mount.log"; }
for f in over append; do same "log: $f went back" "$back; it is again as it was when it was last synced" "$(log_of $f)"; done
for f in whole later fresh; do same "log: nothing of $f" '' "$(log_of $f)"; done
expect 'log: how many' grep -q "2 files were half written and are as they were when they were last synced" "$W/mount.log"
same 'status: two went back, and none is mended that nobody has looked at' '2 0' "$(field put_back_files) $(field mended_files)"

# what really happened
looked() {
	local f
	for f in over append; do has $f old 40000; done
	has later old 40000
	cmp -s <(bytes old 12000; bytes new 4000; bytes old 24000) "$M/whole" && pass 'whole: as it was written last' || fail 'whole: not as it was written last'
	has fresh new 40000
	same 'grown: six whole blocks' 24576 "$(stat -c %s "$M/grown")"
	cmp -s <(bytes new 40000 | head -c 24576) "$M/grown" && pass 'grown: of what was written' || fail 'grown: something else'
	same 'empty: is' 0 "$(stat -c %s "$M/empty")"
	if ls "$M" | grep -qx link; then fail 'link: there'; else pass 'link: gone'; fi
	refused 'lost: an error' 'Input/output' '' dd if="$M/lost" of=/dev/null bs=4096 skip=2 count=1
	cmp -s <(bytes old 8192) <(head -c 8192 "$M/lost") && pass 'lost: what is before it is there' || fail 'lost: what is before it'
	cmp -s <(bytes old 40000 | tail -c 23616) <(tail -c 23616 "$M/lost") && pass 'lost: and behind it' || fail 'lost: what is behind it'
}
looked
awaited 'log: grown is cut' $HANG grep -q "data/${disk[grown]##*/}.*left unfinished by a crash; it ends now after 6 blocks" "$W/mount.log"
awaited 'log: the link is gone' $HANG grep -q 'a link, fifo, socket or device in this folder was being made when the machine went down: it is gone' "$W/mount.log"
told() {
	same "$1: status" "unclean 2 2 $cut 1" "$(for f in session put_back_files mended_files mended_bytes_cut lost_ranges; do field $f; done | tr '\n' ' ' | sed 's/ $//')"
	byokfs status "$M" >"$W/page"
	grep -qE 'put back files +2 \(files were half written when the machine went down, and are as they were when they were last synced: byokfs verify names them\)' "$W/page" &&
		grep -qE "mended files +2 \(" "$W/page" && grep -qE "mended bytes cut +$cut \(" "$W/page" && grep -qE "lost ranges +1 \(" "$W/page" &&
		pass "$1: the page says the same" || fail "$1: the page: $(cat "$W/page")"
}
told 'the next mount'

# --- a crash more, and a good end: told until a check has passed
kill_daemons
umount -l "$M"
another_boot
mount_store store || exit
looked
told 'the mount after another cut'
umount_store
mount_store store || exit
told 'the mount after a good end'
umount_store

named_all() {
	local cut_text="repaired: left unfinished by a crash, and sealed by a mount, which cut"
	for f in over append; do named "$1" $f "repaired: $back, and put back as it was when it was last synced"; done
	named "$1" grown "$cut_text $cut bytes on disk off"
	named "$1" empty "$cut_text 0 bytes on disk off"
	named "$1" lost 'damage: bytes 8192 to 16383 are lost: a mount accepted them and could not store them; they read as an error until they are written again or cut off'
	for f in whole later fresh link; do named "$1" $f ''; done
}
verified 'after mounts' 5
named_all 'after mounts'
same 'after mounts: nothing else is said' 5 "$(grep -cF ' (data/' "$W/verify")"
verified 'a second time' 5
same 'a second time: only what is lost' 1 "$(grep -cF ' (data/' "$W/verify")"
named 'a second time' lost 'damage: bytes 8192 to 16383 are lost: a mount accepted them and could not store them; they read as an error until they are written again or cut off'

# --- the check has passed, with what was lost: status is as before the cut
mount_store store || exit
looked
same 'after the check: status' 'clean 0 0 0 1' "$(for f in session put_back_files mended_files mended_bytes_cut lost_ranges; do field $f; done | tr '\n' ' ' | sed 's/ $//')"
bytes new 8192 | dd of="$M/lost" bs=4096 seek=2 conv=notrunc,fsync status=none
same 'what was lost is written again' 0 "$(field lost_ranges)"

# --- the power goes once more, and the check comes before any mount
disk[later]=$(disk_of later)
cp "${disk[later]}" "$W/before/later"
bytes new 4000 | dd of="$M/later" bs=4000 seek=2 conv=notrunc status=none
bytes new 40000 >"$M/grown2"
disk[grown2]=$(disk_of grown2)
kill_daemons
umount -l "$M"
torn later
truncate -s $((512 + 2 * 4124 + 7)) "${disk[grown2]}"
another_boot
byokfs verify "$S" --json >"$W/json" 2>"$W/json.err"
same 'verify first: no damage' 0 $?
python3 - "$W/json" >"$W/found" <<'P'
import json, sys
for line in open(sys.argv[1]):
    o = json.loads(line)
    if o['type'] == 'problem':
        print(o['plain'], o['severity'], o['code'], o['repaired'], o['text'], sep='|')
    elif o['type'] == 'summary':
        print('summary', o['crash'], o['damage'], o['repaired'], o['unclean'], o['marked_clean'], o['exit'], sep='|')
P
same 'verify first: what went back, what is cut, and the sum' "/grown2|crash|end|False|left unfinished by a crash: it is whole up to block 2
/later|crash|end|True|$back, and put back as it was when it was last synced
summary|1|0|1|True|False|0" "$(sort "$W/found")"
mount_logged store "$W/mount.log" || exit
has later old 40000
same 'grown2: two whole blocks' 8192 "$(stat -c %s "$M/grown2")"
same 'status after it' '1 1 7' "$(field put_back_files) $(field mended_files) $(field mended_bytes_cut)"
umount_store
verified 'at last' 0
named 'at last' later "repaired: $back, and put back as it was when it was last synced"
named 'at last' grown2 'repaired: left unfinished by a crash, and sealed by a mount, which cut 7 bytes on disk off'
verified 'and no more' 0
expect 'and no more: nothing wrong' grep -q 'nothing wrong' "$W/verify"
umount /proc/sys/kernel/random/boot_id
