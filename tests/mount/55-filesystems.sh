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
