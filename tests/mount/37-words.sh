#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A log daemon that reads nothing, a terminal that stands still, a notify command whose exec hangs, a frozen daemon: no lock waits.
. "$(dirname "$0")/lib.sh"

B=$BYOKFS
M=$W/mnt
scan=$(tool scan) || fail 'compiling scan'
keydump=$(dirname "$BYOKFS")/../tests/keydump

# --- the tools

beside_start
# a /dev of our own with a /dev/log that is full and that nobody reads, until it gets SIGUSR1
mkdir "$W/dev"
mount -t tmpfs -o mode=755,dev none "$W/dev" || exit 2
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229; do
	IFS=: read -r name major minor <<<"$node"
	mknod -m 666 "$W/dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd "$W/dev/fd"
mkdir "$W/dev/shm"
mount --bind "$W/dev" /dev || exit 2
cat >"$W/log.py" <<'P'
import os, signal, socket, sys
told = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('/dev/log')
def full():
    c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    c.connect('/dev/log')
    c.setblocking(False)
    try:
        while True:
            c.send(b'<30>filler')
    except BlockingIOError:
        return
full()
print('full', flush=True)
signal.sigwait({signal.SIGUSR1})
with open(told, 'ab', 0) as f:
    while True:
        f.write(s.recv(65536) + b'\n')
P
python3 -c 'import signal, sys, os; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}); os.execvp("python3", ["python3"] + sys.argv[1:])' "$W/log.py" "$W/syslog" >"$W/log.said" 2>&1 &
reader=$!
disown $reader
trap 'kill $reader 2>/dev/null; end_scenario' EXIT
awaited 'a /dev/log that is full' 30 grep -q full "$W/log.said" || { cat "$W/log.said"; exit; }

# holds FILE: reads it by a descriptor and by a mapping all the while; the time of each one's last success, in ms, in held.read
# and held.map, and what it ended with in held.read.why
cat >"$W/hold.py" <<'P'
import errno, mmap, os, sys, time
path, out = sys.argv[1:]
fd = os.open(path, os.O_RDONLY)
m = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
def tell(what):
    o = os.open(out + what, os.O_WRONLY | os.O_CREAT, 0o600)
    return lambda text: os.pwrite(o, text.encode(), 0)
if os.fork() == 0:
    t = tell('.map')
    while m[4097] == 66 and m[1] == 66:
        t(f'{time.time_ns() // 1000000:020}')
        time.sleep(0.002)
    os._exit(1)
t, why = tell('.read'), tell('.read.why')
while True:
    try:
        if os.pread(fd, 100, 0) == b'B' * 100:
            t(f'{time.time_ns() // 1000000:020}')
    except OSError as e:
        why(errno.errorcode[e.errno] + '\n')
    time.sleep(0.002)
