#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# rsync, tar, cp and restic at the moment of revocation: exit code, message, time; none hangs; the next run completes.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
mib=400 small=4000
[ -z "${BYOKFS_SHORT:-}" ] || { mib=80 small=1000; }
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

# revoked NAME SECONDS COMMAND...: the key is disabled while the command runs; $code, $took (ms from then), $message
revoked() {
	local name=$1 after=$2 p t0 try
	shift 2
	for try in 1 2 3; do
		(exec timeout -k 5 ${limit:-120} "$@") >"$W/out" 2>&1 </dev/null &
		p=$!
		sleep "$after"
		if ! kill -0 $p 2>/dev/null; then
			wait $p
			# too fast: again, sooner, as if nothing were there
			after=$(awk -v a="$after" 'BEGIN {print a / 3}')
			rm -rf "${clean:?}"
			continue
		fi
		t0=$(now_ms)
		key disable
		if [ -n "${back:-}" ]; then
			sleep "$back"
			key enable
		fi
		wait $p
		code=$?
		took=$(($(now_ms) - t0))
		message=$(grep -aiE 'denied|error|fatal|cannot|fail' "$W/out" | grep -am 1 -iE "${telling:-.}" | sed -E "s#$W/##g" | cut -c1-150)
		[ $code -lt 124 ] && pass "$name ends" || fail "$name: exit $code after $took ms: $(tail -n 2 "$W/out")"
		same "$name: processes in D state" '' "$(ps -eo pid=,stat=,args= | awk '$2 ~ /^D/' | grep -F -e "$M" | head -n 3)"
		return 0
	done
	fail "$name: ended before the key was disabled"
	code=0 took=0 message=
	return 1
}
# row NAME: after `revoked`: it failed, said so; then the key comes back and the same command completes
row() {
	local name=$1 next out
	shift
	[ $code -ne 0 ] && pass "$name fails" || fail "$name: exit 0 though the key was disabled"
	[ -n "$message" ] && pass "$name tells" || fail "$name says nothing: $(tail -n 3 "$W/out")"
	key enable
	wait_state active 15
	out=$(timeout 120 "$@" 2>&1 </dev/null)
	next=$?
	[ $next -eq 0 ] && pass "$name: next run" || fail "$name: the next run: exit $next: $(tail -n 3 <<<"$out")"
	figure "$(printf '%-18s exit %d after %6d ms: %s' "$name" $code $took "$message")"
}

new_store store
mount_store store || exit
clean=$M/rsync
revoked 'rsync -a into' 0.6 rsync -a "$W/source/" "$M/rsync/" && row 'rsync -a into' rsync -a --delete "$W/source/" "$M/rsync/"
same 'rsync: nothing differs' '' "$(diff -rq "$W/source" "$M/rsync" 2>&1 | head -n 3)"
clean=$W/out-rsync
drop_caches
revoked 'rsync -a out of' 0.4 rsync -a "$M/rsync/" "$W/out-rsync/" && row 'rsync -a out of' rsync -a "$M/rsync/" "$W/out-rsync/"
rm -rf "$W/out-rsync"
clean=$M/cp
revoked 'cp -a into' 0.4 cp -a "$W/source" "$M/cp" && row 'cp -a into' cp -aT "$W/source" "$M/cp"
rm -rf "$M/cp" "$M/rsync"
clean=$M/a.tar
revoked 'tar -cf into' 0.25 tar -cf "$M/a.tar" -C "$W" source && row 'tar -cf into' tar -cf "$M/a.tar" -C "$W" source
mkdir "$W/x"
clean=$W/x/source
drop_caches
revoked 'tar -xf out of' 0.25 tar -xf "$M/a.tar" -C "$W/x" && row 'tar -xf out of' tar -xf "$M/a.tar" -C "$W/x"
same 'tar: nothing differs' '' "$(diff -rq "$W/source" "$W/x/source" 2>&1 | head -n 3)"
rm -rf "$W/x"
if command -v restic >/dev/null; then
	clean=$M/none
	expect 'restic init' timeout 60 restic -r "$M/repo" init
	# it tries each call ten times, with pauses that grow: a key that is back within a minute costs the backup nothing
	back=8 revoked 'restic, key back' 1 restic -r "$M/repo" backup "$W/source"
	same 'restic, the key back after 8 s' 0 $code
	figure "$(printf '%-18s exit %d after %6d ms, key back after 8 s: %s' 'restic backup to' $code $took "$message")"
	if [ -n "$LONG" ]; then
		rm -rf "$M/repo"
		expect 'restic init' timeout 60 restic -r "$M/repo" init
		limit=400 telling=Fatal revoked 'restic backup to' 1 restic -r "$M/repo" backup "$W/source"
		row 'restic backup to' sh -c "restic -r '$M/repo' unlock && restic -r '$M/repo' backup '$W/source'"
	fi
	expect 'restic check' timeout 100 restic -r "$M/repo" check --read-data
else
	skip 'no restic'
fi
umount_store
expect 'verify' timeout 120 "$BYOKFS" verify "$W/store"
