#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Stores of every released format open, read as they were, and can be written.
. "$(dirname "$0")/lib.sh"

n=0
mkdir "$W/mnt"
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
		refused "$v/$s without a pin" 'pin|--kms|not known' '' "$BYOKFS" mount "$W/$v/$s" "$W/mnt"
		mount_store "$v/$s" --kms local:/var/lib/byokfs/golden-keystore/kek || continue
		expect "$v/$s reads as it was" python3 "$tree/tests/golden/contents.py" check "$W/mnt"
		echo new >"$W/mnt/new" && cat "$W/mnt/size-4097" >>"$W/mnt/size-4096" || fail "$v/$s: writing"
		umount_store
		mount_store "$v/$s" || continue
		same "$v/$s can be written" "new 8193" "$(cat "$W/mnt/new") $(stat -c %s "$W/mnt/size-4096")"
		umount_store
		expect "$v/$s verify" byokfs verify "$W/$v/$s"
	done
done
[ $n -gt 0 ] && figure "$n golden stores" || { skip 'no golden store yet'; checks=1; }
