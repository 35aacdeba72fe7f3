#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# rsync, tar, cp and restic at the moment of revocation: exit code, message, time; none hangs; the next run completes.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
mib=160 small=2000
[ -z "${BYOKFS_SHORT:-}" ] || { mib=64 small=500; }
python3 - "$W/source" $mib $small <<'PY'
import os, sys
top, mib, small = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(top)
for i in range(small):
    d = f'{top}/d{i // 100:03}'
    os.makedirs(d, exist_ok=True)
    with open(f'{d}/{i}', 'wb') as f:
        f.write(os.urandom(1000 + i))
for i in range(mib // 8):
    with open(f'{top}/z{i:03}', 'wb') as f:
        f.write(os.urandom(8 << 20))
PY
[ -d "$W/source/d000" ] || fail 'making the source'
export RESTIC_PASSWORD=of-the-test RESTIC_CACHE_DIR=$W/restic-cache
slow_store || exit
remount() {
	! is_mounted "$M" || umount_store || return 1
	LD_PRELOAD=$slow_lib mount_store store
}

# Whatever the machine: the program has begun when something of what it makes is there, and from then on each read and write
# of the store takes so long that it cannot be done before the key is disabled.
begun() { [ "$(find "$1" -type f -size +0 2>/dev/null | head -n 20 | wc -l)" -ge "$2" ]; }
tar_begun() { [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt 1000000 ]; }
begun_or_ended() { ! kill -0 "$program" 2>/dev/null || "$@"; }
# told_or_ended: it has said that it was refused, or has ended
told_or_ended() { ! kill -0 "$program" 2>/dev/null || grep -qi denied "$W/out"; }
program_left() { ! kill -0 "$program" 2>/dev/null || pgrep -P "$program" || echo "$program"; }

# revoked NAME BEGUN COMMAND...: the key is disabled when BEGUN succeeds; $code, $took (ms from then), $message. $back: the key
# is enabled again when the program has been refused. What stands still for a minute hangs.
revoked() {
	local name=$1 when=$2 t0 left
	shift 2
	slow 2000 2000
	(exec "$@") >"$W/out" 2>&1 </dev/null &
	program=$!
	await $HANG begun_or_ended $when
	slow 50000 50000
	kill -0 $program 2>/dev/null && $when || {
		wait $program
		fail "$name: it has not begun, or has ended: exit $?: $(tail -n 2 "$W/out")"
		slow 0 0
		return 1
	}
	t0=$(now_ms)
	key disable
	wait_state locked 15
	if [ -n "${back:-}" ]; then
		await $HANG told_or_ended || fail "$name: is not refused"
		sleep 2
		key enable
		slow 0 0
	fi
	left=$(settle 60 program_left)
	[ -z "$left" ] && pass "$name ends" || fail "$name: stands still $(($(now_ms) - t0)) ms after the refusal: $(tail -n 2 "$W/out")"
	[ -z "$left" ] || kill -9 $left $program
	wait $program
	code=$?
	took=$(($(now_ms) - t0))
	slow 0 0
	message=$(grep -aiE 'denied|error|fatal|cannot|fail' "$W/out" | grep -am 1 -iE "${telling:-.}" | sed -E "s#$W/##g" | cut -c1-150)
	same "$name: processes in D state" '' "$(ps -eo pid=,stat=,args= | awk '$2 ~ /^D/' | grep -F -e "$M" | head -n 3)"
}
# fails_and_goes_on NAME COMMAND...: after `revoked`: it failed, said so; then the key comes back and COMMAND completes
fails_and_goes_on() {
	local name=$1 next out
	shift
	[ $code -ne 0 ] && pass "$name fails" || fail "$name: exit 0 though the key was disabled"
	[ -n "$message" ] && pass "$name tells" || fail "$name says nothing: $(tail -n 3 "$W/out")"
	key enable
	wait_state active 15
	out=$("$@" 2>&1 </dev/null)
	next=$?
	[ $next -eq 0 ] && pass "$name: next run" || fail "$name: the next run: exit $next: $(tail -n 3 <<<"$out")"
	figure "$(printf '%-18s exit %d after %6d ms: %s' "$name" $code $took "$message")"
}
# row NAME BEGUN COMMAND...: both; the next run is the same
row() {
	local name=$1
	revoked "$@" || return 1
	shift 2
	fails_and_goes_on "$name" "$@"
}

new_store store
beside_start
remount || exit
row 'rsync -a into' "begun $M/rsync 20" rsync -a --delete "$W/source/" "$M/rsync/"
same 'rsync: nothing differs' '' "$(diff -rq "$W/source" "$M/rsync" 2>&1 | head -n 3)"
remount || exit
row 'rsync -a out of' "begun $W/out-rsync 20" rsync -a "$M/rsync/" "$W/out-rsync/"
same 'rsync out: nothing differs' '' "$(diff -rq "$W/source" "$W/out-rsync" 2>&1 | head -n 3)"
rm -rf "$W/out-rsync"
row 'cp -a into' "begun $M/cp 20" cp -aT "$W/source" "$M/cp"
same 'cp: nothing differs' '' "$(diff -rq "$W/source" "$M/cp" 2>&1 | head -n 3)"
rm -rf "$M/cp" "$M/rsync"

# tar writes one file and only looks back at its close: it is kept busy by names that do not end before it fails
mkfifo "$W/names"
(exec 2>/dev/null; while :; do (cd "$W" && find source -type f); done >"$W/names") &
feeder=$!
if revoked 'tar -cf into' "tar_begun $M/a.tar" tar -cf "$M/a.tar" -C "$W" --no-recursion -T "$W/names"; then
	fails_and_goes_on 'tar -cf into' tar -cf "$M/a.tar" -C "$W" source
fi
kill $feeder 2>/dev/null
mkdir "$W/x"
remount || exit
row 'tar -xf out of' "begun $W/x 20" tar -xf "$M/a.tar" -C "$W/x"
same 'tar: nothing differs' '' "$(diff -rq "$W/source" "$W/x/source" 2>&1 | head -n 3)"
rm -rf "$W/x"

# tries_again: whether this restic takes a refusal for something that may pass (up to 0.16) or for final: found out on a plain
# folder that a plain user may not write for a moment
tries_again() {
	local plain=$W/plain U=65534 r
	chmod 755 "$W"
	install -d -o $U -g $U "$plain"
	as_user() { setpriv --reuid $U --regid $U --clear-groups env HOME="$plain" RESTIC_CACHE_DIR="$plain/cache" "$@"; }
	as_user restic -q -r "$plain/repo" init && chmod 0 "$plain"/repo/data/* || fail 'restic on a plain folder'
	: >"$W/out"
	as_user restic -r "$plain/repo" backup "$W/source/d000" >"$W/out" 2>&1 </dev/null &
	program=$!
	await $HANG told_or_ended || fail "restic on a plain folder is not refused: $(tail -n 2 "$W/out")"
	sleep 2
	chmod 700 "$plain"/repo/data/*
	wait $program
	r=$?
	rm -rf "$plain"
	return $r
}

if command -v restic >/dev/null; then
	expect 'restic init' restic -r "$M/repo" init
	tries_again && again=1 || again=
	# so slow that it is at work for eight seconds, on whatever machine
	back=1 revoked 'restic, key back' "begun $M/repo/data 2" restic --limit-upload 20000 -r "$M/repo" backup "$W/source" || exit
	wait_state active 15
	if [ -n "$again" ]; then
		same 'a restic that tries again: the key back at once costs the backup nothing' 0 $code
	else
		[ $code -ne 0 ] && [ -n "$message" ] && pass 'a restic for which a refusal is final fails, and tells' || fail "restic: exit $code: $(tail -n 3 "$W/out")"
		expect 'restic: next run' sh -c "restic -r '$M/repo' unlock && restic -r '$M/repo' backup '$W/source'"
	fi
	figure "$(printf '%-18s exit %d after %6d ms, the key back when it had been refused: %s' 'restic backup to' $code $took "$message")"
	if [ -n "$LONG" ]; then
		rm -rf "$M/repo"
		expect 'restic init' restic -r "$M/repo" init
		telling=Fatal revoked 'restic backup to' "begun $M/repo/data 2" restic -r "$M/repo" backup "$W/source" &&
			fails_and_goes_on 'restic backup to' sh -c "restic -r '$M/repo' unlock && restic -r '$M/repo' backup '$W/source'"
	fi
	expect 'restic check' restic -r "$M/repo" check --read-data
else
	skip 'no restic'
fi
umount_store
expect 'verify' "$BYOKFS" verify "$W/store"
