#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Blocks that ext4 keeps for root are not filled by a plain user through root's mount: appending, into holes, and by fallocate.
. "$(dirname "$0")/lib.sh"

chmod 755 "$W"
truncate -s 128M "$W/img"
mkdir "$W/fs"
mkfs.ext4 -q -F -m 30 "$W/img" && mount -o loop "$W/img" "$W/fs" || { fail 'an ext4'; exit; }
new_store fs/store
mount_store fs/store || exit
chmod 1777 "$W/mnt"
bytes() { echo $(($(stat -f -c "$1 * %S" "$W/fs"))); } # %f free, %a free to users
kept=$(($(bytes %f) - $(bytes %a)))
nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
check() {
	[ $(($(bytes %f) * 10)) -ge $((kept * 9)) ] && pass "$1" || fail "$1: $(bytes %f) bytes are left of $kept"
}
refused 'appending' 'no space' '' $nobody dd if=/dev/zero of="$W/mnt/append" bs=64k count=2000 conv=fsync
check 'appending leaves what is root'"'"'s'
$nobody dd if=/dev/zero of="$W/mnt/append" bs=64k count=16 conv=notrunc,fsync status=none && pass 'what is there can be written over' || fail 'what is there can be written over'
rm "$W/mnt/append"
$nobody truncate -s 500M "$W/mnt/holes"
refused 'into holes' 'no space' '' $nobody dd if=/dev/zero of="$W/mnt/holes" bs=64k count=2000 conv=notrunc,fsync
check 'so does writing into holes'
rm "$W/mnt/holes"
# nor are they taken beforehand; what could not be taken whole is given back
before=$(bytes %f)
for how in '' -n; do
	touch "$W/mnt/taken" && chown 65534 "$W/mnt/taken"
	refused "fallocate $how" 'no space' '' $nobody fallocate $how -l 110M "$W/mnt/taken"
	refused "fallocate $how of more than there is" 'no space' '' $nobody fallocate $how -l 500M "$W/mnt/taken"
	check "fallocate $how leaves what is root's"
	same 'its size' 0 "$(stat -c %s "$W/mnt/taken")"
	[ $(($(bytes %f) + 1000000)) -ge "$before" ] && pass 'nothing was kept' || fail "$((before - $(bytes %f))) bytes were kept by a file of size 0"
	expect "fallocate $how of what there is" $nobody fallocate $how -l 10M "$W/mnt/taken"
	[ "$(stat -c %b "$W/mnt/taken")" -ge 20000 ] && pass 'is taken' || fail "it has $(stat -c %b "$W/mnt/taken") blocks"
	rm "$W/mnt/taken"
done
# the kernel tells the daemon of the last close a moment after it
awaited 'room again' 10 $nobody dd if=/dev/zero of="$W/mnt/new" bs=64k count=16 conv=fsync
umount_store
