#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the supervisor does beside watching: signals, exit codes, --notify-command, --respawn. Deaths under load: 37-death.
. "$(dirname "$0")/lib.sh"

B=$BYOKFS
M=$W/mnt
new_store store
beside_start

# timely TEXT SECONDS COMMAND...: it succeeds within so long
timely() {
	local text=$1 bound=$2 t0
	shift 2
	t0=$(now_ms)
	await $((bound + 60)) "$@" || { fail "$text: not after $((bound + 60)) s"; return 1; }
	within "$text" $(($(now_ms) - t0)) $((bound * 1000)) "$t0"
}
dead() { [ "$(state_of)" = dead ]; }

# --- signals go to the supervisor

mount_logged store "$W/log"
same 'pid is the supervisor' "$daemon" "$(pid_of)"
w=$(worker_of)
[ -n "$w" ] && [ "$w" != "$daemon" ] && pass 'two processes' || fail "worker_pid is [$w], pid [$daemon]"
same "the supervisor is the worker's parent" "$daemon" "$(awk '/^PPid:/ {print $2}' "/proc/$w/status")"
echo one >"$M/f"
kill -TERM "$w"
sleep 0.3
same 'SIGTERM to the worker alone is nothing: the supervisor takes signals' active "$(state_of)"
kill -USR1 "$daemon"
wait_state locked 5
refused 'locked by SIGUSR1' 'permission denied' '' cat "$M/f"
expect 'unlock' "$B" unlock "$M"
kill -TERM "$daemon"
timely 'SIGTERM unmounts' 10 unmounted
wait "$daemon"
same 'exit code after SIGTERM' 0 $?
timely 'nothing is left' 5 no_daemons

# in use: the first signal locks, and nothing frees the mount point until the last handle is closed
for signal in TERM HUP; do
	mount_logged store "$W/log"
	exec 8<"$M/f" 9>>"$M/g"
	echo accepted >&9
	kill -$signal "$daemon"
	timely "SIG$signal while in use locks" 10 in_state locked
	is_mounted "$M" && pass 'the place is kept' || fail "SIG$signal freed the mount point"
	refused 'a new dump' 'permission denied' '' touch "$M/dump"
	if timeout $HANG head -c 1 <&8 >/dev/null 2>&1; then fail 'an open file is served'; else pass 'an open file is not served'; fi
	exec 9>&-
	sleep 0.5
	is_mounted "$M" && pass 'one of two closed: kept' || fail 'freed with a file open'
	exec 8<&-
	timely 'the last one closed: unmounted' 10 unmounted
	wait "$daemon"
	same "exit code after SIG$signal" 0 $?
	mount_store store
	same 'what was accepted is there' accepted "$(tail -n 1 "$M/g")"
	umount_store
done

# by any path that leads to the mount; a daemon that was killed leaves no way to it under a number that another mount may get
links() { find /run/byokfs -type l -printf '%l\n' | sort | uniq -d | wc -l; }
mount_store store
kill_daemons
"$B" umount "$M" >/dev/null 2>&1
mkdir -p "$W/beside"
mount -t tmpfs none "$W/beside" # takes the number, so that the next mount has another
mount_store store
same 'one way to a mount by its number' 0 "$(links)"
umount "$W/beside"
mkdir -p "$W/bind" "$W/moved"
mount --bind "$M" "$W/bind"
expect 'status by a bind mount' "$B" status "$W/bind"
expect 'lock by a bind mount' "$B" lock "$W/bind"
same 'locked' locked "$(state_of)"
refused 'and by no path readable' 'permission denied' '' cat "$W/bind/f"
expect 'unlock by a bind mount' "$B" unlock "$W/bind"
umount "$W/bind"
mount --make-private "$W" 2>/dev/null
if mount --move "$M" "$W/moved" 2>/dev/null; then
	expect 'lock where it was moved to' "$B" lock "$W/moved"
	refused 'nor readable there' 'permission denied' '' cat "$W/moved/f"
	expect 'unlock where it was moved to' "$B" unlock "$W/moved"
	mount --move "$W/moved" "$M"
else
	figure 'a mount cannot be moved here (its parent is shared)'
fi
umount_store

# the second signal ends it at once, and leaves in place what answers errors
mount_logged store "$W/log"
exec 8<"$M/f"
kill -TERM "$daemon"
timely 'locked at the first signal' 10 in_state locked
kill -INT "$daemon"
timely 'the second signal ends it' 10 no_daemons
is_mounted "$M" && pass 'the place is kept' || fail 'the second signal freed the mount point'
refused 'a dump into what is left' 'transport endpoint|permission denied|connection' '' touch "$M/dump"
if timeout $HANG head -c 1 <&8 >/dev/null 2>&1; then fail 'an open file is served after the session has ended'; else pass 'nothing is served after it'; fi
exec 8<&-
wait "$daemon" 2>/dev/null
expect 'umount of what is left' "$B" umount "$M"
expect 'verify' "$B" verify "$W/store"

