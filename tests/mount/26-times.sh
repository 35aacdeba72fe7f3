#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What stat(2) told of a time after close(2) it tells for ever: when the kernel has dropped the inode, when it is mounted anew.
. "$(dirname "$0")/lib.sh"
new_keystore
new_store s
M=$W/mnt
mount_store s || exit
times() { python3 "$here/times.py" "$1" "$M" "$W/told"; }
forget() { # the kernel drops what it knows
	sync -f "$M"
	echo 2 >/proc/sys/vm/drop_caches
}
# what backup programs compare
seen() { stat -c '%n %s %.9Y %.9Z' "$@"; }

expect 'files and folders are changed in all ways' times make
expect 'at once' times check
forget
expect 'when the kernel has dropped its inodes' times check
umount_store
mount_store s || exit
expect 'mounted anew' times check
umount_store
mount_store s -o ro || exit
expect 'mounted read-only' times check
umount_store

# A time that stays must not be one that stands still.
mount_store s || exit
for how in 'in place' append chmod link setxattr; do
	f=$M/changes.$how
	head -c 10000 /dev/zero >"$f"
	touch -d 2001-01-01 "$f"
	forget
	before=$(stat -c '%.9Y' "$f")
	changed=$(stat -c '%.9Z' "$f")
	sleep 0.02
	case $how in
	'in place') dd if=/dev/urandom of="$f" bs=100 count=1 seek=3 conv=notrunc status=none ;;
	append) echo more >>"$f" ;;
	chmod) chmod 600 "$f" ;;
	link) ln "$f" "$f.2" ;;
	setxattr) setfattr -n user.a -v b "$f" ;;
	esac
	forget
	python3 -c 'import sys; sys.exit(not float(sys.argv[1]) < float(sys.argv[2]))' "$changed" "$(stat -c '%.9Z' "$f")" &&
		pass "$how moves ctime" || fail "$how: ctime stays $changed"
	case $how in
	'in place' | append) [ "$(stat -c %.9Y "$f")" != "$before" ] && pass "$how moves mtime" || fail "$how: mtime stays $before" ;;
	*) same "$how leaves mtime" "$before" "$(stat -c %.9Y "$f")" ;;
	esac
done
same 'what is kept beside a file is not seen' '' "$(getfattr -d -m - "$M/changes.append" 2>/dev/null)"

# One that reads only, many times, changes nothing that a backup looks at.
echo text >"$M/read"
told=$(seen "$M/read")
for _ in 1 2 3; do cat "$M/read" >/dev/null; forget; done
same 'reading' "$told" "$(seen "$M/read")"

# closed and synced, then the daemon is killed
echo text >"$M/kept"
sync "$M/kept"
told=$(seen "$M/kept")
kill_daemons
await 10 unmounted || umount -l "$M"
mount_store s || exit
same 'after the death of the daemon' "$told" "$(seen "$M/kept")"
# Bytes that changed by other means are newer than what was kept of their times.
f=$M/changes.append
inode=$(stat -c %i "$f")
told=$(stat -c %Z "$f")
umount_store
sleep 1.1
find "$W/s/data" -inum "$inode" -exec touch -d 2002-02-02 {} +
mount_store s || exit
[ "$(stat -c %Z "$f")" -gt "$told" ] && pass 'a change in the store is seen' || fail "a change in the store: ctime stays $(stat -c %z "$f")"
umount_store
expect verify byokfs verify "$W/s"
end_scenario
