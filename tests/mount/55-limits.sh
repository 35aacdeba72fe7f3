#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The limits of the shell that mounts (ulimit) are not those of everybody who uses the mount.
. "$(dirname "$0")/lib.sh"
new_keystore
new_store s
M=$W/mnt
mkdir -p "$M"
uses() { # 500 files open at a time, 20 MB in one, and a second and more of the processor
	python3 - "$M" <<'P'
import os, sys
top = sys.argv[1]
files = [os.open('%s/n%d' % (top, i), os.O_RDWR | os.O_CREAT) for i in range(500)]
for f in files: os.close(f)
data = os.urandom(1 << 20)
with open(top + '/large', 'wb') as f:
    for _ in range(20): f.write(data)
P
}
worn() { # until the daemon has had 2.5 s of the processor, or has gone another way
	local p was=$1 t hz
	hz=$(getconf CLK_TCK)
	for _ in $(seq 400); do
		p=$(worker_of)
		[ "$p" = "$was" ] || return 1
		t=$(sed 's/.*) //' "/proc/$p/stat" | awk '{print $12 + $13}')
		[ "$t" -lt $((5 * hz / 2)) ] || return 0
		dd if=/dev/zero of="$M/worn" bs=1M count=64 conv=notrunc,fsync status=none || return 1
	done
	return 1
}
limited() { # TEXT LIMITS...: with these, by `ulimit -S`: root's shell, and what anybody may raise again
	local text=$1
	shift
	(
		ulimit -S "$@"
		exec "$BYOKFS" mount "$W/s" "$M" >"$W/out" 2>&1
	)
	is_mounted "$M" && pass "$text: it mounts" || { fail "$text: $(cat "$W/out")"; return; }
	expect "$text: it is used" uses
	if [ "$1" = -t ]; then
		expect "$text: it lives on" worn "$(worker_of)"
	fi
	expect "$text: it is unmounted" timeout 60 "$BYOKFS" umount "$M"
}
limited 'open files' -n 64
limited 'the size of a file' -f 1000
limited 'time of the processor' -t 1
limited 'memory' -v 100000
limited 'data' -d 20000
limited 'stack' -s 64
limited 'a stack without a limit' -s unlimited
limited 'processes' -u 5

# what root himself may not raise (a container without CAP_SYS_RESOURCE) is told
(ulimit -n 256 && ulimit -n 4096) 2>/dev/null && raised=1 || raised=
(
	ulimit -n 256
	exec "$BYOKFS" mount "$W/s" "$M" --foreground >"$W/log" 2>&1
) &
await $HANG is_mounted "$M" || fail 'not mounted'
if [ -n "$raised" ]; then
	expect 'a hard limit too: it is used' uses
else
	await $HANG grep -q 'files can be open' "$W/log" && pass 'a hard limit is told' || fail "a hard limit is not told: $(cat "$W/log")"
fi
expect 'unmounted' timeout 60 "$BYOKFS" umount "$M"
# what no limit of root's may be raised beyond, and is met in the middle of a write: an error that is told, never the death of who writes
died() { # TEXT LIMIT COMMAND...
	local text=$1 out rc
	out=$(ulimit $2; shift 2; timeout $HANG "$BYOKFS" "$@" </dev/null 2>&1)
	rc=$?
	[ $rc -lt 124 ] && ! grep -q 'killed by signal' <<<"$out" && pass "$text" || fail "$text: exit $rc: $out"
	[ $rc -eq 0 ] || grep -qi 'too large' <<<"$out" && pass "$text: told" || fail "$text: not told: $out"
}
died 'mount where no byte may be written' '-f 0' mount "$W/s" "$M"
is_mounted "$M" && umount_store
died 'init where no byte may be written' '-f 0' init "$W/t" --kms "local:$W/ks/kek"
died 'a keystore where no byte may be written' '-f 0' keystore create "$W/ks" other
expect verify byokfs verify "$W/s"
end_scenario
