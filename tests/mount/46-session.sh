#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The leniency of a crash: not for an old session record that was put back, but for a crash that this host knows of.
. "$(dirname "$0")/lib.sh"

S=$W/store
# check TEXT COMMAND...: it succeeds
check() {
	local text=$1
	shift
	if "$@" >/dev/null 2>&1; then pass "$text"; else fail "$text"; fi
}
# file_of NAME: where a plain name lies, by its inode (mounted)
file_of() { find "$S/data" -inum "$(stat -c %i "$W/mnt/$1")" -type f -print -quit; }
# field NAME: of the status
field() { "$BYOKFS" status "$W/mnt" 2>/dev/null | sed -n "s/^$1  *//p"; }
# reads NAME: "BYTES" or "error" and what of it
reads() { timeout 20 cat "$W/mnt/$1" 2>/dev/null | wc -c; }
fails() { ! timeout 20 cat "$W/mnt/$1" >/dev/null 2>&1; }
both_die() {
	kill -9 $("$BYOKFS" status "$W/mnt" --json | grep -oE '"(worker_pid|supervisor_pid)": [0-9]*' | grep -oE '[0-9]+$')
	sleep 0.3
	timeout 20 "$BYOKFS" umount "$W/mnt" >/dev/null 2>&1 || umount -l "$W/mnt" 2>/dev/null
	return 0
}

new_store store
mount_store store
head -c 240000 /dev/zero | tr '\0' A >"$W/mnt/cut"
head -c 240000 /dev/zero | tr '\0' B >"$W/mnt/whole"
: >"$W/mnt/empty"
sync -f "$W/mnt"
cut=$(file_of cut) empty=$(file_of empty)
cp "$S/byokfs/session" "$W/session" # as any backup of a mounted store holds it
umount_store

cp "$W/session" "$S/byokfs/session"
truncate -s $((512 + 10 * 4124 + 60)) "$cut"
truncate -s 0 "$empty"
if "$BYOKFS" verify "$S" >"$W/out" 2>&1; then
	fail 'verify of a session record put back finds nothing'
else
	pass 'verify of a session record put back is damage'
fi
check 'verify names the record' grep -q 'put back' "$W/out"
check 'verify names the cut file' grep -q 'cut' "$W/out"
"$BYOKFS" verify "$S" --no-key >"$W/out" 2>&1 && fail "verify without a key finds nothing"
check 'so does verify without a key' grep -q 'put back' "$W/out"
for turn in first second; do
	mount_store store
	check "$turn mount: what is whole is read" test "$(reads whole)" = 240000
	check "$turn mount: a cut file is an error" fails cut
	check "$turn mount: an emptied file is an error" fails empty
	check "$turn mount: both are counted" test "$(field corrupt)" -ge 2
	check "$turn mount: status says so" test "$(field session)" = 'put back'
	umount_store
done
mount_store store --accept-older-session
check 'accepted, the file ends at its last block' test "$(reads cut)" = 40960
check 'accepted, the empty file is one' test "$(reads empty)" = 0
check 'and counts as recovered' test "$(field recovered)" -ge 2
umount_store
check 'verify makes the store clean' "$BYOKFS" verify "$S"
mount_store store
check 'which it is then' test "$(field session)" = clean
umount_store
