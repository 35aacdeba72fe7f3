#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Truncate without a handle where the KMS wraps each DEK; inode flags; a read-only mount made writable behind our back.
. "$(dirname "$0")/lib.sh"
new_keystore
new_store s --wrap file
mount_store s || exit 1
head -c 100000 /dev/zero | tr '\0' x >"$W/mnt/f"
expect truncate truncate -s 50000 "$W/mnt/f"
same "its size" 50000 "$(stat -c %s "$W/mnt/f")"
( for i in 1 2 3 4 5 6; do ( for j in $(seq 30); do truncate -s $((i*100+j)) "$W/mnt/g$i"; done ) & done; wait )
same "six at once" 330 "$(stat -c %s "$W/mnt/g3")"
mkdir -p "$W/mnt/a/b/c"; echo 1 >"$W/mnt/a/b/c/f"; sync "$W/mnt/a/b/c/f"
same "its content" 50000 "$(tr -d '\n' <"$W/mnt/f" | tr -cd x | wc -c)"

# inode flags: those of the file in the store that mean something for this one
on_disk() { find "$W/s/data" -inum "$(stat -c %i "$W/mnt/$1")"; }
flags() { lsattr -d "$1" 2>&1 | cut -d' ' -f1 | tr -d -; }
if chattr +d "$W/probe" 2>/dev/null || { touch "$W/probe" && chattr +d "$W/probe" 2>/dev/null; }; then
	same 'none, whatever the filesystem below has' '' "$(flags "$W/mnt/g1")"
	expect 'chattr +d' chattr +d "$W/mnt/g1" "$W/mnt/a"
	same 'nodump' 'd d' "$(flags "$W/mnt/g1") $(flags "$W/mnt/a")"
	same 'in the store, too' 1 "$(flags "$(on_disk g1)" | grep -c d)"
	expect 'chattr -d' chattr -d "$W/mnt/g1"
	same 'no more' '' "$(flags "$W/mnt/g1")"
	for f in +S +C +i +a; do refused "chattr $f" 'not supported' '' chattr $f "$W/mnt/g1"; done
	same 'as before' '' "$(flags "$W/mnt/g1")"
	if chattr +i "$(on_disk g2)" 2>/dev/null; then
		same 'immutable in the store is so in the mount' i "$(flags "$W/mnt/g2")"
		refused 'writing to it' 'not permitted' '' bash -c 'echo x >>"$1"' - "$W/mnt/g2"
		refused 'removing it' 'not permitted' '' rm -f "$W/mnt/g2"
		chattr -i "$(on_disk g2)"
		expect 'removing it afterwards' rm -f "$W/mnt/g2"
	else
		skip 'no immutable flag on this filesystem'
	fi
	expect lock byokfs lock "$W/mnt"
	refused 'flags while locked' 'permission denied' '' chattr +d "$W/mnt/g1"
	expect unlock byokfs unlock "$W/mnt"
else
	skip 'no inode flags on this filesystem'
fi
umount_store
expect verify byokfs verify "$W/s"
# remounted read-write behind our back
mount_store s -o ro || exit 1
mount -i -o remount,rw "$W/mnt" && { refused 'write to ro' 'read-only' '' touch "$W/mnt/new"; refused 'write to ro' 'read-only' '' bash -c "echo 1 >>'$W/mnt/f'"; refused "truncate on ro" 'read-only' '' truncate -s 1 "$W/mnt/f"; refused "rm on ro" 'read-only' '' rm -f "$W/mnt/f"; }
same "nothing has changed" 50000 "$(stat -c %s "$W/mnt/f")"
umount_store
