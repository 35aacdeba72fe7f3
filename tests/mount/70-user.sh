#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# As a plain user through fusermount3: his own 0444 files and 0555 folders, a round trip, a lock.
. "$(dirname "$0")/lib.sh"

U=65534
chmod 755 "$W"
fuse_for_users
install -d -o $U -g $U "$W/home" "$W/home/run"
install -m 755 "$BYOKFS" "$W/byokfs"
real=$BYOKFS
BYOKFS=$W/byokfs
cat >"$W/as-user" <<TXT
#!/bin/sh
exec setpriv --reuid $U --regid $U --clear-groups env -i PATH="$PATH" HOME="$W/home" XDG_RUNTIME_DIR="$W/home/run" XDG_STATE_HOME="$W/home/state" LC_ALL=C "\$@"
TXT
chmod 755 "$W/as-user"
as_user() { "$W/as-user" "$@"; }
byokfs_user() { as_user timeout $HANG "$W/byokfs" "$@"; }

expect 'keystore init' byokfs_user keystore init "$W/home/ks" --no-passphrase
expect 'keystore create' byokfs_user keystore create "$W/home/ks" kek
expect 'init' byokfs_user init "$W/home/store" --kms "local:$W/home/ks/kek"
as_user mkdir "$W/home/mnt"
expect 'mount' byokfs_user mount "$W/home/store" "$W/home/mnt" </dev/null || exit
is_mounted "$W/home/mnt" && pass 'mounted' || { fail 'not mounted'; exit; }
M=$W/home/mnt
expect 'a file of his own of mode 0444' as_user sh -c "echo content >'$M/f' && chmod 444 '$M/f' && cat '$M/f' && mv '$M/f' '$M/g' && rm -f '$M/g'"
expect 'a folder of mode 0555' as_user sh -c "mkdir '$M/d' && echo x >'$M/d/x' && chmod 555 '$M/d' && ls '$M/d' && cat '$M/d/x'"
refused 'creating in a 0555 folder' 'permission denied' '' "$W/as-user" touch "$M/d/y"
expect 'removing an empty 0555 folder' as_user sh -c "mkdir '$M/e' && chmod 555 '$M/e' && rmdir '$M/e'"
expect 'rename of a 0555 folder' as_user sh -c "mkdir '$M/h' && chmod 555 '$M/h' && mv '$M/h' '$M/i' && rmdir '$M/i'"
expect 'file without any bits' as_user sh -c "echo secret >'$M/none' && chmod 0 '$M/none' && ! cat '$M/none' 2>/dev/null && chmod 600 '$M/none' && grep -q secret '$M/none'"
expect 'times of a 0444 file' as_user sh -c "echo x >'$M/t' && chmod 444 '$M/t' && touch -d @1000000000 '$M/t' && [ \$(stat -c %Y '$M/t') = 1000000000 ] && rm -f '$M/t'"
expect 'xattr of a 0644 file' as_user sh -c "echo x >'$M/x' && setfattr -n user.a -v b '$M/x' && getfattr -n user.a '$M/x'"
expect 'symlink, fifo, hard link' as_user sh -c "cd '$M' && ln -s to link && mkfifo pipe && ln x xx && [ \$(stat -c %h x) = 2 ]"

# the user's daemon writes a header into what he makes: that write must not take what a write takes away
same 'made setuid and setgid' '0o106755 0o106755' "$(as_user /usr/bin/env python3 -c '
import os, sys
a = os.open(sys.argv[1] + "/setid", os.O_CREAT | os.O_WRONLY, 0o6755)
b = os.open(sys.argv[1], os.O_TMPFILE | os.O_WRONLY, 0o6755) if len(sys.argv) > 2 else a
print(oct(os.fstat(a).st_mode), oct(os.fstat(b).st_mode))' "$M" $([ "$(printf '6.1\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.1 ] && echo tmpfile) 2>&1)"
install -d -o $U -g $U "$W/home/src"
install -m 644 "$here/tree.py" "$W/tree.py" # the tree may lie where the user cannot go
as_user python3 "$W/tree.py" make "$W/home/src/t" --small >>"$W/cli.log" 2>&1 || fail "tree as a user: $(tail -n 2 "$W/cli.log")"
expect 'rsync in' as_user rsync -aHAX "$W/home/src/" "$M/copy/"
expect 'compare' as_user python3 "$W/tree.py" compare "$W/home/src" "$M/copy"
same 'second rsync transfers nothing' '' "$(as_user rsync -aHAXi "$W/home/src/" "$M/copy/" 2>&1)"
# root is not the mount's user: allow_other is not set for a user's mount
if cat "$M/x" >/dev/null 2>&1; then fail "root reads a user's mount"; else pass 'root is refused by the kernel'; fi
expect 'status' byokfs_user status "$M"
expect 'lock' byokfs_user lock "$M"
refused 'locked' 'permission denied' '' "$W/as-user" cat "$M/x"
expect 'unlock' byokfs_user unlock "$M"
expect 'served again' as_user cat "$M/x"
expect 'key disabled by the user' byokfs_user keystore disable "$W/home/ks" kek
is_refused() { ! as_user cat "$M/x"; }
await 15 is_refused
refused 'revoked' 'permission denied' '' "$W/as-user" cat "$M/x"
expect 'key enabled' byokfs_user keystore enable "$W/home/ks" kek
await 15 as_user cat "$M/x"
expect 'served again after the return of the key' as_user cat "$M/x"
expect 'umount' byokfs_user umount "$M"
await $HANG no_daemons
expect 'mount again' byokfs_user mount "$W/home/store" "$M" </dev/null
expect 'compare after a remount' as_user python3 "$W/tree.py" compare "$W/home/src" "$M/copy"
expect 'rm -rf' as_user sh -c "chmod -R u+rwX '$M/copy' && rm -rf '$M/copy'"
expect 'umount' byokfs_user umount "$M"
await $HANG no_daemons

# allow_root: root comes in, other users do not, whatever the folder's mode and ACL would let them
if [ -e /etc/fuse.conf ]; then
	echo user_allow_other >"$W/fuse.conf"
	mount --bind "$W/fuse.conf" /etc/fuse.conf || fail 'an /etc/fuse.conf'
	expect 'mount with allow_root' byokfs_user mount "$W/home/store" "$M" -o allow_root </dev/null
	chmod 755 "$W/home"
	other="setpriv --reuid 1234 --regid 1234 --clear-groups"
	expect 'a file for all' as_user sh -c "echo open >'$M/open' && chmod 644 '$M/open' && setfacl -m u:1234:rwx '$M' 2>/dev/null; chmod 755 '$M'; stat '$M/open'"
	same 'root reads' open "$(cat "$M/open")"
	refused 'another user does not' 'permission denied' 1 $other cat "$M/open"
	refused 'nor lists' 'permission denied' '' $other ls "$M"
	same 'the folder shows it' 700 "$(stat -c %a "$M")"
	expect umount byokfs_user umount "$M"
	await $HANG no_daemons
	expect 'mount with allow_other' byokfs_user mount "$W/home/store" "$M" -o allow_other </dev/null
	same 'another user reads' open "$($other cat "$M/open")"
	expect umount byokfs_user umount "$M"
	await $HANG no_daemons
	umount /etc/fuse.conf
else
	skip 'no /etc/fuse.conf'
fi
expect 'verify' byokfs_user verify "$W/home/store"
