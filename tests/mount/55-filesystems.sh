#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the store's filesystem cannot do is told by init, and by mount where the store was carried elsewhere: not by the first backup.
. "$(dirname "$0")/lib.sh"

new_keystore
lackfs=$W/lackfs.so
"${CC:-gcc}" -std=gnu17 -shared -fPIC -O2 -Wall -Wextra -D_GNU_SOURCE -o "$lackfs" "$here/lackfs.c" || fail 'compiling lackfs'
# without WHAT: makes a store on a filesystem that lacks it
without=(env "LD_PRELOAD=$lackfs")

# --- what nothing works without: refused, in words, and nothing is left behind

refuses() {
	refused "init without $1" "lacks what a mount needs: .*$2" '' "${without[@]}" "LACKFS=$1" "$BYOKFS" init "$W/s.no" --kms "local:$W/ks/kek"
	[ -e "$W/s.no/byokfs" ] && fail "without $1 something was left"
}
refuses lock 'locks'
refuses truncate 'cut and grown'

# --- what is missed only by who needs it: told

told() {
	"${without[@]}" "LACKFS=$1" "$BYOKFS" init "$W/s.$1" --kms "local:$W/ks/kek" >"$W/out" 2>&1 || fail "init without $1: $(cat "$W/out")"
	grep -q "cannot keep: .*$2" "$W/out" && pass "init without $1 says: $2" || fail "init without $1: $(cat "$W/out")"
}
told link 'hard links'
told xattr 'extended attributes, access control lists'
told exchange 'exchange of two names'
told chown 'owners of files'

# --- made here, mounted elsewhere

new_store s
mkdir "$W/mnt"
LACKFS=xattr LD_PRELOAD=$lackfs "$BYOKFS" mount "$W/s" "$W/mnt" -f </dev/null >"$W/log" 2>&1 &
awaited 'mounted' $HANG is_mounted "$W/mnt"
awaited 'mount says the same' $HANG grep -q 'cannot keep: extended attributes, access control lists' "$W/log"
umount_store
find "$W/s" -name '*probe*' | grep -q . && fail 'something of the try is left'
expect 'verify finds nothing' "$BYOKFS" verify "$W/s"

# --- an overlay of two filesystems: its files are on another device than its folders, and copied up they are other inodes

mkdir "$W/low" "$W/tmpfs" "$W/over"
new_store low/old
mount_at() { "$BYOKFS" mount "$1" "$W/mnt" </dev/null >"$W/out" 2>&1 || fail "mount of $1: $(cat "$W/out")"; }
umount_at() { timeout $HANG "$BYOKFS" umount "$W/mnt" || fail 'umount'; }
mount_at "$W/low/old"
echo below >"$W/mnt/f"
umount_at
mount -t tmpfs none "$W/tmpfs"
mkdir "$W/tmpfs/up" "$W/tmpfs/work"
if mount -t overlay -o "lowerdir=$W/low,upperdir=$W/tmpfs/up,workdir=$W/tmpfs/work" none "$W/over" 2>/dev/null; then
	new_store over/new
	mount_at "$W/over/new"
	echo above >"$W/mnt/f"
	mkdir "$W/mnt/d"
	echo inside >"$W/mnt/d/f"
	umount_at
	mount_at "$W/over/new"
	same 'overlay: what was made there' 'above inside' "$(cat "$W/mnt/f" "$W/mnt/d/f" 2>&1 | tr '\n' ' ' | sed 's/ $//')"
	rm -r "$W/mnt/d" && pass 'overlay: removed' || fail 'overlay: rm'
	umount_at
	expect 'overlay: verify' "$BYOKFS" verify "$W/over/new"
	mount_at "$W/over/old"
	same 'overlay: what was made below' below "$(cat "$W/mnt/f" 2>&1)"
	echo more >>"$W/mnt/f" || fail 'overlay: append to what was made below'
	same 'overlay: copied up' 'below more' "$(cat "$W/mnt/f" 2>&1 | tr '\n' ' ' | sed 's/ $//')"
	umount_at
	mount_at "$W/over/old"
	same 'overlay: and mounted anew' 'below more' "$(cat "$W/mnt/f" 2>&1 | tr '\n' ' ' | sed 's/ $//')"
	umount_at
	expect 'overlay: verify of what was copied up' "$BYOKFS" verify "$W/over/old"
	umount "$W/over"
else
	skip 'no overlayfs here'
	checks=$((checks + 1))
fi
umount "$W/tmpfs"
