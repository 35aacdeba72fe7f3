#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Stores of every format open, read as they were, and can be written; what a power cut has left of one is put right.
. "$(dirname "$0")/lib.sh"

n=0
mkdir "$W/mnt"
field() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE "s/.*\"$1\": \"?([^\",}]*).*/\\1/p"; }
# unclean NAME IMAGE: the journal and the lists are bound to inode numbers and births, so it is a filesystem. What is in it: unclean.py
unclean() {
	local kms=local:/var/lib/byokfs/golden-keystore/kek
	mkdir "$W/disk"
	mount -o loop "$2" "$W/disk" || { skip "$1: a loop device with ext4"; return; }
	byokfs verify "$W/disk/store" --kms $kms >"$W/verify" 2>&1
	same "$1: verify sees damage" 5 $?
	expect "$1: by path, and read only, nothing is touched" byokfs mount "$W/disk/store" "$W/mnt" -o ro --kms $kms
	umount_store
	mount_store disk/store --kms $kms || return
	expect "$1: is as it was synced, or marked as lost" python3 "$tree/tests/golden/unclean.py" check "$W/mnt"
	same "$1: files put back" 4 "$(field put_back_files)"
	same "$1: and mended" 2 "$(field mended_files)"
	same "$1: and lost ranges" 1 "$(field lost_ranges)"
	umount_store
	byokfs verify "$W/disk/store" >"$W/verify" 2>&1
	same "$1: verify names what was lost" 5 $?
	grep -q '/lost\b.*lost' "$W/verify" && pass "$1: by its name" || fail "$1: $(head -n 5 "$W/verify")"
	same "$1: and the four that went back" 4 "$(grep -cE '/(kept|appended|cut|hole)\b' "$W/verify")"
	mount_store disk/store || return
	expect "$1: all that once more" python3 "$tree/tests/golden/unclean.py" check "$W/mnt"
	expect "$1: written again" python3 "$tree/tests/golden/unclean.py" mend "$W/mnt"
	same "$1: nothing is lost any more" 0 "$(field lost_ranges)"
	umount_store
	expect "$1: verify" byokfs verify "$W/disk/store"
	umount "$W/disk"
	rmdir "$W/disk"
}
for archive in "$tree"/tests/golden/v*.tar.gz; do
	[ -e "$archive" ] || continue
	v=$(basename "$archive" .tar.gz)
	mkdir "$W/$v"
	tar -C "$W/$v" --xattrs --xattrs-include='user.*' --numeric-owner -xpzf "$archive"
	# the path that the keyring names; /var/lib/byokfs is this scenario's own
	rm -rf /var/lib/byokfs/golden-keystore
	cp -a "$W/$v/keystore" /var/lib/byokfs/golden-keystore
	for s in $(cd "$W/$v" && ls | grep -v keystore); do
		n=$((n + 1))
		[ -d "$W/$v/$s" ] || { unclean "$v/$s" "$W/$v/$s"; continue; }
		refused "$v/$s without a pin" 'pin|--kms|not known' '' "$BYOKFS" mount "$W/$v/$s" "$W/mnt"
		mount_store "$v/$s" --kms local:/var/lib/byokfs/golden-keystore/kek || continue
		expect "$v/$s reads as it was" python3 "$tree/tests/golden/contents.py" check "$W/mnt" "${v#v}"
		echo new >"$W/mnt/new" && cat "$W/mnt/size-4097" >>"$W/mnt/size-4096" || fail "$v/$s: writing"
		umount_store
		mount_store "$v/$s" || continue
		same "$v/$s can be written" "new 8193" "$(cat "$W/mnt/new") $(stat -c %s "$W/mnt/size-4096")"
		umount_store
		expect "$v/$s verify" byokfs verify "$W/$v/$s"
	done
done
[ $n -gt 0 ] && figure "$n golden stores" || { skip 'no golden store yet'; checks=1; }
