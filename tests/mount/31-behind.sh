#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A lock seals what is dirty and is over; what it sealed goes to the disk behind it, however slow that is, and nothing of it is lost.
. "$(dirname "$0")/lib.sh"

slow_store || exit
export SLOWSTORE_ALL=1
new_keystore
new_store store
mkdir -p "$W/mnt"

status_of() { byokfs status "$W/mnt" --json | sed -nE "s/.*\"$1\": *\"?([0-9]+).*/\1/p"; }
waiting() { status_of sealed_waiting_bytes; }
nothing_waits() { [ "$(waiting)" = 0 ]; }
mount_slow() {
	slow 0 0
	LD_PRELOAD=$slow_lib "$BYOKFS" mount "$W/store" "$W/mnt" -o drain=30,poll=1 >>"$W/cli.log" 2>&1 || fail "mount on the slow store: $(tail -n 2 "$W/cli.log")"
}

# pieces.py NAME SIZE STEP: every STEPth page of a file dirty, on an open handle; what it is to be afterwards in $W/want. Then by lines
# of stdin: read | fsync | close | end
cat >"$W/pieces.py" <<'P'
import os, sys
mnt, want, name, size, step = sys.argv[1:4] + [int(n) for n in sys.argv[4:]]
PAGE = 4096
old = open(want, "rb").read()
fd = os.open(mnt + "/" + name, os.O_RDWR | os.O_CREAT, 0o600)
new = bytearray(old.ljust(size, b"\0"))
for at in range(0, size, step * PAGE):
    data = os.urandom(min(PAGE, size - at))
    new[at:at + len(data)] = data
    os.pwrite(fd, data, at)
with open(want, "wb") as f:
    f.write(new)
print("dirty", flush=True)
for line in sys.stdin:
    try:
        if line == "read\n":
            print("new" if os.pread(fd, size, 0) == new and os.fstat(fd).st_size == size else "wrong", flush=True)
        elif line == "fsync\n":
            print("fsync", os.fsync(fd) or 0, flush=True)
        elif line == "end\n":
            break
        else:
            os.close(fd)
            print("close 0", flush=True)
    except OSError as e:
        print(line.strip(), e.errno, flush=True)
P
# dirty NAME SIZE STEP: in the background; `ask WHAT` says what it answers
dirty() {
	coproc D { exec python3 "$W/pieces.py" "$W/mnt" "$W/want" "$@" 2>&1; }
	holder=$D_PID
	exec 7<&"${D[0]}" 8>&"${D[1]}"
	read -r line <&7
	same "$1: dirty" dirty "$line"
}
ask() {
	echo "$1" >&8
	read -r -t 300 line <&7
	echo "$line"
}
enough() {
	echo end >&8
	exec 8>&- 7<&-
	wait "$holder"
}

# lock_dirty TEXT BYTES: the key is refused; nothing of what is dirty is, and most of it is not on the disk yet when the mount is locked
lock_dirty() {
	slow 0 5000 5000
	key disable
	wait_state locked $HANG || return
	figure "$1: 5 ms a write: locked after $(status_of lock_all_ms) ms, $(status_of lock_sealed_bytes) bytes sealed, $(waiting) of them not on the disk yet"
	same "$1: nothing was refused" 0 "$(status_of lock_refused_bytes)"
	[ "$(status_of lock_sealed_bytes)" -ge "$2" ] && pass "$1: it was dirty" || fail "$1: only $(status_of lock_sealed_bytes) bytes were dirty: the check is void"
	[ "$(waiting)" -gt 0 ] && pass "$1: the lock has not waited for the disk" || fail "$1: all is on the disk: the check is void"
}
unlock() {
	key enable
	wait_state active $HANG
}

megs=40
[ -z "${BYOKFS_SHORT:-}" ] || megs=8
half=$((megs << 19))

