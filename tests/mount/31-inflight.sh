#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A lock with a write(2) inside the kernel, with dirty pages on a slow store, and with many cached inodes.
. "$(dirname "$0")/lib.sh"

inflight=$(tool inflight) || { fail 'compiling inflight'; exit; }
slow_store || exit
beside_start
new_keystore
new_store store

# status_of KEY: a number of the mount's status
status_of() { byokfs status "$W/mnt" --json | sed -nE "s/.*\"$1\": *\"?([0-9]+).*/\1/p"; }
drained() { [ "$(status_of draining)" = 0 ]; }
# word_after LINE WORD: what follows WORD in LINE
word_after() { sed -nE "s/(^|.* )$2 ([^ ]+).*/\2/p" <<<"$1"; }

# --- one write(2) in flight. Its memory comes into being while it is read, so that it outlasts the lock on any machine.

# one_write NAME BYTES over|grow MS ('': as fast as it goes)
one_write() {
	local name=$1 bytes=$2 kind=$3 ms=$4 line result probes=() p how out
	mount_logged store "$W/mount.log" -o drain=1 || return
	coproc T { exec env ${ms:+INFLIGHT_MS=$ms} timeout 900 "$inflight" write "$W/mnt/big" "$bytes" "$kind" "$BYOKFS" lock "$W/mnt" 2>&1; }
	how=$T_PID
	exec 7<&"${T[0]}" 8>&"${T[1]}"
	while read -r line <&7; do
		case $line in
		write\ *) result=$line ;;
		probe\ private*) probes+=("$line"); break ;;
		probe\ *) probes+=("$line") ;;
		esac
	done
	same "$name: locked" locked "$(state_of)"
	figure "$name: $result; $(status_of lock_sealed_bytes) bytes sealed, $(status_of lock_refused_bytes) refused, locked after $(status_of lock_all_ms) ms"
	if [ -n "$ms" ]; then
		[ "$(word_after "$result" in_flight_ms)" -gt 500 ] 2>/dev/null && pass "$name: outlasted the lock" || fail "$name: the write(2) was over before the lock: $result"
		same "$name: fsync tells, once" 'EACCES 0' "$(word_after "$result" fsync1) $(word_after "$result" fsync2)"
		same "$name: close after it does not tell again" 0 "$(word_after "$result" close)"
	fi
	for p in "${probes[@]}"; do
		line=$(word_after "$p" probe)
		[ "$(word_after "$p" tries)" -gt 100 ] && pass "$name: probed: $line" || fail "$name: hardly probed: $p"
		same "$name: nothing of the store is read: $line" 0 "$(word_after "$p" old)"
		same "$name: nothing at all a second after the end of the write(2): $line" 0 "$(word_after "$p" late)"
		case $line in
		read_* | fstat | write_old) same "$name: refused all the while: $line" 0 "$(word_after "$p" hits)" ;;
		*) figure "$name: $line: the writer's own bytes seen in $(word_after "$p" hits) of $(word_after "$p" tries) tries, last $(word_after "$p" last_ms) ms after the lock" ;;
		esac
	done
	awaited "$name: nothing drains any more" 30 drained
	expect "$name: unlock" byokfs unlock "$W/mnt"
	echo >&8
	out=$(cat <&7)
	wait "$how" && pass "$name: old handle: $out" || fail "$name: old handle: $out"
	figure "$name: after the return, old handle: $out"
	exec 7<&- 8>&-
	out=$("$inflight" check "$W/mnt/big" "$bytes" "$(word_after "$result" write)") && pass "$name: new handle: $out" || fail "$name: new handle: $out"
	if [ -n "$ms" ]; then
		same "$name: the file is named in the log, once" 1 "$(grep -c 'written pages were refused' "$W/mount.log")"
		[ "$(status_of lost_ranges)" -gt 0 ] && pass "$name: lost ranges are counted" || fail "$name: no lost range in status"
		: >"$W/mnt/big" # truncated away
		same "$name: truncating ends them" 0 "$(status_of lost_ranges)"
	fi
	rm -f "$W/mnt/big"
	umount_store
	wait "$daemon" 2>/dev/null
	: >"$W/mount.log"
}
size=$((256 << 20))
[ -z "${BYOKFS_SHORT:-}" ] || size=$((64 << 20))
[ -z "$LONG" ] || size=$((2048 << 20))
one_write 'write(2) over old content' $size over 3000
one_write 'write(2) of a new file' $size grow 3000
[ -z "$LONG" ] || one_write 'write(2) at full speed' $size over ''

# --- a slow store: what was accepted is sealed within the limit

