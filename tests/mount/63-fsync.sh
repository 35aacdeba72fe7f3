#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What an fsync of a file or a folder has acknowledged is found again after a power cut: over a filesystem where syncfs reaches nothing
# and each thing is durable by its own fsync alone, and over ext4, whose journal keeps names whose folders' ids it does not.
. "$(dirname "$0")/lib.sh"

durable() { timeout $HANG python3 "$here/durable.py" "$@"; }
# after_boot: another boot of the machine, as far as this mount namespace is told
after_boot() {
	umount /proc/sys/kernel/random/boot_id 2>/dev/null
	cat /proc/sys/kernel/random/uuid >"$W/boot_id"
	mount --bind "$W/boot_id" /proc/sys/kernel/random/boot_id || fail 'another boot'
}
all_there() { # TEXT STEP...
	local text=$1 out
	shift
	if out=$(durable check "$W/mnt" "$@" 2>&1); then pass "$text"; else fail "$text: $out"; fi
}

# --- over a remote filesystem

remote=$W/remotefs.so
"${CC:-gcc}" -std=gnu17 -shared -fPIC -O2 -Wall -Wextra -D_GNU_SOURCE -o "$remote" "$here/remotefs.c" || fail 'compiling remotefs'
export REMOTEFS=$W/synced
truncate -s 1M "$REMOTEFS"
mount_remote() { LD_PRELOAD=$remote mount_store "$@"; }

new_store remote
mount_store remote
durable old "$W/mnt" || fail 'what is there before'
umount_store
durable names "$W/remote/data" >"$W/names"
sleep 0.1 # the clock of files' times goes on
mount_remote remote
expect 'every step and its fsync' durable run "$W/mnt" all
mkdir -p "$W/mnt/kept/x"
umount_store
mount_remote remote # what nobody synced before is owed still
expect 'a file in folders of an earlier mount' python3 -c 'import os, sys
fd = os.open(sys.argv[1] + "/kept/x/file", os.O_WRONLY | os.O_CREAT)
os.write(fd, b"x" * 100)
os.fsync(fd)' "$W/mnt"
kill_daemons
umount -l "$W/mnt" 2>/dev/null
figure "$(durable cut "$W/remote/data" "$W/names" "$REMOTEFS" 2>&1)"
after_boot
mount_store remote
all_there 'over a remote filesystem all that was acknowledged is there' all
same 'a file in folders of an earlier mount' 100 "$(stat -c %s "$W/mnt/kept/x/file" 2>&1)"
same 'and they are listed' kept/x/file "$(cd "$W/mnt" && find kept -type f)"
umount_store

# --- over ext4

mkdir "$W/disk"
if truncate -s 200M "$W/image" && mkfs.ext4 -qF "$W/image" && mount -o loop "$W/image" "$W/disk" 2>>"$W/cli.log"; then
	for round in all moved folder_moved not_synced unmounted; do
		new_store "disk/$round"
		mount_store "disk/$round"
		durable old "$W/mnt" || fail 'what is there before'
		umount_store
		sync -f "$W/disk"
		mount_store "disk/$round"
		expect "ext4, $round: every step and its fsync" durable run "$W/mnt" "$round"
		[ $round != unmounted ] || umount_store # what was written is on disk then
		# ext4 commits the names by itself: here for an fsync of somebody else's
		dd if=/dev/zero of="$W/disk/other" bs=4096 count=1 conv=fsync 2>/dev/null
		durable shutdown "$W/disk"
		kill_daemons
		umount -l "$W/mnt" 2>/dev/null
		await 20 umount "$W/disk"
		mount -o loop "$W/image" "$W/disk"
		after_boot
		timeout $HANG "$BYOKFS" verify "$W/disk/$round" >"$W/verify.out" 2>&1
		same "ext4, $round: verify finds no damage" '' "$(grep '^damage' "$W/verify.out" | grep -v '^damage: [0-9]')"
		mount_store "disk/$round"
		all_there "ext4, $round: all that was acknowledged is there" "$round"
		umount_store
	done
else
	skip 'no ext4 on a loop device here'
fi
umount /proc/sys/kernel/random/boot_id
