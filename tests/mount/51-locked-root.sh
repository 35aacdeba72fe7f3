#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a locked mount tells a plain user, and anybody with an old handle: the state, and nothing that it need not.
. "$(dirname "$0")/lib.sh"

chmod 755 "$W" # a plain user is to reach the mount
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
new_store store
mount_store store --poll 1 --lease 2 || exit
chmod 755 "$W/mnt"
echo data >"$W/mnt/f"
mkdir "$W/mnt/d"
setfacl -m u:65534:rx "$W/mnt/d" || fail 'setfacl'
state() { as_nobody getfattr --absolute-names -n user.byokfs.state --only-values "$W/mnt" 2>&1; }
same 'active: the state, as a plain user' active "$(state)"

# old handles: what the kernel answers by itself (SECURITY.md), and what it asks for
cat >"$W/held.py" <<'PY'
import errno, fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print('held', flush=True)
for _ in range(2):
    if not sys.stdin.readline():
        break
    calls = {'read': lambda: os.pread(fd, 1, 0), 'fstat': lambda: os.fstat(fd), 'end': lambda: os.lseek(fd, 0, os.SEEK_END),
             'data': lambda: os.lseek(fd, 0, os.SEEK_DATA), 'open': lambda: os.open('/proc/self/fd/%d' % fd, os.O_RDONLY)}
    got = []
    for name, call in calls.items():
        try:
            call()
            got.append(name + ' ok')
        except OSError as e:
            got.append(name + ' ' + errno.errorcode[e.errno])
    print(', '.join(got), flush=True)
PY
coproc H { exec python3 "$W/held.py" "$W/mnt/f"; }
holder=$H_PID
exec 7<&"${H[0]}" 8>&"${H[1]}"
read -r line <&7
expect 'lock' byokfs lock "$W/mnt"
case $(state) in 'locked (ordered)'*) pass 'locked: the state, as a plain user' ;; *) fail "locked: $(state)" ;; esac
expect 'locked: access(2) of the root, to read' as_nobody test -r "$W/mnt"
expect 'locked: access(2) of the root, to search' as_nobody test -x "$W/mnt"
same 'locked: stat(2) of the root' 755 "$(as_nobody stat -c %a "$W/mnt" 2>&1)"
# shellcheck disable=SC2086
for who in 'setpriv --reuid=65534 --regid=65534 --clear-groups' env; do
	refused "locked: listing (${who%% *})" 'permission denied' '' $who ls "$W/mnt"
	refused "locked: a file (${who%% *})" 'permission denied' '' $who stat "$W/mnt/f"
	refused "locked: the ACL of a folder (${who%% *})" 'permission denied' '' $who getfattr -n system.posix_acl_access "$W/mnt/d"
	refused "locked: the root's default ACL (${who%% *})" 'permission denied' '' $who getfattr -n system.posix_acl_default "$W/mnt"
	refused "locked: the root's attributes (${who%% *})" 'permission denied' '' $who getfattr -d "$W/mnt"
done
sleep 3 # a lease: so long the kernel tells SEEK_END by itself
echo >&8
read -r line <&7
same 'locked: an old handle' 'read EACCES, fstat EACCES, end EACCES, data EACCES, open EACCES' "$line"
expect 'unlock' byokfs unlock "$W/mnt"
echo >&8
read -r line <&7
same 'unlocked: the same handle' 'read ok, fstat ok, end ok, data ok, open ok' "$line"
exec 8>&- 7<&-
wait "$holder"
umount_store