# --- exit codes are the worker's

key disable
refused 'mount with the key disabled' 'disabled' 3 "$B" mount "$W/store" "$M"
refused 'the same in the foreground' 'disabled' 3 "$B" mount -f "$W/store" "$M"
key enable
refused 'no such store' 'no such file|not a store' '' "$B" mount "$W/none" "$M"
timely 'no process is left of a mount that failed' 5 no_daemons
unmounted && pass 'and no mount' || fail 'a mount that failed is mounted'

# --- --notify-command

cat >"$W/notify" <<SH
#!/bin/sh
cat >>"$W/told"
env >"$W/told.env"
SH
cat >"$W/slow" <<SH
#!/bin/sh
cat >>"$W/told.slow"
sleep 600
SH
chmod +x "$W/notify" "$W/slow"
: >"$W/told"
mount_store store --notify-command "$W/notify"
key disable
wait_state locked 10
key enable
wait_state active 10
"$B" lock "$M"
"$B" unlock "$M"
umount_store
states=$(python3 - "$W/told" <<'PY'
import json, sys
print(' '.join(json.loads(l)['state'] + ('/' + json.loads(l)['cause'] if json.loads(l)['cause'] else '') for l in open(sys.argv[1])))
PY
)
figure "told: $states"
for s in locking/revoked locked/revoked locking/ordered locked/ordered; do
	case " $states " in *" $s "*) pass "told of $s" ;; *) fail "not told of $s: $states" ;; esac
done
same 'told of each return' 2 "$(grep -o '"from":"returning","state":"active"' "$W/told" | wc -l)"
same 'facts of each change' 0 "$(python3 - "$W/told" "$M" "$W/store" <<'PY'
import json, sys
bad = 0
for l in open(sys.argv[1]):
    f = json.loads(l)
    bad += f['mountpoint'] != sys.argv[2] or f['store'] != sys.argv[3] or f['worker_pid'] < 2 or f['supervisor_pid'] < 2 or f['time'] < 1.7e9
print(bad)
PY
)"
same 'the environment is not passed on' '' "$(grep -vE '^(PATH|PWD|SHLVL|_|OLDPWD)=' "$W/told.env")"

# one that hangs delays no lock; it is killed after 10 s
mount_store store --notify-command "$W/slow"
t0=$(now_ms)
"$B" lock "$M"
t1=$(now_ms)
within 'a hanging command does not hold up the lock' $((t1 - t0)) 3000 "$t0"
figure "lock with a hanging notify command: $((t1 - t0)) ms"
"$B" unlock "$M" >/dev/null
umount_store
no_slow_command() { ! pgrep -f "$W/slow"; }
timely 'no hanging command is left' 2 no_slow_command
refused 'a notify command that is not there' 'notify' 2 "$B" mount "$W/store" "$M" --notify-command "$W/none"

# --- --respawn

mount_store store --respawn=2
echo two >"$M/g"
sync "$M/g"
exec 8<"$M/g"
for turn in 1 2; do
	w=$(worker_of)
	s=$(pid_of)
	kill -9 "$w"
	reborn() { local n; n=$(worker_of); [ -n "$n" ] && [ "$n" != "$w" ] && [ "$(state_of)" = active ]; }
	timely "mounted again, turn $turn" 15 reborn || break
	same 'the supervisor is the same' "$s" "$(pid_of)"
	same 'content' two "$(cat "$M/g")"
done
if timeout $HANG head -c 1 <&8 >/dev/null 2>&1; then fail 'a handle from before the death is served'; else pass 'old handles stay dead'; fi
exec 8<&-
kill -9 "$(worker_of)"
timely 'not a third time in ten minutes' 15 dead
timely 'the supervisor ends' 15 no_daemons
is_mounted "$M" && pass 'what is mounted stays, and answers errors' || fail 'the mount point is bare after the last death'
refused 'an error' 'not connected' '' ls "$M/"
expect 'byokfs umount clears it' "$B" umount "$M"

# locked by order: the death of the worker must not be a way round `byokfs unlock`
mount_store store --respawn
"$B" lock "$M" >/dev/null
kill -9 "$(worker_of)"
timely 'a mount that was locked is not mounted again' 15 no_daemons
refused 'and answers errors' 'not connected' '' cat "$M/g"
expect 'byokfs umount clears it' "$B" umount "$M"

# the key is disabled when the worker dies
mount_store store --respawn
key disable
wait_state locked 10
kill -9 "$(worker_of)"
timely 'without the key nothing is mounted again' 15 no_daemons
is_mounted "$M" && pass 'the dead mount stays' || fail 'the mount point is bare'
key enable
expect 'byokfs mount clears the remains' "$B" mount "$W/store" "$M"
same 'content' two "$(cat "$M/g")"
umount_store
expect 'verify in the end' "$B" verify "$W/store"
