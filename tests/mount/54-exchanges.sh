#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Names in the store exchanged for links out of it, 10,000 times, while root works in the mount: nothing outside is touched.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
moving() { for p in $users; do kill -0 "$p" 2>/dev/null && echo "$p"; done; }
sleep 0.5 & users=$!
: & users="$users $!"
wait $!
same 'settle waits for the first too when the last has ended' '' "$(settle 60 moving)"
users=
times=10000
[ -z "${BYOKFS_SHORT:-}" ] || times=2000
exchange=$(tool exchange) || fail 'exchange does not compile'
new_store s
mount_store s || exit
for i in $(seq 0 11); do head -c 9000 /dev/urandom >"$M/f$i"; done
for i in 0 1 2; do mkdir "$M/d$i" && head -c 9000 /dev/urandom >"$M/d$i/g"; done
head -c 9000 /dev/urandom >"$M/$(printf 'n%.0s' $(seq 240))"
disk() { find "$W/s/data" -inum "$(stat -c %i "$M/$1")"; }
for n in f{0..11} d{0..2} d{0..2}/g "$(printf 'n%.0s' $(seq 240))"; do disk "$n"; done >"$W/names"
umount_store

# Outside lies a copy of each, so that whoever followed would find what opens; beside it a fifo and a device, which nobody may open.
mkdir "$W/outside" "$W/aside"
i=0
{ cat "$W/names"; find "$W/s/data" -mindepth 2 -name '.byokfs.dir' -o -name '.byokfs.name.*'; } | while read -r name; do
	i=$((i + 1))
	cp -a "$name" "$W/outside/$i"
	case $((i % 8)) in
	6) mkfifo "$W/aside/$i" ;;
	7) mknod "$W/aside/$i" c 1 5 ;;
	*) ln -s "$W/outside/$i" "$W/aside/$i" ;;
	esac
	echo "$name $W/aside/$i $W/outside/$i"
done >"$W/pairs"
chmod -R go= "$W/outside"
find "$W/outside" -exec touch -h -d '2001-02-03' {} + # an atime before mtime would move
find "$W/outside" -exec touch -h -a -d '2000-01-01' {} +
# ctime is moved by whatever is done to an inode, atime by reading it
outside() { find "$W/outside" -printf '%P %i %y %m %U %G %n %s %T@ %C@ ' \( -type d -printf '\n' -o -printf '%A@\n' \) | sort; }
outside >"$W/before"
[ "$(wc -l <"$W/before")" -gt 25 ] || fail 'too little lies outside'

mount_store s || exit
worker=$(worker_of)
timeout 400 "$exchange" $times 4000 <"$W/pairs" >"$W/exchanged" 2>&1 &
exchanger=$!
for i in 1 2 3; do python3 "$here/exchanged.py" "$M" "$W/over" $i >"$W/did.$i" 2>&1 & users="$users $!"; done
wait $exchanger || fail "exchange: exit $?: $(cat "$W/exchanged")"
touch "$W/over"
figure "$(cat "$W/exchanged")"
same 'no call hangs' '' "$(settle 60 moving)"
for i in 1 2 3; do [ -s "$W/did.$i" ] && figure "calls that succeeded: $(cat "$W/did.$i")" || fail "user $i said nothing"; done
for k in read write create chmod chown truncate unlink rename setxattr utimens; do
	[ "$(cat "$W"/did.* | tr ' ' '\n' | sed -n "s/^$k:\([0-9]*\).*/\1/p" | awk '{s += $1} END {print s + 0}')" -gt 0 ] ||
		fail "$k never succeeded: nothing is shown"
done
outside >"$W/after"
same 'nothing outside was touched, nor read' '' "$(diff "$W/before" "$W/after" | head -n 5)"
same 'the worker lives' "$worker" "$(worker_of)"
same 'and serves' active "$(state_of)"
expect 'what is made afterwards is made' timeout $HANG sh -c "echo new >'$M/new' && cat '$M/new'"
umount_store
timeout $HANG "$BYOKFS" verify "$W/s" >"$W/verify" 2>&1
[ $? -lt 124 ] && pass 'verify ends' || fail 'verify hangs'
mount_store s || exit
same 'it is there at the next mount' new "$(cat "$M/new")"
umount_store
outside >"$W/after"
same 'nor by verify and the next mount' '' "$(diff "$W/before" "$W/after" | head -n 5)"
