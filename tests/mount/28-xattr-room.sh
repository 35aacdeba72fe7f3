#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# How many attributes an object takes: what byokfs-mount(8) says of them, counted; what does not fit is ENOSPC and changes nothing.
. "$(dirname "$0")/lib.sh"

new_store store
mount_store store || exit
# FILE NAME-BEFORE-DIGITS VALUE-LENGTH: how many go in, the error of the next, and whether all that went in is there as before
fill() {
	python3 - "$@" <<'PY'
import errno, os, sys
path, stem, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
open(path, 'w').close()
n, why = 0, 'none'
value = lambda i: bytes([65 + i % 26]) * size
try:
    while n < 5000:
        os.setxattr(path, f'{stem}{n:03}', value(n))
        n += 1
except OSError as e:
    why = errno.errorcode[e.errno]
for flags, name, v in ((os.XATTR_REPLACE, f'{stem}000', b'y' * 4096), (os.XATTR_CREATE, f'{stem}{n:03}', value(n)), (0, stem + 'long', b'y' * 4096)):
    try:
        os.setxattr(path, name, v, flags)
        why += ', and then it fits'
    except OSError as e:
        if e.errno != errno.ENOSPC:
            why += ', ' + errno.errorcode[e.errno]
same = len(os.listxattr(path)) == n and all(os.getxattr(path, f'{stem}{i:03}') == value(i) for i in range(n))
print(n, why, 'all there' if same else 'NOT all there')
PY
}
# one attribute takes 16 bytes, its name (a third longer with 16 more) and its value (28 more), each in fours: 4,060 in a block and 88
# in the inode, as of mkfs.ext4 without options, and a file's ctime takes 48 of one or the other
fits() {
	local one=$((16 + (16 + $1 + 2) / 3 * 4 + ($2 + 28 + 3) / 4 * 4))
	local a=$((4060 / one + (88 - 48) / one)) b=$(((4060 - 48) / one + 88 / one))
	echo $((a > b ? a : b))
}
row() {
	local stem=$1 size=$2 got
	row=$((row + 1))
	got=$(fill "$W/mnt/f$row" "$stem" "$size")
	figure "names of $((${#stem} + 3)), values of $size: $got; on the store's filesystem without byokfs: $(fill "$W/f$row" "$stem" "$size")"
	[ -z "$ext4" ] || same "names of $((${#stem} + 3)), values of $size" "$(fits $((${#stem} + 3)) "$size")" "${got%% *}"
	same 'what does not fit' 'ENOSPC all there' "${got#* }"
}
row=0
ext4=
if truncate -s 64M "$W/disk" && mkfs.ext4 -q -b 4096 -I 256 -O ^ea_inode "$W/disk" && mkdir "$W/fs" && mount -o loop "$W/disk" "$W/fs" 2>/dev/null; then
	umount_store
	new_store fs/store
	mount_store fs/store || exit
	ext4=1
else
	skip 'no loop device: not counted to the last one'
fi
row user.a 1
row user.attribute- 10
row user.a 0
row user.a 100
row user.a 1000
row user.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn 1
name=user.$(printf 'n%.0s' {1..166})
touch "$W/mnt/long"
expect 'a name of 171 bytes' setfattr -n "$name" -v x "$W/mnt/long"
refused 'and not of 172' 'out of range' 1 setfattr -n "${name}n" -v x "$W/mnt/long"
umount_store
expect verify byokfs verify "$W/${ext4:+fs/}store"
