#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Loop devices, overlays and stores on files of the mount: told by log, status and audit log at a lock, and not once they are gone.
. "$(dirname "$0")/lib.sh"

page() { byokfs status "$W/mnt"; }
all() { byokfs status "$W/mnt" --json | sed -nE 's/.*"built_on_all": ([0-9]+).*/\1/p'; }
told() { page | grep -qF -e "$1"; }
logged() { grep -F 'cache of its own' "$W/log" | grep -qF -e "$1"; }

new_store store
mount_logged store "$W/log" --poll 1 --lease 2 || exit
same 'nothing is built on it' 0 "$(all)"
page | grep -qE 'built on|which means' && fail 'and a page that says so' || pass 'nor does the page say so'
mkdir "$W"/mnt/{low,up,work} "$W/merged" "$W/inner" "$W/fs" "$W/second"

# --- an overlay: what is read through it is refused after a lock as it is below, by handles and mappings, too
cat >"$W/held.py" <<'PY'
import errno, mmap, os, signal, sys
held = [os.open(p, os.O_RDONLY) for p in sys.argv[1:]]
maps = [mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ) for fd in held]
assert all(m[:4] == b'data' for m in maps)
print('held', flush=True)
sys.stdin.readline()
for fd, m in zip(held, maps):
    try:
        os.pread(fd, 4, 0)
        print('read', end=' ')
    except OSError as e:
        print(errno.errorcode[e.errno], end=' ')
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        m[:4]
        os._exit(0)
    print('mapped' if os.waitpid(child, 0)[1] == 0 else 'SIGBUS', end=' ')
print(flush=True)
PY
echo data >"$W/mnt/low/f"
overlay=
mount -t overlay -o "lowerdir=$W/mnt/low,upperdir=$W/mnt/up,workdir=$W/mnt/work" none "$W/merged" && overlay=1 ||
	skip 'no overlayfs here'
if [ -n "$overlay" ]; then
	echo data >"$W/merged/g"
	coproc H { exec python3 "$W/held.py" "$W/merged/f" "$W/merged/g"; }
	holder=$H_PID
	exec 7<&"${H[0]}" 8>&"${H[1]}"
	read -r line <&7
	expect 'an overlay is told while the mount is active' told "overlay at $W/merged on $W/mnt/low"
	expect 'lock' byokfs lock "$W/mnt"
	awaited 'and at the lock, by the log' $HANG logged "overlay at $W/merged on $W/mnt/low"
	echo >&8
	read -r line <&7
	same 'handles and mappings of its files' 'EACCES SIGBUS EACCES SIGBUS' "${line% }"
	refused 'its names' 'permission denied' '' ls "$W/merged"
	exec 8>&- 7<&-
	wait "$holder"
	expect 'it can be unmounted while locked' umount "$W/merged"
	same 'and is told no more' 0 "$(all)"
	expect 'unlock' byokfs unlock "$W/mnt"
fi

# --- as containers have it: relative folders, mounted beside them
if [ -n "$overlay" ]; then
	mkdir "$W/mnt/low2" "$W/mnt/beside"
	(cd "$W/mnt" && mount -t overlay -o lowerdir=low:low2 none "$W/mnt/beside") || fail 'an overlay of relative folders'
	expect 'an overlay of relative folders below the mount point is told' told "perhaps overlay at $W/mnt/beside"
	umount "$W/mnt/beside"
fi

# --- a store in the store
byokfs init "$W/mnt/low/store" --kms "local:$W/ks/kek" >>"$W/cli.log" 2>&1
expect 'a store in the mount' byokfs mount "$W/mnt/low/store" "$W/inner"
expect 'is told' told "fuse.byokfs at $W/inner on $W/mnt/low/store"
expect 'without it' byokfs umount "$W/inner"
awaited 'it is not' $HANG eval '[ "$(all)" = 0 ]'

# --- loop devices, by either path of the mount; one has a name that is to move a cursor
loop=
[ -e /dev/loop-control ] && truncate -s 8M "$W/mnt/disk" &&
	loop=$(losetup --find --show "$W/mnt/disk" 2>>"$W/cli.log") || skip 'no loop devices here'
if [ -n "$loop" ]; then
	odd=$(printf 'o\n\033[2Jdd')
	mount --bind "$W/mnt/low" "$W/second"
	truncate -s 1M "$W/second/$odd"
	loop2=$(losetup --find --show "$W/second/$odd")
	mkfs.ext4 -q "$loop" && mount "$loop" "$W/fs" || fail 'a filesystem on a loop device'
	echo data >"$W/fs/f"
	sync -f "$W/fs"
	cat "$W/fs/f" >/dev/null
	expect 'a loop device is told while the mount is active' told "loop device $loop on $W/mnt/disk"
	key disable
	wait_state locked 5
	awaited 'and at a refusal, by the log' $HANG logged "loop device $loop on $W/mnt/disk"
	expect 'one on a file by another path, its odd name made plain' logged "loop device $loop2 on $W/second/o??[2Jdd"
	expect 'by the page' told "loop device $loop on $W/mnt/disk"
	expect 'with what to do' told 'losetup -d'
	same 'by --json' 2 "$(all)"
	awaited 'by the audit log' $HANG eval "byokfs audit show '$W/store' | grep -qF 'built_on what=\"loop device $loop on $W/mnt/disk\"'"
	say "note: a file of its filesystem, cached before the lock: [$(cat "$W/fs/f" 2>&1)]"
	expect 'what to do: unmount' umount "$W/fs"
	losetup -d "$loop" || fail 'losetup -d'
	losetup -d "$loop2" || fail 'losetup -d'
	awaited 'and detach: told no more' $HANG eval '[ "$(all)" = 0 ]'
	key enable
	wait_state active 10
	expect 'the device can be made again' eval 'loop=$(losetup --find --show "$W/mnt/disk") && mount "$loop" "$W/fs"'
	same 'and has what was written' data "$(cat "$W/fs/f")"
	umount "$W/fs"
	losetup -d "$loop"
	umount "$W/second"
fi
umount_store
wait "$daemon"
expect 'the audit log is whole' byokfs audit verify "$W/store"

# --- an overlay keeps no mount from being unmounted, but the daemon from its end
if [ -n "$overlay" ]; then
	mount_store store || exit
	mount -t overlay -o "lowerdir=$W/mnt/low,upperdir=$W/mnt/up,workdir=$W/mnt/work" none "$W/merged"
	refused 'umount says that an overlay has it' "still in use: built on it: overlay at $W/merged on $W/mnt/low" 11 \
		"$BYOKFS" umount "$W/mnt" --timeout 2
	refused 'and it is locked' 'permission denied' '' cat "$W/merged/f"
	umount "$W/merged"
	awaited 'without it the daemon ends' $HANG no_daemons
fi

# --- a mount whose worker was killed: what is built on it is told by whoever asks
if [ -n "$loop" ]; then
	mount_store store || exit
	loop=$(losetup --find --show "$W/mnt/disk")
	refused 'umount says that it keeps the mount' "in use; built on it:.*loop device $loop on" 6 "$BYOKFS" umount "$W/mnt"
	kill -9 "$(worker_of)"
	awaited 'killed: dead' $HANG in_state dead
	dead_page() { byokfs status "$W/mnt" 2>&1 | grep -qF "built on it                    loop device $loop on $W/mnt/disk"; }
	awaited 'and what is built on it' $HANG dead_page
	same 'by --json' 1 "$(all)"
	losetup -d "$loop"
	byokfs umount "$W/mnt" >>"$W/cli.log" 2>&1
	awaited 'no process is left' $HANG no_daemons
fi
