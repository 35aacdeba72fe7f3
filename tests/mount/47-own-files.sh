#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Files of byokfs/ copied, cut, removed and replaced while the store is mounted and written to; a backing without shared mmap.
. "$(dirname "$0")/lib.sh"

new_keystore
head -c 3M /dev/urandom >"$W/a"
head -c 3M /dev/urandom >"$W/b"

# --- a copy of a live store: a slot of an earlier moment must not undo what is newer in the copy

new_store live
mount_store live || exit
dd if="$W/a" of="$W/mnt/f" bs=1M oflag=direct status=none
# as a copying program would have read it in the middle of the last request: what the slots hold, and the mark
python3 - "$W/live/byokfs/inflight" "$W/inflight" <<'P'
import sys
b = bytearray(open(sys.argv[1], 'rb').read())
n, valid = len(b) // 16, 0
for i in range(16):
    if b[i * n:i * n + 8].startswith(b'BYOKFS'):
        b[i * n + 8:i * n + 12] = b'VALD'
        valid += 1
open(sys.argv[2], 'wb').write(b)
print(valid)
sys.exit(valid == 0)
P
[ $? -eq 0 ] && pass 'slots were used' || fail 'no slot was used: the check is void'
dd if="$W/b" of="$W/mnt/f" bs=1M oflag=direct conv=notrunc status=none
umount_store
cp -a "$W/live" "$W/copy"
cp "$W/inflight" "$W/copy/byokfs/inflight"
mount_store copy --kms "local:$W/ks/kek" || exit
expect 'a copy has what was written last' cmp "$W/b" "$W/mnt/f"
umount_store
# put back in place, into the very file: of an earlier session
mount_store live && umount_store
cat "$W/inflight" >"$W/live/byokfs/inflight"
mount_store live || exit
expect 'so has the store, when an old in-flight file is put back' cmp "$W/b" "$W/mnt/f"
umount_store
expect 'the copy is whole' byokfs verify "$W/copy"

# --- each file of byokfs/, in each way, while data are written

# harm FILE KIND
harm() {
	case $2 in
	cut) : >"$1" ;;
	grow) truncate -s 0 "$1" && truncate -s 20M "$1" ;;
	remove) rm -f "$1" ;;
	replace) head -c 5000 /dev/urandom >"$1.new" && mv "$1.new" "$1" ;;
	punch) fallocate -p -o 0 -l 1M "$1" ;;
	fifo) rm -f "$1" && mkfifo "$1" ;;
	socket) rm -f "$1" && python3 -c 'import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind(sys.argv[2])' "${1%/*}" "${1##*/}" ;;
	folder) rm -f "$1" && mkdir "$1" && touch "$1/x" ;;
	link) rm -f "$1" && ln -s "$W/victim" "$1" ;;
	dangling) rm -f "$1" && ln -s "$W/nothing/here" "$1" ;;
	device) rm -f "$1" && ln -s /dev/full "$1" ;;
	esac
}
# The next mount serves, or says which of the files it cannot do with; moved away it is no hindrance.
mount_mended() {
	local i bad
	for i in 1 2 3 4 5 6 7 8; do
		timeout $HANG "$BYOKFS" mount "$W/hurt" "$W/mnt" </dev/null >"$W/said" 2>&1 && return 0
		bad=$(grep -oE 'byokfs/[a-z.]+' "$W/said" | tail -n 1)
		if [ ! -e "$W/hurt/$bad" ] && [ ! -L "$W/hurt/$bad" ]; then
			fail "$1: the mount does not say which file: $(tail -c 300 "$W/said")"
			return 1
		fi
		figure "$1: $(tail -n 1 "$W/said" | sed "s#$W#.#g")"
		mv "$W/hurt/$bad" "$W/moved.$1.$i"
	done
	fail "$1: the mount is refused again and again"
	return 1
}
echo 'not yours' >"$W/victim"
new_store hurt
kinds='cut grow remove replace punch fifo socket folder link dangling device'
[ -z "${BYOKFS_SHORT:-}" ] || kinds='cut remove replace folder link'
for kind in $kinds; do
	mount_store hurt || exit
	for f in "$W"/hurt/byokfs/*; do
		[ "${f##*/}" != lock ] || continue
		dd if="$W/a" of="$W/mnt/f" bs=64k oflag=direct status=none 2>"$W/dd.err" & w=$!
		harm "$f" "$kind"
		wait $w || fail "$kind ${f##*/}: writing: $(cat "$W/dd.err")"
		dd if="$W/b" of="$W/mnt/g" bs=1M oflag=direct status=none || fail "$kind ${f##*/}: writing after it"
		expect "$kind ${f##*/}: what was written is there" cmp "$W/a" "$W/mnt/f"
		expect "$kind ${f##*/}: and after it" cmp "$W/b" "$W/mnt/g"
	done
	same "$kind: the mount serves" active "$(state_of)"
	umount_store
	mount_mended "$kind" || exit
	same "$kind: a link is not followed" 'not yours' "$(cat "$W/victim")"
	[ ! -e "$W/nothing" ] || fail "$kind: made by a link"
	expect "$kind: all is there at the next mount" cmp "$W/a" "$W/mnt/f"
	expect "$kind: and the other" cmp "$W/b" "$W/mnt/g"
	umount_store
done

# --- a backing without shared mmap

if command -v mergerfs >/dev/null; then
	mkdir "$W/branch" "$W/pool"
	expect 'mergerfs' mergerfs -o cache.files=off "$W/branch" "$W/pool"
	new_store pool/store
	if mount_store pool/store; then
		expect 'written' cp "$W/a" "$W/mnt/f"
		umount_store
		mount_store pool/store
		expect 'read at the next mount' cmp "$W/a" "$W/mnt/f"
		umount_store
	fi
else
	skip 'mergerfs is not installed'
fi
