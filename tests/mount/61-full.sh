#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A store that takes nothing more - full, over a quota, a broken disk: write(2), fsync(2) and close(2) tell whoever asks.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
writes() { python3 "$here/writers.py" "$@"; }
# Linux 6.6 maps what is opened past its cache, so that what may read too can be
maps=$(printf '6.6\n%s\n' "$(uname -r)" | sort -VC && echo yes)

# A disk of 48 MiB. What has not reached the disk fits into it several times.
truncate -s 48M "$W/img"
mkfs.ext4 -q -F -m 0 "$W/img"
mkdir "$W/small"
mount -o loop "$W/img" "$W/small" || { fail 'a small disk'; exit; }
new_store small/s
mount_store small/s || exit
for i in 1 2 3 4; do : >"$M/keep$i"; done
head -c 200000 /dev/urandom >"$M/keep5"
expect 'a database' python3 "$here/writers.py" database "$M/db"
for flags in WRONLY 'WRONLY|APPEND' RDWR 'RDWR|APPEND' 'WRONLY|DIRECT'; do
	expect "$flags: write(2) tells that the disk is full" timeout $HANG python3 "$here/writers.py" endless "$M/big" "$flags" 1000
	rm -f "$M/big"
done
sync -f "$W/small" # the blocks of what was removed are free when the journal says so
dd if=/dev/zero of="$M/fill" bs=64k count=2000 status=none 2>/dev/null && fail 'dd filled 125 MiB into 48' || pass 'dd is told'
dd if=/dev/zero of="$M/fill2" bs=1k count=2000 status=none 2>/dev/null
# until what follows finds no room for certain: what the disk had only promised to the cache may be free again
for n in $(seq 400); do dd if=/dev/zero of="$M/more$n" bs=1k count=90 conv=fsync status=none 2>/dev/null || break; done
[ "$n" -lt 400 ] && pass 'and is full' || fail 'the disk does not fill'
head -c 100000 /dev/zero | tr '\0' y >"$W/text"
# a shell looks at write(2) only
for i in 1 2 3; do
	bash -c 'echo "$(<"$1")" >"$2"' - "$W/text" "$M/keep$i" 2>/dev/null && fail "echo > file $i: exit 0" || pass 'echo > file is told'
	bash -c 'echo "$(<"$1")" >>"$2"' - "$W/text" "$M/keep$i" 2>/dev/null && fail "echo >> file $i: exit 0" || pass 'echo >> file is told'
done
same 'one that may read too' "$([ -n "$maps" ] && echo ENOSPC ok ENOSPC ok || echo ok ENOSPC ENOSPC ok)" "$(writes small "$M/keep4" RDWR 100000)"
if [ -n "$maps" ]; then
	same 'a database is told, and goes on' 'database or disk is full ok 100' "$(python3 "$here/writers.py" more "$M/db" 2>&1)"
	same 'and is whole for the next one' 'ok 100' "$(python3 "$here/writers.py" look "$M/db" 2>&1)"
else
	skip 'a database on a full disk (Linux 6.6)'
fi
refused 'and what was lost reads as an error, or is not there' 'No space|error' '' bash -c 'cat "$1" && [ ! -s "$1" ] && echo "No space" && false' - "$M/keep4"
expect 'what is there is overwritten in place, which needs no room' dd if=/dev/zero of="$M/keep5" bs=50000 count=4 conv=notrunc,fsync status=none
same 'and is that' "$(head -c 200000 /dev/zero | md5sum)" "$(md5sum <"$M/keep5")"
rm "$M/fill"
# and is told once more what it has: what is removed gives its blocks back when the kernel has forgotten it, later than rm
for n in 1 2 3 4 5; do
	dd if=/dev/zero of="$M/fill" bs=64k count=2000 status=none 2>/dev/null
	rm "$M/fill"
	expect 'rm makes room at once' dd if=/dev/zero of="$M/after" bs=300k count=1 status=none
	rm "$M/after"
done
# what goes past the cache takes suid, sgid and capabilities from a file, as what does not
nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
chmod 755 "$W" && chmod 777 "$M"
for by in "$nobody" ''; do
	for flag in '' oflag=append; do
		rm -f "$M/suid"
		cp /bin/true "$M/suid" && chmod 6777 "$M/suid" && setcap cap_net_raw+ep "$M/suid" || fail 'a file with privileges'
		expect "a write, $flag" $by dd if=/dev/zero of="$M/suid" bs=10 count=1 conv=notrunc status=none $flag
		same "${by:+by a user, }write $flag: the mode" "$([ -n "$by" ] && echo 777 || echo 6777)" "$(stat -c %a "$M/suid")"
		same 'and capabilities' '' "$(getcap "$M/suid")"
	done
