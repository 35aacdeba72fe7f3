#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a worker that runs as root has given up, in each of its threads, and that it serves all the same.
. "$(dirname "$0")/lib.sh"

# field FILE NAME: of a status file in /proc
field() { awk -v n="$2:" '$1 == n {print $2}' "$1"; }

chmod 755 "$W" # a plain user is to reach the mount
new_store store
mount_store store || exit
worker=$(worker_of)
n=0
for t in /proc/"$worker"/task/*/status; do
	n=$((n + 1))
	for set in CapEff CapPrm CapBnd; do
		# CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK SYS_ADMIN SYS_NICE
		[ $((0x$(field "$t" $set) & ~0xa0401f)) -eq 0 ] || fail "thread $n: $set $(field "$t" $set)"
	done
	same "thread $n: inherits none" 0 $((0x$(field "$t" CapInh) | 0x$(field "$t" CapAmb)))
	same "thread $n: no new privileges" 1 "$(field "$t" NoNewPrivs)"
	if grep -q libseccomp "/proc/$worker/maps"; then same "thread $n: a filter" 2 "$(field "$t" Seccomp)"; fi
done
[ $n -gt 4 ] && pass "$n threads" || fail "only $n threads: the check is void"
# what a lock leaves to its janitor goes before all that keep the machine busy, and with it each lock
first=$(for t in /proc/"$worker"/task/*/stat; do sed 's/.*) //' "$t" | cut -d' ' -f17; done | sort -n | head -n 1)
if [ $((0x$(field /proc/self/status CapEff) >> 23 & 1)) -eq 1 ]; then
	same 'the niceness of the janitor' -20 "$first"
else
	skip 'no CAP_SYS_NICE here'
fi
grep -q libseccomp "/proc/$worker/maps" || skip 'built without libseccomp'
# who is root, but may not trace, is told about a process that has no more than he has only while it can be dumped
untraced=(setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace)
"${untraced[@]}" sleep 60 &
control=$!
await $HANG eval '[ "$(cat /proc/$control/comm)" = sleep ]'
expect 'the control can be dumped' "${untraced[@]}" cat "/proc/$control/io"
kill $control
refused 'the worker cannot' 'permission denied' '' "${untraced[@]}" cat "/proc/$worker/io"

# what root's capabilities are for
cd "$W/mnt" || exit
echo plain >f
chmod 600 f && chown 65534:65534 f
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
same 'a file of somebody else' plain "$(as_nobody cat "$W/mnt/f" 2>&1)"
chmod 4750 f
same 'setuid stays' 4750 "$(stat -c %a f)"
expect 'a file in a folder that is closed' sh -c 'mkdir d && chmod 0 d && echo x >d/x && chown 65534 d && cat d/x && rm d/x && rmdir d'
expect 'times of somebody else' touch -d 2001-01-01 f
expect 'a link to a file of somebody else' ln f g
expect 'a device' mknod null c 1 3
expect 'a fifo' mkfifo fifo
expect 'attributes' python3 -c 'import os
for n in "user.a", "trusted.a", "security.a":
    os.setxattr("f", n, b"v")
    assert os.getxattr("f", n) == b"v"'
cd / || exit
expect 'lock' byokfs lock "$W/mnt"
refused 'locked' 'permission denied' '' cat "$W/mnt/f"
expect 'unlock' byokfs unlock "$W/mnt"
same 'the same again' plain "$(cat "$W/mnt/f")"
umount_store
# --on-revoke unmount: the worker asks for it
mount_store store --on-revoke unmount --poll 1 || exit
key disable
awaited 'unmounted by a revocation' 60 unmounted
key enable
