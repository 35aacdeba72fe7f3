#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Worker or supervisor killed or stopped under load, also while locking: nothing readable, nobody hangs, nothing is lost.
. "$(dirname "$0")/lib.sh"
. "$here/load.sh"

kills=3 stops=2 supers=2 mids=1 boths=2
[ -z "${BYOKFS_SHORT:-}" ] || { kills=1 stops=1 supers=1 mids=0 boths=1; }
[ -z "$LONG" ] || { kills=50 stops=20 supers=20 mids=20 boths=20; }
python3 "$here/tree.py" make "$W/source" --small --entries 300 >>"$W/cli.log" 2>&1 || fail 'making the tree'
times() { for _ in $(seq $1); do printf '%s ' "${@:2}"; done; }
json() { $as timeout $HANG "$BYOKFS" status "$M" --json 2>/dev/null | sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p"; }

# strike HOW [mid]: what is done, at $struck, and $bound, the ms from then after which nothing may be served any more
strike() {
	local worker supervisor
	worker=$(json worker_pid)
	supervisor=$(json supervisor_pid)
	[ -n "$worker" ] && [ -n "$supervisor" ] || { fail "status knows no worker and supervisor: [$worker] [$supervisor]"; worker=${worker:-$(json pid)}; }
	struck=$(now_ms)
	if [ -n "${2:-}" ]; then
		phase dead
		$as timeout $HANG "$BYOKFS" keystore disable "$ks" kek >>"$W/cli.log" 2>&1 &
		sleep 0.$(printf %03d $((RANDOM % 150 + 20)))
	fi
	case $1 in
	kill) bound=1000; "$load" kill "$R/page" 9 "$worker" ;;
	stop) bound=2500; "$load" kill "$R/page" 19 "$worker" ;;
	supervisor) bound=3000; "$load" kill "$R/page" 9 "$supervisor" ;;
	both) bound=1000; "$load" kill "$R/page" 9 "$worker" "$supervisor" ;;
	esac
}

declare -A figures maps
# judge HOW: everything within the bound, by descriptors and by mappings
judge() {
	local k
	take_last
	last_read=$(last_of read read-record)
	for k in read written listed; do
		local v=last_$k
		within "$1: last $k" "${!v}" $bound "$struck"
	done
	within "$1: last mapped" "$last_mapped" $bound "$struck"
	figures[$1]="${figures[$1]:-} $(last_of read read-record read-big write list stat open)"
	maps[$1]="${maps[$1]:-} $last_mapped"
	say "$1: last read $last_read, mapped $last_mapped, written $last_written, listed $last_listed ms"
}

# told HOW: status names the one who ended the mount, and why
told() {
	local out
	out=$($as timeout $HANG "$BYOKFS" status "$M" 2>&1)
	grep -qE '^state: *dead|^state +dead' <<<"$out" && grep -qE '^ended by:? +(supervisor|worker|guard)' <<<"$out" && pass "$1: status tells" || fail "$1: status of the dead mount does not tell who ended it: $(tr '\n' ';' <<<"$out")"
	told=$(sed -nE 's/^(ended by|reason):? +/ /p' <<<"$out" | tr -d '\n')
}

# gone HOW: nobody is in D state, and no process of the mount is left, within 5 s
gone() {
	local t0
	t0=$(now_ms)
	await 30 eval '[ -z "$(mount_pids)" ]'
	within "$1: the end of the processes" $(($(now_ms) - t0)) 5000 "$t0"
	same "$1: processes of the mount that are left" '' "$(mount_pids)"
	same "$1: processes in D state" '' "$(stuck)"
	[ -n "$as" ] || for p in $(mount_pids); do kill -9 "$p" 2>/dev/null; done
}

# round HOW [mid]: load, death, the bound, a new mount, everything acknowledged is there
round() {
	local how="$1${2:+ while locking}" t0
	load_start || return 1
	programs_start
	sleep 0.6
	strike "$@"
	sleep "$((bound / 1000)).5"
	each_answered "$how"
	judge "$how"
	told "$how"
	programs_stop "$how"
	gone "$how"
	[ -z "${2:-}" ] || $as timeout $HANG "$BYOKFS" keystore enable "$ks" kek >>"$W/cli.log" 2>&1
	# every other time the dead mount is left for `byokfs mount` to clear, with the old handles and mappings still there
	rounds=$((rounds + 1))
	if [ $((rounds % 2)) -eq 0 ] || [ -n "$as" ]; then
		load_stop "$how"
		expect "$how: umount of the dead mount" $as timeout $HANG "$BYOKFS" umount "$M"
	fi
	t0=$(now_ms)
	remount || return 1
	slowest=$(most "$slowest $(($(now_ms) - t0))")
	if [ -n "$loader" ]; then
		sleep 0.3
		take_last
		# what a write(2) under way fills behind the passes is taken away a moment later
		within "$how: last read of the big file" "$(last_of read-big)" $((bound + 1500)) "$struck"
		within "$how: old handles after the remount" "$(last_of read)" $bound "$struck"
		within "$how: old mappings after the remount" "$last_mapped" $bound "$struck"
		load_stop "$how"
	fi
	$as rm -rf "$M/rsync" "$M/tar" 2>/dev/null # a user may not empty the 0555 folders of the tree
	load_check "$how"
}
remount() { mount_store store $options; }