done
# and O_SYNC is kept: what write(2) has taken is on the disk
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	for flag in sync dsync; do
		strace -f -qq -e trace=fsync,fdatasync -p "$(worker_of)" -o "$W/trace" 2>>"$W/cli.log" &
		tracer=$!
		awaited 'strace traces' $HANG eval '! grep -h TracerPid "/proc/$(worker_of)/task"/*/status | grep -qw 0'
		expect "O_${flag^^}" dd if=/dev/zero of="$M/sync" bs=4k count=5 oflag=$flag status=none
		kill $tracer
		wait $tracer
		n=$(grep -cE '(fsync|fdatasync)\(' "$W/trace")
		[ "$n" -ge 5 ] && pass "$flag: each is synced" || fail "$flag: $n of 5 writes were synced"
	done
else
	skip 'O_SYNC (strace cannot trace here)'
fi
# a shared mapping needs a file that is not opened past the cache
expect 'mapped and written near the full mark' python3 -c '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 8192)
m = mmap.mmap(fd, 8192); m[5000:5004] = b"here"; m.flush()
w = os.open(sys.argv[1], os.O_WRONLY); os.pwrite(w, b"there", 100)
assert m[100:105] == b"there" and m[5000:5004] == b"here"
r = os.open(sys.argv[1], os.O_RDONLY); assert os.pread(r, 5, 100) == b"there"' "$M/mapped"
fsx=$(tool fsx) || fail 'compiling fsx'
expect 'reads, writes, mappings, cuts and holes, past the cache' timeout $HANG "$fsx" "$M/fsx" 6 1500 300000
rm -f "$M"/fsx*
# the kernel keeps the times of a file itself, and does not move them for what goes past its cache
echo old >"$M/stamped"
touch -d 2001-01-01 "$M/stamped"
t0=$(date +%s)
echo new >>"$M/stamped"
t=$(stat -c %Y "$M/stamped")
[ "$t" -ge "$t0" ] && pass '>> near the full mark moves mtime' || fail ">> near the full mark: mtime is $(stat -c %y "$M/stamped")"
expect 'a time that was set stays, through the close' python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND); os.write(fd, b"x"); os.utime(fd, (1000, 1000)); os.close(fd)
sys.exit(os.stat(sys.argv[1]).st_mtime != 1000)' "$M/stamped"
expect 'fsync tells the time and does not wait for that' python3 "$here/writers.py" synced "$M/synced"
on_disk=$(python3 "$here/writers.py" busy "$W/small" 2)
on_mount=$(python3 "$here/writers.py" busy "$M" 2)
figure "six that write, fsync and close: $on_mount in 2 s, on the disk itself $on_disk"
[ "$on_mount" -ge $((on_disk / 40)) ] && pass 'they do not wait for one another' || fail "busy: $on_mount against $on_disk"
expect 'the time of a mapping does not take the place of a later one' python3 "$here/writers.py" mapped "$M/mixed"
same 'with room again all goes on, in the file that lost something too' 'ok ok ok ok' "$(writes small "$M/keep4" RDWR 100000)"
same 'in a new one' 'ok ok ok ok' "$(writes small "$M/new" WRONLY 100000)"
same 'and is there' "200000 $(head -c 100000 /dev/zero | md5sum)" "$(stat -c %s "$M/new") $(head -c 100000 "$M/new" | md5sum)"
umount_store
expect 'verify' byokfs verify "$W/small/s"

# Far from full: whatever makes a write fail. What was accepted into the cache is told by the next write(2), and once.
FAILSTORE=$W/failstore
export FAILSTORE
failing() { printf '%-15d' "$1" 1<>"$FAILSTORE"; }
failing 0
"${CC:-gcc}" -std=gnu17 -shared -fPIC -O2 -Wall -Wextra -D_GNU_SOURCE -o "$W/failstore.so" "$here/failstore.c" || fail 'compiling failstore'
new_store s
LD_PRELOAD=$W/failstore.so mount_store s || exit
for e in ENOSPC EDQUOT EIO EFBIG; do
	n=$(python3 -c "import errno; print(errno.$e)")
	: >"$M/$e"
	: >"$M/$e.sh"
	failing "$n"
	# what a write has left half done cannot be put back here: EIO
	told=$(writes small "$M/$e" RDWR 50000)
	[[ $told == "ok $e $e ok" || (-n $maps && $told =~ ^$e\ ok\ ($e|EIO)\ ok$) ]] && pass "$e is told" || fail "$e: $told"
	bash -c 'echo "$(<"$1")" >"$2"' - "$W/text" "$M/$e.sh" 2>/dev/null && fail "$e: echo > file: exit 0" || pass "$e: echo > file is told"
	failing 0
	same "$e: afterwards" 'ok ok ok ok' "$(writes small "$M/$e" RDWR 50000)"
	expect "$e: the shell's file" bash -c 'echo "$(<"$1")" >"$2" && [ "$(wc -c <"$2")" = 100001 ]' - "$W/text" "$M/$e.sh"
done
umount_store
unset FAILSTORE
expect 'verify' byokfs verify "$W/s"