mkdir -p "$W/mnt"
slow 0 5000
LD_PRELOAD=$slow_lib "$BYOKFS" mount "$W/store" "$W/mnt" >>"$W/cli.log" 2>&1 || fail "mount on the slow store: $(tail -n 2 "$W/cli.log")"
t0=$(now_ms)
dd if=/dev/zero of="$W/mnt/probe" bs=4k count=20 oflag=dsync status=none
t1=$(now_ms)
[ $((t1 - t0)) -ge 100 ] && pass 'the store is slow' || fail "20 writes took $((t1 - t0)) ms: the store is not slow"
head -c 20M /dev/urandom >"$W/20M"
# one process that holds it open: every close(2) would write back
coproc D { exec python3 -c '
import os, sys
fd = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT, 0o600)
os.write(fd, open(sys.argv[1], "rb").read())
print("dirty", flush=True)
sys.stdin.readline()
os.fsync(fd) # locked: it owes nothing any more
print("fsync 0", flush=True)
sys.stdin.readline()
os.close(fd)
' "$W/20M" "$W/mnt/20M" 2>&1; }
holder=$D_PID
exec 7<&"${D[0]}" 8>&"${D[1]}"
read -r line <&7
same 'dirty' dirty "$line"
t0=$(now_ms)
expect 'lock with 20 MiB dirty' byokfs lock "$W/mnt"
t1=$(now_ms)
figure "20 MiB dirty, 5 ms a write: $((t1 - t0)) ms, $(status_of lock_sealed_bytes) bytes sealed, $(status_of lock_refused_bytes) refused"
same 'nothing was refused' 0 "$(status_of lock_refused_bytes)"
[ "$(status_of lock_sealed_bytes)" -gt 0 ] && pass 'dirty pages were sealed by the lock' || fail 'nothing was dirty: the check is void'
within 'the drain limit' $((t1 - t0)) 3000 "$t0"
echo >&8
read -r line <&7
same 'fsync of a file that owes nothing, while locked' 'fsync 0' "$line"
byokfs unlock "$W/mnt" >/dev/null
echo >&8
wait "$holder" && pass 'close' || fail 'close of the file on the slow store'
exec 7<&- 8>&-
expect 'all 20 MiB are there' cmp "$W/20M" "$W/mnt/20M"
umount_store

# --- a store too slow for what is dirty, each piece of which is a part of a block that has to be read first: an order is obeyed all the
# same, and the writer is told

new_store large --block-size 65536
slow 0 0
LD_PRELOAD=$slow_lib "$BYOKFS" mount "$W/large" "$W/mnt" >>"$W/cli.log" 2>&1 || fail "mount on the slow store: $(tail -n 2 "$W/cli.log")"
cp "$W/20M" "$W/mnt/20M"
coproc E { exec python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for at in range(0, 20 << 20, 1 << 16):
    os.pwrite(fd, b"new " * 1024, at + 4096)
print("dirty", flush=True)
sys.stdin.readline()
for call in (os.fsync, os.fsync, os.close):
    try:
        call(fd)
        print(0, end=" ")
    except OSError as e:
        print(e.errno, end=" ")
' "$W/mnt/20M" 2>&1; }
holder=$E_PID
exec 7<&"${E[0]}" 8>&"${E[1]}"
read -r line <&7
slow 400000 0
t0=$(now_ms)
expect 'lock with more dirty than can be sealed' byokfs lock "$W/mnt"
t1=$(now_ms)
slow 0 0
figure "320 pieces dirty, 400 ms for each old block: $((t1 - t0)) ms, $(status_of lock_sealed_bytes) bytes sealed, $(status_of lock_refused_bytes) refused"
[ "$(status_of lock_refused_bytes)" -gt 0 ] && pass 'some was refused' || fail 'all was sealed: the check is void'
within 'an order is obeyed within its second, and the read under way' $((t1 - t0)) 1500 "$t0"
echo >&8
same 'fsync tells, once; close owes nothing' '13 0 0' "$(cat <&7 | sed 's/ $//')"
wait "$holder"
exec 7<&- 8>&-
expect 'unlock' byokfs unlock "$W/mnt"
refused 'what was lost is not read' 'input/output error' '' dd if="$W/mnt/20M" of=/dev/null bs=1M
umount_store

# --- many cached inodes

many=50000
[ -z "${BYOKFS_SHORT:-}" ] || many=5000
[ -z "$LONG" ] || many=1000000
mount_store store || exit
mkdir "$W/mnt/many"
expect "making $many files" "$inflight" make "$W/mnt/many" $many
for i in $(seq 0 63); do head -c 65536 "$W/20M" >"$W/mnt/many/open$i"; done
umount_store # so that they have not been opened since the mount
mount_store store || exit
# a kernel that is short of memory, or told to drop its caches meanwhile, is asked again
all_cached() {
	find "$W/mnt/many" -printf '%s' >/dev/null
	cached=$(status_of cached_inodes)
	[ "$cached" -ge $many ]
}
awaited "$many inodes are cached" $HANG all_cached || say "note: $cached are"
t0=$(now_ms)
out=$("$inflight" cached "$W/mnt/many" 64 "$BYOKFS" lock "$W/mnt" 2>&1 | tail -n 1)
figure "$cached cached inodes: $out"
contents=$(word_after "$out" contents_ms)
within 'contents refused within 1 s' "${contents:-99999}" 1000 "$t0"
same 'locked' locked "$(state_of)"
figure "by the mount: contents $(status_of lock_contents_ms) ms, all $(status_of lock_all_ms) ms, $(status_of lock_inodes) inodes"
refused 'names are refused' 'permission denied' '' stat "$W/mnt/many/d0/f0"
expect 'unlock' byokfs unlock "$W/mnt"
expect 'a cached name works again' stat "$W/mnt/many/d0/f0"