rounds=0
slowest=0
options=''
ks=$W/ks
new_store store
beside_start
remount || exit
# DEATHS: some of kill stop supervisor kill+ stop+ supervisor+ both, for looking at one
: "${DEATHS:=$(times $kills kill) $(times $stops stop) $(times $supers supervisor) $(times $mids kill+ stop+ supervisor+) $(times $boths both)}"
for how in $DEATHS; do
	round ${how%+} ${how#"${how%+}"} || exit
done
figure "at the end, on a fresh mount: $checked"
figure "answers: $(awk '$1 == "answer" {n[$3 " " $4] += $5} END {for (k in n) printf "%s %d, ", k, n[k]}' "$W/report")"
umount_store
expect 'verify' "$BYOKFS" verify "$W/store"
for how in "${!figures[@]}"; do
	figure "$how: ms to the last success by a descriptor: $(middle ${figures[$how]}) in the middle, $(most ${figures[$how]}) at most; by a mapping $(middle ${maps[$how]}), $(most ${maps[$how]})"
done
figure "$rounds deaths under load, slowest mount after one $slowest ms; programs that had to be ended: $program_hangs"

# one write(2) of a GiB under way at the end: it goes on, and what it writes is not left to others
cat >"$W/under-way.py" <<'PY'
import os, signal, sys, threading, time
path, pid = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_RDWR | os.O_CREAT)
other = os.open(path, os.O_RDONLY)
wrote = []
def write():
    try:
        wrote.append(os.writev(fd, [b'of-the-marker-16' * 65536] * 1023))
    except OSError as e:
        wrote.append(e.strerror)
t = threading.Thread(target=write)
t.start()
while os.fstat(other).st_size < 64 << 20 and t.is_alive():
    time.sleep(0.001)
os.kill(pid, signal.SIGKILL)
t0 = time.monotonic()
under_way = t.is_alive()
t.join()
ended = time.monotonic() - t0
time.sleep(max(1, 3 - ended))
got = {}
for p in range(0, 1023 << 20, 1 << 20):
    try:
        k = 'bytes' if os.pread(other, 4096, p) else 'end'
    except OSError as e:
        k = e.strerror
    got[k] = got.get(k, 0) + 1
print(f'under way: {under_way}, {wrote[0]} after {ended:.1f} s;', ', '.join(f'{k} {n}' for k, n in got.items()))
sys.exit('bytes' in got or not under_way)
PY
if [ -z "${BYOKFS_SHORT:-}" ]; then
	options=''
	for how in worker supervisor; do
		remount || exit
		out=$(timeout 240 python3 "$W/under-way.py" "$M/under-way" "$(json ${how}_pid)" 2>&1) && pass "$how killed in a write(2)" || fail "$how killed in a write(2): pages that it filled afterwards are readable: $out"
		figure "$how killed in a write(2) of a GiB: $out"
	done
	await $HANG no_mount_pids
	expect 'umount' timeout $HANG "$BYOKFS" umount "$M"
fi

# the same for a plain user, through fusermount3
U=65534
chmod 755 "$W"
fuse_for_users
install -d -o $U -g $U "$W/home" "$W/home/run"
install -m 755 "$BYOKFS" "$W/byokfs"
install -m 755 "$load" "$W/load-of-user"
install -m 755 "$acks" "$W/acks-of-user"
install -m 644 "$R/marker" "$W/home/marker"
cat >"$W/as-user" <<TXT
#!/bin/sh
exec setpriv --reuid $U --regid $U --clear-groups env -i PATH="$PATH" HOME="$W/home" XDG_RUNTIME_DIR="$W/home/run" XDG_STATE_HOME="$W/home/state" LC_ALL=C "\$@"
TXT
chmod 755 "$W/as-user"
BYOKFS=$W/byokfs load=$W/load-of-user acks=$W/acks-of-user as=$W/as-user M=$W/home/mnt R=$W/home ks=$W/home/ks options=''
remount() {
	$as timeout $HANG "$BYOKFS" mount "$W/home/store" "$M" </dev/null >>"$W/cli.log" 2>&1 && is_mounted "$M" && return 0
	fail "mount as a user: $(tail -n 3 "$W/cli.log")"
	return 1
}
expect 'keystore init' $as "$BYOKFS" keystore init "$ks" --no-passphrase
expect 'keystore create' $as "$BYOKFS" keystore create "$ks" kek
expect 'init' $as "$BYOKFS" init "$W/home/store" --kms "local:$ks/kek"
$as mkdir "$M"
remount || exit
figures=() maps=()
for how in kill both; do
	round $how || exit
	figure "a plain user's mount, $how: last by a descriptor ${figures[$how]} ms, by a mapping ${maps[$how]} ms; $told"
done
expect 'umount' $as "$BYOKFS" umount "$M"
await $HANG no_mount_pids
same 'no process is left after the unmount, the supervisor of the dead mount included' '' "$(mount_pids)"
expect 'verify' $as "$BYOKFS" verify "$W/home/store"
