#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Supervisor and worker killed together, stopped together, frozen as one cgroup: the guard ends what the kernel has cached.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
new_store store
json() { byokfs status "$M" --json 2>/dev/null | sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p"; }
guard_of() { pgrep -P "$supervisor" -x byokfs-guard; }
is_dead() { [ "$(state_of)" = dead ]; }

# what reads without asking the daemon, until none of it is left: splice(2), sendfile(2), a mapping (by /proc/self/mem: no SIGBUS);
# ms from the start to the last success of each. Nothing is opened or closed meanwhile, which would wait for who is stopped.
cat >"$W/held.py" <<'PY'
import ctypes, mmap, os, sys, time
fd, limit = os.open(sys.argv[1], os.O_RDONLY), float(sys.argv[2])
libc = ctypes.CDLL(None)
libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 2 + [ctypes.c_int] * 3 + [ctypes.c_long]
at = libc.mmap(0, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
mem, out = os.open('/proc/self/mem', os.O_RDONLY), os.memfd_create('out')
r, w = os.pipe()
calls = {
    'splice': lambda: os.read(r, os.splice(fd, w, 16, offset_src=0)),
    'sendfile': lambda: b'x' * os.sendfile(out, fd, 0, 16),
    'mapping': lambda: os.pread(mem, 16, at),
}
last = {k: -1 for k in calls}
def look():
    n = 0
    for k, call in calls.items():
        try:
            if len(call()) == 16:
                n, last[k] = n + 1, int((time.monotonic() - t0) * 1000)
        except OSError:
            pass
    return n
t0 = time.monotonic()
print('held' if look() == 3 else 'nothing', flush=True)
sys.stdin.readline()
t0 = time.monotonic()
last = {k: 0 for k in calls}
while time.monotonic() - t0 < limit and look():
    time.sleep(0.01)
print(max(last.values()), 'left' if time.monotonic() - t0 >= limit else 'gone', flush=True)
os._exit(0)
PY
# hold SECONDS: a reader of $M/f that looks for so long at most, from struck() on
hold() {
	supervisor=$(json supervisor_pid)
	worker=$(json worker_pid)
	coproc H { exec python3 "$W/held.py" "$M/f" "$1"; }
	exec 7<&"${H[0]}" 8>&"${H[1]}"
	read -t $HANG -r line <&7
	same 'all is readable' held "$line"
}
# ended TEXT MS: nothing is readable after so long
ended() {
	local ms what
	read -t $HANG -r ms what <&7
	exec 7<&- 8>&-
	same "$1: what is cached" gone "$what"
	within "$1" "${ms:-99999}" "$2"
	figure "$1: readable for $ms ms"
}
by_guard() {
	awaited "$1: dead" 10 is_dead
	[ "$(json ended_by)" = guard ] && pass "$1: by the guard" || fail "$1: ended by [$(json ended_by)]"
}

# --- killed together
mount_store store || exit # a lease of 15 s
head -c 65536 /dev/urandom >"$M/f"
sync "$M/f"
hold 30
kill -9 "$supervisor" "$worker"
echo >&8
ended 'killed together' 2000
by_guard 'killed together'
refused 'what is left' 'not connected' '' ls "$M/"
awaited 'no process is left' 15 no_daemons
expect 'umount' byokfs umount "$M"

# --- a guard that is killed is replaced, and the next one is as good
mount_store store || exit
hold 30
old=$(guard_of)
sleep 1.2
kill -9 "$old"
new_guard() { local n; n=$(guard_of) && [ "$n" != "$old" ]; }
awaited 'another guard' 10 new_guard
kill -9 "$supervisor" "$worker"
echo >&8
ended 'killed together, with the second guard' 2000
by_guard 'with the second guard'
awaited 'no process is left' 15 no_daemons
expect 'umount' byokfs umount "$M"

# --- the supervisor stopped and the worker killed
mount_store store || exit
hold 30
kill -STOP "$supervisor"
kill -9 "$worker"
echo >&8
ended 'one stopped, one killed' 8000
by_guard 'one stopped, one killed'
kill -CONT "$supervisor"
awaited 'the supervisor ends when it goes on' 20 no_daemons
expect 'umount' byokfs umount "$M"

# --- stopped together: until the lease has ended they may only be paused
mount_store store -o poll=1s,lease=3s || exit
hold 30
kill -STOP "$supervisor" "$worker"
echo >&8
ended 'stopped together' 10000
by_guard 'stopped together'
kill -CONT "$supervisor"
awaited 'the supervisor ends when it goes on' 20 no_daemons
expect 'umount' byokfs umount "$M"

# --- frozen as one cgroup, the guard outside
frozen=
for type in 'cgroup2 none' 'cgroup -o freezer'; do
	mkdir -p "$W/cg"
	mount -t $type none "$W/cg" 2>/dev/null || continue
	mkdir "$W/cg/byokfs-$$" 2>/dev/null && [ -e "$W/cg/byokfs-$$/cgroup.freeze" -o -e "$W/cg/byokfs-$$/freezer.state" ] && frozen=$W/cg/byokfs-$$ && break
	umount "$W/cg"
done
freeze() { if [ -e "$frozen/cgroup.freeze" ]; then echo "$1" >"$frozen/cgroup.freeze"; elif [ "$1" = 1 ]; then echo FROZEN >"$frozen/freezer.state"; else echo THAWED >"$frozen/freezer.state"; fi; }
if [ -n "$frozen" ]; then
	mount_store store -o poll=1s,lease=3s || exit
	hold 30
	echo "$supervisor" >"$frozen/cgroup.procs"
	echo "$worker" >"$frozen/cgroup.procs"
	freeze 1
	echo >&8
	ended 'frozen as one cgroup' 10000
	by_guard 'frozen as one cgroup'
	freeze 0
	awaited 'both end when it is thawed' 20 no_daemons
	rmdir "$frozen"
	umount "$W/cg"
	expect 'umount' byokfs umount "$M"
else
	figure 'no cgroup can be frozen here: left out'
fi

# --- in good order nobody of them stays
mount_store store || exit
supervisor=$(json supervisor_pid)
guard=$(guard_of)
[ -n "$guard" ] && pass 'a guard' || fail 'no guard'
umount_store
[ ! -e "/proc/$guard" ] && pass 'the guard has ended' || fail 'the guard lives on after the unmount'
expect 'verify' byokfs verify "$W/store"
