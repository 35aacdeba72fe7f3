#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A supervisor that is stopped is a reason to lock: nothing readable, back when it goes on; a job's group stopped as a whole.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
new_store store
beside_start
json() { byokfs status "$M" --json 2>/dev/null | sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p"; }
cause_is() { [ "$(json cause)" = "$1" ]; }

# what reads without asking the daemon: a mapping that is there, and splice(2) from the page cache; a line each
cat >"$W/held.py" <<'PY'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
m = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
bytes(m[:4096]), os.pread(fd, 4096, 0)
print('held', flush=True)
def works(call):
    pid = os.fork() # a mapping that is gone ends whoever looks
    if pid == 0:
        try:
            os._exit(0 if len(call()) == 16 else 1)
        except OSError:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
def spliced():
    r, w = os.pipe()
    return os.read(r, os.splice(fd, w, 16, offset_src=0))
calls = {'read': lambda: os.pread(fd, 16, 0), 'splice': spliced, 'mapping': lambda: m[:16]}
while sys.stdin.readline():
    print(' '.join(name for name, call in calls.items() if works(call)), flush=True)
PY
hold() {
	coproc H { exec python3 "$W/held.py" "$M/f"; }
	exec 7<&"${H[0]}" 8>&"${H[1]}"
	holder=$H_PID
	read -t $HANG -r line <&7
}
# readable: what the holder still reads
readable() {
	echo >&8
	read -t $HANG -r line <&7
	printf '%s' "$line"
}
let_go() {
	exec 7<&- 8>&-
	kill $holder
	wait $holder 2>/dev/null
}
all='read splice mapping'

mount_store store -o poll=1s,lease=3s || exit
head -c 65536 /dev/urandom >"$M/f"
sync "$M/f"
hold
same 'active: all is readable' "$all" "$(readable)"
supervisor=$(json pid)
worker=$(json worker_pid)
t0=$(now_ms)
kill -STOP "$supervisor"
wait_state locked 6 || exit
figure "supervisor stopped: locked after $(($(now_ms) - t0)) ms"
same 'cause' unwatched "$(json cause)"
same 'nothing is readable' '' "$(readable)"
refused 'a read' 'permission denied' '' cat "$M/f"
refused 'an unlock says why not' 'supervisor' '' "$BYOKFS" unlock "$M"
# the worker stopped as well: whoever asks now waits until it goes on, and what could be read without asking is gone
kill -STOP "$worker"
sleep 0.5
echo >&8
read -t 3 -r line <&7
answered=$?
if [ $answered -eq 0 ]; then same 'both stopped: nothing is readable' '' "$line"; else pass 'both stopped: nothing is readable'; fi
kill -CONT "$worker"
kill -CONT "$supervisor"
[ $answered -eq 0 ] || read -t $HANG -r line <&7
wait_state active 6 && pass 'the supervisor goes on: active again'
same 'cause' '' "$(json cause)"
same 'the old handle reads again' "$all" "$(readable)"
expect 'a write' sh -c 'echo more >"$1/g" && sync "$1/g"' - "$M"

# an order, and a refusal, are not lifted by it
kill -STOP "$supervisor"
wait_state locked 6
byokfs lock "$M"
kill -CONT "$supervisor"
sleep 1.5
same 'ordered meanwhile: stays locked' 'locked ordered' "$(json state) $(json cause)"
expect 'unlock' byokfs unlock "$M"
kill -STOP "$supervisor"
wait_state locked 6
key disable
kill -CONT "$supervisor"
awaited 'refused meanwhile: stays locked, and says so' 10 cause_is revoked
same 'state' locked "$(json state)"
key enable
wait_state active 10
let_go

# killed while it is stopped: as any death of it
hold
kill -STOP "$supervisor"
wait_state locked 6
kill -9 "$supervisor"
awaited 'killed while stopped: the worker ends' $HANG no_daemons
same 'nothing is readable' '' "$(readable)"
let_go
expect 'umount' byokfs umount "$M"

# audit and log
expect 'the audit log has it' sh -c '"$1" audit show "$2" | grep -q unwatched' - "$BYOKFS" "$W/store"

# the group of a job in a terminal is stopped: the worker is not in it, and locks
set -m
mount_logged store "$W/log" -o poll=1s,lease=3s || exit
set +m
hold
worker=$(json worker_pid)
[ "$(ps -o pgid= -p "$daemon" | tr -d ' ')" != "$(ps -o pgid= -p "$worker" | tr -d ' ')" ] && pass 'two groups' || fail 'both processes are in one group'
kill -STOP -- "-$daemon"
wait_state locked 6
same 'the job stopped: nothing is readable' '' "$(readable)"
kill -CONT -- "-$daemon"
wait_state active 6
same 'the job goes on' "$all" "$(readable)"
let_go
umount_store

# both stopped for a while, as a suspend or a frozen cgroup does it: no reason to lock when they go on
mount_store store || exit
both="$(json pid) $(json worker_pid)"
kill -STOP $both
sleep 5
kill -CONT $both
sleep 1
same 'both stopped for 5 s: active' active "$(json state)"
umount_store
expect 'verify' byokfs verify "$W/store"