# --- over what is durable: each piece goes through the undo journal
mount_slow
head -c ${megs}M /dev/urandom >"$W/want"
cp "$W/want" "$W/mnt/old" && sync "$W/mnt/old" || fail 'a durable file'
dirty old $((megs << 20)) 2
lock_dirty 'every second page of a durable file' $half
slow 0 0
same 'fsync while locked waits for it' 'fsync 0' "$(ask fsync)"
same 'all is on the disk then' 0 "$(waiting)"
unlock
same 'the same handle reads it' new "$(ask read)"
same 'close' 'close 0' "$(ask close)"
enough
umount_store
mount_slow
expect 'after a remount' cmp "$W/want" "$W/mnt/old"

# --- a new file, which grows by pieces with holes between, and ends oddly
: >"$W/want"
dirty new $(((megs << 20) + 1234)) 2
lock_dirty 'every second page of a new file' $half
unlock
[ "$(waiting)" -gt 0 ] && pass 'while it is on its way' || fail 'all is on the disk: the check is void'
same 'the same handle reads it' new "$(ask read)"
expect 'another one too' cmp "$W/want" "$W/mnt/new"
slow 0 0
same 'close waits for it' 'close 0' "$(ask close)"
enough
awaited 'all is on the disk' $HANG nothing_waits
umount_store
mount_slow
expect 'after a remount' cmp "$W/want" "$W/mnt/new"

# --- by order, which is obeyed within a second; what it had no time for is refused and told, and that is not the disk's doing
dirty old $((megs << 20)) 2
slow 0 5000 5000
t0=$(now_ms)
expect 'lock by order' byokfs lock "$W/mnt"
t1=$(now_ms)
sealed=$(status_of lock_sealed_bytes)
figure "by order: locked after $((t1 - t0)) ms, $sealed bytes sealed, $(status_of lock_refused_bytes) refused, $(waiting) not on the disk yet"
within 'an order is obeyed within a second' $((t1 - t0)) 1000 "$t0"
[ $((sealed / 4096 * 5)) -gt $((2 * (t1 - t0))) ] && pass 'in less time than the disk needs' || fail "$sealed bytes in $((t1 - t0)) ms: the disk was waited for"
slow 0 0
[ "$(status_of lock_refused_bytes)" = 0 ] && told='fsync 0' || told='fsync 13'
same 'fsync tells what became of it' "$told" "$(ask fsync)"
expect 'unlock' byokfs unlock "$W/mnt"
enough
cp "$W/want" "$W/mnt/old" && cmp "$W/want" "$W/mnt/old" && pass 'written again: all of it is there' || fail 'written again, and it differs'

# --- unmounted while it is on its way
dirty old $((megs << 20)) 3
lock_dirty 'every third page' $((half / 2))
slow 0 0
unlock
enough
umount_store
mount_slow
expect 'unmounted meanwhile: all is there' cmp "$W/want" "$W/mnt/old"

# --- killed while it is on its way: what nobody was told to be safe may be the old one, and no piece is half
cp "$W/mnt/old" "$W/before"
cp "$W/before" "$W/want"
dirty old $((megs << 20)) 2
lock_dirty 'every second page, to be killed' $half
kill_daemons
key enable
byokfs umount "$W/mnt" >>"$W/cli.log" 2>&1
kill -9 "$holder" 2>/dev/null
exec 8>&- 7<&-
wait "$holder" 2>/dev/null
mount_slow
python3 - "$W/before" "$W/want" "$W/mnt/old" <<'P' && pass 'killed meanwhile: each piece is the old or the new one' || fail 'killed meanwhile: other bytes'
import sys
old, new, now = (open(p, "rb").read() for p in sys.argv[1:])
pieces = [now[a:a + 4096] == old[a:a + 4096] or now[a:a + 4096] == new[a:a + 4096] for a in range(0, len(new), 4096)]
sys.exit(len(now) != len(new) or not all(pieces))
P
umount_store
expect 'verify' byokfs verify "$W/store"