P
hold_start() {
	rm -f "$W"/held.*
	head -c 1M /dev/zero | tr '\0' B >"$M/held" && sync -f "$M"
	python3 "$W/hold.py" "$M/held" "$W/held" 2>>"$W/cli.log" &
	holder=$!
	awaited 'it is read' 30 test -s "$W/held.read" -a -s "$W/held.map"
}
hold_end() { kill -9 $holder $(pgrep -P $holder) 2>/dev/null; wait $holder 2>/dev/null; }
last() { echo $((10#$(cat "$W/held.$1") - struck)); }
# ended TEXT MS: nothing was read any more after so long since $struck
ended() {
	local k
	sleep $((($2 + 999) / 1000)).5
	for k in read map; do within "$1: last success by $k" "$(last $k)" "$2" "$struck"; done
	say "$1: last read by a descriptor after $(last read) ms, by a mapping after $(last map) ms: $(cat "$W/held.read.why" 2>/dev/null)"
}
clean() { # clean TEXT PIDS: no key is in their memory
	local p pids=''
	for p in $2; do pids="$pids --pid $p"; done
	"$scan" "$W/keys" $pids >"$W/scan.out" 2>&1 && pass "$1: no key in memory" || fail "$1: keys in memory: $(grep -c HIT "$W/scan.out")"
}
# locks TEXT: an order and a refusal, within their times, for every kind of access; no key is left
locks() {
	local text=$1 out
	"$keydump" "$W/store" >"$W/keys" 2>>"$W/cli.log" || fail 'keydump'
	out=$(timeout 300 python3 "$here/probe.py" "$M" --limit 5 --lock "timeout 60 $B lock $M" --unlock "timeout 60 $B unlock $M" 2>&1) &&
		pass "$text: order" || fail "$text: order: $(tail -n 5 <<<"$out")"
	sed -n 's/^  figure: last/  figure: '"$text"', order: last/p' <<<"$out"
	rm -rf "$M/probe"
	out=$(timeout 300 python3 "$here/probe.py" "$M" --limit 12 --lock "$B keystore disable $W/ks kek" --unlock "$B keystore enable $W/ks kek" 2>&1) &&
		pass "$text: refusal" || fail "$text: refusal: $(tail -n 5 <<<"$out"): $("$B" status "$M" | head -n 12)"
	sed -n 's/^  figure: last/  figure: '"$text"', refusal: last/p' <<<"$out"
	rm -rf "$M/probe"
	expect "$text: lock" timeout 30 "$B" lock "$M"
	clean "$text" "$(our_daemons)"
	expect "$text: unlock" timeout 30 "$B" unlock "$M"
}
# dies TEXT: the worker's death alone is the end of all reading, and the supervisor goes on to its own end
dies() {
	hold_start
	struck=$(now_ms)
	kill -9 "$(worker_of)"
	ended "$1: worker killed" 3000
	hold_end
	awaited "$1: no process that served is left" 30 eval '[ -z "$(pgrep -x byokfs -a | grep -F "$W/store")" ]'
	expect "$1: umount of what is left" timeout 60 "$B" umount "$M"
}

new_store store
cat >"$W/fails" <<'S'
#!/bin/sh
exit 1
S
chmod 755 "$W/fails"

# --- the log is full

mount_store store --notify-command "$W/fails" || exit
locks 'log full'
dies 'log full'
mount_store store --notify-command "$W/fails" || exit
expect 'log full: umount' timeout 60 "$B" umount "$M"
mount_store store --notify-command "$W/fails" || exit
kill -USR1 $reader
expect 'lock' "$B" lock "$M"
expect 'unlock' "$B" unlock "$M"
awaited 'it is told when somebody reads again' 30 grep -aq 'locked' "$W/syslog"
umount_store
kill $reader

# --- a terminal that stands still

mkfifo "$W/terminal"
exec 7<>"$W/terminal"
mkdir -p "$M"
"$B" mount "$W/store" "$M" -f --notify-command "$W/fails" </dev/null >>"$W/cli.log" 2>&7 &
daemon=$!
awaited 'mounted in the foreground' $HANG is_mounted "$M"
python3 - "$W/terminal" <<'P'
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
try:
    while True:
        os.write(fd, b'filler\n' * 100)
except BlockingIOError:
    pass
try:
    while True:
        os.write(fd, b'x')
except BlockingIOError:
    pass
P
locks 'terminal stalled'
kill -TERM $daemon
awaited 'terminal stalled: SIGTERM unmounts' 30 unmounted
awaited 'terminal stalled: and ends it' 30 no_daemons
wait $daemon
same 'terminal stalled: exit code' 0 $?
exec 7<&-

# --- a notify command on a disk that never gives it

new_store programs
slow_store
mkdir "$W/programs-mnt"
on_slow() { LD_PRELOAD=$slow_lib timeout $HANG "$B" mount "$W/programs" "$W/programs-mnt" </dev/null >>"$W/cli.log" 2>&1; }
expect 'a mount for programs' on_slow
cp /bin/true "$W/programs-mnt/true"
expect 'umount' "$B" umount "$W/programs-mnt"
expect 'mounted again, nothing of it cached' on_slow
programs_pids=$(daemons_of "$W/programs")
ln -s /bin/true "$W/told" # until it is mounted
mount_store store --notify-command "$W/told" || exit
ln -sfn "$W/programs-mnt/true" "$W/told"
slow 600000000 0
expect 'exec hangs: lock' timeout 30 "$B" lock "$M"
expect 'exec hangs: unlock' timeout 30 "$B" unlock "$M"
hangs() { ps -eo stat=,args= | grep -F "$W/store" | grep -q '^D'; }
awaited 'exec hangs' 30 hangs
hold_start
struck=$(now_ms)
expect 'exec hangs: lock' timeout 30 "$B" lock "$M"
ended 'exec hangs, order' 2000
hold_end
expect 'exec hangs: unlock' timeout 30 "$B" unlock "$M"
dies 'exec hangs'
kill -9 $programs_pids 2>/dev/null
umount -l "$W/programs-mnt" 2>/dev/null
slow 0 0
awaited 'nothing is left' $HANG no_daemons

# --- all its processes frozen for longer than the lease, and the key disabled meanwhile

cage=/sys/fs/cgroup/freezer/byokfs-$$
mkdir "$cage" 2>/dev/null && [ -e "$cage/freezer.state" ] || cage=
freeze() {
	if [ -n "$cage" ]; then
		for p in $1; do echo "$p" >"$cage/cgroup.procs"; done
		echo FROZEN >"$cage/freezer.state"
	else
		kill -STOP $1
	fi
}
thaw() {
	if [ -n "$cage" ]; then echo THAWED >"$cage/freezer.state"; else kill -CONT $1; fi
}
mount_store store -o lease=3s,poll=1s || exit
hold_start
pids=$(our_daemons)
freeze "$pids"
key disable
sleep 4
thaw "$pids"
struck=$(now_ms)
ended 'frozen, and the key disabled: from the thaw on' 1000
hold_end
wait_state_any() { case $(state_of) in locked | dead) ;; *) return 1 ;; esac; }
awaited 'it is locked, or was ended' 30 wait_state_any
key enable
expect 'umount' timeout 60 "$B" umount "$M"
awaited 'nothing is left of it' $HANG no_daemons
[ -z "$cage" ] || rmdir "$cage"
expect 'verify' "$B" verify "$W/store"
