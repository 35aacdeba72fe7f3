#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Folders full of planted names, listed and removed: others are served meanwhile, a lock keeps its time, who is killed goes.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
many=10000
[ -z "$LONG" ] || many=300000
[ -z "${BYOKFS_SHORT:-}" ] || many=6000
new_store s
mount_store s || exit
disk() { find "$W/s/data" -inum "$(stat -c %i "$M/$1")"; }
mkdir "$M/foreign" "$M/own" "$M"/long{1..24} "$M/mixed" "$M/plain" && echo whole >"$M/plain/file" && echo seven >"$M/mixed/seven"
foreign=$(disk foreign) own=$(disk own) mixed=$(disk mixed)
for i in {1..24}; do long[i]=$(disk "long$i"); done
umount_store

# plant FOLDER COUNT PATTERN [CONTENT]: fast, as one writes who means harm
plant() { python3 -c 'import os, sys
os.chdir(sys.argv[1])
for i in range(int(sys.argv[2])):
    fd = os.open(sys.argv[3] % i, os.O_CREAT | os.O_WRONLY)
    if len(sys.argv) > 4:
        os.write(fd, sys.argv[4].encode())
    os.close(fd)' "$@" || fail "planting $3"; }
plant "$foreign" $many 'planted-%d'
plant "$own" 5000 '.byokfs.tmp.%d'
plant "$mixed" 5000 'foreign-%d'
plant "${long[1]}" 400 '.byokfs.long.%043d'
plant "${long[1]}" 400 '.byokfs.name.%043d' 'the sidecar of a name that nobody gave'
for i in {2..24}; do cp "${long[1]}"/.byokfs.long.* "${long[1]}"/.byokfs.name.* "${long[i]}"; done

# --- what there is to see, is seen

mount_store s || exit
same 'nothing is seen of planted names' '' "$(timeout 300 ls "$M/foreign" "$M/own" "$M/long1" | grep -v :$ | tr -d '\n')"
same 'what lies among them is seen' seven "$(timeout 60 ls "$M/mixed")"
same 'and with what it is' "-rw-r--r-- seven" "$(timeout 60 ls -l "$M/mixed" | awk 'NR == 2 {print $1, $NF}')"

# --- removing

t0=$(now_ms)
refused 'a folder full of foreign names is not removed' 'not empty' '' rmdir "$M/foreign"
refused 'nor is one full of own ones' 'not empty' '' rmdir "$M/own"
within 'rmdir does not walk through all of them' $(($(now_ms) - t0)) 1000 "$t0"
same 'it has removed nothing' 5001 "$(find "$own" -type f | wc -l)"
umount_store

# --- a listing that lasts: each long name costs a read of a slow disk, 200 s for each folder

slow_store
LD_PRELOAD=$slow_lib mount_store s || exit
worker=$(worker_of)
cat "$M/plain/file" >/dev/null
slow 500000 0
# more of them than there are threads that serve
lists=
for i in $(seq 24); do
	ls "$M/long$i" >/dev/null 2>&1 &
	lists="$lists $!"
done
sleep 3
touched() { timeout -s KILL $HANG touch "$M/plain/$1" && timeout -s KILL $HANG ls "$M/plain"; }
left() { for p in $lists; do kill -0 "$p" 2>/dev/null && echo "$p"; done; }
t0=$(now_ms)
expect 'others are served while folders are listed that take minutes' touched one
took=$(($(now_ms) - t0))
figure "a file made and listed beside it: $took ms"
[ $took -lt 30000 ] && pass 'and are not held up for long' || fail "they are held up: $took ms"
first=${lists# }
first=${first%% *}
disown "$first"
kill -9 "$first"
awaited 'who is killed while he lists goes' $HANG eval "! kill -0 $first 2>/dev/null"
under_way=$(left | wc -l)
same 'the others list on' 23 "$under_way"
t0=$(now_ms)
expect 'a lock' timeout 60 "$BYOKFS" lock "$M"
took=$(($(now_ms) - t0))
figure "lock with $under_way listings under way: $took ms"
[ $took -lt 5000 ] && pass 'in its time' || fail "a lock waits for listings: $took ms"
same 'the worker lives' "$worker" "$(worker_of)"
awaited 'and ends them' $HANG eval '[ -z "$(left)" ]'
slow 0 0
expect 'unlock' "$BYOKFS" unlock "$M"
umount_store

# --- got rid of

find "$foreign" -name 'planted-?????*' -delete # each that is moved is a line
timeout $HANG "$BYOKFS" verify "$W/s" --repair >"$W/verify" 2>&1
[ $? -lt 124 ] && pass 'verify --repair ends' || fail 'verify --repair hangs'
mount_store s || exit
for f in foreign own; do expect "$f goes after verify --repair" rmdir "$M/$f"; done
expect 'so do files whose names were lost' rm -r "$M/long1"
same 'what is whole is there' 'seven whole' "$(cat "$M/mixed/seven" "$M/plain/file" | xargs)"
umount_store
