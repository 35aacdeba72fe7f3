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
if [ "$(printf '6.1\n%s\n' "$(uname -r)" | sort -V | head -n 1)" != 6.1 ]; then
	skip 'O_TMPFILE (older than Linux 6.1)'
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
# what an asynchronous direct write has finished, every later buffered read shows
direct=$(tool directio) || exit 1
expect 'no stale read beside direct writes' timeout 300 "$direct" "$W/mnt/direct" 1500

# trusted.* is for administrators: a user's rsync -aX would fail on what it is shown and may not read
touch "$W/mnt/trusted"
setfattr -n trusted.secret -v x "$W/mnt/trusted" && setfattr -n user.open -v y "$W/mnt/trusted"
chmod 644 "$W/mnt/trusted"
names() { getfattr -m - --absolute-names "$1" | grep -c "^$2"; }
same 'root is shown trusted.*' 1 "$(names "$W/mnt/trusted" trusted.secret)"
same 'a user is not' 0 "$(setpriv --reuid 65534 --regid 65534 --clear-groups getfattr -m - --absolute-names "$W/mnt/trusted" | grep -c '^trusted')"
same 'but what is his to see' 1 "$(setpriv --reuid 65534 --regid 65534 --clear-groups getfattr -m - --absolute-names "$W/mnt/trusted" | grep -c '^user.open')"
same 'nor is root without CAP_SYS_ADMIN' 0 "$(setpriv --bounding-set -sys_admin --inh-caps -sys_admin getfattr -m - --absolute-names "$W/mnt/trusted" | grep -c '^trusted')"
as_root_of_his_own() { setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Ur "$@"; }
if as_root_of_his_own true 2>/dev/null; then
	same 'nor is a user who is root in a namespace of his own' 0 "$(as_root_of_his_own getfattr -m - --absolute-names "$W/mnt/trusted" | grep -c '^trusted')"
	# such a one has CAP_FSETID, but over none of the groups that his namespace lacks
	chmod 777 "$W/mnt" && install -m 2777 -o 65534 -g 4321 /dev/null "$W/mnt/setgid" && install -m 2777 -o 65534 -g 4321 /dev/null "$W/setgid"
	for f in "$W/setgid" "$W/mnt/setgid"; do
		as_root_of_his_own setfacl -m u::rwx,g::rwx,o::--- "$f"
		same "and sets an ACL: setgid of ${f#"$W/"}" 770 "$(stat -c %a "$f")"
	done
else
	skip 'users make no user namespaces here'
fi

# overlayfs takes the mount as its upper folder, and leaves whiteouts there
mkdir "$W/mnt/upper" "$W/mnt/work" "$W/lower" "$W/over"
echo low >"$W/lower/file"
if mount -t overlay overlay -o "lowerdir=$W/lower,upperdir=$W/mnt/upper,workdir=$W/mnt/work" "$W/over" 2>"$W/over.err"; then
	expect 'copy up to the mount' bash -c 'echo more >>"$1"' - "$W/over/file"
	expect 'rename over the mount' mv "$W/over/file" "$W/over/moved"
	same 'what was moved' 'low more ' "$(tr '\n' ' ' <"$W/over/moved")"
	same 'and is no longer there' no "$([ -e "$W/over/file" ] && echo yes || echo no)"
	same 'as a whiteout' 'character special file 0 0' "$(stat -c '%F %t %T' "$W/mnt/upper/file")"
	umount "$W/over"
elif ! grep -qw overlay /proc/filesystems; then
	skip 'this kernel has no overlayfs'
else
	fail "overlayfs refuses the mount: $(cat "$W/over.err") $(dmesg 2>/dev/null | tail -n 2)"
fi

# a file without a name, locked meanwhile, and named after all
nameless() {
	python3 - "$BYOKFS" "$1" <<'PY'
import ctypes, errno, os, subprocess, sys
byokfs, mnt = sys.argv[1:]
fd = os.open(mnt, os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b'x' * 300_000)
subprocess.run([byokfs, 'lock', mnt], check=True, stdin=subprocess.DEVNULL)
try:
    os.pread(fd, 1, 0)
    sys.exit('read while locked')
except OSError as e:
    assert e.errno == errno.EACCES, e
subprocess.run([byokfs, 'unlock', mnt], check=True, stdin=subprocess.DEVNULL)
assert os.pread(fd, 300_001, 0) == b'x' * 300_000
assert ctypes.CDLL(None).linkat(-100, b'/proc/self/fd/%d' % fd, -100, os.fsencode(f'{mnt}/named'), 0x400) == 0
os.write(fd, b'y')
os.fsync(fd)
# one more that stays without: nothing of it is there after the mount
os.write(os.open(mnt, os.O_TMPFILE | os.O_RDWR, 0o600), b'z' * 300_000)
PY
}
[ -n "${NO_TMPFILE:-}" ] || expect 'a file without a name over a lock' nameless "$W/mnt"

# the backing of the store must hold no trace of what failed
umount_store
expect 'verify' byokfs verify "$W/store"

# the same where the KMS wraps the key of each file
new_store wrapped --wrap file
mount_store wrapped || exit
[ -n "${NO_TMPFILE:-}" ] || expect 'a file without a name, its key wrapped by the KMS' nameless "$W/mnt"
umount_store
mount_store wrapped || exit
[ -n "${NO_TMPFILE:-}" ] || same 'and what it holds' 300001 "$(wc -c <"$W/mnt/named")"
umount_store
expect 'verify' byokfs verify "$W/wrapped"
