#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The same calls on the backing filesystem and on the mount, as root and as another user: the same answers.
. "$(dirname "$0")/lib.sh"

new_store store
mount_store store -o dev,suid || exit
# run NAME DIR [--uid N]: answers into $W/NAME
run() {
	local out=$1 dir=$2
	shift 2
	mkdir -p "$dir"
	chmod 1777 "$dir"
	timeout 900 python3 "$here/posix.py" "$dir" "$@" >"$W/$out" 2>"$W/$out.err" || fail "$out: $(tail -n 3 "$W/$out.err")"
}
chmod 755 "$W"
if ! python3 -c 'import os, sys; os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)' "$W/mnt" 2>/dev/null; then
	skip 'O_TMPFILE (this libfuse has no tmpfile call)'
	export NO_TMPFILE=1
fi
for uid in 0 65534; do
	flag=
	[ $uid = 0 ] || flag="--uid $uid"
	run backing.$uid "$W/b$uid" $flag
	run mount.$uid "$W/mnt/m$uid" $flag
	n=$(grep -vc '^==' "$W/backing.$uid")
	different=0
	section=
	while IFS= read -r line; do
		different=$((different + 1))
		fail "uid $uid: $line"
	done < <(diff --unchanged-line-format= --old-line-format='ext4: %L' --new-line-format='mount: %L' "$W/backing.$uid" "$W/mount.$uid")
	checks=$((checks + n - different))
	figure "uid $uid: $n calls, $different lines differ"
done
# the backing of the store must hold no trace of what failed
umount_store
expect 'verify' byokfs verify "$W/store"
