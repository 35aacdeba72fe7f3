#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What moves atime: reading by a user, where the mount's options want it; not opening, writing, looking up or verifying.
. "$(dirname "$0")/lib.sh"
new_keystore
M=$W/mnt
# on a filesystem that moves every atime, where there can be one: what is left of it is our doing then
if truncate -s 64M "$W/disk" && mkfs.ext4 -q "$W/disk" && mkdir "$W/fs" && mount -o loop,strictatime "$W/disk" "$W/fs" 2>/dev/null; then
	S=fs/s
else
	S=s
	skip 'no loop device: on the filesystem of the scratch directory'
fi
new_store $S
mount_store $S || exit
mkdir "$M/d"
for f in read write append open map look strict; do head -c 20000 /dev/zero >"$M/d/$f"; done
mkfifo "$M/d/fifo"
ln -s target "$M/d/link"
umount_store

# as it was long ago, and older than the last change: what reads it moves it
long_ago() { touch -h -a -d 2001-01-01 "$M"/d/* "$M/d"; }
atime() { stat -c %X "$M/d/$1"; }
forgotten() { # OPTIONS...: what the next mount sees
	umount_store
	mount_store $S "$@" || exit
}
old=$(date -d 2001-01-01 +%s)
stays() { same "$1" "$old" "$(atime "$2")"; }
advances() { if [ "$(atime "$2")" != "$old" ]; then pass "$1"; else fail "$1: atime stays"; fi; }
everything() {
	cat "$M/d/read" >/dev/null
	readlink "$M/d/link" >/dev/null
	ls -f "$M/d" >/dev/null
	python3 -c '
import os, sys
os.close(os.open(sys.argv[1] + "/open", os.O_RDONLY))
fd = os.open(sys.argv[1] + "/write", os.O_WRONLY); os.pwrite(fd, b"here", 100); os.close(fd)
fd = os.open(sys.argv[1] + "/append", os.O_WRONLY | os.O_APPEND); os.write(fd, b"more"); os.close(fd)
os.stat(sys.argv[1] + "/look")' "$M/d"
}
others_stay() {
	for f in write append open look fifo; do stays "$1: $f" "$f"; done
}

mount_store $S || exit
long_ago
forgotten
everything
advances 'read(2)' read
advances 'readlink(2)' link
advances 'readdir(3)' .
others_stay 'by default'
forgotten
advances 'and it stays so: a file' read
others_stay 'mounted anew'
# as relatime has it: once, until the file is changed
cat "$M/d/read" >/dev/null
first=$(stat -c %.9X "$M/d/read")
forgotten
cat "$M/d/read" >/dev/null
same 'a second time within a day it does not' "$first" "$(stat -c %.9X "$M/d/read")"

for o in noatime ro; do
	[ $o = ro ] || long_ago
	forgotten -o $o
	everything 2>/dev/null
	stays "-o $o: read(2)" read
	stays "-o $o: readlink(2)" link
	stays "-o $o: readdir(3)" .
	others_stay "-o $o"
	forgotten
	stays "-o $o, the next mount: read(2)" read
	stays "-o $o, the next mount: readdir(3)" .
done
long_ago
forgotten -o nodiratime
everything
stays '-o nodiratime: a folder' .
advances '-o nodiratime: a file' read
if [ $S = fs/s ]; then
	forgotten -o strictatime
	cat "$M/d/strict" >/dev/null
	first=$(stat -c %.9X "$M/d/strict")
	forgotten -o strictatime
	sleep 0.02
	cat "$M/d/strict" >/dev/null
	[ "$(stat -c %.9X "$M/d/strict")" != "$first" ] && pass '-o strictatime: each time' || fail "-o strictatime: atime stays $first"
fi
# ctime stays where atime moves, or a backup would take what it has read for changed
long_ago
ctime=$(stat -c '%.9Y %.9Z' "$M/d/map")
forgotten
cat "$M/d/map" >/dev/null
advances 'read' map
forgotten
same 'mtime and ctime stay' "$ctime" "$(stat -c '%.9Y %.9Z' "$M/d/map")"
long_ago
umount_store
expect verify byokfs verify "$W/$S"
mount_store $S || exit
stays 'verify reads, and moves nothing: a file' read
stays 'verify: a folder' .
umount_store
end_scenario
